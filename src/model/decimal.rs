//! Decimal numbers without rounding: what Postgres' `numeric` and MongoDB's Decimal128 hold, in one spelling.

use std::{fmt, str::FromStr};

/// More digits or a larger exponent than this no side of ours holds: Postgres' `numeric` ends before both.
const LONGEST: usize = 131_072;

/// A finite decimal number in normal form: no leading or trailing zeros in its digits, one zero, no negative zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    /// Significant digits, the most significant first; empty for zero.
    digits: String,
    /// The power of ten of the last digit.
    exponent: i64,
}

/// The text is no finite decimal number, or one beyond what a side can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADecimal;

impl Decimal {
    /// The power of ten of the last digit.
    pub const fn exponent(&self) -> i64 {
        self.exponent
    }

    /// How many significant digits it has.
    pub const fn precision(&self) -> usize {
        self.digits.len()
    }

    /// The whole number it is, if it is one within 64 bits.
    pub fn as_int(&self) -> Option<i64> {
        if self.exponent < 0 || self.exponent > 18 { None } else { self.to_string().parse().ok() }
    }
}

impl FromStr for Decimal {
    type Err = NotADecimal;

    /// Reads `-12.50`, `1E+3` and the like.
    fn from_str(text: &str) -> Result<Self, NotADecimal> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], rest[at + 1..].parse::<i32>().map_err(|_| NotADecimal)?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: String = [whole, fraction].concat();
        if all.is_empty() || all.len() > LONGEST || !all.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(NotADecimal);
        }
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Ok(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let count = |length: usize| i64::try_from(length).map_err(|_| NotADecimal);
        let exponent = i64::from(exponent) - count(fraction.len())? + count(significant.len())? - count(digits.len())?;
        if exponent.unsigned_abs() > LONGEST as u64 {
            return Err(NotADecimal);
        }
        Ok(Self { negative, digits: digits.to_owned(), exponent })
    }
}

impl fmt::Display for Decimal {
    /// Plain notation, without an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        let shift = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(LONGEST);
        if self.exponent >= 0 {
            return write!(f, "{}{}", self.digits, "0".repeat(shift));
        }
        match self.digits.len().checked_sub(shift).filter(|whole| *whole > 0) {
            Some(whole) => write!(f, "{}.{}", &self.digits[..whole], &self.digits[whole..]),
            None => write!(f, "0.{}{}", "0".repeat(shift - self.digits.len()), self.digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_number_is_one() {
        for (text, normal) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("12.50", "12.5"),
            ("1E+3", "1000"),
            ("-1.5e-3", "-0.0015"),
            ("+007", "7"),
            (".5", "0.5"),
            ("9007199254740993", "9007199254740993"),
        ] {
            assert_eq!(text.parse::<Decimal>().map(|number| number.to_string()), Ok(normal.to_owned()), "{text}");
        }
        assert_eq!("1.0".parse::<Decimal>(), "1".parse());
        assert_eq!("120".parse::<Decimal>().unwrap().as_int(), Some(120));
        assert_eq!("1.5".parse::<Decimal>().unwrap().as_int(), None);
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        for text in ["", "-", ".", "NaN", "Infinity", "1e", "1e999999", "0x1", "1 000", "--1"] {
            assert_eq!(text.parse::<Decimal>(), Err(NotADecimal), "{text}");
        }
    }
}
