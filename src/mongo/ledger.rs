//! Which documents of an intent have landed: one ledger document per intent, written in the same transactions.
//!
//! A batch may need several transactions (one bad document, one locked document). Each adds the ids it writes to the
//! intent's ledger document, unless that is closed. Settling closes it: from then on no transaction of the intent can
//! commit, and what the document lists is exactly what landed. A transaction that is still open holds the document, so
//! closing waits for it.

use std::time::Duration;

use mongodb::{
    Collection,
    bson::{Binary, Bson, DateTime, Document, Timestamp, doc, spec::BinarySubtype},
    options::ReturnDocument,
};
use uuid::Uuid;

use super::{
    connect::{Legacy, durable},
    error::{Class, Doing, class_of, translate},
    sessions::binary,
};
use crate::{
    drill::{self, Mechanism},
    error::{Error, Result},
    model::key::LegacyId,
};

/// The collection.
pub(super) const LEDGER: &str = "biograph_bridge_ledger";
/// The document that marks are written to.
pub(super) const MARK: &str = "mark";
/// How long one attempt to close an intent waits for a transaction that holds it.
const CLOSING: Duration = Duration::from_secs(10);
const CLOSE_TRIES: u32 = 5;
pub(super) const WRITING: Doing<'static> = Doing { what: "keeping the ledger", on: LEDGER, right: "readWrite" };

/// The updates of the ledger that, inside a transaction, pass the fence and record ids as landed. They fail with DuplicateKey if
/// the intent is closed, and one of them touches nothing if another daemon has taken over.
pub(super) fn record(fence: Document, intent: Uuid, landed: &[LegacyId]) -> Vec<Document> {
    // the ids of a transaction in one value: an array of a thousand takes the server as long as ten documents
    let ids: Vec<u8> = landed.iter().flat_map(|id| id.bytes()).collect();
    let ids = Binary { subtype: BinarySubtype::Generic, bytes: ids };
    let landing = doc! {
        "q": { "_id": binary(intent), "closed": { "$ne": true } },
        "u": { "$push": { "landed": ids }, "$set": { "at": DateTime::now() } },
        "upsert": true,
    };
    let statements = [(Mechanism::Fence, fence), (Mechanism::Intents, landing)];
    statements.into_iter().filter(|(mechanism, _)| !drill::lacks(*mechanism)).map(|(_, statement)| statement).collect()
}

impl Legacy {
    fn ledger(&self) -> Collection<Document> {
        self.database.collection(LEDGER)
    }

    /// Closes the intent and says what landed.
    pub(super) async fn close_intent(&self, intent: Uuid) -> Result<Option<Vec<LegacyId>>> {
        // a transaction whose end got lost on the way would hold the document
        self.end_left_open().await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let closed = self
                .ledger()
                .find_one_and_update(
                    doc! { "_id": binary(intent) },
                    doc! { "$set": { "closed": true, "at": DateTime::now() } },
                )
                .upsert(true)
                .return_document(ReturnDocument::Before)
                .write_concern(durable())
                .max_time(CLOSING)
                .await;
            match closed {
                Ok(before) => return before.map_or(Ok(None), |document| landed(&document)),
                // two upserts met, or a transaction holds the document: its outcome decides the next try
                Err(error) if tries < CLOSE_TRIES && may_pass(class_of(&error)) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) if matches!(class_of(&error), Some(Class::Document(_))) => {
                    return Err(Error::retry("the intent is being written by another process"));
                }
                Err(error) => return Err(translate(&error, WRITING)),
            }
        }
    }

    /// Writes something that nobody follows; the cluster time at which it was there.
    pub(super) async fn write_mark(&self) -> Result<Timestamp> {
        let mut session = self.reading_session(None).await?;
        self.ledger()
            .update_one(doc! { "_id": MARK }, doc! { "$inc": { "marks": 1_i64 } })
            .upsert(true)
            .write_concern(durable())
            .session(&mut session)
            .await
            .map_err(|error| translate(&error, WRITING))?;
        session.operation_time().ok_or_else(|| Error::halt("MongoDB does not say at which cluster time it wrote"))
    }

    pub(super) async fn forget_intents(&self, intents: &[Uuid]) -> Result<()> {
        if intents.is_empty() {
            return Ok(());
        }
        let ids: Vec<Bson> = intents.iter().map(|intent| Bson::Binary(binary(*intent))).collect();
        let removed = self.ledger().delete_many(doc! { "_id": { "$in": ids } }).await;
        removed.map_err(|error| translate(&error, WRITING))?;
        Ok(())
    }
}

const fn may_pass(class: Option<Class>) -> bool {
    matches!(class, Some(Class::Contended | Class::Document(_)))
}

fn landed(document: &Document) -> Result<Option<Vec<LegacyId>>> {
    let damaged = |_| Error::halt(format!("a document in {LEDGER} is not as the bridge wrote it"));
    let Some(list) = document.get("landed") else { return Ok(None) };
    let parts = list.as_array().ok_or(()).map_err(damaged)?;
    let ids: Option<Vec<Vec<LegacyId>>> = parts.iter().map(ids).collect();
    ids.ok_or(()).map_err(damaged).map(|ids| Some(ids.concat()))
}

/// What one transaction recorded. Earlier versions of the bridge wrote an element per id.
fn ids(part: &Bson) -> Option<Vec<LegacyId>> {
    match part {
        Bson::ObjectId(id) => Some(vec![LegacyId::new(id.bytes())]),
        Bson::Binary(Binary { bytes, .. }) => {
            let (ids, rest) = bytes.as_chunks();
            rest.is_empty().then(|| ids.iter().map(|id| LegacyId::new(*id)).collect())
        }
        _ => None,
    }
}
