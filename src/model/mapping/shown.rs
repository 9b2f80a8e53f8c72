//! Records as people write and paste them: a document in MongoDB's extended JSON, rows as `{"table": {"column": …}}`.
//!
//! References to linked records appear as legacy ids, `{"$oid": "…"}` or 24 hex digits, on both sides; a join table as the list of
//! them, or as its rows `[{"friend_id": …}]`. A plain number in such a column of Renaissance is somebody who is not linked.

use serde_json::{Map, Value as Json, json};

use super::{Entity, Path};
use crate::model::{
    calendar,
    image::{Image, Version},
    json::{from_json, to_json},
    key::LegacyId,
    side::Side,
    value::{Slot, Value},
};

/// A column of shown rows that is not a slot of the entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    /// Its table.
    pub table: String,
    /// Its name.
    pub column: String,
    /// What is shown there.
    pub content: Json,
}

impl Entity {
    /// A shown document as its slots.
    pub fn image_of_document(&self, document: &Json) -> Image {
        let document = from_json(document);
        let slots = self.legacy.paths.iter().map(|path| at_path(&document, path)).collect();
        Image { slots, version: Version(Vec::new()) }
    }

    /// Shown rows as the slots of the record, and what else they hold.
    pub fn image_of_rows(&self, rows: &Json) -> (Image, Vec<Extra>) {
        let mut image = Image { slots: vec![None; self.renaissance.columns.len()], version: Version(Vec::new()) };
        let mut extras = Vec::new();
        for (table, shown) in rows.as_object().into_iter().flatten() {
            let members = self.renaissance.tables.iter().find(|known| known.name == *table);
            if let Some(members) = members.and_then(|known| known.members.as_ref()) {
                let each = |row: &Json| from_json(row.get(&members.column).unwrap_or(row));
                let list = shown.as_array().map(|rows| Value::List(rows.iter().map(each).collect()));
                self.show(&mut image, table, &members.column, list.or_else(|| Some(from_json(shown))));
                continue;
            }
            let row = shown.as_array().and_then(|rows| rows.first()).unwrap_or(shown);
            for (column, content) in row.as_object().into_iter().flatten() {
                if !self.show(&mut image, table, column, Some(from_json(content))) {
                    extras.push(Extra { table: table.clone(), column: column.clone(), content: content.clone() });
                }
            }
        }
        for (_, slot) in self.linked_slots(Side::Renaissance) {
            if let Some(Some(held)) = image.slots.get_mut(slot) {
                match held {
                    Value::List(items) => items.iter_mut().for_each(unlinked),
                    held => unlinked(held),
                }
            }
        }
        (image, extras)
    }

    /// Puts a shown content where it belongs; false if no field, template or filter uses that column.
    fn show(&self, image: &mut Image, table: &str, column: &str, content: Slot) -> bool {
        let tables = &self.renaissance.tables;
        let place =
            self.renaissance.columns.iter().position(|known| {
                known.name == column && tables.get(known.table).is_some_and(|owner| owner.name == table)
            });
        let slot = place.and_then(|place| image.slots.get_mut(place));
        slot.map(|slot| *slot = content).is_some()
    }

    /// What a slot is called: `email_notification.all`, `users.username`.
    pub fn place(&self, side: Side, slot: usize) -> String {
        let found = match side {
            Side::Legacy => self.legacy.paths.get(slot).map(|path| path.0.join(".")),
            Side::Renaissance => self.renaissance.columns.get(slot).map(|column| {
                let table = self.renaissance.tables.get(column.table).map_or("", |table| table.name.as_str());
                format!("{table}.{}", column.name)
            }),
        };
        found.unwrap_or_default()
    }

    /// Slots of a side as a document or as rows; those that are not there are left out.
    pub fn shown(&self, side: Side, slots: &[Slot]) -> Json {
        let mut all = Map::new();
        for (slot, content) in slots.iter().enumerate() {
            let Some(content) = content else { continue };
            match side {
                Side::Legacy => {
                    let Some(path) = self.legacy.paths.get(slot) else { continue };
                    nest(&mut all, &path.0, extended(content));
                }
                Side::Renaissance => {
                    let Some(column) = self.renaissance.columns.get(slot) else { continue };
                    let Some(table) = self.renaissance.tables.get(column.table) else { continue };
                    if table.members.is_some() {
                        all.insert(table.name.clone(), extended(content));
                    } else {
                        nest(&mut all, &[table.name.clone(), column.name.clone()], extended(content));
                    }
                }
            }
        }
        Json::Object(all)
    }
}

/// A number where a linked record is referred to names somebody unknown.
fn unlinked(held: &mut Value) {
    if matches!(held, Value::Int(_)) {
        *held = Value::Dangling(Box::new(std::mem::replace(held, Value::Null)));
    }
}

fn nest(object: &mut Map<String, Json>, path: &[String], content: Json) {
    match path {
        [] => {}
        [name] => drop(object.insert(name.clone(), content)),
        [name, rest @ ..] => {
            let inner = object.entry(name.clone()).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = inner {
                nest(inner, rest, content);
            }
        }
    }
}

/// What a document holds at a path.
fn at_path(document: &Value, path: &Path) -> Slot {
    path.0
        .iter()
        .try_fold(document, |value, part| match value {
            Value::Object(entries) => entries.get(part),
            _ => None,
        })
        .cloned()
}

/// A value as extended JSON, so that ids and dates can be told from texts.
pub(crate) fn extended(value: &Value) -> Json {
    match value {
        Value::Id(id) => json!({ "$oid": LegacyId::new(*id).to_string() }),
        Value::Timestamp(micros) => json!({ "$date": calendar::to_iso(*micros) }),
        Value::Dangling(held) => extended(held),
        Value::List(items) => Json::Array(items.iter().map(extended).collect()),
        Value::Object(entries) => {
            Json::Object(entries.iter().map(|(key, item)| (key.clone(), extended(item))).collect())
        }
        other => to_json(other),
    }
}

/// Equal, with dates in ISO text taken as dates and hex digits as ids.
pub(super) fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Text(text), Value::Timestamp(micros)) => calendar::from_iso(text) == Some(*micros),
        (Value::Text(text), Value::Id(id)) => text.parse() == Ok(LegacyId::new(*id)),
        (Value::Text(text), Value::Date(_) | Value::Uuid(_) | Value::Decimal(_)) => {
            to_json(found) == json!(text.as_str())
        }
        (Value::List(expected), Value::List(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(expected, found)| same(expected, found))
        }
        (Value::Object(expected), Value::Object(found)) => {
            expected.len() == found.len()
                && expected.iter().all(|(key, item)| found.get(key).is_some_and(|found| same(item, found)))
        }
        (Value::Float(expected), Value::Decimal(found)) => expected.to_string() == found.to_string(),
        (expected, found) => expected == found,
    }
}
