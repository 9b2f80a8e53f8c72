//! `as = "int"`: a whole number. Whole doubles and decimal text are understood.
//! ```toml
//! [[field]]
//! name = "listening_time"
//! as = "int"
//! legacy = "listening_time"
//! renaissance = "listening_time"
//! ```

use super::{Place, Scalar, misfit, whole_number};
use crate::model::{catalog::ColumnKind, problem::Problem, value::Value};

/// A whole number in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntForm;

impl Scalar for IntForm {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        whole_number(held).map(Value::Int).ok_or_else(|| place.wrong("a whole number"))
    }

    fn is_canonical(&self, held: &Value) -> bool {
        matches!(held, Value::Int(_))
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        match value {
            Value::Int(number) => Ok(Value::Int(*number)),
            other => Err(misfit(other, "a whole number")),
        }
    }

    fn forms(&self, value: &Value) -> Vec<Value> {
        match value {
            Value::Int(number) => vec![Value::Int(*number), Value::Text(number.to_string().into())],
            _ => Vec::new(),
        }
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        matches!(kind, ColumnKind::Int(_))
    }
}
