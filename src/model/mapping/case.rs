//! Examples inside a mapping file: what a document or row means, and what is written on the other side for it.
//!
//! `from = "legacy"` (the default): the document `legacy` reads as `record`, and writing that into `current` leaves what
//! `renaissance` shows; without `current` the record is new there and gets its insert values too. `"renaissance"`: the other way
//! round. `"both"`: both ways. All four are JSON, in the forms of [`super::shown`]; only what is shown is compared. A field that
//! cannot be converted or written is `{"problem": "wrong_type"}`; a generated insert value is `{"generate": "now"}`.

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value as Json};

use super::{
    Entity, InsertValue,
    shown::{Extra, extended, same},
};
use crate::model::{
    image::{Image, Version},
    json::{from_json, to_json},
    problem::Problem,
    reading::Reading,
    side::Side,
    value::{Slot, Value},
};

/// One example.
#[derive(Clone, PartialEq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The line that declares it.
    pub line: usize,
    /// The sides it starts from.
    pub from: Vec<Side>,
    /// A document.
    pub legacy: Option<Json>,
    /// The canonical values of some or all fields.
    pub record: Json,
    /// Rows by table.
    pub renaissance: Option<Json>,
    /// What the written side holds before.
    pub current: Option<Json>,
}

/// An example that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFailure {
    /// The file.
    pub file: String,
    /// The line that declares the case.
    pub line: usize,
    /// The case.
    pub case: String,
    /// What differs. Examples are made up, so values may be shown.
    pub message: String,
}

impl fmt::Display for CaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: case \"{}\": {}", self.file, self.line, self.case, self.message)
    }
}

impl Entity {
    /// Runs every example of the mapping.
    pub fn run_cases(&self) -> Vec<CaseFailure> {
        self.cases.iter().flat_map(|case| self.run_case(case)).collect()
    }

    fn run_case(&self, case: &Case) -> Vec<CaseFailure> {
        let strange = self.strange_tables(case);
        if strange.is_empty() {
            return case.from.iter().flat_map(|side| self.run(case, *side)).collect();
        }
        // one wrong name, and not everything that follows from it
        let known: Vec<_> = self.renaissance.tables.iter().map(|table| format!("`{}`", table.name)).collect();
        let message = |table| format!("renaissance: the mapping has no table `{table}`, but {}", known.join(", "));
        strange.into_iter().map(|table| self.failure(case, message(table))).collect()
    }

