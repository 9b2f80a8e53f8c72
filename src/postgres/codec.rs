//! Postgres values ↔ canonical values: binary in, text out (the statement casts to the column's own type).

use sqlx::{Row, ValueRef, postgres::PgRow};

use super::array;
use crate::{
    error::{Error, Result},
    model::{
        catalog::ColumnKind,
        jsonb,
        value::{Slot, Value},
    },
};

/// Microseconds from 1970-01-01 to 2000-01-01, the epoch of Postgres' binary timestamps.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// Reads the column at `index`; SQL NULL is [`Value::Null`].
pub(super) fn decode(row: &PgRow, index: usize, kind: ColumnKind) -> Result<Slot> {
    let malformed = || Error::halt(format!("column {} of the answer has an unexpected layout", index + 1));
    if kind == ColumnKind::Ids {
        let ids: Option<Vec<i64>> = row.try_get(index).map_err(Error::from)?;
        return Ok(Some(Value::List(ids.unwrap_or_default().into_iter().map(Value::Int).collect())));
    }
    let raw = row.try_get_raw(index).map_err(Error::from)?;
    if raw.is_null() {
        return Ok(Some(Value::Null));
    }
    let bytes = raw.as_bytes().map_err(|_| malformed())?;
    value(bytes, kind).map(Some).ok_or_else(malformed)
}

/// The value behind what a column was read as; `None` if it has another layout.
fn value(bytes: &[u8], kind: ColumnKind) -> Option<Value> {
    let text = || std::str::from_utf8(bytes).ok();
    Some(match kind {
        ColumnKind::Text(_) | ColumnKind::Char(_) | ColumnKind::Enum | ColumnKind::Ids | ColumnKind::Other => {
            Value::Text(text()?.into())
        }
        ColumnKind::Array(element) => array::items(jsonb::from_text(text()?), element),
        ColumnKind::Json => jsonb::from_text(text()?),
        ColumnKind::Numeric(_) => numeric(text()?),
        ColumnKind::Float(32) => single(f32::from_be_bytes(bytes.try_into().ok()?)),
        ColumnKind::Float(_) => Value::Float(f64::from_be_bytes(bytes.try_into().ok()?)),
        ColumnKind::Bytes => Value::Binary(0, bytes.to_vec()),
        ColumnKind::Uuid => Value::Uuid(bytes.try_into().ok()?),
        ColumnKind::Date => date(i32::from_be_bytes(bytes.try_into().ok()?)),
        ColumnKind::Bool => Value::Bool(bytes.first() == Some(&1)),
        ColumnKind::Int(_) => Value::Int(match *bytes {
            [a, b] => i16::from_be_bytes([a, b]).into(),
            [a, b, c, d] => i32::from_be_bytes([a, b, c, d]).into(),
            _ => i64::from_be_bytes(bytes.try_into().ok()?),
        }),
        ColumnKind::Timestamp => timestamp(i64::from_be_bytes(bytes.try_into().ok()?)),
    })
}

/// A `real` is the double that is spelled like it: 0.1 and not 0.10000000149011612.
fn single(number: f32) -> Value {
    number.to_string().parse().map_or(Value::Opaque("real"), Value::Float)
}

pub(super) fn numeric(text: &str) -> Value {
    text.parse().map_or_else(
        |_| {
            Value::Opaque(match text {
                "NaN" => "NaN",
                "Infinity" => "infinity",
                "-Infinity" => "-infinity",
                _ => "number beyond range",
            })
        },
        Value::Decimal,
    )
}

fn timestamp(since_2000: i64) -> Value {
    match since_2000 {
        i64::MAX => Value::Opaque("infinity"),
        i64::MIN => Value::Opaque("-infinity"),
        micros => micros.checked_add(POSTGRES_EPOCH).map_or(Value::Opaque("timestamp beyond range"), Value::Timestamp),
    }
}

/// Days from 1970-01-01 to 2000-01-01.
const POSTGRES_EPOCH_DAYS: i32 = 10_957;

fn date(since_2000: i32) -> Value {
    match since_2000 {
        i32::MAX => Value::Opaque("infinity"),
        i32::MIN => Value::Opaque("-infinity"),
        days => days.checked_add(POSTGRES_EPOCH_DAYS).map_or(Value::Opaque("date beyond range"), Value::Date),
    }
}

