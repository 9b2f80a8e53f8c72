//! What fictional people have made, heard, bought and been told: the other collections, the same for the same seed.
//!
//! As with people, every document can be mapped: it fits its columns and refers to documents that are there.

use std::collections::BTreeSet;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::names::{LAST_NAMES, pick};
use super::people::{joined, person_id};
use super::shapes::{put, written_bool, written_day, written_id, written_int, written_media, written_time};

/// The collection of the biographs.
pub const BIOGRAPHS: &str = "biographapp_biographmodel";
/// The collection of those who may write in somebody's biograph.
pub const CO_AUTHORS: &str = "biographapp_coauthormodel";
/// The collection of the books.
pub const BOOKS: &str = "authapp_booksmodel";
/// The collection of the notifications.
pub const NOTIFICATIONS: &str = "authapp_notifcationmodel";
/// The collection of the listening times.
pub const RECORDED_TIMES: &str = "authapp_recordedtimemodel";
/// The collection of the purchases.
pub const SUBSCRIPTIONS: &str = "authapp_subscription";
/// All of them, those that others refer to first.
pub const CONTENT: [&str; 6] = [BIOGRAPHS, BOOKS, CO_AUTHORS, NOTIFICATIONS, RECORDED_TIMES, SUBSCRIPTIONS];

/// More than anybody has of one kind; 2^24 ids of a kind are enough for two million people.
const MOST: u32 = 8;
const DAY: i64 = 86_400_000;
pub(super) const KEYWORDS: [&str; 8] =
    ["childhood", "river", "Großmutter", "war", "the farm", "école", "first job", "wedding"];
const PLACES: [&str; 6] = ["Marietta, Ohio", "Lyon", "Göteborg", "Accra", "東京", "São Paulo"];
const PRODUCTS: [(&str, i32); 3] = [("premium_monthly", 30), ("premium_yearly", 365), ("pro_monthly", 30)];

/// Everything that belongs to one of `count` people, with its collection; no document refers to a later one.
pub fn content(seed: u64, index: u32, count: u32) -> Vec<(&'static str, Document)> {
    let rng = StdRng::seed_from_u64(seed.rotate_left(17) ^ u64::from(index) ^ 0x00C0_FFEE);
    Author { seed, index, count, rng, made: Vec::new() }.everything()
}

/// The legacy id of one document of a person.
pub fn content_id(seed: u64, collection: &str, index: u32, nth: u32) -> ObjectId {
    let kind = CONTENT.iter().position(|known| *known == collection).unwrap_or(CONTENT.len());
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&(joined(index) + (nth + 1) * 86_400).to_be_bytes());
    let mixed = seed.wrapping_add(kind as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bytes[4..9].copy_from_slice(&mixed.to_be_bytes()[..5]);
    bytes[9..].copy_from_slice(&(index * MOST + nth).to_be_bytes()[1..]);
    ObjectId::from_bytes(bytes)
}

struct Author {
    seed: u64,
    index: u32,
    count: u32,
    rng: StdRng,
    made: Vec<(&'static str, Document)>,
}

impl Author {
    fn everything(mut self) -> Vec<(&'static str, Document)> {
        let biographs = self.rng.random_range(0..=3_u32);
        let books = u32::from(biographs > 0 && self.rng.random_bool(0.4));
        for nth in 0..biographs {
            let co_authors = self.others(0.3);
            self.biograph(nth, books, &co_authors);
            for (place, co_author) in co_authors.iter().enumerate() {
                self.co_author(nth, place as u32, *co_author);
            }
        }
        if books > 0 {
            self.book(biographs);
        }
        for nth in 0..self.rng.random_range(0..=2_u32) {
            self.notification(nth, biographs);
        }
        for nth in 0..self.rng.random_range(0..=2_u32) {
            self.recorded_time(nth);
        }
        if self.rng.random_bool(0.15) {
            self.subscription();
        }
        self.made
    }

    /// A new document of this person, with its id.
    fn start(&self, collection: &str, nth: u32) -> Document {
        doc! { "_id": content_id(self.seed, collection, self.index, nth) }
    }

