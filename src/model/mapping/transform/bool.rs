//! `as = "bool"`: a truth value. `0`, `1` and the texts "true", "false", "yes", "no", "on", "off" in any case are understood; `missing`
//! is what an absent or null slot means; `invert = true` on one side stores the opposite.
//! ```toml
//! [[field]]
//! name = "push_notifications"
//! as = "bool"
//! missing = true
//! legacy = "push_notification.all"
//! renaissance = "user_profiles.push_notifications"
//! ```

use super::{Place, Scalar, misfit, whole_number};
use crate::model::{catalog::ColumnKind, problem::Problem, value::Value};

/// A truth value in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoolForm {
    /// Whether the slot holds the opposite.
    pub invert: bool,
}

impl Scalar for BoolForm {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        let flag = truth(held).ok_or_else(|| place.wrong("true or false"))?;
        Ok(Value::Bool(flag != self.invert))
    }

    fn is_canonical(&self, held: &Value) -> bool {
        matches!(held, Value::Bool(_)) && !self.invert
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        match value {
            Value::Bool(flag) => Ok(Value::Bool(*flag != self.invert)),
            other => Err(misfit(other, "true or false")),
        }
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        kind == ColumnKind::Bool
    }
}

/// The truth value in a value, if it spells one.
pub(crate) fn truth(value: &Value) -> Option<bool> {
    if let Value::Bool(flag) = value {
        return Some(*flag);
    }
    if let Value::Text(text) = value {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => return Some(true),
            "false" | "no" | "off" => return Some(false),
            _ => {}
        }
    }
    match whole_number(value)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
