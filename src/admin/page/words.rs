//! Quantities in words.

/// `0 s`, `0.4 s`, `12 s`, `5 min`, `3 h 20 min`, `4 days`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..10 if seconds >= 0.05 => format!("{seconds:.1} s"),
        0..120 => format!("{whole} s"),
        120..7_200 => format!("{} min", whole / 60),
        7_200..172_800 => match whole / 60 % 60 {
            0 => format!("{} h", whole / 3600),
            minutes => format!("{} h {minutes} min", whole / 3600),
        },
        _ => format!("{} days", whole / 86_400),
    }
}

/// The same, or that it is not known.
pub(super) fn duration_if_known(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "unknown".to_owned(), duration)
}

/// `512 B`, `1.5 MiB`.
pub(super) fn bytes(bytes: f64) -> String {
    let (mut amount, mut unit) = (bytes, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, larger);
    }
    if unit == "B" { format!("{amount:.0} B") } else { format!("{amount:.1} {unit}") }
}

/// `legacy → renaissance`.
pub(super) fn direction(name: &str) -> String {
    name.replace("_to_", " → ")
}

/// `1 thing`, `2 things`.
pub(super) fn count(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// `2026-11-23 04:05:06` of a time in RFC 3339, as it is in UTC.
pub(super) fn moment(rfc3339: &str) -> String {
    rfc3339.get(..19).unwrap_or(rfc3339).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_as_exact_as_they_are_of_use() {
        let durations = [0.0, 0.04, 9.44, 10.2, 119.0, 600.0, 7_260.0, 10_800.0, 900_000.0].map(duration);
        let expected = ["0 s", "0 s", "9.4 s", "10 s", "119 s", "10 min", "2 h 1 min", "3 h", "10 days"];
        assert_eq!(durations, expected);
        assert_eq!([0.0, 1536.0, 67_108_864.0].map(bytes), ["0 B", "1.5 KiB", "64.0 MiB"]);
        assert_eq!(moment("2026-11-23T04:05:06.789Z"), "2026-11-23 04:05:06");
    }
}