    fn own_id(&mut self) -> Bson {
        written_id(&mut self.rng, person_id(self.seed, self.index))
    }

    /// None, one or two other people.
    fn others(&mut self, some: f64) -> Vec<u32> {
        let wanted = if self.rng.random_bool(some) { self.rng.random_range(1..=2) } else { 0 };
        let mut others = BTreeSet::new();
        for _ in 0..wanted {
            others.insert(self.rng.random_range(0..self.count));
        }
        others.remove(&self.index);
        others.into_iter().collect()
    }

    fn biograph(&mut self, nth: u32, books: u32, co_authors: &[u32]) {
        let mut biograph = self.start(BIOGRAPHS, nth);
        let user = self.own_id();
        let (seed, index, rng) = (self.seed, self.index, &mut self.rng);
        biograph.insert("user_id", user);
        put(rng, &mut biograph, "title", 0.05, |rng| {
            format!("About {} and {}", pick(rng, &KEYWORDS), pick(rng, &LAST_NAMES)).into()
        });
        let video = rng.random_bool(0.3);
        put(rng, &mut biograph, "record_text", 0.2, |rng| story(rng).into());
        put(rng, &mut biograph, "record_time", 0.1, |rng| {
            let seconds = rng.random_range(5..900);
            written_int(rng, seconds)
        });
        put(rng, &mut biograph, "words_count", 0.3, |rng| {
            let words = rng.random_range(0..2000);
            if rng.random_bool(0.1) { Bson::Int32(words) } else { words.to_string().into() }
        });
        put(rng, &mut biograph, "photo_url", 0.3, |rng| media(rng, "photo", "jpg"));
        put(rng, &mut biograph, "record_url", 0.1, |rng| media(rng, "recording", "m4a"));
        put(rng, &mut biograph, "video_url", if video { 0.0 } else { 0.9 }, |rng| media(rng, "video", "mp4"));
        put(rng, &mut biograph, "biograph_type", if video { 0.0 } else { 0.1 }, |rng| {
            let kind = 1 + i32::from(video);
            if rng.random_bool(0.1) { Bson::Int32(kind) } else { kind.to_string().into() }
        });
        put(rng, &mut biograph, "allKeywords", 0.2, keywords);
        put(rng, &mut biograph, "location", 0.4, |rng| pick(rng, &PLACES).into());
        put(rng, &mut biograph, "co_authors", if co_authors.is_empty() { 0.5 } else { 0.0 }, |rng| {
            Bson::Array(co_authors.iter().map(|other| written_id(rng, person_id(seed, *other))).collect())
        });
        put(rng, &mut biograph, "books", if books == 0 { 0.5 } else { 0.0 }, |rng| {
            Bson::Array((0..books).map(|book| written_id(rng, content_id(seed, BOOKS, index, book))).collect())
        });
        put(rng, &mut biograph, "monologues", 0.4, monologues);
        put(rng, &mut biograph, "last_played_record", 0.4, |rng| media_path(rng, "recording", "m4a").into());
        put(rng, &mut biograph, "last_updated_title", 0.5, |_| doc! { "title": "About it", "count": 2 }.into());
        self.standing(&mut biograph, true, true);
        self.finish(BIOGRAPHS, nth, biograph);
    }

    fn co_author(&mut self, biograph: u32, place: u32, co_author: u32) {
        let nth = biograph * 2 + place;
        let mut document = self.start(CO_AUTHORS, nth);
        let (seed, index, rng) = (self.seed, self.index, &mut self.rng);
        document.insert("biograph_id", written_id(rng, content_id(seed, BIOGRAPHS, index, biograph)));
        document.insert("co_author_id", written_id(rng, person_id(seed, co_author)));
        put(rng, &mut document, "is_approved", 0.1, |rng| {
            let approved = rng.random_bool(0.8);
            written_bool(rng, approved)
        });
        self.standing(&mut document, false, false);
        self.finish(CO_AUTHORS, nth, document);
    }

