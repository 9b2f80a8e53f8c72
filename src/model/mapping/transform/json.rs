//! `as = "json"`: an object, array or plain value as it is, in a legacy field and a `jsonb` column. Whole numbers are one, however they
//! are stored; others are decimals, without rounding. What JSON has no form for crosses as MongoDB's extended JSON
//! (`{"$oid": …}`, `{"$date": …}`). Inner values that already read the same keep their type when something else changes.
//! `only = "object"` or `"array"` refuses anything else.
//! ```toml
//! [[field]]
//! name = "monologues"
//! as = "json"
//! only = "object"
//! missing = {}
//! legacy = "monologues"
//! renaissance = "monologues"
//! ```

use std::collections::BTreeMap;

use super::{Compound, NullForm, Place, Write};
use crate::model::{
    catalog::ColumnKind,
    problem::{Problem, Reason},
    value::Value,
};

/// A value of any structure in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonForm {
    /// What it has to be, if not anything.
    pub only: Option<Structure>,
}

/// What a JSON value may be restricted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
}

impl Compound for JsonForm {
    fn read(&self, places: &[Place<'_>]) -> Result<Value, Problem> {
        let Some(place) = places.first() else { return Ok(Value::Null) };
        let Some(held) = place.value() else { return Ok(Value::Null) };
        match (self.only, held) {
            (Some(Structure::Object), Value::Object(_)) | (Some(Structure::Array), Value::List(_)) | (None, _) => {}
            (Some(Structure::Object), _) => return Err(place.wrong("an object")),
            (Some(Structure::Array), _) => return Err(place.wrong("an array")),
        }
        normal(held, place)
    }

    fn write(&self, value: &Value, places: &[Place<'_>], null: NullForm) -> Result<Vec<Write>, Problem> {
        if *value == Value::Null {
            return Ok(vec![null.write(); places.len()]);
        }
        let write = |place: &Place<'_>| Write::Set(spelled_like(value, place.held, place));
        Ok(places.iter().map(write).collect())
    }

    fn forms(&self, _value: &Value) -> Vec<Vec<(usize, Value)>> {
        Vec::new()
    }

    fn fits(&self, _place: usize, kind: ColumnKind) -> bool {
        kind == ColumnKind::Json
    }
}

/// The one spelling of a value: whole numbers as integers, others as decimals.
fn normal(held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
    Ok(match held {
        Value::Float(number) => decimal(&number.to_string()).ok_or_else(|| {
            Problem::new(Reason::OutOfRange, format!("{} holds a number that JSON has no form for", place.name))
        })?,
        Value::Decimal(number) => number.as_int().map_or_else(|| held.clone(), Value::Int),
        Value::List(items) => Value::List(items.iter().map(|item| normal(item, place)).collect::<Result<_, _>>()?),
        Value::Object(entries) => {
            let entry = |(key, item): (&String, &Value)| Ok((key.clone(), normal(item, place)?));
            Value::Object(entries.iter().map(entry).collect::<Result<BTreeMap<_, _>, Problem>>()?)
        }
        Value::Opaque(_) | Value::Dangling(_) => return Err(place.wrong("something that JSON has a form for")),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Text(_)
        | Value::Timestamp(_)
        | Value::Date(_)
        | Value::Id(_)
        | Value::Uuid(_)
        | Value::Binary(..) => held.clone(),
    })
}

fn decimal(text: &str) -> Option<Value> {
    let number: crate::model::decimal::Decimal = text.parse().ok()?;
    Some(number.as_int().map_or(Value::Decimal(number), Value::Int))
}

/// The value, with every part that `held` already says in its own spelling left in that spelling.
fn spelled_like(value: &Value, held: Option<&Value>, place: &Place<'_>) -> Value {
    match (value, held) {
        (value, Some(held)) if normal(held, place).as_ref() == Ok(value) => held.clone(),
        (Value::Object(entries), Some(Value::Object(known))) => {
            let entry = |(key, item): (&String, &Value)| (key.clone(), spelled_like(item, known.get(key), place));
            Value::Object(entries.iter().map(entry).collect())
        }
        (Value::List(items), Some(Value::List(known))) => {
            Value::List(items.iter().enumerate().map(|(n, item)| spelled_like(item, known.get(n), place)).collect())
        }
        (value, _) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: JsonForm = JsonForm { only: None };

    fn object(entries: &[(&str, Value)]) -> Value {
        Value::Object(entries.iter().map(|(key, item)| ((*key).to_owned(), item.clone())).collect())
    }

    fn read(held: &Value) -> Result<Value, Reason> {
        ANY.read(&[Place { name: "j", held: Some(held) }]).map_err(|problem| problem.reason)
    }

    #[test]
    fn a_number_is_the_same_however_it_is_stored() {
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        assert_eq!(read(&Value::Float(1.0)), Ok(Value::Int(1)));
        assert_eq!(read(&decimal("1.0")), Ok(Value::Int(1)));
        assert_eq!(read(&Value::Float(0.1)), Ok(decimal("0.1")));
        assert_eq!(read(&Value::Int(9_007_199_254_740_993)), Ok(Value::Int(9_007_199_254_740_993)));
        assert_eq!(read(&object(&[("x", Value::Float(f64::NAN))])), Err(Reason::OutOfRange));
    }

    #[test]
    fn what_did_not_change_keeps_its_spelling() {
        let held = object(&[("a", Value::Float(1.0)), ("b", Value::Int(2))]);
        let wanted = object(&[("a", Value::Int(1)), ("b", Value::Int(3))]);
        let written = ANY.write(&wanted, &[Place { name: "j", held: Some(&held) }], NullForm::Null).unwrap();
        assert_eq!(written, [Write::Set(object(&[("a", Value::Float(1.0)), ("b", Value::Int(3))]))]);
    }

    #[test]
    fn a_restricted_value_refuses_other_structures() {
        let form = JsonForm { only: Some(Structure::Object) };
        let list = Value::List(vec![]);
        let refused = form.read(&[Place { name: "j", held: Some(&list) }]).unwrap_err();
        assert_eq!(refused.detail, "j holds an array; an object is expected".replace("an array", list.type_name()));
    }
}
