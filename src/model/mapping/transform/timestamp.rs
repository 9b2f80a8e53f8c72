//! `as = "timestamp"`: a moment, canonically in milliseconds: what a BSON date can hold. Microseconds of a column are left alone until
//! the moment really changes; `normal_form = "millisecond"` says so. Dates stored as ISO 8601 text are understood, without an offset as UTC.
//! `missing = "id_time"` on the legacy side: an absent or null slot means the creation time inside the document's ObjectId.
//! With several columns the first is read and all are written.
//! ```toml
//! [[field]]
//! name = "created"
//! as = "timestamp"
//! normal_form = "millisecond"
//! legacy = { path = "created_time", missing = "id_time" }
//! renaissance = { columns = ["created_at", "date_joined"] }
//! ```

use super::{Place, Scalar, misfit};
use crate::model::{
    calendar,
    catalog::ColumnKind,
    mapping::Loss,
    problem::{Problem, Reason},
    value::Value,
};

/// A moment in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampForm;

impl Scalar for TimestampForm {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        let micros = match held {
            Value::Opaque("infinity" | "-infinity" | "timestamp beyond range" | "date out of range") => {
                return Err(beyond(place));
            }
            Value::Timestamp(micros) => Some(*micros),
            Value::Text(text) => calendar::from_iso(text),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Id(_)
            | Value::List(_)
            | Value::Object(_)
            | Value::Decimal(_)
            | Value::Date(_)
            | Value::Uuid(_)
            | Value::Binary(..)
            | Value::Dangling(_)
            | Value::Opaque(_) => None,
        };
        to_millis(micros.ok_or_else(|| place.wrong("a date"))?, place)
    }

    fn is_canonical(&self, held: &Value) -> bool {
        matches!(held, Value::Timestamp(micros) if micros % 1000 == 0)
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        match value {
            Value::Timestamp(micros) => Ok(Value::Timestamp(*micros)),
            other => Err(misfit(other, "a date")),
        }
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        kind == ColumnKind::Timestamp
    }

    fn losses(&self) -> Vec<Loss> {
        vec![Loss::word("microseconds are cut off", &["millisecond"])]
    }
}

/// Cuts off microseconds, towards the past.
fn to_millis(micros: i64, place: &Place<'_>) -> Result<Value, Problem> {
    let cut = micros.div_euclid(1000).checked_mul(1000);
    cut.map(Value::Timestamp).ok_or_else(|| beyond(place))
}

fn beyond(place: &Place<'_>) -> Problem {
    Problem::new(Reason::OutOfRange, format!("{} is a date beyond what both sides can hold", place.name))
}

/// The creation time inside an ObjectId: its first four bytes are seconds since 1970.
pub(crate) fn id_time(id: [u8; 12]) -> Value {
    let [a, b, c, d, ..] = id;
    Value::Timestamp(i64::from(u32::from_be_bytes([a, b, c, d])) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_beyond_either_calendar_is_out_of_range_and_no_other_type_is_a_date() {
        let read = |held: &Value| {
            TimestampForm.read(held, &Place { name: "created_at", held: Some(held) }).map_err(|problem| problem.reason)
        };
        for name in ["infinity", "-infinity", "timestamp beyond range", "date out of range"] {
            assert_eq!(read(&Value::Opaque(name)), Err(Reason::OutOfRange), "{name}");
        }
        assert_eq!(read(&Value::Timestamp(i64::MIN)), Err(Reason::OutOfRange));
        assert_eq!(read(&Value::Timestamp(-1)), Ok(Value::Timestamp(-1000)), "towards the past");
        assert_eq!(read(&Value::Int(1_700_000_000)), Err(Reason::WrongType));
        assert_eq!(id_time([0x65, 0xf0, 0xc0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]), Value::Timestamp(1_710_276_863_000_000));
    }
}
