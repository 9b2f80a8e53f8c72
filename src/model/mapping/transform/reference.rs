//! `as = "reference"`: the id of another record. Canonically the legacy id of the record of entity `to`, wherever it lives.
//! Legacy holds it as an ObjectId or its 24 hex digits (`stored = "hex"` writes the digits); Renaissance as a foreign key, which
//! goes through the links, or with `stored = "hex"` as the text of the legacy id.
//!
//! `as = "references"`: many of them. Legacy holds an array; Renaissance the rows of a join table
//! (`{ table, parent, column }`), which is a set, or a jsonb list of legacy ids in hex (`{ column, stored = "hex" }`), which keeps
//! its order. An element that names nobody linked stays where it is and is waited for.
//! ```toml
//! [[field]]
//! name = "friends"
//! as = "references"
//! to = "user"
//! policy = "union"
//! missing = []
//! legacy = "friends"
//! renaissance = { table = "friendships", parent = "user_id", column = "friend_id", optional = true }
//! ```

use super::{Compound, NullForm, Place, Scalar, Write, misfit};
use crate::model::{
    catalog::ColumnKind,
    key::LegacyId,
    problem::{Problem, Reason},
    value::Value,
};

/// One reference in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Whether it is written as hex text.
    pub hex: bool,
    /// Whether the slot holds a renaissance id, translated through the links before and after.
    pub linked: bool,
}

/// Many references in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct References {
    /// How each is held.
    pub each: Reference,
    /// Whether order and repetition mean nothing.
    pub set: bool,
}

impl Reference {
    fn read_one(held: &Value, name: &str) -> Result<Value, Problem> {
        match held {
            Value::Id(_) => Ok(held.clone()),
            Value::Text(text) => match text.trim().parse::<LegacyId>() {
                Ok(id) => Ok(Value::Id(id.bytes())),
                Err(_) => {
                    Err(Problem::new(Reason::WrongType, format!("{name} holds text that is no id (24 hex digits)")))
                }
            },
            Value::Dangling(_) => Err(Problem::new(
                Reason::MissingReference,
                format!("{name} refers to a record that is not on both sides"),
            )),
            held => Err(Problem::new(
                Reason::WrongType,
                format!("{name} holds {}; the id of a record is expected", held.type_name()),
            )),
        }
    }

    fn write_one(&self, value: &Value) -> Result<Value, Problem> {
        match value {
            Value::Id(id) if self.hex => Ok(Value::Text(LegacyId::new(*id).to_string().into())),
            Value::Id(_) => Ok(value.clone()),
            other => Err(misfit(other, "the id of a record")),
        }
    }
}

impl Scalar for Reference {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        Self::read_one(held, place.name)
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        self.write_one(value)
    }

    fn forms(&self, value: &Value) -> Vec<Value> {
        match value {
            Value::Id(_) if self.linked => vec![value.clone()],
            Value::Id(id) => vec![value.clone(), Value::Text(LegacyId::new(*id).to_string().into())],
            _ => Vec::new(),
        }
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        if self.linked { matches!(kind, ColumnKind::Int(_)) } else { matches!(kind, ColumnKind::Text(_)) }
    }
}

impl References {
    /// The canonical list of what an array holds; references to unlinked records are left out.
    fn canonical(&self, items: &[Value], name: &str) -> Result<Value, Problem> {
        let linked = items.iter().filter(|item| !matches!(item, Value::Dangling(_)));
        let mut ids: Vec<[u8; 12]> = Vec::with_capacity(items.len());
        for item in linked {
            if let Value::Id(id) = Reference::read_one(item, name)? {
                ids.push(id);
            }
        }
        if self.set {
            ids.sort_unstable();
            ids.dedup();
        }
        Ok(Value::List(ids.into_iter().map(Value::Id).collect()))
    }
}

