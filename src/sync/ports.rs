//! The doors to both databases. `mongo` and `postgres` implement them; tests implement them with scripted faults.

mod cohorts;
mod cutover;
mod healing;
mod journal;
mod pages;
mod pauses;
mod verify;

use std::{collections::HashSet, future::Future};

pub use self::{
    cohorts::{Batch, Begun, Belonging, Chosen, CohortStore, NewBatch, Toll},
    cutover::{CutoverMirror, CutoverStore, Journey, Possessions, Standing, Step, Swapped, Unsettled},
    healing::{Healing, HealingStore, Loss},
    journal::{ConflictRow, JournalEntry, Resolution, Restored, Tombstone},
    pages::{LinkedRow, Listed, Page, Strays, Stretch, SweepState},
    pauses::{By, NewPause, PauseStore, Places, Returning},
    verify::{
        Asked, Counts, Found, Part, PersonIds, Progress, RawSum, RawSums, Run, State, Suspect, Verified, VerifyStore,
    },
};
use crate::{
    error::{Error, Result},
    model::{
        digest::Base,
        fact::SweepKind,
        hint::{Captured, Freshness, Position},
        image::{Image, Patch, Version},
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
        links::Target,
        problem::Problem,
        side::Side,
        snapshot::Snapshot,
    },
};

/// Opens change streams of one side.
///
/// Ordering: a capture delivers in the order of its side's log. After an error the caller opens a new capture from the
/// last position it received; redelivery is harmless.
pub trait Source: Send + Sync {
    /// An open stream.
    type Capture: Capture;
    /// Opens the stream after `from`.
    fn open(&self, from: &Position) -> impl Future<Output = Result<Self::Capture>> + Send;
    /// The end of the log now: everything committed later is after it.
    fn tip(&self) -> impl Future<Output = Result<Position>> + Send;
    /// Leaves a mark in the side's log: everything committed before the call is before it, and a stream that is not behind
    /// passes it within about a second, even if nothing else happens. Only to compare with ([`Position::has_passed`]), never
    /// to resume from.
    fn mark(&self) -> impl Future<Output = Result<Position>> + Send;
    /// What the side's clock says, in microseconds since the epoch: the clock by which it dates its commits.
    fn clock(&self) -> impl Future<Output = Result<i64>> + Send;
    /// Gives up what the side kept for a position that is lost, and takes a new one: whatever is in no event after it is
    /// visible to every read from now on.
    fn renew(&self) -> impl Future<Output = Result<Position>> + Send;
    /// Tells the side that it may forget everything up to `position`. Called only once its effects are durable.
    fn confirm(&self, position: &Position);
}

/// One open change stream.
pub trait Capture: Send {
    /// The next thing that happened; waits about a second at most, then says [`Captured::Idle`]. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<Captured>> + Send;
}

/// An unlinked record looking for its counterpart: the forms its natural keys may take on the other side.
pub struct Probe {
    /// Strongest key first: alternatives of (slot, value) pairs that all have to match.
    pub keys: Vec<Vec<Patch>>,
}

/// A change to one document.
pub struct LegacyWrite {
    /// Which document.
    pub id: LegacyId,
    /// What to do to it.
    pub change: LegacyChange,
    /// A person who is made from their row with this id: the mirror of cutover rows says so as soon as they are there.
    pub born: Option<RenaissanceId>,
}

/// What to do to a document.
pub enum LegacyChange {
    /// Create it; fails the race if it exists.
    Insert(Patch),
    /// Set these slots if the document still has this version.
    Update(Version, Patch),
    /// Remove it if it still has this version.
    Delete(Version),
}

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable.
    Written,
    /// Somebody changed, locked or created the record meanwhile; nothing was written. Read and decide again.
    LostRace,
    /// The database refused the value of this field (index), or the whole record; nothing of the record was written.
    Refused(Option<usize>, Problem),
    /// The database refuses what anybody would write there (rights, a full disk); nothing of the record was written. The error
    /// comes with the outcomes.
    Blocked,
}

