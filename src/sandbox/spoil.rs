//! What is wrong with some documents of a grown BioGraph: things that no mapping can make good, one per document.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};
use rand::RngExt;
use rand::rngs::StdRng;

use super::content::{BIOGRAPHS, BOOKS, CO_AUTHORS, NOTIFICATIONS, RECORDED_TIMES, SUBSCRIPTIONS};
use super::people::person_id;
use super::{USERS, phones};

/// Breaks one thing: a text that is too long or holds NUL, a value of a wrong type or of an unknown word, a number out of
/// range, a reference to nobody, somebody else's telephone number.
pub(super) fn spoil(rng: &mut StdRng, collection: &str, document: &mut Document, seed: u64) {
    let (field, bad) = match collection {
        USERS => return spoil_person(rng, document),
        BIOGRAPHS => biograph(rng),
        CO_AUTHORS => [("biograph_id", nobody(rng)), ("co_author_id", nobody(rng)), ("is_approved", "maybe".into())]
            [rng.random_range(0..3)]
        .clone(),
        BOOKS => book(rng),
        NOTIFICATIONS => notification(rng),
        RECORDED_TIMES => [
            ("listening_time", Bson::Int64(1 << 40)),
            ("listening_time", "an hour".into()),
            ("date_of_listening", "Tuesday".into()),
            ("user_id", nobody(rng)),
        ][rng.random_range(0..4)]
        .clone(),
        SUBSCRIPTIONS => [
            ("receipt_id", "r".repeat(201).into()),
            ("product_id", doc! { "id": 1 }.into()),
            ("end_date", Bson::Boolean(true)),
            ("user_id", written(person_id(seed ^ 1, 0))),
        ][rng.random_range(0..4)]
        .clone(),
        _ => return,
    };
    document.insert(field, bad);
}

fn spoil_person(rng: &mut StdRng, person: &mut Document) {
    let (field, bad): (&str, Bson) = match rng.random_range(0..9) {
        0 => ("name", "Nul\0l".into()),
        1 => ("name", "x".repeat(151).into()),
        2 => ("name", vec!["Ada"].into()),
        3 => ("profile_settings", "X".into()),
        4 => ("phone_number", "call me".into()),
        5 => ("created_time", "long ago".into()),
        6 => ("friends", vec![nobody(rng)].into()),
        7 => ("subscribers", Bson::Array(vec!["nobody".into()])),
        // the number of the first person of all
        _ => {
            let (country, digits) = phones::phone(0);
            person.insert("country_code", country);
            ("phone_number", digits.into())
        }
    };
    person.insert(field, bad);
}

fn biograph(rng: &mut StdRng) -> (&'static str, Bson) {
    match rng.random_range(0..11) {
        0 => ("title", "t".repeat(121).into()),
        1 => ("title", doc! { "en": "About it" }.into()),
        2 => ("record_text", "before\0after".into()),
        3 => ("record_time", "long".into()),
        4 => ("photo_url", format!("https://media.biograph.example/{}", "p".repeat(200)).into()),
        5 => ("biograph_type", "9".into()),
        6 => ("allKeywords", "river, farm".into()),
        7 => ("co_authors", Bson::Array(vec!["Ada".into()])),
        8 => ("monologues", doc! { "one": "nul\0" }.into()),
        9 => ("user_id", nobody(rng)),
        _ => ("user_id", Bson::Null),
    }
}

fn book(rng: &mut StdRng) -> (&'static str, Bson) {
    match rng.random_range(0..4) {
        0 => ("synopsis", "s".repeat(251).into()),
        1 => ("is_published", "perhaps".into()),
        2 => ("biographs", doc! { "0": nobody(rng) }.into()),
        _ => ("user_id", nobody(rng)),
    }
}

fn notification(rng: &mut StdRng) -> (&'static str, Bson) {
    match rng.random_range(0..4) {
        0 => ("notification_type", Bson::Null),
        1 => ("from_id", nobody(rng)),
        2 => ("to_id", "me".into()),
        _ => ("biograph_id", nobody(rng)),
    }
}

/// A reference to a document that never was.
fn nobody(rng: &mut StdRng) -> Bson {
    written(ObjectId::from_bytes(rng.random()))
}

const fn written(id: ObjectId) -> Bson {
    Bson::ObjectId(id)
}
