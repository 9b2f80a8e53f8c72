//! What a column accepts, checked before the database would refuse the whole record for it.

use crate::model::{
    catalog::{ColumnKind, ColumnLimits},
    decimal::Decimal,
    problem::{Problem, Reason},
    value::Value,
};

/// The limits of one slot: every renaissance slot refuses U+0000; a bound one knows its column.
pub(super) type Limits = Option<ColumnLimits>;

/// The earliest `timestamptz`, 4713-11-24 BC, in microseconds since 1970. The latest, 294276 AD, is beyond an `i64` of
/// microseconds, and so is every limit of a BSON date.
const FIRST_TIMESTAMP: i64 = -210_866_803_200_000_000;

/// The days from 1970-01-01 to the first and the last `date`, 4713-11-24 BC and 5874897-12-31.
const FIRST_DATE: i32 = -2_440_588;
const LAST_DATE: i32 = 2_145_031_948;

/// Refuses what the column could not hold.
pub(super) fn check(content: &Value, limits: Limits, column: &str) -> Result<(), Problem> {
    let refuse = |reason, why: String| Err(Problem::new(reason, format!("{column} {why}")));
    match content {
        Value::Text(text) if text.contains('\0') => {
            return refuse(Reason::NulCharacter, "cannot hold U+0000".to_owned());
        }
        Value::Timestamp(micros) if *micros < FIRST_TIMESTAMP => {
            return refuse(Reason::OutOfRange, "cannot hold a date before 4713 BC".to_owned());
        }
        _ => {}
    }
    let Some(ColumnLimits { kind, nullable }) = limits else { return Ok(()) };
    match (content, kind) {
        (Value::Null, _) if nullable => Ok(()),
        (Value::Null, _) => refuse(Reason::NotNull, "is NOT NULL and the value is null".to_owned()),
        (Value::Text(text), ColumnKind::Text(Some(limit))) if text.chars().count() > limit as usize => {
            refuse(Reason::TooLong, format!("holds at most {limit} characters"))
        }
        (content, ColumnKind::Json) => match json_problem(content) {
            Some((reason, why)) => refuse(reason, why.to_owned()),
            None => Ok(()),
        },
        (Value::Text(text), ColumnKind::Char(limit)) if text.chars().count() > limit as usize => {
            refuse(Reason::TooLong, format!("holds at most {limit} characters"))
        }
        (Value::Text(text), ColumnKind::Char(_)) if text.ends_with(' ') => {
            refuse(Reason::OutOfRange, "is a char(n), which does not keep blanks at the end".to_owned())
        }
        (Value::Float(number), ColumnKind::Float(32)) if !is_single(*number) => {
            refuse(Reason::OutOfRange, "is a real, which cannot hold this number unchanged".to_owned())
        }
        (Value::Decimal(number), ColumnKind::Numeric(extent)) if !holds(number, extent) => {
            refuse(Reason::OutOfRange, "cannot hold this number with all its digits".to_owned())
        }
        (Value::Date(days), ColumnKind::Date) if *days < FIRST_DATE || *days > LAST_DATE => {
            refuse(Reason::OutOfRange, "cannot hold a date before 4713 BC or after 5874897 AD".to_owned())
        }
        (Value::Int(number), ColumnKind::Int(bits)) if !fits(*number, bits) => {
            refuse(Reason::OutOfRange, format!("holds integers of {bits} bits"))
        }
        (Value::List(items), ColumnKind::Array(element)) => {
            let each = Some(ColumnLimits { kind: element.kind(), nullable: true });
            items.iter().try_for_each(|item| check(item, each, column))
        }
        (Value::Text(_), ColumnKind::Text(_) | ColumnKind::Char(_) | ColumnKind::Enum)
        | (Value::Float(_), ColumnKind::Float(_))
        | (Value::Decimal(_), ColumnKind::Numeric(_))
        | (Value::Uuid(_), ColumnKind::Uuid)
        | (Value::Binary(0, _), ColumnKind::Bytes)
        // a reference: the links turn it into the id that the column holds
        | (Value::Int(_) | Value::Id(_) | Value::Dangling(_), ColumnKind::Int(_))
        | (Value::Bool(_), ColumnKind::Bool)
        | (Value::Date(_), ColumnKind::Date)
        | (Value::List(_), ColumnKind::Ids)
        | (Value::Timestamp(_), ColumnKind::Timestamp) => Ok(()),
        (content, _) => refuse(Reason::WrongType, format!("cannot hold {}", content.type_name())),
    }
}

