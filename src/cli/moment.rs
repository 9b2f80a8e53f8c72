//! A time on the command line: a moment, or how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{config::parse_duration, model::calendar};

/// Microseconds since 1970 of `2026-11-22`, `2026-11-22T12:00:00Z`, or of an age such as `2h` or `7d`.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    if let Some(micros) = calendar::from_iso(text) {
        return Ok(micros);
    }
    let unknown = || format!("`{text}` is neither a time such as 2026-11-22T12:00:00Z nor an age such as 2h or 7d");
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unknown());
    }
    let age = parse_duration(text).map_err(|_| unknown())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.saturating_sub(age).as_micros()).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_or_an_age_is_understood_and_nothing_else() {
        assert_eq!(parse("1970-01-02"), Ok(86_400_000_000));
        assert_eq!(parse("1970-01-01T00:00:01Z"), Ok(1_000_000));
        let (hour, day) = (parse("1h").unwrap(), parse("1d").unwrap());
        assert!((82_700_000_000..=82_900_000_000).contains(&(hour - day)), "{}", hour - day);
        for text in ["", "7", "yesterday", "2026-13-01"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
