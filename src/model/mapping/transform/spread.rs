//! `as = "spread"`: each member of an object in a column (or path) of its own; the other side keeps the object in one field with
//! `as = "json"`. Only the named members belong to the field, others stay as they are. Null and missing are one thing for a
//! member, and no member at all is no object. A part may name how its column holds it: `{ column = "born", as = "date" }`.
//! ```toml
//! [[field]]
//! name = "place"
//! legacy = { path = "location", as = "json" }
//! renaissance = { as = "spread", columns = { city = "city", lat = { column = "latitude", as = "float" } } }
//! ```

use std::collections::BTreeMap;

use super::{Compound, NullForm, Place, Shape, Transform, Write, json::JsonForm, misfit};
use crate::model::{catalog::ColumnKind, mapping::Loss, problem::Problem, value::Value};

/// The named members of an object, in slots of their own or together in one.
#[derive(Clone, PartialEq)]
pub struct Spread {
    /// The members' names and, where they have a slot of their own, how it holds them if not as it is.
    pub members: Vec<(String, Option<Transform>)>,
    /// Whether this side holds the object in one slot.
    pub whole: bool,
    /// How a member reads, whichever side holds it.
    pub plain: JsonForm,
}

impl Spread {
    /// What a slot says about its member; null for nothing.
    fn read_part(&self, part: Option<&Transform>, place: &Place<'_>) -> Result<Value, Problem> {
        let Some(held) = place.value() else { return Ok(Value::Null) };
        let read = match part.map(Transform::shape) {
            Some(Shape::Scalar(scalar)) => scalar.read(held, place)?,
            Some(Shape::Compound(_)) | None => held.clone(),
        };
        self.plain.read(&[Place { name: place.name, held: Some(&read) }])
    }

    /// What to do to a slot so that it says this.
    fn write_part(&self, value: &Value, part: Option<&Transform>, place: &Place<'_>) -> Result<Write, Problem> {
        if self.read_part(part, place).as_ref() == Ok(value) {
            return Ok(Write::Keep);
        }
        match part.map(Transform::shape) {
            // a member is canonically what JSON shows; the transform understands that as it does a stored value
            Some(Shape::Scalar(scalar)) => scalar.write(&scalar.read(value, place)?).map(Write::Set),
            Some(Shape::Compound(_)) | None => self.write_plain(value, place).map(Write::Set),
        }
    }

    fn write_plain(&self, value: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        let place = Place { name: place.name, held: place.held };
        match self.plain.write(value, &[place], NullForm::Null)?.pop() {
            Some(Write::Set(content)) => Ok(content),
            Some(Write::Keep | Write::Remove) | None => Ok(value.clone()),
        }
    }

    /// The object in one slot, with the members as wanted and everything else as it is.
    fn write_whole(
        &self,
        wanted: &BTreeMap<String, Value>,
        place: &Place<'_>,
        null: NullForm,
    ) -> Result<Write, Problem> {
        let mut object = match place.held {
            Some(Value::Object(held)) => held.clone(),
            _ => BTreeMap::new(),
        };
        for (name, _) in &self.members {
            let held = object.get(name);
            let inner = Place { name: place.name, held };
            match wanted.get(name) {
                Some(value) => {
                    let content = self.write_plain(value, &inner)?;
                    object.insert(name.clone(), content);
                }
                None if held.is_some_and(|held| *held != Value::Null) => _ = object.remove(name),
                None => {}
            }
        }
        Ok(if object.is_empty() { null.write() } else { Write::Set(Value::Object(object)) })
    }
}