    fn book(&mut self, biographs: u32) {
        let mut book = self.start(BOOKS, 0);
        let user = self.own_id();
        let (seed, index, rng) = (self.seed, self.index, &mut self.rng);
        book.insert("user_id", user);
        put(rng, &mut book, "title", 0.05, |rng| format!("The book of {}", pick(rng, &LAST_NAMES)).into());
        put(rng, &mut book, "synopsis", 0.4, |rng| format!("Of {}.", pick(rng, &KEYWORDS)).into());
        put(rng, &mut book, "biographs", 0.1, |rng| {
            // the latest first: their order is not that of their ids
            let ids = (0..biographs).rev().map(|nth| content_id(seed, BIOGRAPHS, index, nth));
            Bson::Array(ids.map(|id| written_id(rng, id)).collect())
        });
        self.standing(&mut book, true, true);
        self.finish(BOOKS, 0, book);
    }

    fn notification(&mut self, nth: u32, biographs: u32) {
        let mut notification = self.start(NOTIFICATIONS, nth);
        let to = self.own_id();
        let (seed, index, count, rng) = (self.seed, self.index, self.count, &mut self.rng);
        let from = rng.random_range(0..count);
        notification.insert("from_id", written_id(rng, person_id(seed, from)));
        notification.insert("to_id", to);
        let kind = rng.random_range(1..=6);
        notification.insert("notification_type", written_int(rng, kind));
        if biographs > 0 && kind > 2 {
            let about = rng.random_range(0..biographs);
            notification.insert("biograph_id", written_id(rng, content_id(seed, BIOGRAPHS, index, about)));
        } else if rng.random_bool(0.3) {
            notification.insert("biograph_id", Bson::Null);
        }
        put(rng, &mut notification, "is_read", 0.1, |rng| {
            let read = rng.random_bool(0.6);
            written_bool(rng, read)
        });
        self.standing(&mut notification, false, true);
        self.finish(NOTIFICATIONS, nth, notification);
    }

    fn recorded_time(&mut self, nth: u32) {
        let mut time = self.start(RECORDED_TIMES, nth);
        let (user, day) = (self.own_id(), self.made_at(nth));
        let rng = &mut self.rng;
        time.insert("user_id", user);
        put(rng, &mut time, "listening_time", 0.05, |rng| {
            let seconds = rng.random_range(1..7200);
            written_int(rng, seconds)
        });
        put(rng, &mut time, "date_of_listening", 0.05, |rng| written_day(rng, day));
        self.standing(&mut time, false, true);
        self.finish(RECORDED_TIMES, nth, time);
    }

    fn subscription(&mut self) {
        let mut purchase = self.start(SUBSCRIPTIONS, 0);
        let (user, start) = (self.own_id(), self.made_at(0));
        let rng = &mut self.rng;
        let (product, days) = PRODUCTS[rng.random_range(0..PRODUCTS.len())];
        purchase.insert("user_id", user);
        put(rng, &mut purchase, "receipt_id", 0.05, |rng| format!("GPA.{:016x}", rng.random::<u64>()).into());
        put(rng, &mut purchase, "duration", 0.1, |rng| written_int(rng, days));
        put(rng, &mut purchase, "product_id", 0.05, |_| product.into());
        put(rng, &mut purchase, "start_date", 0.05, |rng| written_day(rng, start));
        put(rng, &mut purchase, "end_date", 0.05, |rng| written_day(rng, start + i64::from(days) * DAY));
        self.made.push((SUBSCRIPTIONS, purchase));
    }

    /// Whether it is shown to others, was removed, counts.
    fn standing(&mut self, document: &mut Document, publishable: bool, counted: bool) {
        let rng = &mut self.rng;
        if publishable {
            put(rng, document, "is_published", 0.1, |rng| {
                let published = rng.random_bool(0.6);
                written_bool(rng, published)
            });
        }
        put(rng, document, "is_removed", 0.2, |rng| {
            let removed = rng.random_bool(0.05);
            written_bool(rng, removed)
        });
        if counted {
            put(rng, document, "status_key", 0.1, |rng| {
                let status = i32::from(!rng.random_bool(0.03));
                written_int(rng, status)
            });
        }
    }

