//! `as = "text"`, the default: text. Numbers stored where text belongs read as their decimal digits.
//! With `empty = "null"` the empty text means nothing; `null_as` says how each side spells nothing.
//! ```toml
//! [[field]]
//! name = "email"
//! empty = "null"
//! legacy = { path = "email", null_as = "empty" }
//! renaissance = "email"
//! ```

use std::borrow::Cow;

use super::{Place, Scalar, misfit, whole_double};
use crate::model::{catalog::ColumnKind, problem::Problem, value::Value};

/// Text in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextForm {
    /// Whether the empty text means nothing.
    pub empty_is_null: bool,
}

impl Scalar for TextForm {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        let text = as_text(held).ok_or_else(|| place.wrong("text"))?;
        Ok(if text.is_empty() && self.empty_is_null { Value::Null } else { Value::Text(text.into()) })
    }

    fn is_canonical(&self, held: &Value) -> bool {
        held.as_text().is_some_and(|text| !(text.is_empty() && self.empty_is_null))
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        value.as_text().map(|text| Value::Text(text.into())).ok_or_else(|| misfit(value, "text"))
    }

    fn forms(&self, value: &Value) -> Vec<Value> {
        value.as_text().into_iter().flat_map(spellings).collect()
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        matches!(kind, ColumnKind::Text(_) | ColumnKind::Char(_) | ColumnKind::Enum)
    }
}

/// Text, or a number as its decimal digits.
pub(crate) fn as_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Int(number) => Some(Cow::Owned(number.to_string())),
        Value::Float(number) if number.is_finite() => {
            Some(Cow::Owned(whole_double(*number).map_or_else(|| number.to_string(), |whole| whole.to_string())))
        }
        Value::Float(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Timestamp(_)
        | Value::Id(_)
        | Value::List(_)
        | Value::Object(_)
        | Value::Decimal(_)
        | Value::Date(_)
        | Value::Uuid(_)
        | Value::Binary(..)
        | Value::Dangling(_)
        | Value::Opaque(_) => None,
    }
}

/// The text itself, and the number it may have been stored as.
pub(crate) fn spellings(text: &str) -> Vec<Value> {
    let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
    std::iter::once(Value::Text(text.into())).chain(number.map(Value::Int)).collect()
}
