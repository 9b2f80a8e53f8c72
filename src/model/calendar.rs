//! Dates as numbers: ISO 8601 text ↔ microseconds since 1970, over the whole range an `i64` of microseconds can hold.
//! Own arithmetic because the `time` crate stops at year 9999 and both databases go on.

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;

/// Shows microseconds since 1970 as ISO 8601 in UTC, with milliseconds, or microseconds where there are any.
pub fn to_iso(micros: i64) -> String {
    let (year, month, day) = civil(micros.div_euclid(DAY));
    let within = micros.rem_euclid(DAY);
    let (seconds, fraction) = (within / SECOND, within % SECOND);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let year = if (0..=9999).contains(&year) { format!("{year:04}") } else { format!("{year:+07}") };
    let fraction = if fraction % 1000 == 0 { format!("{:03}", fraction / 1000) } else { format!("{fraction:06}") };
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction}Z")
}

/// Shows days since 1970 as `2024-01-02`.
pub fn date_to_iso(days: i32) -> String {
    let (year, month, day) = civil(i64::from(days));
    let year = if (0..=9999).contains(&year) { format!("{year:04}") } else { format!("{year:+07}") };
    format!("{year}-{month:02}-{day:02}")
}

/// Reads ISO 8601 text: a date, or a date and a time separated by `T` or a space, with an offset or in UTC.
pub fn from_iso(text: &str) -> Option<i64> {
    let text = text.trim();
    let mut rest = text;
    let sign = if let Some(tail) = rest.strip_prefix(['+', '-']) {
        let sign = if rest.starts_with('-') { -1 } else { 1 };
        rest = tail;
        sign
    } else {
        1
    };
    let year_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let expected = if rest.len() == text.len() { 4..=4 } else { 6..=6 };
    if !expected.contains(&year_digits) {
        return None;
    }
    let year = sign * number(&mut rest, year_digits)?;
    rest = rest.strip_prefix('-')?;
    let month = number(&mut rest, 2)?;
    rest = rest.strip_prefix('-')?;
    let day = number(&mut rest, 2)?;
    let days = days(year, month, day)?;
    let within = if rest.is_empty() { 0 } else { time_of_day(rest.strip_prefix(['T', 't', ' '])?)? };
    days.checked_mul(DAY)?.checked_add(within)
}

/// The microseconds of `hh:mm[:ss[.f…]]` with an optional offset, which is taken off.
fn time_of_day(text: &str) -> Option<i64> {
    let mut rest = text;
    let hour = number(&mut rest, 2)?;
    rest = rest.strip_prefix(':')?;
    let minute = number(&mut rest, 2)?;
    let mut second = 0;
    let mut fraction = 0;
    if let Some(tail) = rest.strip_prefix(':') {
        rest = tail;
        second = number(&mut rest, 2)?;
        if let Some(tail) = rest.strip_prefix(['.', ',']) {
            let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
            let kept = tail.get(..digits.min(6)).filter(|kept| !kept.is_empty())?;
            fraction = format!("{kept:0<6}").parse().ok()?;
            rest = tail.get(digits..)?;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((hour * 3600 + minute * 60 + second - offset(rest.trim_start())?) * SECOND + fraction)
}

/// Seconds east of UTC of `Z`, `±hh`, `±hhmm`, `±hh:mm` or nothing.
fn offset(text: &str) -> Option<i64> {
    if text.is_empty() || text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let mut rest = text.strip_prefix(['+', '-'])?;
    let hours = number(&mut rest, 2)?;
    rest = rest.strip_prefix(':').unwrap_or(rest);
    let minutes = if rest.is_empty() { 0 } else { number(&mut rest, 2)? };
    let east = hours * 3600 + minutes * 60;
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(if text.starts_with('-') { -east } else { east })
}

/// Takes exactly this many digits off the front.
fn number(rest: &mut &str, digits: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(digits)?;
    if !head.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    *rest = tail;
    head.parse().ok()
}

/// Days since 1970 of a date of the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_usual_spellings_of_one_moment_are_one_number() {
        let expected = Some(1_704_164_645_123_000);
        for text in [
            "2024-01-02T03:04:05.123Z",
            "2024-01-02 03:04:05.123000",
            "2024-01-02T03:04:05.123+00:00",
            "2024-01-02T05:04:05.123+0200",
            " 2024-01-01t22:04:05,123-05 ",
        ] {
            assert_eq!(from_iso(text), expected, "{text}");
        }
        assert_eq!(from_iso("2024-01-02"), Some(1_704_153_600_000_000));
        assert_eq!(from_iso("2024-01-02T03:04"), Some(1_704_164_640_000_000));
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in [
            "",
            "soon",
            "2024",
            "2024-13-01",
            "2023-02-29",
            "2024-01-02T24:00:00",
            "2024-01-02T03:04:05.Z",
            "24-01-02",
            "2024-1-2",
            "2024-01-02T03:04:05+2",
            "２０２４-01-02",
        ] {
            assert_eq!(from_iso(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_reads_back_what_it_shows(micros in any::<i64>()) {
            prop_assert_eq!(from_iso(&to_iso(micros)), Some(micros), "{}", to_iso(micros));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            from_iso(&text);
        }
    }
}