impl Compound for Spread {
    fn read(&self, places: &[Place<'_>]) -> Result<Value, Problem> {
        let mut members = BTreeMap::new();
        let mut add = |name: &String, value: Value| {
            if value != Value::Null {
                members.insert(name.clone(), value);
            }
        };
        if self.whole {
            match places.first().and_then(|place| Some((place, place.value()?))) {
                None => {}
                Some((place, Value::Object(held))) => {
                    for (name, _) in &self.members {
                        let inner = Place { name: place.name, held: held.get(name) };
                        add(name, self.read_part(None, &inner)?);
                    }
                }
                Some((place, _)) => return Err(place.wrong("an object")),
            }
        } else {
            for ((name, part), place) in self.members.iter().zip(places) {
                add(name, self.read_part(part.as_ref(), place)?);
            }
        }
        Ok(if members.is_empty() { Value::Null } else { Value::Object(members) })
    }

    fn write(&self, value: &Value, places: &[Place<'_>], null: NullForm) -> Result<Vec<Write>, Problem> {
        let empty = BTreeMap::new();
        let wanted = match value {
            Value::Null => &empty,
            Value::Object(entries) => entries,
            other => return Err(misfit(other, "an object")),
        };
        if self.whole {
            return places.iter().map(|place| self.write_whole(wanted, place, null)).collect();
        }
        let write = |((name, part), place): (&(String, Option<Transform>), &Place<'_>)| match wanted.get(name) {
            Some(value) => self.write_part(value, part.as_ref(), place),
            None if place.held == Some(&Value::Null) => Ok(Write::Keep),
            None => Ok(null.write()),
        };
        self.members.iter().zip(places).map(write).collect()
    }

    fn forms(&self, _value: &Value) -> Vec<Vec<(usize, Value)>> {
        Vec::new()
    }

    fn fits(&self, place: usize, kind: ColumnKind) -> bool {
        if self.whole {
            return kind == ColumnKind::Json;
        }
        match self.members.get(place).and_then(|(_, part)| part.as_ref()).map(Transform::shape) {
            Some(Shape::Scalar(scalar)) => scalar.fits(kind),
            Some(Shape::Compound(compound)) => compound.fits(place, kind),
            None => matches!(
                kind,
                ColumnKind::Text(_)
                    | ColumnKind::Char(_)
                    | ColumnKind::Bool
                    | ColumnKind::Int(_)
                    | ColumnKind::Json
                    | ColumnKind::Timestamp
            ),
        }
    }

    fn losses(&self, _names: &[String]) -> Vec<Loss> {
        let scalars = self.members.iter().filter_map(|(_, part)| match part.as_ref()?.shape() {
            Shape::Scalar(scalar) => Some(scalar.losses()),
            Shape::Compound(_) => None,
        });
        scalars.flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::date::DateForm, *};

    const PLAIN: JsonForm = JsonForm { only: None, doubles: false };

    fn place(whole: bool) -> Spread {
        let born = Transform::Date(DateForm { as_moment: false });
        Spread { members: vec![("city".to_owned(), None), ("born".to_owned(), Some(born))], whole, plain: PLAIN }
    }

    fn object(entries: &[(&str, Value)]) -> Value {
        Value::Object(entries.iter().map(|(key, item)| ((*key).to_owned(), item.clone())).collect())
    }

    fn at(held: Option<&Value>) -> Place<'_> {
        Place { name: "p", held }
    }

    #[test]
    fn members_cross_and_what_else_the_object_holds_stays() {
        let (rome, midnight) = (Value::Text("Rome".into()), Value::Timestamp(86_400_000_000));
        let held = object(&[("city", Value::Int(5)), ("accuracy", Value::Int(3))]);
        let wanted = object(&[("city", rome.clone()), ("born", midnight.clone())]);
        let written = place(true).write(&wanted, &[at(Some(&held))], NullForm::Null);
        let expected = object(&[("city", rome.clone()), ("born", midnight), ("accuracy", Value::Int(3))]);
        assert_eq!(written, Ok(vec![Write::Set(expected)]));
        let columns = place(false).write(&wanted, &[at(None), at(None)], NullForm::Null);
        assert_eq!(columns, Ok(vec![Write::Set(rome.clone()), Write::Set(Value::Date(1))]));
        let removed = place(true).write(&Value::Null, &[at(Some(&held))], NullForm::Missing);
        assert_eq!(removed, Ok(vec![Write::Set(object(&[("accuracy", Value::Int(3))]))]));
        let emptied = place(false).write(&Value::Null, &[at(Some(&rome)), at(Some(&Value::Null))], NullForm::Null);
        assert_eq!(emptied, Ok(vec![Write::Set(Value::Null), Write::Keep]));
    }

    #[test]
    fn a_member_that_is_null_or_missing_is_not_there() {
        let held = object(&[("city", Value::Null), ("accuracy", Value::Int(3))]);
        assert_eq!(place(true).read(&[at(Some(&held))]), Ok(Value::Null));
        assert_eq!(place(false).read(&[at(Some(&Value::Null)), at(None)]), Ok(Value::Null));
        let none = place(true).write(&Value::Null, &[at(None)], NullForm::Missing);
        assert_eq!(none, Ok(vec![Write::Remove]));
        assert!(place(true).read(&[at(Some(&Value::Bool(true)))]).is_err());
    }
}
