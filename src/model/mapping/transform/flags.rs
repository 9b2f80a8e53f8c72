//! `as = "flags"`: one truth value that several slots decide together. It is true when every condition is `on`; a missing or null slot is
//! on. Setting it true turns on what is not; setting it false turns off the conditions that have an `off` value and leaves the others;
//! `normal_form` names the first of those.
//! ```toml
//! [[field]]
//! name = "active"
//! as = "bool"
//! normal_form = "is_removed"
//! legacy = { as = "flags", all = [{ path = "is_removed", on = false, off = true }, { path = "status_key", on = 1 }] }
//! renaissance = "is_active"
//! ```

use super::{Compound, NullForm, Place, Write, bool::truth, misfit, text::as_text, whole_number};
use crate::model::{catalog::ColumnKind, mapping::Loss, problem::Problem, value::Value};

/// One truth value over several slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Flags {
    /// One per slot.
    pub conditions: Vec<Condition>,
}

/// What a slot has to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Its content when the flag is true.
    pub on: Value,
    /// Its content when the flag is false; `None`: a false flag does not touch it.
    pub off: Option<Value>,
}

impl Condition {
    /// Whether the slot is on; a content of another type than `on` is refused.
    fn holds(&self, place: &Place<'_>) -> Result<bool, Problem> {
        let Some(held) = place.value() else { return Ok(true) };
        match &self.on {
            Value::Bool(on) => truth(held).map(|flag| flag == *on).ok_or_else(|| place.wrong("true or false")),
            Value::Int(on) => {
                whole_number(held).map(|number| number == *on).ok_or_else(|| place.wrong("a whole number"))
            }
            on => match (as_text(held), as_text(on)) {
                (Some(held), Some(on)) => Ok(held == on),
                _ => Err(place.wrong(on.type_name())),
            },
        }
    }
}

impl Compound for Flags {
    fn read(&self, places: &[Place<'_>]) -> Result<Value, Problem> {
        let states: Result<Vec<bool>, Problem> =
            self.conditions.iter().zip(places).map(|(condition, place)| condition.holds(place)).collect();
        Ok(Value::Bool(states?.into_iter().all(|on| on)))
    }

    fn write(&self, value: &Value, places: &[Place<'_>], _null: NullForm) -> Result<Vec<Write>, Problem> {
        let Value::Bool(flag) = value else { return Err(misfit(value, "true or false")) };
        let write = |(condition, place): (&Condition, &Place<'_>)| match (flag, &condition.off) {
            (true, _) if place.held.is_some() && condition.holds(place) == Ok(true) => Write::Keep,
            (true, _) => Write::Set(condition.on.clone()),
            (false, Some(off)) => Write::Set(off.clone()),
            (false, None) if place.held.is_none() || condition.holds(place).is_ok() => Write::Keep,
            (false, None) => Write::Set(condition.on.clone()),
        };
        Ok(self.conditions.iter().zip(places).map(write).collect())
    }

    fn forms(&self, _value: &Value) -> Vec<Vec<(usize, Value)>> {
        Vec::new()
    }

    fn fits(&self, place: usize, kind: ColumnKind) -> bool {
        self.conditions.get(place).is_some_and(|condition| match condition.on {
            Value::Bool(_) => kind == ColumnKind::Bool,
            Value::Int(_) => matches!(kind, ColumnKind::Int(_)),
            Value::Text(_) => matches!(kind, ColumnKind::Text(_)),
            Value::Null
            | Value::Float(_)
            | Value::Timestamp(_)
            | Value::Id(_)
            | Value::List(_)
            | Value::Object(_)
            | Value::Decimal(_)
            | Value::Date(_)
            | Value::Uuid(_)
            | Value::Binary(..)
            | Value::Dangling(_)
            | Value::Opaque(_) => false,
        })
    }

    fn losses(&self, names: &[String]) -> Vec<Loss> {
        // one slot that can only be on or off loses nothing
        let exact =
            |condition: &Condition| matches!((&condition.on, &condition.off), (Value::Bool(_), Some(Value::Bool(_))));
        if self.conditions.len() == 1 && self.conditions.iter().all(exact) {
            return Vec::new();
        }
        let switches = self.conditions.iter().zip(names).filter(|(condition, _)| condition.off.is_some());
        let switches: Vec<&str> = switches.map(|(_, name)| name.as_str()).take(1).collect();
        vec![Loss::word(format!("everything in {} that is not on reads as false", names.join(" and ")), &switches)]
    }
}
