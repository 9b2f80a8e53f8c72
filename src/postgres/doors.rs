//! The renaissance door of the engine, answered by the files beside this one.

use std::time::Duration;

use uuid::Uuid;

use super::store::Postgres;
use crate::{
    error::{Error, Result},
    model::{
        fact::{RetryClass, SweepKind},
        hint::Position,
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
        links::Target,
        side::Side,
    },
    sync::ports::{
        Committed, JournalEntry, Listed, Owner, Page, ParkedRow, Probe, RecordPlan, RenaissanceRead, RenaissanceStore,
        Resolution, Resolved, Restored, SweepState, Tombstone,
    },
};

/// Work that takes longer than this has lost its connection without being told.
const HANGS: Duration = Duration::from_secs(120);

/// The driver has no timeout of its own for an answer that never comes. Work that is given up takes its session along.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || {
        let late = Error::retry(format!("Postgres has not answered for {} s", HANGS.as_secs()));
        late.with_class(RetryClass::Connection).from_side(Side::Renaissance)
    };
    tokio::time::timeout(HANGS, work).await.unwrap_or_else(|_| Err(late()))
}

impl RenaissanceStore for Postgres {
    async fn read(&self, entity: EntityIndex, ids: &[RenaissanceId]) -> Result<RenaissanceRead> {
        in_time(self.read_rows(entity, ids)).await
    }

    async fn resolve(
        &self,
        entity: EntityIndex,
        legacy: &[LegacyId],
        renaissance: &[RenaissanceId],
    ) -> Result<Vec<Resolved>> {
        if !self.has_state() {
            return Ok(Vec::new());
        }
        in_time(self.resolve_links(entity, legacy, renaissance)).await
    }

    async fn targets(&self, wanted: &[(EntityIndex, SideId)]) -> Result<Vec<(EntityIndex, Target)>> {
        if !self.has_state() {
            return Ok(Vec::new());
        }
        in_time(self.linked_targets(wanted)).await
    }

    async fn deleted(&self, records: &[(EntityIndex, LegacyId)]) -> Result<Vec<(EntityIndex, LegacyId)>> {
        if !self.has_state() {
            return Ok(Vec::new());
        }
        in_time(self.buried(records)).await
    }

    async fn owners(&self, persons: &[LegacyId]) -> Result<Vec<Owner>> {
        if !self.has_state() {
            return Ok(Vec::new());
        }
        in_time(self.owners_of(persons)).await
    }

    async fn find_by_legacy_id(&self, entity: EntityIndex, ids: &[LegacyId]) -> Result<Vec<(LegacyId, RenaissanceId)>> {
        in_time(self.rows_by_legacy_id(entity, ids)).await
    }

    async fn find(&self, entity: EntityIndex, probes: &[Probe]) -> Result<Vec<(usize, usize, RenaissanceId)>> {
        in_time(self.find_rows(entity, probes)).await
    }

    async fn commit(&self, entity: EntityIndex, intent: Uuid, plans: &[RecordPlan]) -> Result<Committed> {
        in_time(self.commit_plans(entity, intent, plans)).await
    }

    async fn foresee(&self, entity: EntityIndex, records: &[LegacyId], plans: &[RecordPlan]) -> Result<()> {
        in_time(self.journal_foreseen(entity, records, plans)).await
    }

    async fn is_fresh(&self) -> Result<bool> {
        in_time(self.has_no_history()).await
    }

    async fn settle(&self, intent: Uuid, landed: &[LegacyId]) -> Result<Vec<Key>> {
        in_time(self.settle_intent(intent, landed)).await
    }

    async fn open_intents(&self) -> Result<Vec<Uuid>> {
        in_time(self.intents_left_open()).await
    }

    async fn checkpoint(&self, side: Side) -> Result<Option<Position>> {
        in_time(self.saved_position(side)).await
    }

    async fn save_checkpoint(&self, positions: &[(Side, Position)]) -> Result<()> {
        in_time(self.save_positions(positions)).await
    }

    async fn sweep(&self, entity: EntityIndex, side: Side, kind: SweepKind) -> Result<SweepState> {
        in_time(self.sweep_state(entity, side, kind)).await
    }

    async fn save_sweep(&self, entity: EntityIndex, side: Side, kind: SweepKind, state: &SweepState) -> Result<()> {
        if self.is_shadow() {
            return Ok(());
        }
        in_time(self.save_sweep_state(entity, side, kind, state)).await
    }

    async fn forget_sweeps(&self, entities: &[EntityIndex]) -> Result<()> {
        in_time(self.forget_first_copies(entities)).await
    }

    async fn page(
        &self,
        entity: EntityIndex,
        after: Option<RenaissanceId>,
        limit: u32,
        listed: Listed,
    ) -> Result<Page<RenaissanceId>> {
        in_time(self.page_of_ids(entity, after, limit, listed)).await
    }

    async fn parked_for_others(&self) -> Result<Vec<Key>> {
        in_time(self.keys_parked_for_others()).await
    }

    async fn count(&self, entity: EntityIndex) -> Result<u64> {
        // a real count may take its time
        self.rough_count(entity).await
    }

    async fn park(&self, entity: EntityIndex, row: &ParkedRow, shown_id: &str) -> Result<()> {
        if self.is_shadow() {
            return Ok(());
        }
        in_time(self.park_unaddressable(entity, row, shown_id)).await
    }

    async fn unpark(&self, entity: EntityIndex, shown_id: &str) -> Result<()> {
        if self.is_shadow() {
            return Ok(());
        }
        in_time(self.unpark_unaddressable(entity, shown_id)).await
    }

    async fn parked_keys(&self, ids: Option<&[i64]>) -> Result<Vec<(i64, Option<Key>)>> {
        in_time(self.keys_of_parked(ids)).await
    }

    async fn journal_entry(&self, id: i64) -> Result<Vec<JournalEntry>> {
        self.entry_of_journal(id).await
    }

    async fn tombstone(&self, id: i64, of_conflict: bool) -> Result<Option<Tombstone>> {
        self.one_tombstone(id, of_conflict).await
    }

    async fn restore(&self, entity: EntityIndex, record: &serde_json::Value) -> Result<Restored> {
        self.put_back(entity, record).await
    }

    async fn restored(&self, tombstone: i64, by: &str, resolution: Option<&Resolution>) -> Result<()> {
        self.note_restored(tombstone, by, resolution).await
    }

    async fn drop_parked(&self, ids: &[i64]) -> Result<Vec<i64>> {
        in_time(self.forget_parked(ids)).await
    }
}
