//! Putting a deleted document back as an application would: the capture hears of it, and what follows is the normal path.

use mongodb::{
    Collection,
    bson::{Document, doc},
    error::{Error as DriverError, UNKNOWN_TRANSACTION_COMMIT_RESULT},
};
use serde_json::Value as Json;

use super::{
    codec::object_id,
    connect::{Legacy, durable},
    error::{Class, Doing, class_of, translate},
    extjson,
    fence::taken_over,
    ledger::LEDGER,
};
use crate::{
    error::{Error, Result},
    model::{
        key::{EntityIndex, LegacyId},
        problem::Reason,
    },
    sync::ports::Restored,
};

/// The fence's document that no writing session uses.
const POST: usize = 3;

impl Legacy {
    /// Inserts the document as it was. On a session that is not one of the bridge's own, so that it is not taken for an echo, and
    /// behind the same fence as every write.
    pub(super) async fn put_back(&self, index: EntityIndex, id: LegacyId, record: &Json) -> Result<Restored> {
        let entity = self.entity(index);
        let Some(document) = extjson::restored(record).filter(|document| document.get_object_id("_id").is_ok()) else {
            return Ok(Restored::Refused("the kept document cannot be read".to_owned()));
        };
        let collection: Collection<Document> = self.database.collection(&entity.legacy.collection);
        let doing = Doing { what: "putting a document back", on: &entity.legacy.collection, right: "readWrite" };
        if let Some(there) = self.whole_document(index, id).await? {
            return Ok(if there == extjson::plain(&document) { Restored::There } else { Restored::Taken });
        }
        match self.insert_fenced(&collection, &document).await {
            Ok(true) => Ok(Restored::There),
            Ok(false) => Err(taken_over()),
            Err(error) => match class_of(&error) {
                Some(Class::Document(Reason::UniqueTaken)) => {
                    Ok(Restored::Refused(format!("{}: somebody else holds a unique value", entity.legacy.collection)))
                }
                Some(Class::Document(reason)) => {
                    Ok(Restored::Refused(format!("{}: {reason}", entity.legacy.collection)))
                }
                // another transaction is in the way, or whether it landed is unknown: it is looked at again
                _ if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {
                    Err(Error::retry("whether the document landed is unknown"))
                }
                _ => Err(translate(&error, doing)),
            },
        }
    }

    /// False if another daemon has taken over.
    async fn insert_fenced(&self, collection: &Collection<Document>, document: &Document) -> Result<bool, DriverError> {
        let mut session = self.client.start_session().await?;
        session.start_transaction().write_concern(durable()).await?;
        let pass = doc! { "update": LEDGER, "updates": [self.epoch.statement(POST)] };
        let passed = self.database.run_command(pass).session(&mut session).await?;
        if passed.get_i32("n").ok() != Some(1) {
            session.abort_transaction().await?;
            return Ok(false);
        }
        collection.insert_one(document).session(&mut session).await?;
        session.commit_transaction().await?;
        self.seen.advance(session.operation_time());
        Ok(true)
    }

    async fn whole_document(&self, index: EntityIndex, id: LegacyId) -> Result<Option<Json>> {
        let collection: Collection<Document> = self.database.collection(&self.entity(index).legacy.collection);
        let doing = Doing { what: "reading documents", on: collection.name(), right: "find" };
        let mut session = self.reading_session(None).await?;
        let found = collection.find_one(doc! { "_id": object_id(id) }).session(&mut session).await;
        Ok(found.map_err(|error| translate(&error, doing))?.map(|document| extjson::plain(&document)))
    }
}