/// How a column is selected so that [`decode`] can read it: as text where the text is exact and the binary form intricate.
/// The text of a `char(n)` comes without the blanks at its end.
pub(super) fn select(quoted: &str, kind: ColumnKind) -> String {
    match kind {
        ColumnKind::Text(_)
        | ColumnKind::Bool
        | ColumnKind::Int(_)
        | ColumnKind::Float(_)
        | ColumnKind::Bytes
        | ColumnKind::Uuid
        | ColumnKind::Timestamp
        | ColumnKind::Date
        | ColumnKind::Ids => quoted.to_owned(),
        ColumnKind::Char(_) | ColumnKind::Numeric(_) | ColumnKind::Json | ColumnKind::Enum | ColumnKind::Other => {
            format!("{quoted}::text")
        }
        ColumnKind::Array(_) => array::select(quoted),
    }
}

/// The text parameter for a value in a column of this kind; `None` is NULL.
pub(super) fn encode(slot: Option<&Slot>, kind: ColumnKind) -> Option<String> {
    let value = slot?.as_ref()?;
    if kind == ColumnKind::Json && *value != Value::Null {
        return Some(jsonb::to_jsonb(value).to_string());
    }
    if let (ColumnKind::Array(element), Value::List(items)) = (kind, value) {
        return Some(array::literal(items, element));
    }
    match value {
        Value::Null | Value::Opaque(_) => None,
        Value::Decimal(number) => Some(number.to_string()),
        Value::Date(days) => Some(days.to_string()),
        Value::Uuid(bytes) => Some(crate::model::json::uuid_text(bytes)),
        Value::Binary(_, bytes) => Some(format!("\\x{}", crate::model::json::hex(bytes))),
        Value::Dangling(held) => encode(Some(&Some((**held).clone())), kind),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Int(number) | Value::Timestamp(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.to_string()),
        Value::Id(bytes) => Some(crate::model::key::LegacyId::new(*bytes).to_string()),
        value @ (Value::List(_) | Value::Object(_)) => Some(crate::model::json::to_json(value).to_string()),
    }
}

/// The SQL that turns a text parameter into the column's type. Length limits are not part of the cast: an explicit cast
/// to `varchar(n)` would truncate silently, assignment refuses. Timestamps travel as microseconds, exact at any year.
pub(super) fn cast(parameter: &str, kind: ColumnKind, sql_type: &str) -> String {
    match kind {
        ColumnKind::Timestamp => in_utc(
            &format!(
                "(to_timestamp({parameter}::bigint / 1000000) + ({parameter}::bigint % 1000000) * interval '1 microsecond')"
            ),
            sql_type,
        ),
        // days count from 1970, so that no year needs a spelling
        ColumnKind::Date => format!("(date '1970-01-01' + {parameter}::integer)"),
        // `character` alone means one character
        ColumnKind::Char(_) => format!("{parameter}::bpchar"),
        _ => format!("{parameter}::{sql_type}"),
    }
}

/// A moment for a column of this type: one without a time zone holds UTC, whatever the session's time zone is.
pub(super) fn in_utc(moment: &str, sql_type: &str) -> String {
    match sql_type {
        "timestamp without time zone" => format!("({moment} AT TIME ZONE 'UTC')"),
        _ => moment.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_is_the_double_spelled_like_it() {
        let read = |number: f32| value(&number.to_be_bytes(), ColumnKind::Float(32));
        assert_eq!(read(0.1), Some(Value::Float(0.1)));
        assert_eq!(read(f32::MAX), Some(Value::Float(3.402_823_5e38)));
        assert_eq!(read(f32::NEG_INFINITY), Some(Value::Float(f64::NEG_INFINITY)));
        assert_eq!(read(f32::NAN), Some(Value::Float(f64::NAN)));
    }

    #[test]
    fn numbers_of_any_length_are_exact_and_no_number_is_opaque() {
        let long = format!("-{}.{}", "9".repeat(1000), "1".repeat(500));
        let read = |text: &str| value(text.as_bytes(), ColumnKind::Numeric(None));
        assert_eq!(encode(Some(&read(&long)), ColumnKind::Numeric(None)), Some(long));
        assert_eq!(read("1.50"), read("1.5"));
        for name in ["NaN", "Infinity", "-Infinity"] {
            assert!(matches!(read(name), Some(Value::Opaque(_))), "{name}");
        }
    }

    #[test]
    fn another_layout_is_no_value() {
        for kind in
            [ColumnKind::Uuid, ColumnKind::Float(64), ColumnKind::Float(32), ColumnKind::Date, ColumnKind::Timestamp]
        {
            assert_eq!(value(&[1, 2, 3], kind), None);
        }
    }

    #[test]
    fn a_moment_without_time_zone_is_utc() {
        assert!(cast("$1", ColumnKind::Timestamp, "timestamp without time zone").ends_with("AT TIME ZONE 'UTC')"));
        assert!(!cast("$1", ColumnKind::Timestamp, "timestamp with time zone").contains("AT TIME ZONE"));
    }
}
