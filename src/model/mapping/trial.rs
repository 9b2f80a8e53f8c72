//! What becomes of one real record: translated to the other side, as if it were new there, and back.

use serde_json::{Map, Value as Json};

use super::{
    Entity, Field, Flow, Path,
    shown::{extended, same},
    transform::same_content,
};
use crate::model::{
    image::Image,
    problem::{Problem, Reason},
    reading::Reading,
    side::Side,
    value::{Slot, Value},
};

/// A record, translated.
#[derive(Clone, PartialEq)]
pub struct Trial {
    /// The side it comes from.
    pub from: Side,
    /// Whether it meets the filters of its side.
    pub belongs: bool,
    /// Whether it is a document whose `_id` is there and is not an ObjectId: no key can name it.
    pub stray: bool,
    /// Its fields, in the order of the mapping.
    pub fields: Vec<Tried>,
    /// The record that is made of it on the other side, in the forms of [`super::shown`]; what is generated is shown as that.
    pub made: Json,
    /// What it holds that no field maps: it stays on its side.
    pub unmapped: Vec<String>,
}

/// A field of the record, translated.
#[derive(Clone, PartialEq)]
pub struct Tried {
    /// Its name.
    pub field: String,
    /// What its places hold.
    pub held: Json,
    /// Its canonical value.
    pub canonical: Option<Json>,
    /// What the other side gets.
    pub written: Option<Json>,
    /// What that gives on the first side, if it were made anew there.
    pub returned: Option<Json>,
    /// Whether it survived.
    pub outcome: Outcome,
}

/// Whether a field survives the way there and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    Kept,
    /// Something is lost: what.
    Loses(Vec<String>),
    /// It cannot cross now.
    Stuck(Problem),
    /// It does not cross in this direction.
    OneWay,
    /// There is no place for it: this side has no opinion.
    Absent,
}

impl Entity {
    /// Translates a shown record.
    pub fn try_out(&self, from: Side, record: &Json) -> Trial {
        let (image, unmapped) = match from {
            Side::Legacy => {
                let mut unmapped = Vec::new();
                self.unmapped_paths(record, &mut Vec::new(), &mut unmapped);
                (self.image_of_document(record), unmapped)
            }
            Side::Renaissance => {
                let (image, extras) = self.image_of_rows(record);
                let known = |table: &str, column: &str| self.is_identity(table, column);
                let extras = extras.iter().filter(|extra| !known(&extra.table, &extra.column));
                (image, extras.map(|extra| format!("{}.{}", extra.table, extra.column)).collect())
            }
        };
        let mut made = self.blank(from.other());
        let fields = self.fields.iter().map(|field| self.try_field(from, field, &image, &mut made)).collect();
        self.fill_new(from.other(), &mut made);
        let mut shown = self.shown(from.other(), &made.slots);
        if from == Side::Legacy {
            self.show_inserts(&mut shown);
        }
        let id = image.slots.get(super::lens::ID_SLOT).and_then(Option::as_ref);
        let stray = from == Side::Legacy && id.is_some_and(|id| !matches!(id, Value::Id(_)));
        Trial { from, belongs: self.belongs(from, &image), stray, fields, made: shown, unmapped }
    }

    /// How many fields find something in the record: how well the mapping fits it.
    pub fn fit(&self, from: Side, record: &Json) -> usize {
        let image = match from {
            Side::Legacy => self.image_of_document(record),
            Side::Renaissance => self.image_of_rows(record).0,
        };
        let finds =
            |field: &&Field| field.slots(from).iter().any(|slot| matches!(image.slots.get(*slot), Some(Some(_))));
        self.fields.iter().filter(finds).count()
    }

    fn try_field(&self, from: Side, field: &Field, image: &Image, made: &mut Image) -> Tried {
        let held: Vec<(usize, Slot)> =
            field.slots(from).iter().map(|slot| (*slot, image.slots.get(*slot).cloned().flatten())).collect();
        let mut tried = Tried {
            field: field.name.clone(),
            held: self.contents(from, &held),
            canonical: None,
            written: None,
            returned: None,
            outcome: Outcome::Absent,
        };
        let value = match field.get(from, image) {
            Reading::Value(value) => value,
            Reading::Absent => return tried,
            Reading::Invalid(problem) => return Tried { outcome: Outcome::Stuck(problem), ..tried },
        };
        tried.canonical = Some(extended(&value));
        if field.flow == Flow::To(from) {
            return Tried { outcome: Outcome::OneWay, ..tried };
        }
        let patch = match field.put(from.other(), &value, None) {
            Ok(patch) => patch,
            Err(problem) => return Tried { outcome: Outcome::Stuck(problem), ..tried },
        };
        tried.written = Some(self.contents(from.other(), &patch));
        for (slot, content) in patch {
            if let Some(place) = made.slots.get_mut(slot) {
                *place = content;
            }
        }
        let returned = match field.get(from.other(), made) {
            Reading::Value(value) => field.put(from, &value, None).unwrap_or_default(),
            Reading::Absent | Reading::Invalid(_) => Vec::new(),
        };
        tried.returned = Some(self.contents(from, &returned));
        tried.outcome = outcome(field, &held, &returned);
        tried
    }

    /// Slots by the names of their places.
    fn contents(&self, side: Side, slots: &[(usize, Slot)]) -> Json {
        let there = slots.iter().filter_map(|(slot, content)| Some((slot, content.as_ref()?)));
        Json::Object(there.map(|(slot, content)| (self.place(side, *slot), extended(content))).collect())
    }

