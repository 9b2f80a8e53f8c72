//! Postgres values ↔ canonical values: binary in, text out (the statement casts to the column's own type).

use sqlx::{Row, ValueRef, postgres::PgRow};

use crate::{
    error::{Error, Result},
    model::{
        catalog::ColumnKind,
        json::{from_jsonb, to_jsonb},
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
    let value = match kind {
        ColumnKind::Text(_)
        | ColumnKind::Float(_)
        | ColumnKind::Numeric
        | ColumnKind::Bytes
        | ColumnKind::Uuid
        | ColumnKind::Ids
        | ColumnKind::Other => Value::Text(std::str::from_utf8(bytes).map_err(|_| malformed())?.to_owned()),
        ColumnKind::Json => {
            let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
            serde_json::from_str(text).map_or(Value::Opaque("malformed JSON"), |json| from_jsonb(&json))
        }
        ColumnKind::Date => date(i32::from_be_bytes(bytes.try_into().map_err(|_| malformed())?)),
        ColumnKind::Bool => Value::Bool(bytes.first() == Some(&1)),
        ColumnKind::Int(_) => Value::Int(match *bytes {
            [a, b] => i16::from_be_bytes([a, b]).into(),
            [a, b, c, d] => i32::from_be_bytes([a, b, c, d]).into(),
            _ => i64::from_be_bytes(bytes.try_into().map_err(|_| malformed())?),
        }),
        ColumnKind::Timestamp => timestamp(i64::from_be_bytes(bytes.try_into().map_err(|_| malformed())?)),
    };
    Ok(Some(value))
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

/// How a column is selected so that [`decode`] can read it.
pub(super) fn select(quoted: &str, kind: ColumnKind) -> String {
    match kind {
        ColumnKind::Text(_)
        | ColumnKind::Bool
        | ColumnKind::Int(_)
        | ColumnKind::Timestamp
        | ColumnKind::Date
        | ColumnKind::Ids => quoted.to_owned(),
        ColumnKind::Float(_)
        | ColumnKind::Numeric
        | ColumnKind::Json
        | ColumnKind::Bytes
        | ColumnKind::Uuid
        | ColumnKind::Other => format!("{quoted}::text"),
    }
}

/// The text parameter for a value in a column of this kind; `None` is NULL.
pub(super) fn encode(slot: Option<&Slot>, kind: ColumnKind) -> Option<String> {
    let value = slot?.as_ref()?;
    if kind == ColumnKind::Json && *value != Value::Null {
        return Some(to_jsonb(value).to_string());
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
        Value::Text(text) => Some(text.clone()),
        Value::Id(bytes) => Some(crate::model::key::LegacyId::new(*bytes).to_string()),
        value @ (Value::List(_) | Value::Object(_)) => Some(crate::model::json::to_json(value).to_string()),
    }
}

/// The SQL that turns a text parameter into the column's type. Length limits are not part of the cast: an explicit cast
/// to `varchar(n)` would truncate silently, assignment refuses. Timestamps travel as microseconds, exact at any year.
pub(super) fn cast(parameter: &str, kind: ColumnKind, sql_type: &str) -> String {
    match kind {
        ColumnKind::Timestamp => format!(
            "(to_timestamp({parameter}::bigint / 1000000) + ({parameter}::bigint % 1000000) * interval '1 microsecond')"
        ),
        // days count from 1970, so that no year needs a spelling
        ColumnKind::Date => format!("(date '1970-01-01' + {parameter}::integer)"),
        _ => format!("{parameter}::{sql_type}"),
    }
}