    fn made_at(&self, nth: u32) -> i64 {
        i64::from(joined(self.index)) * 1000 + i64::from(nth + 1) * DAY
    }

    /// Adds when it was made and changed.
    fn finish(&mut self, collection: &'static str, nth: u32, mut document: Document) {
        let created = self.made_at(nth) + self.rng.random_range(0..1000);
        let updated = created + self.rng.random_range(0..30 * DAY);
        put(&mut self.rng, &mut document, "created_date", 0.05, |rng| written_time(rng, created));
        put(&mut self.rng, &mut document, "updated_date", 0.05, |rng| written_time(rng, updated));
        self.made.push((collection, document));
    }
}

fn media(rng: &mut StdRng, folder: &str, suffix: &str) -> Bson {
    let path = media_path(rng, folder, suffix);
    written_media(rng, path)
}

/// Where BioGraph puts a file.
pub(super) fn media_path(rng: &mut StdRng, folder: &str, suffix: &str) -> String {
    format!("users/BioGraph/{folder}/{:016x}.{suffix}", rng.random::<u64>())
}

/// A few sentences, longer than one line.
pub(super) fn story(rng: &mut StdRng) -> String {
    let sentences = 1 + rng.random_range(0..4);
    let sentence = |rng: &mut StdRng| format!("We spoke of {}, \"as ever\".\n", pick(rng, &KEYWORDS));
    (0..sentences).map(|_| sentence(rng)).collect()
}

fn keywords(rng: &mut StdRng) -> Bson {
    let wanted = rng.random_range(0..4);
    Bson::Array((0..wanted).map(|_| pick(rng, &KEYWORDS).into()).collect())
}

/// What the recording screen keeps about its parts: nested, and of no fixed shape.
fn monologues(rng: &mut StdRng) -> Bson {
    let part = |rng: &mut StdRng| {
        let (seconds, share) = (rng.random_range(1..60), rng.random_range(0..100));
        doc! { "length": seconds, "share": f64::from(share) / 100.0, "words": ["so", "it", "goes"], "cut": Bson::Null }
    };
    let parts = rng.random_range(0..3);
    Bson::Document((0..parts).map(|n| (format!("part {n}"), part(rng).into())).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_content_and_ids_are_unique() {
        let all = |seed| (0..500).flat_map(|index| content(seed, index, 500)).collect::<Vec<_>>();
        assert!(all(7) == all(7) && all(7) != all(8));
        let documents = all(7);
        let ids: HashSet<ObjectId> = documents.iter().map(|(_, d)| d.get_object_id("_id").unwrap()).collect();
        assert_eq!(ids.len(), documents.len());
        for collection in CONTENT {
            assert!(documents.iter().filter(|(of, _)| *of == collection).count() > 40, "{collection}");
        }
    }

    #[test]
    fn every_reference_names_a_document_that_is_there() {
        let documents: Vec<_> = (0..300).flat_map(|index| content(3, index, 300)).collect();
        let mut there: HashSet<String> = (0..300).map(|index| person_id(3, index).to_hex()).collect();
        there.extend(documents.iter().map(|(_, document)| document.get_object_id("_id").unwrap().to_hex()));
        let hex = |id: &Bson| match id {
            Bson::String(text) => text.clone(),
            other => other.as_object_id().unwrap().to_hex(),
        };
        let mut pairs = HashSet::new();
        for (collection, document) in &documents {
            for field in ["user_id", "from_id", "to_id", "co_author_id", "biograph_id"] {
                if let Some(id) = document.get(field).filter(|id| **id != Bson::Null) {
                    assert!(there.contains(&hex(id)), "{document}");
                }
            }
            for field in ["co_authors", "books", "biographs"] {
                let ids = document.get_array(field).cloned().unwrap_or_default();
                assert!(ids.iter().all(|id| there.contains(&hex(id))), "{document}");
            }
            if *collection == CO_AUTHORS {
                let pair = ["biograph_id", "co_author_id"].map(|field| hex(document.get(field).unwrap()));
                assert!(pairs.insert(pair), "{document}");
            }
        }
    }
}