/// Refuses what is none of the labels of an enum column; any other column has none and refuses nothing.
pub(super) fn check_label(content: &Value, labels: &[String], column: &str) -> Result<(), Problem> {
    match content {
        _ if labels.is_empty() => Ok(()),
        Value::List(items) => items.iter().try_for_each(|item| check_label(item, labels, column)),
        Value::Text(text) if !labels.iter().any(|label| label == text) => {
            let problem = format!("{column} is an enum that had no such label when the bridge started");
            Err(Problem::new(Reason::UnknownValue, problem))
        }
        _ => Ok(()),
    }
}

/// What `jsonb` cannot hold anywhere inside a value.
fn json_problem(content: &Value) -> Option<(Reason, &'static str)> {
    let nul = (Reason::NulCharacter, "cannot hold U+0000");
    match content {
        Value::Text(text) => text.contains('\0').then_some(nul),
        Value::List(items) => items.iter().find_map(json_problem),
        Value::Object(entries) => {
            entries.iter().find_map(|(key, item)| if key.contains('\0') { Some(nul) } else { json_problem(item) })
        }
        Value::Float(number) if !number.is_finite() => Some((Reason::OutOfRange, "cannot hold NaN or an infinity")),
        Value::Decimal(number) if !holds(number, None) => Some((Reason::OutOfRange, "cannot hold so many digits")),
        Value::Dangling(_) | Value::Opaque(_) => {
            Some((Reason::WrongType, "cannot hold a value that JSON has no form for"))
        }
        _ => None,
    }
}

/// Whether a `real` is spelled like the double, so that it reads back as the same.
fn is_single(number: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "what does not survive is refused")]
    let single = number as f32;
    single.to_string().parse() == Ok(number) || number.is_nan()
}

/// Whether a `numeric` keeps every digit. Without a modifier it holds 131072 of them before the point and 16383 after it.
fn holds(number: &Decimal, extent: Option<(i32, i32)>) -> bool {
    let (before, after) = extent.unwrap_or((131_072, 16_383));
    number.magnitude().is_none_or(|magnitude| magnitude <= i64::from(before) && number.exponent() >= i64::from(-after))
}

