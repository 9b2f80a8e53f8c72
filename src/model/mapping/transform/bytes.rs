//! `as = "bytes"`: bytes, in legacy as binary of subtype 0, in a `bytea` column. Other subtypes mean something that a column of bytes
//! has no place for, and are refused.
//! ```toml
//! [[field]]
//! name = "fingerprint"
//! as = "bytes"
//! legacy = "fingerprint"
//! renaissance = "fingerprint"
//! ```

use super::{Place, Scalar, misfit};
use crate::model::{
    catalog::ColumnKind,
    problem::{Problem, Reason},
    value::Value,
};

/// Bytes in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytesForm;

impl Scalar for BytesForm {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        match held {
            Value::Binary(0, _) => Ok(held.clone()),
            Value::Binary(subtype, _) => {
                let problem = format!("{} holds binary of subtype {subtype}; 0 is expected", place.name);
                Err(Problem::new(Reason::WrongType, problem))
            }
            _ => Err(place.wrong("bytes")),
        }
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        match value {
            Value::Binary(0, _) => Ok(value.clone()),
            other => Err(misfit(other, "bytes")),
        }
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        kind == ColumnKind::Bytes
    }
}