/// What became of writing documents.
#[derive(Debug)]
pub struct Wrote {
    /// One per write.
    pub outcomes: Vec<Outcome>,
    /// Why some were blocked.
    pub blocked: Option<Error>,
}

/// The legacy database.
pub trait LegacyStore: Send + Sync {
    /// Reads documents as committed by a majority, at least as new as `fresh`; one entry per id, `None` if missing.
    fn read(
        &self,
        entity: EntityIndex,
        ids: &[LegacyId],
        fresh: Option<Freshness>,
    ) -> impl Future<Output = Result<Vec<Option<Image>>>> + Send;

    /// For each probe, the documents that match any of its keys: (probe, rank of the key, id).
    fn find(
        &self,
        entity: EntityIndex,
        probes: &[Probe],
    ) -> impl Future<Output = Result<Vec<(usize, usize, LegacyId)>>> + Send;

    /// The documents whose owner reference names one of these records, in any spelling; in no order.
    fn owned_by(&self, entity: EntityIndex, owners: &[LegacyId]) -> impl Future<Output = Result<Vec<LegacyId>>> + Send;

    /// Whole documents as JSON, for tombstones; `None` where missing.
    fn whole(
        &self,
        entity: EntityIndex,
        ids: &[LegacyId],
    ) -> impl Future<Output = Result<Vec<Option<serde_json::Value>>>> + Send;

    /// Puts a deleted document back, from what [`LegacyStore::whole`] said of it, as an application would.
    fn restore(
        &self,
        entity: EntityIndex,
        id: LegacyId,
        record: &serde_json::Value,
    ) -> impl Future<Output = Result<Restored>> + Send;

    /// Writes all in one transaction with a ledger document for `intent`, compare-and-set per document.
    /// An error means: landed or not is unknown, ask [`LegacyStore::settle`].
    fn write(
        &self,
        entity: EntityIndex,
        intent: uuid::Uuid,
        writes: &[LegacyWrite],
    ) -> impl Future<Output = Result<Wrote>> + Send;

    /// Whether the transaction of `intent` landed, and if so which documents it wrote. After `None` it can never land.
    fn settle(&self, intent: uuid::Uuid) -> impl Future<Output = Result<Option<Vec<LegacyId>>>> + Send;

    /// Forgets the ledger document of a settled intent.
    fn forget(&self, intents: &[uuid::Uuid]) -> impl Future<Output = Result<()>> + Send;

    /// Walks on from `after` in `_id` order by at most `limit` documents with an ObjectId: one chunk of a sweep.
    fn page(
        &self,
        entity: EntityIndex,
        after: Option<LegacyId>,
        limit: u32,
        listed: Listed,
    ) -> impl Future<Output = Result<Page<LegacyId>>> + Send;

    /// The documents themselves that follow `after` in `_id` order, at most `limit` of those with an ObjectId, and fewer where
    /// they are large.
    fn stretch(
        &self,
        entity: EntityIndex,
        after: Option<LegacyId>,
        limit: u32,
    ) -> impl Future<Output = Result<Stretch<(LegacyId, Image)>>> + Send;

    /// Those of these documents that are there.
    fn present(&self, entity: EntityIndex, ids: &[LegacyId]) -> impl Future<Output = Result<HashSet<LegacyId>>> + Send;

