//! What the legacy database is known by: a document of the bridge's own in it.
//!
//! The driver reconnects without a word, and another server may have taken the address meanwhile. So whenever a connection
//! was made, what was read is believed only after the document was found as it is known.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use mongodb::{
    bson::{Document, doc, oid::ObjectId},
    event::{EventHandler, cmap::CmapEvent},
    options::ReadConcern,
};

use super::{
    connect::{Legacy, durable},
    documents::{MAX_TIME, in_time},
    error::{Class, Doing, class_of, translate},
    ledger::LEDGER,
};
use crate::{
    error::{Error, Result},
    model::{fact::PositionLoss, side::Side},
    sync::identities::{LegacyIdentity, other},
};

const ID: &str = "identity";
const DOING: Doing<'static> = Doing { what: "identifying the database", on: LEDGER, right: "readWrite" };

/// Which database this process has to do with.
#[derive(Default)]
pub(super) struct Guard {
    expected: OnceLock<LegacyIdentity>,
    /// How far it has counted: one that is behind was put back to an earlier state.
    mark: AtomicI64,
    /// A connection was made since the database was identified last.
    unsure: AtomicBool,
}

impl Guard {
    /// Notices connections.
    pub(super) fn handler(guard: &Arc<Self>) -> EventHandler<CmapEvent> {
        let guard = Arc::clone(guard);
        EventHandler::callback(move |event| {
            if matches!(event, CmapEvent::ConnectionCreated(_)) {
                guard.unsure.store(true, Ordering::Release);
            }
        })
    }
}

impl Legacy {
    /// What the database says of itself; `None` if no bridge has ever been here.
    pub async fn identity(&self) -> Result<Option<LegacyIdentity>> {
        let identities = self.identities();
        let read =
            async |concern| identities.find_one(doc! { "_id": ID }).read_concern(concern).max_time(MAX_TIME).await;
        let found = in_time(DOING.what, async {
            // a new primary may not know yet that a majority has what its predecessor acknowledged, and would answer with an
            // earlier state; linearizable waits until it does
            let found = match read(ReadConcern::linearizable()).await {
                // that it is no replica set is for others to say
                Err(error) if matches!(class_of(&error), Some(Class::Standalone)) => read(ReadConcern::local()).await,
                found => found,
            };
            found.map_err(|error| translate(&error, DOING))
        });
        let Some(found) = found.await? else { return Ok(None) };
        let id = found.get_str("id").map_err(|_| Error::halt(format!("the document `{ID}` in {LEDGER} is damaged")))?;
        Ok(Some(LegacyIdentity {
            id: id.to_owned(),
            replica_set: self.replica_set().await,
            renaissance: found.get_str("renaissance").ok().map(str::to_owned),
            mark: found.get_i64("mark").unwrap_or(0),
        }))
    }

    /// Gives the database an id if it has none, and notes which Renaissance it is synced with.
    pub async fn identify(&self, renaissance: Option<&str>) -> Result<LegacyIdentity> {
        let mut set = doc! {};
        if let Some(renaissance) = renaissance {
            set.insert("renaissance", renaissance);
        }
        let new = doc! { "id": ObjectId::new().to_hex() };
        let update = doc! { "$setOnInsert": new, "$set": set, "$max": { "mark": 0_i64 } };
        let update = if renaissance.is_some() { update } else { without(update, "$set") };
        let identities = self.identities();
        // whatever is read from now on is no older than this, also for a process that has seen nothing yet
        let mut session = self.reading_session(None).await?;
        let kept = identities.update_one(doc! { "_id": ID }, update).upsert(true).write_concern(durable());
        kept.session(&mut session).await.map_err(|error| translate(&error, DOING))?;
        self.seen.advance(session.operation_time());
        let found = self.identity().await?;
        found.ok_or_else(|| Error::retry("the document that identifies the legacy database is gone again"))
    }

    /// From now on nothing is believed that another database says.
    pub fn expect(&self, identity: &LegacyIdentity) {
        self.guard.mark.store(identity.mark, Ordering::Release);
        // a second call is of the same process: the first one holds
        drop(self.guard.expected.set(identity.clone()));
    }

    /// Counts up to this number, in the known database as it was left only.
    pub async fn mark(&self, mark: i64) -> Result<()> {
        let Some(expected) = self.guard.expected.get() else { return Ok(()) };
        let counted = self.guard.mark.load(Ordering::Acquire);
        let filter = doc! { "_id": ID, "id": &expected.id, "mark": { "$gte": counted } };
        let identities = self.identities();
        let counted = identities.update_one(filter, doc! { "$max": { "mark": mark } }).write_concern(durable());
        let counted = counted.await.map_err(|error| translate(&error, DOING))?;
        if counted.matched_count == 0 {
            return self.verify().await;
        }
        self.guard.mark.fetch_max(mark, Ordering::AcqRel);
        Ok(())
    }

    /// Makes sure, if a connection was made since the last time, that this is the known database as it was left.
    pub(super) async fn make_sure(&self) -> Result<()> {
        if self.guard.expected.get().is_none() || !self.guard.unsure.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let sure = self.verify().await;
        if sure.is_err() {
            self.guard.unsure.store(true, Ordering::Release);
        }
        sure
    }

    /// Refuses a database that is not the known one, or no longer as it was left.
    pub(super) async fn verify(&self) -> Result<()> {
        let Some(expected) = self.guard.expected.get() else { return Ok(()) };
        // before it is read: what is counted meanwhile is no reason to find too little
        let counted = self.guard.mark.load(Ordering::Acquire);
        let found = self.identity().await?;
        let Some(found) = found.filter(|found| found.is(&expected.text())) else {
            let what = format!("another database than {} has taken the legacy address", self.database.name());
            return Err(other(Side::Legacy, &what));
        };
        if found.mark < counted {
            return Err(Error::halt("the legacy database was put back to an earlier state while the bridge ran")
                .with_loss(PositionLoss::Restored)
                .with_hint("start the bridge again: it takes a new position and sweeps"));
        }
        Ok(())
    }

    fn identities(&self) -> mongodb::Collection<Document> {
        self.database.collection(LEDGER)
    }

    /// Needs a right that few bridges have: then nobody knows.
    async fn replica_set(&self) -> Option<String> {
        let answer = self.client.database("admin").run_command(doc! { "replSetGetConfig": 1 }).await.ok()?;
        let settings = answer.get_document("config").ok()?.get_document("settings").ok()?;
        settings.get_object_id("replicaSetId").ok().map(|id| id.to_hex())
    }
}

fn without(mut update: Document, key: &str) -> Document {
    update.remove(key);
    update
}
