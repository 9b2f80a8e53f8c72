//! What people do in BioGraph beside their settings: they record, collect, listen, buy, and make friends.

use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use rand::RngExt;
use rand::rngs::StdRng;

use super::LegacyApp;
use crate::sandbox::{
    BIOGRAPHS, BOOKS, CO_AUTHORS, NOTIFICATIONS, RECORDED_TIMES, SUBSCRIPTIONS, SandboxError,
    content::{KEYWORDS, media_path, story},
    names::pick,
};

impl LegacyApp {
    /// Something new of a person, or something told to them.
    pub(super) async fn publish(&self, rng: &mut StdRng, person: ObjectId) -> Result<bool, SandboxError> {
        let now = DateTime::now();
        let (collection, mut document) = match rng.random_range(0..6) {
            0 | 1 => (BIOGRAPHS, biograph(rng, person)),
            2 => {
                let biographs: Vec<Bson> = self.biographs_of(person).await?.into_iter().map(Bson::ObjectId).collect();
                let title = format!("On {}", pick(rng, &KEYWORDS));
                (
                    BOOKS,
                    doc! { "user_id": person, "title": title, "synopsis": "", "biographs": biographs, "is_published": true },
                )
            }
            3 => match self.invitation(rng, person).await? {
                Some(invitation) => (CO_AUTHORS, invitation),
                None => (BIOGRAPHS, biograph(rng, person)),
            },
            4 => {
                let from = self.somebody(rng, person);
                let kind = rng.random_range(1..=2);
                (NOTIFICATIONS, doc! { "from_id": from, "to_id": person, "notification_type": kind, "is_read": false })
            }
            _ => {
                let (time, day) =
                    (rng.random_range(1..3600), now.timestamp_millis().div_euclid(86_400_000) * 86_400_000);
                let day = DateTime::from_millis(day);
                if rng.random_bool(0.2) {
                    let receipt = format!("GPA.{:016x}", rng.random::<u64>());
                    let purchase = doc! {
                        "_id": ObjectId::new(), "user_id": person, "receipt_id": receipt, "duration": 30,
                        "product_id": "premium_monthly", "start_date": day,
                        "end_date": DateTime::from_millis(day.timestamp_millis() + 30 * 86_400_000),
                    };
                    self.of(SUBSCRIPTIONS).insert_one(purchase).await?;
                    return Ok(true);
                }
                (RECORDED_TIMES, doc! { "user_id": person, "listening_time": time, "date_of_listening": day })
            }
        };
        document.insert("_id", ObjectId::new());
        document.insert("is_removed", false);
        if collection != CO_AUTHORS {
            document.insert("status_key", 1);
        }
        document.insert("created_date", now);
        document.insert("updated_date", now);
        self.of(collection).insert_one(document).await?;
        Ok(true)
    }

    /// A change to something a person has; something new if they have nothing of the kind.
    pub(super) async fn revise(&self, rng: &mut StdRng, person: ObjectId) -> Result<bool, SandboxError> {
        let (collection, field, mut changed) = match rng.random_range(0..6) {
            0 => (BIOGRAPHS, "user_id", doc! { "title": format!("Again: {}", pick(rng, &KEYWORDS)) }),
            1 => (BIOGRAPHS, "user_id", doc! { "record_text": story(rng), "monologues": { "one": { "length": 3.5 } } }),
            2 => (
                BIOGRAPHS,
                "user_id",
                doc! { "is_published": rng.random_bool(0.5), "allKeywords": [pick(rng, &KEYWORDS)] },
            ),
            3 => (BOOKS, "user_id", doc! { "synopsis": format!("Of {}.", pick(rng, &KEYWORDS)) }),
            4 => (NOTIFICATIONS, "to_id", doc! { "is_read": true }),
            _ => (RECORDED_TIMES, "user_id", doc! { "listening_time": rng.random_range(1..7200) }),
        };
        changed.insert("updated_date", DateTime::now());
        let filter = doc! { field: either(person) };
        if self.of(collection).update_one(filter, doc! { "$set": changed }).await?.matched_count == 1 {
            return Ok(true);
        }
        self.publish(rng, person).await
    }

