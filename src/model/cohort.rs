//! Who moves together: people named in a file, or a share of all. Pure.

use std::str::FromStr;

/// A share of all people, in millionths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u64);

impl Share {
    const WHOLE: u64 = 100_000_000;
    /// Decimals of a percentage.
    const DECIMALS: usize = 6;

    /// People whose hash is below this are in it. A hash is the first 32 bits of the SHA-256 of the legacy id as text, read as
    /// a big-endian number: it is the same on every machine, and a smaller share is inside a greater one.
    pub const fn bound(self) -> u64 {
        self.0 * (1 << 32) / Self::WHOLE
    }
}

impl FromStr for Share {
    type Err = String;

    /// Reads a percentage above 0 and up to 100, with up to six decimals.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a percentage above 0 and up to 100, with up to {} decimals", Self::DECIMALS);
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || whole.len() > 3 || part.len() > Self::DECIMALS {
            return Err(wrong());
        }
        let number: u64 = format!("{whole}{part:0<width$}", width = Self::DECIMALS).parse().map_err(|_| wrong())?;
        if (1..=Self::WHOLE).contains(&number) { Ok(Self(number)) } else { Err(wrong()) }
    }
}

/// The people that a file names, one a line, with their line numbers. Empty lines are left out, and what follows a `#` that begins
/// a line or comes after a blank.
pub fn lines(text: &str) -> Vec<(usize, &str)> {
    let said = |line: &'_ str| {
        let mut before = line.match_indices('#').filter_map(|(at, _)| line.get(..at));
        before.find(|before| before.is_empty() || before.ends_with(char::is_whitespace)).map_or(line.len(), str::len)
    };
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
    let named = (1..).zip(lines).map(|(number, line)| (number, line.get(..said(line)).unwrap_or(line).trim()));
    named.filter(|(_, user)| !user.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_percentage_is_above_nothing_and_at_most_all() {
        assert_eq!("100".parse::<Share>().unwrap().bound(), 1 << 32);
        assert_eq!("50".parse::<Share>().unwrap().bound(), 1 << 31);
        assert_eq!("0.5".parse::<Share>().unwrap().bound(), 21_474_836);
        for wrong in ["", "0", "0.0", "100.000001", "-1", "+5", "5%", "1e1", "nan", "0.0000001", ".5", "5.", "1000"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_names_people_and_says_on_which_line() {
        let text = "\u{feff}# volunteers\n\nlegacy:1 # the first\r\n  email:a#b@example.com\n   # nobody\nphone:+1 847 555 0100";
        assert_eq!(lines(text), [(3, "legacy:1"), (4, "email:a#b@example.com"), (6, "phone:+1 847 555 0100")]);
    }

    proptest! {
        #[test]
        fn a_smaller_share_is_inside_a_greater_one(one in 1_u64..=100_000_000, other in 1_u64..=100_000_000) {
            let share = |number: u64| format!("{}.{:06}", number / 1_000_000, number % 1_000_000).parse::<Share>().unwrap();
            let (small, great) = (one.min(other), one.max(other));
            prop_assert!(share(small).bound() <= share(great).bound());
            prop_assert!(share(small) <= share(great));
            prop_assert!(share(one).bound() <= 1 << 32);
        }

        #[test]
        fn lines_never_panic_and_never_name_a_comment(text in "\\PC*") {
            prop_assert!(lines(&text).iter().all(|(_, user)| !user.is_empty() && !user.starts_with('#')));
        }
    }
}
