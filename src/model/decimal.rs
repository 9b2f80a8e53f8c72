//! Decimal numbers without rounding: what Postgres' `numeric` and MongoDB's Decimal128 hold, in one spelling.

use std::{cmp::Ordering, fmt, str::FromStr};

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

    /// The number that a double shows, in its shortest spelling; `None` for NaN and the infinities.
    pub fn from_double(number: f64) -> Option<Self> {
        number.to_string().parse().ok()
    }

    /// The double that shows exactly this number, if there is one.
    pub fn as_double(&self) -> Option<f64> {
        // beyond these no double shows so many digits, and spelling them out would take long
        if self.precision() > 17 || self.exponent.unsigned_abs() > 400 {
            return None;
        }
        let number: f64 = self.to_string().parse().ok()?;
        (Self::from_double(number).as_ref() == Some(self)).then_some(number)
    }

    /// The smallest power of ten that is greater than it, whatever its sign; `None` for zero.
    pub fn magnitude(&self) -> Option<i64> {
        let digits = i64::try_from(self.digits.len()).ok().filter(|digits| *digits > 0)?;
        Some(self.exponent + digits)
    }

    /// This number and what `other` is more than `from`; `None` where that takes more than 38 digits.
    pub fn plus_change(&self, other: &Self, from: &Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent).min(from.exponent);
        let scaled = |number: &Self| {
            let digits: i128 = if number.digits.is_empty() { 0 } else { number.digits.parse().ok()? };
            let scale = 10_i128.checked_pow(u32::try_from(number.exponent - exponent).ok()?)?;
            digits.checked_mul(if number.negative { -scale } else { scale })
        };
        let total = scaled(self)?.checked_add(scaled(other)?)?.checked_sub(scaled(from)?)?;
        format!("{total}e{exponent}").parse().ok()
    }

    /// The whole number it is, if it is one within 64 bits.
    pub fn as_int(&self) -> Option<i64> {
        if self.exponent < 0 || self.exponent > 18 { None } else { self.to_string().parse().ok() }
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        let all = number.unsigned_abs().to_string();
        let digits = all.trim_end_matches('0');
        let exponent = if digits.is_empty() { 0 } else { (all.len() - digits.len()) as i64 };
        Self { negative: number < 0, digits: digits.to_owned(), exponent }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        // the longer of two numbers that begin the same is the greater: no digits end in a zero
        let size = self.magnitude().cmp(&other.magnitude()).then_with(|| self.digits.cmp(&other.digits));
        let size = if self.negative { size.reverse() } else { size };
        sign(self).cmp(&sign(other)).then(size)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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
    fn numbers_have_an_order_and_a_magnitude() {
        let mut numbers: Vec<Decimal> =
            ["1e3", "-2", "0", "0.5", "-1.5", "999", "0.51", "-100"].iter().map(|text| text.parse().unwrap()).collect();
        numbers.sort();
        let shown: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["-100", "-2", "-1.5", "0", "0.5", "0.51", "999", "1000"]);
        for (text, magnitude) in [("0", None), ("120", Some(3)), ("12.5", Some(2)), ("0.05", Some(-1)), ("-1", Some(1))]
        {
            assert_eq!(text.parse::<Decimal>().unwrap().magnitude(), magnitude, "{text}");
        }
    }

    #[test]
    fn a_double_is_the_number_it_shows() {
        assert_eq!(Decimal::from_double(0.1), "0.1".parse().ok());
        assert_eq!(Decimal::from_double(f64::NAN), None);
        for (text, double) in [("0.1", Some(0.1)), ("1e300", Some(1e300)), ("9007199254740993", None), ("1e400", None)]
        {
            assert_eq!(text.parse::<Decimal>().unwrap().as_double(), double, "{text}");
        }
        for number in [0, 7, -120, i64::MIN, i64::MAX] {
            assert_eq!(Decimal::from(number), number.to_string().parse().unwrap());
            assert_eq!(Decimal::from(number).as_int(), Some(number));
        }
    }

    proptest::proptest! {
        #[test]
        fn every_finite_double_comes_back(number: f64) {
            proptest::prop_assume!(number.is_finite() && number != 0.0);
            proptest::prop_assert_eq!(Decimal::from_double(number).and_then(|shown| shown.as_double()), Some(number));
        }
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        for text in ["", "-", ".", "NaN", "Infinity", "1e", "1e999999", "0x1", "1 000", "--1"] {
            assert_eq!(text.parse::<Decimal>(), Err(NotADecimal), "{text}");
        }
    }
}