    /// Deletes one thing of a person for good.
    pub(super) async fn withdraw(&self, rng: &mut StdRng, person: ObjectId) -> Result<bool, SandboxError> {
        if let (true, Some(biograph)) = (rng.random_bool(0.5), self.biographs_of(person).await?.pop()) {
            for collection in [CO_AUTHORS, NOTIFICATIONS] {
                self.of(collection).delete_many(doc! { "biograph_id": either(biograph) }).await?;
            }
            self.of(BIOGRAPHS).delete_one(doc! { "_id": biograph }).await?;
            return Ok(true);
        }
        let collection = [BOOKS, RECORDED_TIMES, SUBSCRIPTIONS][rng.random_range(0..3)];
        self.of(collection).delete_one(doc! { "user_id": either(person) }).await?;
        Ok(true)
    }

    /// A friend or a subscriber more, or one less.
    pub(super) async fn befriend(
        &self,
        rng: &mut StdRng,
        id: ObjectId,
        person: &Document,
    ) -> Result<bool, SandboxError> {
        let field = if rng.random_bool(0.7) { "friends" } else { "subscribers" };
        let known = person.get_array(field).map(Vec::as_slice).unwrap_or_default();
        if !known.is_empty() && rng.random_bool(0.4) {
            let former = known[rng.random_range(0..known.len())].clone();
            let update = doc! { "$pull": { field: former }, "$set": { "updated_time": DateTime::now() } };
            return Ok(self.users.update_one(doc! { "_id": id }, update).await?.matched_count == 1);
        }
        let mut known = known.to_vec();
        known.push(self.somebody(rng, id).into());
        self.set(id, doc! { field: known }).await
    }

    /// What Django's collector deletes before a person, deepest first.
    pub(super) async fn delete_content(&self, person: ObjectId) -> Result<(), SandboxError> {
        let biographs = self.biographs_of(person).await?;
        let of_them: Vec<Bson> = biographs.iter().flat_map(|id| [Bson::ObjectId(*id), id.to_hex().into()]).collect();
        let person = either(person);
        for (collection, filter) in [
            (
                NOTIFICATIONS,
                doc! { "$or": [{ "from_id": &person }, { "to_id": &person }, { "biograph_id": { "$in": &of_them } }] },
            ),
            (CO_AUTHORS, doc! { "$or": [{ "co_author_id": &person }, { "biograph_id": { "$in": &of_them } }] }),
            (BIOGRAPHS, doc! { "user_id": &person }),
            (BOOKS, doc! { "user_id": &person }),
            (RECORDED_TIMES, doc! { "user_id": &person }),
            (SUBSCRIPTIONS, doc! { "user_id": &person }),
        ] {
            self.of(collection).delete_many(filter).await?;
        }
        Ok(())
    }

    /// Somebody else to write in one of a person's biographs, who does not yet.
    async fn invitation(&self, rng: &mut StdRng, person: ObjectId) -> Result<Option<Document>, SandboxError> {
        let Some(biograph) = self.biographs_of(person).await?.pop() else { return Ok(None) };
        let co_author = self.somebody(rng, person);
        let pair = doc! { "biograph_id": either(biograph), "co_author_id": either(co_author) };
        if self.of(CO_AUTHORS).find_one(pair).await?.is_some() {
            return Ok(None);
        }
        Ok(Some(doc! { "biograph_id": biograph, "co_author_id": co_author, "is_approved": false }))
    }

    async fn biographs_of(&self, person: ObjectId) -> Result<Vec<ObjectId>, SandboxError> {
        let ids = self.of(BIOGRAPHS).distinct("_id", doc! { "user_id": either(person) }).await?;
        Ok(ids.iter().filter_map(Bson::as_object_id).collect())
    }

    /// Anybody else; oneself if nobody else is known.
    fn somebody(&self, rng: &mut StdRng, but: ObjectId) -> ObjectId {
        let one = (!self.roster.is_empty()).then(|| self.roster[rng.random_range(0..self.roster.len())]);
        one.unwrap_or(but)
    }

    fn of(&self, collection: &str) -> mongodb::Collection<Document> {
        self.database.collection(collection)
    }
}

/// An id, or the same as text.
fn either(id: ObjectId) -> Bson {
    doc! { "$in": [id, id.to_hex()] }.into()
}

fn biograph(rng: &mut StdRng, person: ObjectId) -> Document {
    let photo = media_path(rng, "photo", "jpg");
    doc! {
        "user_id": person, "title": format!("About {}", pick(rng, &KEYWORDS)), "record_text": story(rng),
        "record_time": rng.random_range(5..900), "words_count": "12", "photo_url": photo, "record_url": "", "video_url": "",
        "biograph_type": "1", "allKeywords": [pick(rng, &KEYWORDS)], "location": "", "co_authors": [], "books": [],
        "monologues": {}, "is_published": rng.random_bool(0.5), "last_played_record": "", "last_updated_title": {},
    }
}