    /// Tables that an example shows and the mapping does not know.
    fn strange_tables<'a>(&self, case: &'a Case) -> BTreeSet<&'a str> {
        let known = |name: &str| self.renaissance.tables.iter().any(|table| table.name == name);
        let held = case.current.iter().filter(|_| case.from == [Side::Legacy]);
        let shown = case.renaissance.iter().chain(held).filter_map(Json::as_object).flat_map(|rows| rows.keys());
        shown.map(String::as_str).filter(|name| !known(name)).collect()
    }

    fn failure(&self, case: &Case, message: String) -> CaseFailure {
        CaseFailure { file: self.origin.file.clone(), line: case.line, case: case.name.clone(), message }
    }

    fn run(&self, case: &Case, from: Side) -> Vec<CaseFailure> {
        let nothing = Json::Null;
        let (given, expected) = match from {
            Side::Legacy => (&case.legacy, &case.renaissance),
            Side::Renaissance => (&case.renaissance, &case.legacy),
        };
        let mut found = Vec::new();
        let (image, _) = self.image(from, given.as_ref().unwrap_or(&nothing), &mut found);
        let current = case.current.as_ref().map(|current| self.image(from.other(), current, &mut found).0);
        let record = case.record.as_object().cloned().unwrap_or_default();
        for name in record.keys().filter(|name| self.field(name).is_none()) {
            found.push(format!("record: there is no field `{name}`"));
        }
        let mut after = current.clone().unwrap_or_else(|| self.blank(from.other()));
        for field in &self.fields {
            let read = field.get(from, &image);
            let put = read.value().map(|value| field.put(from.other(), value, current.as_ref()));
            let problem = match (&read, &put) {
                (Reading::Invalid(problem), _) | (_, Some(Err(problem))) => Some(problem),
                (Reading::Value(_) | Reading::Absent, _) => None,
            };
            if let Some(expected) = record.get(&field.name) {
                found.extend(compare(&field.name, expected, &read, problem));
            }
            for (slot, content) in put.into_iter().filter_map(Result::ok).flatten() {
                if let Some(place) = after.slots.get_mut(slot) {
                    *place = content;
                }
            }
        }
        if current.is_none() {
            self.fill_new(from.other(), &mut after);
        }
        if let Some(expected) = expected {
            let (shown, extras) = self.image(from.other(), expected, &mut found);
            found.extend(self.differences(from.other(), &shown, &after));
            let new = extras.iter().filter(|_| current.is_none());
            found.extend(new.filter_map(|extra| self.insert_difference(extra)));
        }
        found.into_iter().map(|message| self.failure(case, message)).collect()
    }

    /// A record of that side without any content.
    pub(super) fn blank(&self, side: Side) -> Image {
        let slots = match side {
            Side::Legacy => self.legacy.paths.len(),
            Side::Renaissance => self.renaissance.columns.len(),
        };
        Image { slots: vec![None; slots], version: Version(Vec::new()) }
    }

    /// The record that a case shows, as an image. Columns that have nothing to do with the mapping are wrong.
    fn image(&self, side: Side, json: &Json, found: &mut Vec<String>) -> (Image, Vec<Extra>) {
        match side {
            Side::Legacy => (self.image_of_document(json), Vec::new()),
            Side::Renaissance => {
                let (image, extras) = self.image_of_rows(json);
                for extra in extras.iter().filter(|extra| self.insert_of(extra).is_none()) {
                    found.push(format!("renaissance: `{}.{}` is not mapped", extra.table, extra.column));
                }
                (image, extras)
            }
        }
    }

    fn insert_of(&self, extra: &Extra) -> Option<&InsertValue> {
        let table = self.renaissance.tables.iter().find(|table| table.name == extra.table)?;
        table.insert.iter().find(|(column, _)| *column == extra.column).map(|(_, value)| value)
    }

    fn insert_difference(&self, extra: &Extra) -> Option<String> {
        let value = self.insert_of(extra)?;
        let inserted = value.shown();
        let agrees = same(&from_json(&extra.content), &from_json(&inserted));
        let Extra { table, column, content } = extra;
        (!agrees).then(|| format!("renaissance {table}.{column}: expected {content}, inserted {inserted}"))
    }

    /// Puts insert values and templates into the slots of a new record; generated ones as what generates them.
    pub(super) fn fill_new(&self, side: Side, image: &mut Image) {
        let (inserts, computed) = match side {
            Side::Legacy => (self.legacy.insert.as_slice(), &self.legacy.computed),
            Side::Renaissance => (&[][..], &self.renaissance.computed),
        };
        let texts = computed
            .iter()
            .map(|computed| (computed.slot, Value::Text(self.computed_text(computed, side, image).into())));
        let texts: Vec<(usize, Value)> = texts.collect();
        let values = inserts.iter().map(|(slot, value)| (*slot, from_json(&value.shown())));
        for (slot, content) in values.chain(texts) {
            if let Some(place) = image.slots.get_mut(slot) {
                *place = Some(content);
            }
        }
    }

    /// Slots shown by the case that came out otherwise.
    fn differences(&self, side: Side, shown: &Image, after: &Image) -> Vec<String> {
        let identity = |slot: usize| side == Side::Legacy && slot == super::lens::ID_SLOT;
        let pairs = shown.slots.iter().zip(&after.slots).enumerate();
        let differs = |slot: usize, shown: &Value, after: &Slot| match after {
            Some(after) if self.is_set(side, slot) => !same(&sorted(shown), &sorted(after)),
            Some(after) => !same(shown, after),
            None => true,
        };
        pairs
            .filter_map(|(slot, (shown, after))| Some((slot, shown.as_ref()?, after)))
            .filter(|(slot, shown, after)| !identity(*slot) && differs(*slot, shown, after))
            .map(|(slot, shown, after)| {
                let place = self.place(side, slot);
                format!("{side} {place}: expected {}, found {}", extended(shown), display(after.as_ref()))
            })
            .collect()
    }

    /// Whether a slot holds the rows of a join table, which have no order.
    pub(crate) fn is_set(&self, side: Side, slot: usize) -> bool {
        let column = self.renaissance.columns.get(slot).filter(|_| side == Side::Renaissance);
        column.and_then(|column| self.renaissance.tables.get(column.table)).is_some_and(|table| table.members.is_some())
    }
}

impl InsertValue {
    /// As a mapping file or a case writes it.
    pub(super) fn shown(&self) -> Json {
        let generate =
            |word: &str| Json::Object(Map::from_iter([("generate".to_owned(), Json::String(word.to_owned()))]));
        match self {
            Self::Constant(value) => extended(value),
            Self::UnusablePassword => generate("unusable_password"),
            Self::Now => generate("now"),
            Self::Uuid => generate("uuid"),
        }
    }
}

/// A set in an order of its own; ids in hex are ids.
fn sorted(value: &Value) -> Value {
    let Value::List(items) = value else { return value.clone() };
    let id = |item: &Value| match item {
        Value::Text(text) => {
            text.parse().map_or_else(|_| item.clone(), |id: crate::model::key::LegacyId| Value::Id(id.bytes()))
        }
        item => item.clone(),
    };
    let mut items: Vec<Value> = items.iter().map(id).collect();
    items.sort_by_cached_key(|item| to_json(item).to_string());
    Value::List(items)
}

fn compare(field: &str, expected: &Json, read: &Reading, problem: Option<&Problem>) -> Option<String> {
    let wanted = expected.get("problem").and_then(Json::as_str);
    let found = match (problem, read) {
        (Some(problem), _) if wanted == Some(problem.reason.as_str()) => return None,
        (Some(problem), _) => problem.to_string(),
        (None, Reading::Absent) => "nothing at all".to_owned(),
        (None, Reading::Value(value)) if wanted.is_none() && same(&from_json(expected), value) => return None,
        (None, Reading::Value(value)) => extended(value).to_string(),
        (None, Reading::Invalid(problem)) => problem.to_string(),
    };
    Some(format!("field {field}: expected {expected}, found {found}"))
}

fn display(slot: Option<&Value>) -> String {
    slot.map_or_else(|| "nothing".to_owned(), |value| extended(value).to_string())
}
