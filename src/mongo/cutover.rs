//! The mirror of the cutover rows, which applications on the legacy side read.
//!
//! A document is only ever replaced by one of a later epoch, and an epoch says the same whoever writes it: so it does not matter
//! how often it is written, or by a daemon that another one has taken over from.

use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc},
    options::ReturnDocument,
};

use super::{
    codec::object_id,
    connect::{Legacy, durable},
    error::{Class, Doing, class_of, translate},
};
use crate::{
    error::{Error, Result},
    model::{
        cutover::CutoverRow,
        key::{LegacyId, RenaissanceId},
        problem::Reason,
    },
    sync::ports::{CutoverMirror, Standing},
};

/// The collection.
pub(super) const CUTOVER: &str = "biograph_bridge_cutover";
pub(super) const WRITING: Doing<'static> = Doing { what: "mirroring who is where", on: CUTOVER, right: "readWrite" };
const READING: Doing<'static> = Doing { what: "reading who is where", on: CUTOVER, right: "find" };
/// What is written to see whether it can be: no person's id.
const PROBE: &str = "biograph_bridge probe";

/// Notes people who are born in Renaissance, in the transaction that makes their documents. Who is noted already stays so.
pub(super) fn born(writes: &[(LegacyId, RenaissanceId)]) -> Document {
    let row = CutoverRow::BORN_IN_RENAISSANCE;
    let note = |(id, renaissance): &(LegacyId, RenaissanceId)| {
        let says = doc! {
            "state": row.state.as_str(), "epoch": row.epoch, "since": DateTime::now(), "renaissance_id": *renaissance,
        };
        doc! { "q": { "_id": object_id(*id) }, "u": { "$setOnInsert": says }, "upsert": true }
    };
    doc! { "update": CUTOVER, "updates": writes.iter().map(note).collect::<Vec<_>>() }
}

impl Legacy {
    fn cutover(&self) -> Collection<Document> {
        self.database.collection(CUTOVER)
    }
}

impl CutoverMirror for Legacy {
    async fn mirror(&self, standing: &Standing) -> Result<i64> {
        let (id, row) = (object_id(standing.person), standing.row);
        let since = DateTime::from_millis(standing.since / 1000);
        let says = doc! {
            "state": row.state.as_str(), "epoch": row.epoch, "since": since,
            "renaissance_id": standing.renaissance.map_or(Bson::Null, Bson::Int64),
        };
        let written = self
            .cutover()
            .find_one_and_update(doc! { "_id": id, "epoch": { "$lt": row.epoch } }, doc! { "$set": says })
            .upsert(true)
            .return_document(ReturnDocument::After)
            .write_concern(durable())
            .await;
        match written {
            Ok(_) => Ok(row.epoch),
            // it is there, and of this epoch or a later one
            Err(error) if class_of(&error) == Some(Class::Document(Reason::UniqueTaken)) => {
                let epochs = self.mirrored(&[standing.person]).await?;
                epochs
                    .first()
                    .map(|(_, epoch)| *epoch)
                    .ok_or_else(|| Error::retry("the mirror of a person has just gone"))
            }
            Err(error) => Err(translate(&error, WRITING)),
        }
    }

    async fn mirrored(&self, persons: &[LegacyId]) -> Result<Vec<(LegacyId, i64)>> {
        let ids: Vec<Bson> = persons.iter().map(|id| Bson::ObjectId(object_id(*id))).collect();
        let failed = |error| translate(&error, READING);
        let found = self.cutover().find(doc! { "_id": { "$in": ids } }).projection(doc! { "epoch": 1 }).await;
        let found: Vec<Document> = found.map_err(failed)?.try_collect().await.map_err(failed)?;
        let epoch = |document: Document| {
            let id = document.get_object_id("_id").ok()?;
            Some((LegacyId::new(id.bytes()), document.get_i64("epoch").unwrap_or(-1)))
        };
        Ok(found.into_iter().filter_map(epoch).collect())
    }

    async fn try_mirror(&self) -> Result<()> {
        let mirror = self.cutover();
        let touched = mirror.update_one(doc! { "_id": PROBE }, doc! { "$set": { "at": DateTime::now() } });
        touched.upsert(true).write_concern(durable()).await.map_err(|error| translate(&error, WRITING))?;
        mirror.delete_one(doc! { "_id": PROBE }).await.map(drop).map_err(|error| translate(&error, WRITING))
    }
}
