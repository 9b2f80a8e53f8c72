//! `as = "uuid"`: a UUID, in a `uuid` column. Legacy holds it as binary of subtype 4, or as text (`stored = "text"`, possible on both
//! sides); both are read whatever is declared. Binary of the old subtype 3 is refused: its byte order depends on who wrote it.
//! ```toml
//! [[field]]
//! name = "device"
//! as = "uuid"
//! legacy = { path = "device_id", stored = "text" }
//! renaissance = "device_id"
//! ```

use super::{Place, Scalar, misfit};
use crate::model::{
    catalog::ColumnKind,
    json::{uuid_from_text, uuid_text},
    problem::Problem,
    value::Value,
};

/// How long the text of a UUID is.
const LENGTH: u32 = 36;

/// A UUID in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UuidForm {
    /// Whether it is written as text.
    pub text: bool,
}

impl Scalar for UuidForm {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        match held {
            Value::Uuid(_) => Ok(held.clone()),
            Value::Text(text) => uuid_from_text(text.trim()).map(Value::Uuid).ok_or_else(|| place.wrong("a UUID")),
            _ => Err(place.wrong("a UUID")),
        }
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        match value {
            Value::Uuid(bytes) if self.text => Ok(Value::Text(uuid_text(bytes).into())),
            Value::Uuid(_) => Ok(value.clone()),
            other => Err(misfit(other, "a UUID")),
        }
    }

    fn forms(&self, value: &Value) -> Vec<Value> {
        match value {
            Value::Uuid(bytes) if self.text => vec![Value::Text(uuid_text(bytes).into()), value.clone()],
            Value::Uuid(_) => vec![value.clone()],
            _ => Vec::new(),
        }
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        match kind {
            ColumnKind::Uuid => !self.text,
            ColumnKind::Text(limit) => self.text && limit.is_none_or(|limit| limit >= LENGTH),
            ColumnKind::Char(limit) => self.text && limit >= LENGTH,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_uuid_is_one_and_the_old_subtype_is_refused() {
        let form = UuidForm { text: false };
        let one = Value::Uuid(0x0123_4567_89ab_cdef_u128.to_be_bytes());
        for text in ["00000000-0000-0000-0123-456789abcdef", " 0000000000000000 0123456789ABCDEF"] {
            let held = Value::Text(text.replace(" 0", "0").into());
            assert_eq!(form.read(&held, &Place { name: "u", held: Some(&held) }), Ok(one.clone()), "{text}");
        }
        let old = Value::Binary(3, vec![0; 16]);
        assert!(form.read(&old, &Place { name: "u", held: Some(&old) }).is_err());
        assert_eq!(UuidForm { text: true }.write(&one).ok().as_ref().and_then(Value::as_text).map(str::len), Some(36));
    }
}