    /// Documents whose `_id` is not an ObjectId, in the order of their types, at most `limit` of them after the mark of
    /// a former answer.
    fn strays(
        &self,
        entity: EntityIndex,
        after: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = Result<Strays>> + Send;

    /// The collection of an entity.
    fn collection(&self, entity: EntityIndex) -> impl Future<Output = Result<Places>> + Send;

    /// Makes the collection of an entity, unless it is there.
    fn ensure(&self, entity: EntityIndex) -> impl Future<Output = Result<()>> + Send;

    /// How many documents there are, roughly.
    fn count(&self, entity: EntityIndex) -> impl Future<Output = Result<u64>> + Send;

    /// A new ObjectId.
    fn new_id(&self) -> LegacyId;
}

/// What the state knows about a record.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its legacy id; allocated by the bridge for records born in Renaissance.
    pub legacy: LegacyId,
    /// Its renaissance id.
    pub renaissance: RenaissanceId,
    /// What both sides last agreed on; `None` until the record exists on both.
    pub base: Option<Base>,
}

/// A link with what decisions about its record need.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The link.
    pub link: Link,
    /// The side that is authoritative for the person who owns the record.
    pub owner: Side,
    /// The epoch of that person's cutover row, 0 if there is none.
    pub epoch: i64,
    /// The side that was authoritative before, if that person has moved.
    pub former: Option<Side>,
    /// Whether anything of the record is parked.
    pub parked: bool,
    /// Whether something of it is parked because the bridge wrote it again and again.
    pub looping: bool,
    /// The legacy id of the person who owns the record; `None` for a person.
    pub person: Option<LegacyId>,
    /// Deleted records that its sets named when it was reconciled last, or when they were deleted.
    pub awaits: Vec<(EntityIndex, LegacyId)>,
}

/// What reading the renaissance side returns.
pub struct RenaissanceRead {
    /// One entry per id, `None` if missing.
    pub images: Vec<Option<Image>>,
    /// The root table's legacy id column, per id.
    pub legacy_ids: Vec<Option<String>>,
    /// The snapshot all of it was read in.
    pub snapshot: Snapshot,
}

/// A row of the parked table: one field, or the whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRow {
    /// The field's name; `None` for the whole record.
    pub field: Option<String>,
    /// Why.
    pub problem: Problem,
    /// The records it waits for: it is tried again as soon as one of them is linked.
    pub waits: Vec<(EntityIndex, SideId)>,
}

/// What to do to the rows of one record.
pub enum RenaissanceChange {
    /// Create them with these slots.
    Insert(Patch),
    /// Set these slots if the rows still have this version; child rows that are missing are created.
    Update(Version, Patch),
    /// Remove them if they still have this version; what was there goes into the tombstone.
    Delete(Version),
}

/// What will be written to the legacy side for one record.
pub enum IntentKind {
    /// The document is created; its link is stored now, its base when the write has landed.
    Insert,
    /// The document is updated.
    Update,
    /// The document is removed; this is what it held.
    Delete(serde_json::Value),
}

/// Everything decided about one record, made durable in one Postgres transaction with the others of its batch.
pub struct RecordPlan {
    /// Its legacy id.
    pub legacy: Option<LegacyId>,
    /// Its renaissance id; `None` while it is being inserted there or does not exist there.
    pub renaissance: Option<RenaissanceId>,
    /// Whether the state holds its link.
    pub linked: bool,
    /// Whether the state may hold parked rows of it.
    pub was_parked: bool,
    /// What to write to its rows.
    pub rows: Option<RenaissanceChange>,
    /// The base to store at once; `None` leaves the stored one.
    pub base: Option<Base>,
    /// Whether the link ends here (deleted on both sides).
    pub unlink: bool,
    /// Whether a row that collides with a unique value is refused by its constraint's name. Else it has lost a race, as the
    /// other row may be the same person, who is looked for next time.
    pub insists: bool,
    /// Whether an updated row also gets the legacy id into its legacy id column.
    pub back_reference: bool,
    /// What will be written to MongoDB and the base once that has landed.
    pub intent: Option<(IntentKind, Base)>,
    /// The legacy id of the person who owns the record, to be kept with its link; `None` for a person.
    pub person: Option<LegacyId>,
    /// Whether it belonged to another one before: what belongs to this record then belongs to the new one too.
    pub changes_hands: bool,
    /// The owner and epoch the decision was made under.
    pub owner: Side,
    /// See `owner`.
    pub epoch: i64,
    /// What a person ordered, as far as this plan carries it out.
    pub resolution: Option<Resolution>,
    /// Journal rows; those whose loser is overwritten by the intent are held back until it has landed.
    pub conflicts: Vec<ConflictRow>,
    /// The complete list of what is parked for this record; rows not listed are removed.
    pub parked: Vec<ParkedRow>,
    /// The deleted records that its sets name, to be kept with its link; `None` leaves what is there.
    pub awaits: Option<Vec<(EntityIndex, LegacyId)>>,
}

