//! The spellings that a schemaless collection has collected over the years: the same value in neighbouring types, or not there.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document};
use rand::RngExt;
use rand::rngs::StdRng;

/// A field that this share of the documents lacks; a quarter of them has null instead.
pub(super) fn put(
    rng: &mut StdRng,
    document: &mut Document,
    field: &str,
    lacking: f64,
    value: impl FnOnce(&mut StdRng) -> Bson,
) {
    if !rng.random_bool(lacking) {
        let value = value(rng);
        document.insert(field, value);
    } else if rng.random_bool(0.25) {
        document.insert(field, Bson::Null);
    }
}

/// A whole number as the years have stored it.
pub(super) fn written_int(rng: &mut StdRng, value: i32) -> Bson {
    match rng.random_range(0..20) {
        0..=2 => Bson::String(value.to_string()),
        3 => Bson::Double(f64::from(value)),
        4 => Bson::Int64(i64::from(value)),
        _ => Bson::Int32(value),
    }
}

pub(super) fn written_time(rng: &mut StdRng, millis: i64) -> Bson {
    let time = DateTime::from_millis(millis);
    match time.try_to_rfc3339_string() {
        Ok(text) if rng.random_bool(0.08) => Bson::String(text),
        Ok(_) | Err(_) => Bson::DateTime(time),
    }
}

/// A day, as a date at its start or in its evening, or as text.
pub(super) fn written_day(rng: &mut StdRng, millis: i64) -> Bson {
    const DAY: i64 = 86_400_000;
    let start = millis.div_euclid(DAY) * DAY;
    let later = if rng.random_bool(0.1) { rng.random_range(0..DAY) } else { 0 };
    written_time(rng, start + later)
}

/// The id of another document, in a few documents as text.
pub(super) fn written_id(rng: &mut StdRng, id: ObjectId) -> Bson {
    if rng.random_bool(0.05) { Bson::String(id.to_hex()) } else { Bson::ObjectId(id) }
}

/// A truth value, in a few documents as a number or as text.
pub(super) fn written_bool(rng: &mut StdRng, value: bool) -> Bson {
    match rng.random_range(0..30) {
        0 => Bson::String(value.to_string()),
        1 => Bson::Int32(i32::from(value)),
        _ => Bson::Boolean(value),
    }
}

/// A path in BioGraph's media bucket, or a full address on the host that this bucket has (or once had).
pub(super) fn written_media(rng: &mut StdRng, path: String) -> Bson {
    const MEDIA_HOST: &str = "https://media.biograph.example";
    match rng.random_range(0..10) {
        0 => Bson::String(String::new()),
        1 | 2 => Bson::String(format!("{MEDIA_HOST}/{path}")),
        _ => Bson::String(path),
    }
}
