//! What a column accepts, checked before the database would refuse the whole record for it.

use crate::model::{
    catalog::{ColumnKind, ColumnLimits},
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
        (Value::Date(days), ColumnKind::Date) if *days < FIRST_DATE || *days > LAST_DATE => {
            refuse(Reason::OutOfRange, "cannot hold a date before 4713 BC or after 5874897 AD".to_owned())
        }
        (Value::Int(number), ColumnKind::Int(bits)) if !fits(*number, bits) => {
            refuse(Reason::OutOfRange, format!("holds integers of {bits} bits"))
        }
        (Value::Text(_), ColumnKind::Text(_))
        // a reference: the links turn it into the id that the column holds
        | (Value::Int(_) | Value::Id(_) | Value::Dangling(_), ColumnKind::Int(_))
        | (Value::Bool(_), ColumnKind::Bool)
        | (Value::Date(_), ColumnKind::Date)
        | (Value::List(_), ColumnKind::Ids)
        | (Value::Timestamp(_), ColumnKind::Timestamp) => Ok(()),
        (content, _) => refuse(Reason::WrongType, format!("cannot hold {}", content.type_name())),
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
        _ => None,
    }
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

    fn reason(content: &Value, kind: ColumnKind) -> Option<Reason> {
        check(content, Some(ColumnLimits { kind, nullable: false }), "c").err().map(|problem| problem.reason)
    }

    #[test]
    fn varchar_counts_characters_not_bytes() {
        assert_eq!(reason(&Value::Text("é".repeat(5)), ColumnKind::Text(Some(5))), None);
        assert_eq!(reason(&Value::Text("é".repeat(6)), ColumnKind::Text(Some(5))), Some(Reason::TooLong));
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
}