    /// Paths of a document that no field, filter or insert value has to do with.
    fn unmapped_paths(&self, document: &Json, at: &mut Vec<String>, found: &mut Vec<String>) {
        for (name, inner) in document.as_object().into_iter().flatten() {
            at.push(name.clone());
            let known = |path: &&Path| at.starts_with(&path.0);
            let above = |path: &&Path| path.0.starts_with(at);
            match (self.legacy.paths.iter().find(known), self.legacy.paths.iter().find(above)) {
                (Some(_), _) => {}
                (None, Some(_)) if inner.is_object() => self.unmapped_paths(inner, at, found),
                (None, _) => found.push(at.join(".")),
            }
            at.pop();
        }
    }

    /// Whether a column says which record a row belongs to.
    fn is_identity(&self, table: &str, column: &str) -> bool {
        let mut tables = self.renaissance.tables.iter().enumerate();
        tables.find(|(_, known)| known.name == table).is_some_and(|(index, known)| {
            known.key == column
                || known.parent.as_deref() == Some(column)
                || (index == 0 && self.renaissance.legacy_id_column == column)
        })
    }

    /// Adds the insert values of all tables to rows.
    fn show_inserts(&self, rows: &mut Json) {
        let Json::Object(rows) = rows else { return };
        let one_row =
            self.renaissance.tables.iter().filter(|table| table.members.is_none() && !table.insert.is_empty());
        for table in one_row {
            let row = rows.entry(table.name.clone()).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(row) = row {
                row.extend(table.insert.iter().map(|(column, value)| (column.clone(), value.shown())));
            }
        }
    }
}

fn outcome(field: &Field, held: &[(usize, Slot)], returned: &[(usize, Slot)]) -> Outcome {
    let members = held.iter().filter_map(|(_, content)| match content {
        Some(Value::List(items)) => Some(items),
        _ => None,
    });
    let unlinked = members.flatten().filter(|item| matches!(item, Value::Dangling(_))).count();
    if unlinked > 0 {
        let why =
            format!("{unlinked} of its references are ids of Renaissance, whose legacy ids only the bridge knows");
        return Outcome::Stuck(Problem::new(Reason::MissingReference, why));
    }
    let nothing = held.iter().all(|(_, content)| content.as_ref().is_none_or(|content| *content == Value::Null));
    let back =
        |slot: &usize| returned.iter().find(|(place, _)| place == slot).and_then(|(_, content)| content.as_ref());
    let kept = |(slot, content): &(usize, Slot)| match (content, back(slot)) {
        (None | Some(Value::Null), _) => true,
        (Some(content), Some(back)) => same(content, back) || same_content(content, back),
        (Some(_), None) => false,
    };
    let losses = field.losses();
    if nothing || losses.is_empty() || held.iter().all(kept) {
        return Outcome::Kept;
    }
    Outcome::Loses(losses.into_iter().map(|loss| loss.what).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::mapping::parse;

    fn user() -> Entity {
        parse("user.toml", include_str!("../../../mappings/user.toml")).unwrap()
    }

    fn tried<'a>(trial: &'a Trial, field: &str) -> &'a Tried {
        trial.fields.iter().find(|tried| tried.field == field).unwrap()
    }

    #[test]
    fn a_document_is_translated_there_and_back_and_what_does_not_survive_is_marked() {
        let document = json!({
            "_id": { "$oid": "65f0c0ffee00000000000001" }, "username": "ada", "phone_number": "call me",
            "is_premium_member": true, "status_key": 0, "email_notification": { "all": true, "weekly": false },
            "badges": [1],
        });
        let trial = user().try_out(Side::Legacy, &document);
        assert!(trial.belongs);
        assert_eq!(trial.unmapped, ["badges", "email_notification.weekly"]);
        assert_eq!(tried(&trial, "username").outcome, Outcome::Kept);
        assert_eq!(tried(&trial, "premium").outcome, Outcome::Kept);
        assert!(
            matches!(&tried(&trial, "phone").outcome, Outcome::Stuck(problem) if problem.reason == Reason::WrongType)
        );
        let active = tried(&trial, "active");
        assert_eq!(active.written, Some(json!({ "users.is_active": false })));
        assert_eq!(
            active.outcome,
            Outcome::Loses(vec!["everything in is_removed and status_key that is not on reads as false".into()])
        );
        assert_eq!(trial.made["users"]["username"], "ada");
        assert_eq!(trial.made["users"]["password"], json!({ "generate": "unusable_password" }));
        assert_eq!(trial.made["user_profiles"]["theme"], "light");
    }

    #[test]
    fn rows_come_back_as_what_a_new_record_would_hold() {
        let rows = json!({
            "users": { "id": 7, "old_user_id": null, "username": "ada", "subscription_status": "pro", "first_name": "Ada",
                "last_name": "King", "last_login": null, "created_at": "2024-01-02T03:04:05.678+00:00" },
        });
        let trial = user().try_out(Side::Renaissance, &rows);
        assert_eq!(trial.unmapped, ["users.last_login"]);
        let premium = tried(&trial, "premium");
        assert_eq!(premium.returned, Some(json!({ "users.subscription_status": "premium" })));
        assert_eq!(premium.outcome, Outcome::Loses(vec!["\"premium\" and \"pro\" read as true".into()]));
        assert!(matches!(tried(&trial, "name").outcome, Outcome::Loses(_)));
        assert_eq!(tried(&trial, "created").outcome, Outcome::Kept, "whole milliseconds");
        assert_eq!(tried(&trial, "push_notifications").outcome, Outcome::Absent);
    }
}
