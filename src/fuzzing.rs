//! What fuzzing throws arbitrary input at: everything that reads what somebody else has written. Only the fuzz targets
//! (`tests/fuzz`) and the unit tests are built with it.
//!
//! Whatever it is given, none of it may panic, loop, or make much of little; what holds besides is asserted. Each says whether
//! its input was understood, so that seeds that no longer are get noticed.

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use crate::model::{
    condition::Condition,
    mapping::{Entity, check::check, parse},
    side::Side,
};
pub use crate::{
    admin::fuzzing::route,
    mongo::fuzzing::{document, event},
    postgres::capture::fuzzing::pgoutput,
};

/// The mapping of people, which reads and answers are tried with.
pub(crate) fn people() -> Option<&'static Entity> {
    static PEOPLE: LazyLock<Option<Entity>> =
        LazyLock::new(|| parse("user.toml", include_str!("../mappings/user.toml")).ok());
    PEOPLE.as_ref()
}

/// A mapping file: each problem has a line of the file, and what is accepted can be tried on any record.
pub fn mapping(text: &str) -> bool {
    let report = check(&[("mapping.toml".to_owned(), text.to_owned())]);
    let lines = text.lines().count() + 1;
    for error in &report.errors {
        assert!(error.line <= lines, "line {} of {lines}", error.line);
        drop(error.to_string());
    }
    for failure in &report.failures {
        drop(failure.to_string());
    }
    for entity in &report.entities {
        for record in records() {
            for side in Side::ALL {
                let tried = entity.try_out(side, &record);
                assert_eq!(tried.fields.len(), entity.fields.len());
            }
        }
    }
    // one file alone may refer to others
    !report.entities.is_empty()
}

/// Records that fit no mapping well.
fn records() -> [Json; 3] {
    let row =
        json!({ "id": 1, "old_user_id": "x", "name": ["a", {}], "phone": "+18475550100", "created_at": "0000-99" });
    [
        json!({}),
        json!({ "_id": { "$oid": "65f0c0ffee00000000000abc" }, "name": "\u{0}", "phone": 1e300, "tags": [[], null] }),
        json!({ "users": row, "user_profiles": [1], "": null }),
    ]
}

/// A condition that chooses people: a mistake is shown at a place within it.
pub fn condition(text: &str) -> bool {
    let Some(people) = people() else { return false };
    match Condition::parse(text).and_then(|condition| condition.bind(people)) {
        Ok(bound) => {
            for side in Side::ALL {
                let image = people.image_of_document(&json!({ "name": "Ada", "phone": 1 }));
                std::hint::black_box(bound.holds(people, side, &image));
            }
            !bound.shown().is_empty()
        }
        Err(mistake) => {
            assert!(mistake.at <= text.chars().count());
            drop(mistake.shown(text));
            false
        }
    }
}