/// What became of a commit.
pub struct Committed {
    /// One per plan.
    pub outcomes: Vec<Outcome>,
    /// Why some were blocked.
    pub blocked: Option<Error>,
    /// Keys that waited for a record which now exists on both sides, a bounded number of them.
    pub woken: Vec<Key>,
}

/// The side that is authoritative for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The person's legacy id.
    pub person: LegacyId,
    /// The side.
    pub side: Side,
    /// The epoch of the person's cutover row.
    pub epoch: i64,
    /// The side that was authoritative before, if the person has moved.
    pub former: Option<Side>,
}

/// The renaissance database together with the bridge's state, which lives in the same Postgres so that both change in
/// one transaction.
pub trait RenaissanceStore: PauseStore + Send + Sync {
    /// Reads the rows of records in one snapshot.
    fn read(&self, entity: EntityIndex, ids: &[RenaissanceId]) -> impl Future<Output = Result<RenaissanceRead>> + Send;

    /// The links that name any of these ids.
    fn resolve(
        &self,
        entity: EntityIndex,
        legacy: &[LegacyId],
        renaissance: &[RenaissanceId],
    ) -> impl Future<Output = Result<Vec<Resolved>>> + Send;

    /// Of these records, those that exist on both sides, with the person each belongs to; in no order, perhaps twice.
    fn targets(
        &self,
        wanted: &[(EntityIndex, SideId)],
    ) -> impl Future<Output = Result<Vec<(EntityIndex, Target)>>> + Send;

    /// Of these records, those that were linked once and then deleted.
    fn deleted(
        &self,
        records: &[(EntityIndex, LegacyId)],
    ) -> impl Future<Output = Result<Vec<(EntityIndex, LegacyId)>>> + Send;

    /// Of these persons, linked or not, those who have a cutover row.
    fn owners(&self, persons: &[LegacyId]) -> impl Future<Output = Result<Vec<Owner>>> + Send;

    /// Rows whose legacy id column holds one of these ids: (id, row).
    fn find_by_legacy_id(
        &self,
        entity: EntityIndex,
        ids: &[LegacyId],
    ) -> impl Future<Output = Result<Vec<(LegacyId, RenaissanceId)>>> + Send;

    /// For each probe, the rows that match any of its keys: (probe, rank of the key, id).
    fn find(
        &self,
        entity: EntityIndex,
        probes: &[Probe],
    ) -> impl Future<Output = Result<Vec<(usize, usize, RenaissanceId)>>> + Send;

    /// Makes the plans durable in one transaction that opens with the bridge's logical message. One outcome per plan;
    /// a plan that was not written leaves no trace. Plans with an intent are recorded under `intent`.
    fn commit(
        &self,
        entity: EntityIndex,
        intent: uuid::Uuid,
        plans: &[RecordPlan],
    ) -> impl Future<Output = Result<Committed>> + Send;

    /// Journals the conflicts of plans that are not carried out, in place of what was foreseen of these records before; nothing
    /// else changes.
    fn foresee(
        &self,
        entity: EntityIndex,
        records: &[LegacyId],
        plans: &[RecordPlan],
    ) -> impl Future<Output = Result<()>> + Send;

    /// Whether nothing was ever synced or swept: then a first copy is still to look at everything.
    fn is_fresh(&self) -> impl Future<Output = Result<bool>> + Send;