impl Compound for References {
    fn read(&self, places: &[Place<'_>]) -> Result<Value, Problem> {
        let Some(place) = places.first() else { return Ok(Value::Null) };
        match place.value() {
            None => Ok(Value::Null),
            Some(Value::List(items)) => self.canonical(items, place.name),
            Some(_) => Err(place.wrong("an array of ids")),
        }
    }

    fn write(&self, value: &Value, places: &[Place<'_>], null: NullForm) -> Result<Vec<Write>, Problem> {
        let wanted = match value {
            Value::Null => return Ok(vec![null.write(); places.len()]),
            Value::List(wanted) => wanted,
            other => return Err(misfit(other, "a list of ids")),
        };
        let held = match places.first().and_then(Place::value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let name = places.first().map_or("", |place| place.name);
        let waiting = held.iter().filter(|item| matches!(item, Value::Dangling(_)));
        let mut items = Vec::with_capacity(wanted.len());
        if self.set {
            // what is there and stays keeps its place and spelling; what is new comes after
            let id_of = |item: &Value| Reference::read_one(item, name).ok();
            let kept = |item: &&Value| {
                matches!(item, Value::Dangling(_)) || id_of(item).is_some_and(|id| wanted.contains(&id))
            };
            items.extend(held.iter().filter(kept).cloned());
            let known: Vec<Value> = items.iter().filter_map(id_of).collect();
            for id in wanted.iter().filter(|id| !known.contains(id)) {
                items.push(self.each.write_one(id)?);
            }
        } else {
            for id in wanted {
                items.push(self.each.write_one(id)?);
            }
            items.extend(waiting.cloned());
        }
        Ok(vec![Write::Set(Value::List(items)); places.len()])
    }

    fn forms(&self, _value: &Value) -> Vec<Vec<(usize, Value)>> {
        Vec::new()
    }

    fn fits(&self, _place: usize, kind: ColumnKind) -> bool {
        kind == if self.each.linked { ColumnKind::Ids } else { ColumnKind::Json }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 12] = [1; 12];
    const B: [u8; 12] = [2; 12];

    fn hex(id: [u8; 12]) -> Value {
        Value::Text(LegacyId::new(id).to_string().into())
    }

    fn dangling(id: [u8; 12]) -> Value {
        Value::Dangling(Box::new(Value::Id(id)))
    }

    fn references(set: bool) -> References {
        References { each: Reference { hex: false, linked: true }, set }
    }

    fn written(references: &References, held: Vec<Value>, wanted: Vec<Value>) -> Vec<Value> {
        let held = Value::List(held);
        let place = Place { name: "friends", held: Some(&held) };
        match references.write(&Value::List(wanted), &[place], NullForm::Null).unwrap().remove(0) {
            Write::Set(Value::List(items)) => items,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_id_and_its_hex_digits_are_the_same_reference() {
        let held = Value::List(vec![hex(B), Value::Id(A), Value::Id(B)]);
        let place = || [Place { name: "friends", held: Some(&held) }];
        assert_eq!(references(true).read(&place()), Ok(Value::List(vec![Value::Id(A), Value::Id(B)])));
        let in_order = Value::List(vec![Value::Id(B), Value::Id(A), Value::Id(B)]);
        assert_eq!(references(false).read(&place()), Ok(in_order));
    }

    #[test]
    fn what_stays_in_a_set_keeps_its_place_and_spelling_and_the_dead_are_not_dropped() {
        let held = vec![hex(B), dangling([9; 12]), Value::Id(A)];
        let c = Value::Id([3; 12]);
        assert_eq!(
            written(&references(true), held, vec![Value::Id(B), c.clone()]),
            [hex(B), dangling([9; 12]), c],
            "A left, the third came, nothing else moved"
        );
    }

    #[test]
    fn a_list_gets_its_new_order_and_keeps_the_dead_at_its_end() {
        let held = vec![dangling([9; 12]), Value::Id(A), Value::Id(B)];
        let wanted = vec![Value::Id(B), Value::Id(A)];
        assert_eq!(written(&references(false), held, wanted), [Value::Id(B), Value::Id(A), dangling([9; 12])]);
    }

    #[test]
    fn a_reference_to_nobody_and_a_text_that_is_no_id_are_told_apart() {
        let read = |held: Value| {
            let form = Reference { hex: false, linked: true };
            form.read(&held, &Place { name: "user_id", held: Some(&held) }).map_err(|problem| problem.reason)
        };
        assert_eq!(read(dangling(A)), Err(Reason::MissingReference));
        assert_eq!(read(Value::Text("nobody".into())), Err(Reason::WrongType));
        assert_eq!(read(Value::Int(5)), Err(Reason::WrongType));
        assert_eq!(read(hex(A)), Ok(Value::Id(A)));
    }
}
