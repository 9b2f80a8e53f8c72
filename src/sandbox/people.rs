//! Fictional BioGraph people, the same for the same seed, in all the shapes that a schemaless collection has collected.
//!
//! Every one can be mapped: values fit their columns, and username, phone and email are unique by construction.

use std::collections::BTreeSet;

use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::WriteConcern;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::SandboxError;
use super::names::{FIRST_NAMES, LAST_NAMES, ascii, email, pick};
use super::phones::{phone, written_phone};
use super::shapes::{put, written_int, written_media, written_time};

/// The collection of the legacy users.
pub const USERS: &str = "authapp_usermodel";

const BATCH: usize = 1000;
/// 2019-01-01, when the first of them joined.
const FIRST_JOINED: u32 = 1_546_300_800;
/// A million people over five years.
const JOIN_EVERY_SECONDS: u32 = 157;

/// Iterates over that many people; the first of them are the same whatever the number, except for their friends.
#[derive(Debug, Clone)]
pub struct People {
    seed: u64,
    count: u32,
    next: u32,
}

/// That many people, at most a few million.
pub fn people(seed: u64, count: u32) -> People {
    People { seed, count, next: 0 }
}

/// The legacy id of one of them.
pub fn person_id(seed: u64, index: u32) -> ObjectId {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&joined(index).to_be_bytes());
    bytes[4..9].copy_from_slice(&seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[..5]);
    bytes[9..].copy_from_slice(&index.to_be_bytes()[1..]);
    ObjectId::from_bytes(bytes)
}

/// Inserts that many people into the legacy database.
pub async fn load_people(database: &Database, seed: u64, count: u32) -> Result<(), SandboxError> {
    let users = database.collection::<Document>(USERS);
    let mut people = people(seed, count);
    loop {
        let batch: Vec<Document> = people.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(());
        }
        users.insert_many(batch).ordered(false).write_concern(WriteConcern::majority()).await?;
    }
}

impl Iterator for People {
    type Item = Document;

