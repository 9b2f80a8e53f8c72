//! A mapping with two plain fields, and its records as slots.

use std::sync::Arc;

use super::world::{Document, Values};
use crate::model::{
    digest::{Base, Digest},
    image::{Image, Patch, Version},
    key::LegacyId,
    mapping::{Entity, connect, parse},
    value::Value,
};

const THING: &str = r#"
entity = "thing"
[legacy]
collection = "things"
[renaissance]
table = "things"
legacy_id = "old_thing_id"
[[field]]
name = "left"
as = "int"
legacy = "left"
renaissance = "left"
[[field]]
name = "right"
as = "int"
legacy = "right"
renaissance = "right"
"#;

/// Where the two fields are on each side.
#[derive(Clone)]
pub(super) struct Shape {
    pub(super) entities: Arc<Vec<Entity>>,
    slots: [[usize; 2]; 2],
    counts: [usize; 2],
}

impl Shape {
    pub(super) fn new() -> Self {
        let mut entities = vec![parse("thing.toml", THING).unwrap_or_else(|_| panic!("the mapping is wrong"))];
        assert!(connect(&mut entities).is_empty());
        let (paths, columns) = (&entities[0].legacy.paths, &entities[0].renaissance.columns);
        let names = ["left", "right"];
        let path = |name: &str| paths.iter().position(|path| path.0 == [name]).unwrap();
        let column = |name: &str| columns.iter().position(|column| column.name == name).unwrap();
        let (slots, counts) = ([names.map(path), names.map(column)], [paths.len(), columns.len()]);
        Self { entities: Arc::new(entities), slots, counts }
    }

    pub(super) fn image(&self, side: usize, id: Document, values: Values) -> Image {
        let mut slots = vec![None; self.counts[side]];
        if side == 0 {
            slots[0] = Some(Value::Id(document_id(id).bytes()));
        }
        for (slot, value) in self.slots[side].into_iter().zip(values) {
            slots[slot] = Some(Value::Int(i64::from(value)));
        }
        Image { slots, version: version(values) }
    }

    /// What a record holds once a patch is applied.
    pub(super) fn patched(&self, side: usize, mut values: Values, patch: &Patch) -> Values {
        for (slot, content) in patch {
            if let (Some(field), Some(Value::Int(value))) =
                (self.slots[side].iter().position(|known| known == slot), content)
            {
                values[field] = u8::try_from(*value).unwrap_or(u8::MAX);
            }
        }
        values
    }

    /// What both sides agree on that hold these values.
    pub(super) fn base(values: Values) -> Vec<u8> {
        let mut base = Base::empty(2);
        for (field, value) in values.into_iter().enumerate() {
            base.set(field, Some(Digest::of(&Value::Int(i64::from(value)))));
        }
        base.to_bytes()
    }
}

/// What a record holds is its version: no value is ever written twice by an application.
pub(super) fn version(values: Values) -> Version {
    Version(values.map(u64::from).to_vec())
}

pub(super) const fn document_id(document: Document) -> LegacyId {
    LegacyId::new([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, document])
}

pub(super) const fn document_of(id: LegacyId) -> Document {
    id.bytes()[11]
}