    /// Closes an intent: for records in `landed` the base, journal and back reference become final; for the others of
    /// the intent it is as if they had never been decided. Returns the keys it woke, like [`RenaissanceStore::commit`].
    fn settle(&self, intent: uuid::Uuid, landed: &[LegacyId]) -> impl Future<Output = Result<Vec<Key>>> + Send;

    /// Intents that a former run left open.
    fn open_intents(&self) -> impl Future<Output = Result<Vec<uuid::Uuid>>> + Send;

    /// The saved position of a side.
    fn checkpoint(&self, side: Side) -> impl Future<Output = Result<Option<Position>>> + Send;

    /// Saves positions; everything up to them is durable.
    fn save_checkpoint(&self, position: &[(Side, Position)]) -> impl Future<Output = Result<()>> + Send;

    /// How far the sweep of an entity's side has come.
    fn sweep(
        &self,
        entity: EntityIndex,
        side: Side,
        kind: SweepKind,
    ) -> impl Future<Output = Result<SweepState>> + Send;

    /// Saves how far it has come.
    fn save_sweep(
        &self,
        entity: EntityIndex,
        side: Side,
        kind: SweepKind,
        state: &SweepState,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Forgets how far the first copy of these entities has come, so that it starts over.
    fn forget_sweeps(&self, entities: &[EntityIndex]) -> impl Future<Output = Result<()>> + Send;

    /// Walks on from `after` by at most `limit` rows: one chunk of a sweep.
    fn page(
        &self,
        entity: EntityIndex,
        after: Option<RenaissanceId>,
        limit: u32,
        listed: Listed,
    ) -> impl Future<Output = Result<Page<RenaissanceId>>> + Send;

    /// Keys of records parked for a reason that may pass without a change to the record itself, and of those whose sets name
    /// a record that was deleted and is back; a bounded number of them.
    fn parked_for_others(&self) -> impl Future<Output = Result<Vec<Key>>> + Send;

    /// How many records there are, roughly.
    fn count(&self, entity: EntityIndex) -> impl Future<Output = Result<u64>> + Send;

    /// Records a key that cannot even be read, such as a document with an unsupported `_id`. Again is once.
    fn park(&self, entity: EntityIndex, row: &ParkedRow, shown_id: &str) -> impl Future<Output = Result<()>> + Send;

    /// Takes back [`RenaissanceStore::park`]: what was shown so is gone.
    fn unpark(&self, entity: EntityIndex, shown_id: &str) -> impl Future<Output = Result<()>> + Send;

    /// Parked rows, all or those with these numbers, with the keys that bring their records back; `None` for a record
    /// that no key can name.
    fn parked_keys(&self, ids: Option<&[i64]>) -> impl Future<Output = Result<Vec<(i64, Option<Key>)>>> + Send;

    /// An entry of the journal, first, and those that were journalled together with it about the same record; none if there
    /// is no such entry.
    fn journal_entry(&self, id: i64) -> impl Future<Output = Result<Vec<JournalEntry>>> + Send;

    /// What was deleted under this number; `of_conflict`: together with this entry of the journal.
    fn tombstone(&self, id: i64, of_conflict: bool) -> impl Future<Output = Result<Option<Tombstone>>> + Send;

    /// Puts deleted rows back, as their tombstone has them, as an application would.
    fn restore(&self, entity: EntityIndex, record: &serde_json::Value)
    -> impl Future<Output = Result<Restored>> + Send;

    /// Notes that a deleted record was put back, and the entries of the journal that are resolved with that.
    fn restored(
        &self,
        tombstone: i64,
        by: &str,
        resolution: Option<&Resolution>,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Forgets parked rows; returns the numbers of those that were there.
    fn drop_parked(&self, ids: &[i64]) -> impl Future<Output = Result<Vec<i64>>> + Send;
}