fn fits(number: i64, bits: u8) -> bool {
    match bits {
        0..=63 => (number >> bits.saturating_sub(1)) == 0 || (number >> bits.saturating_sub(1)) == -1,
        64.. => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::Element;

    fn reason(content: &Value, kind: ColumnKind) -> Option<Reason> {
        check(content, Some(ColumnLimits { kind, nullable: false }), "c").err().map(|problem| problem.reason)
    }

    #[test]
    fn varchar_counts_characters_not_bytes() {
        assert_eq!(reason(&Value::Text("é".repeat(5).into()), ColumnKind::Text(Some(5))), None);
        assert_eq!(reason(&Value::Text("é".repeat(6).into()), ColumnKind::Text(Some(5))), Some(Reason::TooLong));
        assert_eq!(reason(&Value::Text("a\0".into()), ColumnKind::Text(None)), Some(Reason::NulCharacter));
    }

    #[test]
    fn integers_stop_at_their_width() {
        for (bits, most) in [(16, i64::from(i16::MAX)), (32, i64::from(i32::MAX)), (64, i64::MAX)] {
            assert_eq!(reason(&Value::Int(most), ColumnKind::Int(bits)), None);
            assert_eq!(reason(&Value::Int(-most - 1), ColumnKind::Int(bits)), None);
        }
        assert_eq!(reason(&Value::Int(i64::from(i16::MAX) + 1), ColumnKind::Int(16)), Some(Reason::OutOfRange));
        assert_eq!(reason(&Value::Int(i64::from(i32::MIN) - 1), ColumnKind::Int(32)), Some(Reason::OutOfRange));
    }

    #[test]
    fn null_and_dates_before_the_julian_calendar_are_refused() {
        assert_eq!(reason(&Value::Null, ColumnKind::Bool), Some(Reason::NotNull));
        assert_eq!(reason(&Value::Timestamp(FIRST_TIMESTAMP), ColumnKind::Timestamp), None);
        assert_eq!(reason(&Value::Timestamp(FIRST_TIMESTAMP - 1), ColumnKind::Timestamp), Some(Reason::OutOfRange));
    }

    #[test]
    fn a_number_that_would_be_rounded_is_refused() {
        let money = ColumnKind::Numeric(Some((4, 2)));
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        for (text, kind, expected) in [
            ("1234.56", money, None),
            ("1234.567", money, Some(Reason::OutOfRange)),
            ("12345", money, Some(Reason::OutOfRange)),
            ("0", money, None),
            ("0.05", ColumnKind::Numeric(Some((-1, 3))), None),
            ("0.15", ColumnKind::Numeric(Some((-1, 3))), Some(Reason::OutOfRange)),
            ("12300", ColumnKind::Numeric(Some((5, -2))), None),
            ("12310", ColumnKind::Numeric(Some((5, -2))), Some(Reason::OutOfRange)),
            ("1e131071", ColumnKind::Numeric(None), None),
            ("1e-16384", ColumnKind::Numeric(None), Some(Reason::OutOfRange)),
        ] {
            assert_eq!(reason(&decimal(text), kind), expected, "{text} {kind:?}");
        }
        assert_eq!(reason(&Value::Float(0.1), ColumnKind::Float(32)), None);
        assert_eq!(reason(&Value::Float(f64::NAN), ColumnKind::Float(32)), None);
        assert_eq!(reason(&Value::Float(0.123_456_789_012), ColumnKind::Float(32)), Some(Reason::OutOfRange));
        assert_eq!(reason(&Value::Float(1e300), ColumnKind::Float(32)), Some(Reason::OutOfRange));
        assert_eq!(reason(&Value::Float(1e300), ColumnKind::Float(64)), None);
    }

    #[test]
    fn a_char_column_keeps_no_blanks_at_the_end() {
        assert_eq!(reason(&Value::Text("ab".into()), ColumnKind::Char(3)), None);
        assert_eq!(reason(&Value::Text("ab ".into()), ColumnKind::Char(3)), Some(Reason::OutOfRange));
        assert_eq!(reason(&Value::Text("abcd".into()), ColumnKind::Char(3)), Some(Reason::TooLong));
    }

    #[test]
    fn every_element_of_an_array_has_to_fit() {
        let words = ColumnKind::Array(Element::Text(Some(2)));
        let list = |items: &[Value]| Value::List(items.to_vec());
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(reason(&list(&[text("ab"), Value::Null]), words), None);
        assert_eq!(reason(&list(&[text("ab"), text("abc")]), words), Some(Reason::TooLong));
        assert_eq!(reason(&list(&[text("a\0")]), words), Some(Reason::NulCharacter));
        assert_eq!(reason(&list(&[list(&[])]), words), Some(Reason::WrongType));
        assert_eq!(reason(&text("ab"), words), Some(Reason::WrongType));
        let labels = ["low".to_owned(), "high".to_owned()];
        for (content, fits) in
            [(text("low"), true), (text("Low"), false), (Value::Null, true), (list(&[text("x")]), false)]
        {
            assert_eq!(check_label(&content, &labels, "c").is_ok(), fits);
            assert!(check_label(&content, &[], "c").is_ok());
        }
    }

    #[test]
    fn what_jsonb_cannot_hold_is_found_at_any_depth() {
        let inside = |value: Value| {
            let entries = [("k".to_owned(), Value::List(vec![value]))];
            reason(&Value::Object(entries.into()), ColumnKind::Json)
        };
        assert_eq!(inside(Value::Text("a\0".into())), Some(Reason::NulCharacter));
        assert_eq!(inside(Value::Object([("a\0".to_owned(), Value::Null)].into())), Some(Reason::NulCharacter));
        assert_eq!(inside(Value::Float(f64::INFINITY)), Some(Reason::OutOfRange));
        assert_eq!(inside(Value::Opaque("regex")), Some(Reason::WrongType));
        assert_eq!(inside(Value::Int(1)), None);
    }
}
