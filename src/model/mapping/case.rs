//! Examples inside a mapping file: what a document or row means, and what is written on the other side for it.
//!
//! `from = "legacy"` (the default): the document `legacy` reads as `record`, and writing that into `current` (nothing, if
//! not given) leaves what `renaissance` shows. `"renaissance"`: the other way round. `"both"`: both ways. All four are
//! JSON, documents and dates in MongoDB's extended form, rows as `{"table": {"column": …}}`; only what is shown is
//! compared. A field that cannot be converted or written is `{"problem": "wrong_type"}`.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::{Entity, Path};
use crate::model::{
    calendar,
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
        self.cases.iter().flat_map(|case| case.from.iter().flat_map(|side| self.run(case, *side))).collect()
    }

    fn run(&self, case: &Case, from: Side) -> Vec<CaseFailure> {
        let nothing = Json::Null;
        let (given, expected) = match from {
            Side::Legacy => (&case.legacy, &case.renaissance),
            Side::Renaissance => (&case.renaissance, &case.legacy),
        };
        let mut found = Vec::new();
        let image = self.image(from, given.as_ref().unwrap_or(&nothing), &mut found);
        let current = case.current.as_ref().map(|current| self.image(from.other(), current, &mut found));
        let shown = expected.as_ref().map(|expected| self.image(from.other(), expected, &mut found));
        let record = case.record.as_object().cloned().unwrap_or_default();
        for name in record.keys().filter(|name| self.field(name).is_none()) {
            found.push(format!("record: there is no field `{name}`"));
        }
        let mut after = current.clone().unwrap_or_else(|| empty(self.slots(from.other())));
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
        if let Some(shown) = shown {
            found.extend(self.differences(from.other(), &shown, &after));
        }
        let failure =
            |message| CaseFailure { file: self.origin.file.clone(), line: case.line, case: case.name.clone(), message };
        found.into_iter().map(failure).collect()
    }

    fn slots(&self, side: Side) -> usize {
        match side {
            Side::Legacy => self.legacy.paths.len(),
            Side::Renaissance => self.renaissance.columns.len(),
        }
    }

    /// The record that a case shows, as an image.
    fn image(&self, side: Side, json: &Json, found: &mut Vec<String>) -> Image {
        match side {
            Side::Legacy => {
                let document = from_json(json);
                let slots = self.legacy.paths.iter().map(|path| at_path(&document, path)).collect();
                Image { slots, version: Version(Vec::new()) }
            }
            Side::Renaissance => self.rows(json, found),
        }
    }

    fn rows(&self, json: &Json, found: &mut Vec<String>) -> Image {
        let mut image = empty(self.renaissance.columns.len());
        let none = Map::new();
        for (table, row) in json.as_object().unwrap_or(&none) {
            for (column, content) in row.as_object().unwrap_or(&none) {
                let place = self.renaissance.columns.iter().position(|known| {
                    known.name == *column
                        && self.renaissance.tables.get(known.table).is_some_and(|owner| owner.name == *table)
                });
                match place.and_then(|place| image.slots.get_mut(place)) {
                    Some(slot) => *slot = Some(from_json(content)),
                    None => found.push(format!("renaissance: `{table}.{column}` is not mapped")),
                }
            }
        }
        image
    }

    /// Slots shown by the case that came out otherwise.
    fn differences(&self, side: Side, shown: &Image, after: &Image) -> Vec<String> {
        let name = |slot: usize| match side {
            Side::Legacy => self.legacy.paths.get(slot).map(|path| path.0.join(".")),
            Side::Renaissance => self.renaissance.columns.get(slot).map(|column| column.name.clone()),
        };
        let identity = |slot: usize| side == Side::Legacy && slot == super::lens::ID_SLOT;
        let pairs = shown.slots.iter().zip(&after.slots).enumerate();
        pairs
            .filter(|(slot, (shown, after))| {
                shown.is_some() && !identity(*slot) && !same(shown.as_ref(), after.as_ref())
            })
            .map(|(slot, (shown, after))| {
                let name = name(slot).unwrap_or_default();
                format!("{side} {name}: expected {}, found {}", display(shown.as_ref()), display(after.as_ref()))
            })
            .collect()
    }
}

fn compare(field: &str, expected: &Json, read: &Reading, problem: Option<&Problem>) -> Option<String> {
    let wanted = expected.get("problem").and_then(Json::as_str);
    let found = match (problem, read) {
        (Some(problem), _) if wanted == Some(problem.reason.as_str()) => return None,
        (Some(problem), _) => problem.to_string(),
        (None, Reading::Absent) => "nothing at all".to_owned(),
        (None, Reading::Value(value)) if wanted.is_none() && same(Some(&from_json(expected)), Some(value)) => {
            return None;
        }
        (None, Reading::Value(value)) => to_json(value).to_string(),
        (None, Reading::Invalid(problem)) => problem.to_string(),
    };
    Some(format!("field {field}: expected {expected}, found {found}"))
}

/// Equal, with dates in ISO text taken as dates.
fn same(expected: Option<&Value>, found: Option<&Value>) -> bool {
    match (expected, found) {
        (Some(Value::Text(text)), Some(Value::Timestamp(micros))) => calendar::from_iso(text) == Some(*micros),
        (expected, found) => expected == found,
    }
}

fn display(slot: Option<&Value>) -> String {
    slot.map_or_else(|| "nothing".to_owned(), |value| to_json(value).to_string())
}

fn empty(slots: usize) -> Image {
    Image { slots: vec![None; slots], version: Version(Vec::new()) }
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