    fn next(&mut self) -> Option<Document> {
        if self.next >= self.count {
            return None;
        }
        let person = person(self.seed, self.next, self.count);
        self.next += 1;
        Some(person)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.count - self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for People {}

fn person(seed: u64, index: u32, count: u32) -> Document {
    let mut rng = StdRng::seed_from_u64(seed.rotate_left(32) ^ u64::from(index));
    let rng = &mut rng;
    let first = pick(rng, &FIRST_NAMES);
    let last = pick(rng, &LAST_NAMES);
    let username = format!("{}.{}.{index}", ascii(first), ascii(last));
    let (country, digits) = phone(index);
    let mut person = doc! { "_id": person_id(seed, index), "username": &username };
    person.insert("phone_number", written_phone(rng, country, &digits));
    person.insert("country_code", written_int(rng, country));
    if rng.random_bool(0.03) {
        return person; // from the first version, which knew no more
    }
    put(rng, &mut person, "name", 0.04, |rng| match rng.random_range(0..20) {
        0 => first.into(),
        1 => format!("{first} {} {last}", pick(rng, &FIRST_NAMES)).into(),
        _ => format!("{first} {last}").into(),
    });
    put(
        rng,
        &mut person,
        "email",
        0.2,
        |rng| {
            if rng.random_bool(0.1) { "".into() } else { email(rng, &username).into() }
        },
    );
    put(rng, &mut person, "profile_pic_url", 0.15, |rng| {
        let path = picture_path(rng);
        written_media(rng, path)
    });
    put(rng, &mut person, "profile_settings", 0.2, |rng| pick(rng, &["P", "P", "F", "F", "F", "O"]).into());
    put(rng, &mut person, "email_notification", 0.25, |rng| switches(rng, "comments"));
    put(rng, &mut person, "push_notification", 0.25, |rng| switches(rng, "messages"));
    put(rng, &mut person, "is_premium_member", 0.15, |rng| rng.random_bool(0.12).into());
    let friends = if rng.random_bool(0.02) { 60 } else { 8 };
    put(rng, &mut person, "friends", 0.06, |rng| references(rng, seed, index, count, friends));
    put(rng, &mut person, "subscribers", 0.3, |rng| references(rng, seed, index, count, 4));
    let removed = rng.random_bool(0.03);
    put_standing(rng, &mut person, removed);
    put_times(rng, &mut person, index);
    person
}

/// Missing means active and not removed, so only such people may lack these.
fn put_standing(rng: &mut StdRng, person: &mut Document, removed: bool) {
    let active = !removed && !rng.random_bool(0.02);
    put(rng, person, "status_key", if active { 0.1 } else { 0.0 }, |rng| written_int(rng, i32::from(active)));
    put(rng, person, "is_removed", if removed { 0.0 } else { 0.2 }, |_| removed.into());
}

fn put_times(rng: &mut StdRng, person: &mut Document, index: u32) {
    let created = i64::from(joined(index)) * 1000 + rng.random_range(0..1000);
    let updated = created + rng.random_range(0..90 * 86_400_000);
    put(rng, person, "created_time", 0.02, |rng| written_time(rng, created));
    put(rng, person, "updated_time", 0.05, |rng| written_time(rng, updated));
}

/// Where BioGraph puts a profile picture.
pub(super) fn picture_path(rng: &mut StdRng) -> String {
    format!("users/BioGraph/profile/{:016x}.jpg", rng.random::<u64>())
}

/// Notification settings, of which the bridge maps `all` and must keep the others.
fn switches(rng: &mut StdRng, other: &str) -> Bson {
    let mut switches = Document::new();
    if !rng.random_bool(0.15) {
        switches.insert("all", rng.random_bool(0.7));
    }
    if rng.random_bool(0.6) {
        switches.insert("likes", rng.random_bool(0.5));
        switches.insert(other, rng.random_bool(0.5));
    }
    switches.into()
}

/// Ids of up to `most` others, in a few documents as text.
fn references(rng: &mut StdRng, seed: u64, own: u32, count: u32, most: usize) -> Bson {
    let wanted = rng.random_range(0..=most);
    let others: BTreeSet<u32> = (0..wanted).map(|_| rng.random_range(0..count)).filter(|other| *other != own).collect();
    let as_text = rng.random_bool(0.05);
    let written = |id: ObjectId| if as_text { Bson::String(id.to_hex()) } else { Bson::ObjectId(id) };
    Bson::Array(others.into_iter().map(|other| written(person_id(seed, other))).collect())
}

pub(super) fn joined(index: u32) -> u32 {
    FIRST_JOINED + index % 1_000_000 * JOIN_EVERY_SECONDS
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use mongodb::bson::DateTime;

    use super::*;

    fn digits(text: &str) -> String {
        text.chars().filter(char::is_ascii_digit).collect()
    }

    /// The number in E.164 without the plus, as the bridge compares it.
    fn e164(person: &Document) -> String {
        let phone = person.get_str("phone_number").unwrap();
        let country = match person.get("country_code").unwrap() {
            Bson::String(text) => text.clone(),
            Bson::Double(number) => number.to_string(),
            number => number.to_string(),
        };
        if phone.starts_with('+') { digits(phone) } else { country + &digits(phone) }
    }

    #[test]
    fn the_same_seed_gives_the_same_people() {
        assert!(people(7, 200).eq(people(7, 200)));
        assert!(!people(7, 200).eq(people(8, 200)));
        assert_eq!(people(7, 200).len(), 200);
    }

    #[test]
    fn names_phones_and_emails_are_unique_and_fit_their_columns() {
        let (mut ids, mut names, mut phones, mut emails) =
            (HashSet::new(), HashSet::new(), HashSet::new(), HashSet::new());
        for person in people(1, 100_000) {
            let username = person.get_str("username").unwrap().to_owned();
            let phone = e164(&person);
            assert!(username.len() <= 150 && username.is_ascii(), "{person}");
            assert!((11..=12).contains(&phone.len()), "{person}");
            assert!(person.get_str("name").is_ok_and(|name| name.len() <= 150) || person.get_str("name").is_err());
            if let Ok(email) = person.get_str("email")
                && !email.is_empty()
            {
                assert!(emails.insert(email.to_owned()), "{person}");
            }
            assert!(ids.insert(person.get_object_id("_id").unwrap()), "{person}");
            assert!(names.insert(username) && phones.insert(phone), "{person}");
        }
    }

    #[test]
    fn every_odd_shape_occurs_but_few_documents_are_odd() {
        let mut seen: HashMap<(String, u8), u32> = HashMap::new();
        for person in people(1, 5000) {
            for (field, value) in &person {
                *seen.entry((field.clone(), value.element_type() as u8)).or_default() += 1;
            }
        }
        let count = |field: &str, value: &Bson| seen.get(&(field.to_owned(), value.element_type() as u8)).copied();
        let common = [("status_key", Bson::Int32(1)), ("created_time", Bson::DateTime(DateTime::MIN))];
        let odd = [
            ("status_key", Bson::String(String::new())),
            ("status_key", Bson::Double(1.0)),
            ("country_code", Bson::String(String::new())),
            ("created_time", Bson::String(String::new())),
            ("email", Bson::Null),
            ("friends", Bson::Null),
        ];
        for (field, value) in common {
            assert!(count(field, &value).unwrap() > 3000, "{field} {value:?}");
        }
        for (field, value) in odd {
            assert!((10..1000).contains(&count(field, &value).unwrap()), "{field} {value:?}");
        }
    }

    #[test]
    fn friends_are_other_people_of_the_same_population() {
        let ids: HashSet<ObjectId> = (0..500).map(|index| person_id(3, index)).collect();
        for person in people(3, 500) {
            let friends = person.get_array("friends").cloned().unwrap_or_default();
            for friend in &friends {
                let id = match friend {
                    Bson::String(text) => ObjectId::parse_str(text).unwrap(),
                    other => other.as_object_id().unwrap(),
                };
                assert!(ids.contains(&id) && id != person.get_object_id("_id").unwrap());
            }
        }
    }
}
