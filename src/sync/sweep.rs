//! Walking all keys of an entity's side in chunks: how records get in that no change ever hinted at.

use tokio_util::sync::CancellationToken;

use super::{
    ports::{LegacyStore, RenaissanceStore, SweepState},
    queue::HintQueue,
    status::{Status, Swept},
    tracker::Lane,
};
use crate::{
    error::{Error, Result},
    model::{
        fact::SweepKind,
        hint::{Freshness, Hint},
        key::{EntityIndex, Key, SideId},
        side::Side,
    },
    retry::{Policy, retry},
};

/// Keys per chunk: one indexed page read.
const CHUNK: u32 = 1000;
/// Chunks that may be on their way at once, so that reading pages overlaps with reconciling.
const IN_FLIGHT: usize = 3;

/// A first copy of one entity's side, resumable chunk by chunk.
pub struct Sweep<'a, L, R, Q> {
    /// The legacy store.
    pub legacy: &'a L,
    /// The renaissance store, which also keeps the progress.
    pub renaissance: &'a R,
    /// Where keys go.
    pub queue: &'a Q,
    /// What people see.
    pub status: &'a Status,
    /// The entity.
    pub entity: EntityIndex,
    /// The side whose keys are walked.
    pub side: Side,
}

/// A chunk on its way: the number of its last hint, its last id, its size.
struct Chunk {
    seq: u64,
    last: SideId,
    records: u64,
}

impl<L: LegacyStore, R: RenaissanceStore, Q: HintQueue> Sweep<'_, L, R, Q> {
    /// Sweeps what is not swept yet. Progress is saved only for chunks that are durable.
    pub async fn run(&self, stop: &CancellationToken) -> Result<()> {
        let what = "reading what to sweep";
        let retried = Policy::CONNECTION;
        let mut state = retry(what, retried, stop, || self.renaissance.sweep(self.entity, self.side)).await?;
        let total = retry(what, retried, stop, || self.total()).await?;
        self.show(&state, 0, total);
        let mut after = state.after.as_deref().map(|text| self.parse(text)).transpose()?;
        let mut chunks: std::collections::VecDeque<Chunk> = std::collections::VecDeque::new();
        while !state.done {
            let ids = retry(what, retried, stop, || self.page(after)).await?;
            if let Some(last) = ids.last().copied() {
                after = Some(last);
                chunks.push_back(self.offer(&ids, last).await);
            }
            let ended = ids.is_empty();
            while chunks.len() >= if ended { 1 } else { IN_FLIGHT } {
                let Some(chunk) = chunks.pop_front() else { break };
                self.finish(chunk, &mut state, total, stop).await?;
            }
            if ended {
                state.done = true;
                retry(what, retried, stop, || self.renaissance.save_sweep(self.entity, self.side, &state)).await?;
                self.show(&state, 0, total);
            }
        }
        Ok(())
    }

    async fn total(&self) -> Result<u64> {
        match self.side {
            Side::Legacy => self.legacy.count(self.entity).await,
            Side::Renaissance => self.renaissance.count(self.entity).await,
        }
    }

    async fn page(&self, after: Option<SideId>) -> Result<Vec<SideId>> {
        match (self.side, after) {
            (Side::Legacy, Some(SideId::Legacy(id))) => self.legacy_page(Some(id)).await,
            (Side::Legacy, _) => self.legacy_page(None).await,
            (Side::Renaissance, Some(SideId::Renaissance(id))) => self.renaissance_page(Some(id)).await,
            (Side::Renaissance, _) => self.renaissance_page(None).await,
        }
    }

    async fn legacy_page(&self, after: Option<crate::model::key::LegacyId>) -> Result<Vec<SideId>> {
        Ok(self.legacy.page(self.entity, after, CHUNK).await?.into_iter().map(SideId::Legacy).collect())
    }

    async fn renaissance_page(&self, after: Option<i64>) -> Result<Vec<SideId>> {
        Ok(self.renaissance.page(self.entity, after, CHUNK).await?.into_iter().map(SideId::Renaissance).collect())
    }

    async fn offer(&self, ids: &[SideId], last: SideId) -> Chunk {
        let mut seq = 0;
        for id in ids {
            let key = Key { entity: self.entity, id: *id };
            let hint = Hint { key, freshness: Freshness::Any, committed_at: None };
            seq = self.queue.offer(Lane::Sweep(self.side), hint).await;
        }
        Chunk { seq, last, records: ids.len() as u64 }
    }

    async fn finish(&self, chunk: Chunk, state: &mut SweepState, total: u64, stop: &CancellationToken) -> Result<()> {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Error::retry("the sweep was interrupted; it resumes at the next start")),
            () = self.queue.until_durable(Lane::Sweep(self.side), chunk.seq) => {}
        }
        state.after = Some(match chunk.last {
            SideId::Legacy(id) => id.to_string(),
            SideId::Renaissance(id) => id.to_string(),
        });
        state.records += i64::try_from(chunk.records).unwrap_or(i64::MAX);
        let save = || self.renaissance.save_sweep(self.entity, self.side, state);
        retry("saving how far the sweep has come", Policy::CONNECTION, stop, save).await?;
        self.show(state, chunk.records, total);
        Ok(())
    }

    fn parse(&self, text: &str) -> Result<SideId> {
        let malformed = || Error::halt(format!("the saved progress of the {} sweep is not an id", self.side));
        match self.side {
            Side::Legacy => text.parse().map(SideId::Legacy).map_err(|_| malformed()),
            Side::Renaissance => text.parse().map(SideId::Renaissance).map_err(|_| malformed()),
        }
    }

    fn show(&self, state: &SweepState, chunk: u64, total: u64) {
        let records = u64::try_from(state.records).unwrap_or(0);
        self.status.swept(Swept {
            entity: self.entity,
            side: self.side,
            kind: SweepKind::Backfill,
            chunk,
            records,
            total: Some(total.max(records)),
            done: state.done,
        });
    }
}
