//! Walking all keys of an entity's side in chunks: how records get in that no change ever hinted at.

use std::collections::VecDeque;

use tokio_util::sync::CancellationToken;

use super::{
    pace::Pace,
    ports::{HealingStore, LegacyStore, Listed, Page, ParkedRow, RenaissanceStore, SweepState},
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
        problem::{Problem, Reason},
        side::Side,
    },
    retry::{Policy, retry},
};

/// Chunks that may be on their way at once, so that reading pages overlaps with reconciling.
const IN_FLIGHT: usize = 3;
/// What retries are about.
const READING: &str = "reading what to sweep";
/// Marks progress among documents that no key can name.
const STRAY: &str = "stray:";

/// A walk over one entity's side, resumable chunk by chunk.
pub struct Sweep<'a, L, R, Q> {
    /// The legacy store.
    pub legacy: &'a L,
    /// The renaissance store, which also keeps the progress.
    pub renaissance: &'a R,
    /// Where keys go.
    pub queue: &'a Q,
    /// What people see.
    pub status: &'a Status,
    /// How many records at once, and how fast.
    pub pace: &'a Pace,
    /// The entity.
    pub entity: EntityIndex,
    /// The side whose keys are walked; links are walked by their legacy ids.
    pub side: Side,
    /// Why.
    pub kind: SweepKind,
}

/// A chunk on its way: the number of its last hint (0: it needed none), its last id, its size.
struct Chunk {
    seq: u64,
    last: SideId,
    walked: u64,
}

impl<L: LegacyStore, R: RenaissanceStore + HealingStore, Q: HintQueue> Sweep<'_, L, R, Q> {
    /// Sweeps what is not swept yet. Progress is saved only for chunks that are durable. May be dropped at any point.
    pub async fn run(&self, stop: &CancellationToken) -> Result<()> {
        let saved = || self.renaissance.sweep(self.entity, self.side, self.kind);
        let mut state = retry(READING, Policy::RUNNING, stop, saved).await?;
        if state.done {
            self.show(&state, 0);
            return Ok(());
        }
        let total = retry(READING, Policy::RUNNING, stop, || self.total()).await?;
        state.total = i64::try_from(total).ok();
        self.save(&state, 0, stop).await?;
        let mark = state.after.as_deref().and_then(|after| after.strip_prefix(STRAY)).map(str::to_owned);
        if mark.is_none() {
            self.walk(&mut state, stop).await?;
        }
        if self.side == Side::Legacy && matches!(self.kind, SweepKind::Backfill | SweepKind::Heal) {
            self.park_strays(&mut state, mark, stop).await?;
        }
        state.done = true;
        self.save(&state, 0, stop).await
    }

    async fn walk(&self, state: &mut SweepState, stop: &CancellationToken) -> Result<()> {
        let mut after = state.after.as_deref().map(|text| self.parse(text)).transpose()?;
        let mut chunks: VecDeque<Chunk> = VecDeque::new();
        loop {
            let page = retry(READING, Policy::RUNNING, stop, || self.page(after)).await?;
            let ended = page.last.is_none();
            if let Some(last) = page.last {
                after = Some(last);
                self.pace.spend(page.walked, stop).await;
                chunks.push_back(Chunk { seq: self.offer(&page.listed).await, last, walked: page.walked });
            }
            while chunks.len() >= if ended { 1 } else { IN_FLIGHT } {
                let Some(chunk) = chunks.pop_front() else { break };
                self.finish(&chunk, state, stop).await?;
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Parks every document whose `_id` no key can name, under its own id.
    async fn park_strays(
        &self,
        state: &mut SweepState,
        mut mark: Option<String>,
        stop: &CancellationToken,
    ) -> Result<()> {
        loop {
            let page = || self.legacy.strays(self.entity, mark.as_deref(), self.pace.chunk());
            let strays = retry(READING, Policy::RUNNING, stop, page).await?;
            let Some(last) = strays.mark else { return Ok(()) };
            let count = strays.found.len() as u64;
            self.pace.spend(count, stop).await;
            for stray in &strays.found {
                let row = unsupported(stray.kind);
                let park = || self.renaissance.park(self.entity, &row, &stray.shown);
                retry("parking a record", Policy::RUNNING, stop, park).await?;
            }
            state.after = Some(format!("{STRAY}{last}"));
            state.parked = state.parked.saturating_add_unsigned(count);
            self.save(state, count, stop).await?;
            mark = Some(last);
        }
    }

    async fn total(&self) -> Result<u64> {
        match self.side {
            Side::Legacy => self.legacy.count(self.entity).await,
            Side::Renaissance => self.renaissance.count(self.entity).await,
        }
    }

    async fn page(&self, after: Option<SideId>) -> Result<Page<SideId>> {
        let limit = self.pace.chunk();
        let listed = match self.kind {
            SweepKind::References | SweepKind::HealReferences => Listed::WithMembers,
            SweepKind::Backfill | SweepKind::Verify | SweepKind::Heal | SweepKind::HealLinks => Listed::All,
        };
        match self.side {
            Side::Legacy => {
                let after = if let Some(SideId::Legacy(id)) = after { Some(id) } else { None };
                if self.kind == SweepKind::HealLinks {
                    return Ok(keyed(self.renaissance.lone_links(self.entity, after, limit).await?, SideId::Legacy));
                }
                Ok(keyed(self.legacy.page(self.entity, after, limit, listed).await?, SideId::Legacy))
            }
            Side::Renaissance => {
                let after = if let Some(SideId::Renaissance(id)) = after { Some(id) } else { None };
                Ok(keyed(self.renaissance.page(self.entity, after, limit, listed).await?, SideId::Renaissance))
            }
        }
    }

    async fn offer(&self, ids: &[SideId]) -> u64 {
        let mut seq = 0;
        for id in ids {
            let key = Key { entity: self.entity, id: *id };
            let hint = Hint { key, freshness: Freshness::Any, committed_at: None };
            seq = self.queue.offer(Lane::Sweep(self.side), hint).await;
        }
        seq
    }

    async fn finish(&self, chunk: &Chunk, state: &mut SweepState, stop: &CancellationToken) -> Result<()> {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Error::retry("the sweep was interrupted; it resumes at the next start")),
            () = self.queue.until_durable(Lane::Sweep(self.side), chunk.seq) => {}
        }
        state.after = Some(match chunk.last {
            SideId::Legacy(id) => id.to_string(),
            SideId::Renaissance(id) => id.to_string(),
        });
        state.records = state.records.saturating_add_unsigned(chunk.walked);
        self.save(state, chunk.walked, stop).await
    }

    async fn save(&self, state: &SweepState, chunk: u64, stop: &CancellationToken) -> Result<()> {
        let save = || self.renaissance.save_sweep(self.entity, self.side, self.kind, state);
        retry("saving how far the sweep has come", Policy::RUNNING, stop, save).await?;
        self.show(state, chunk);
        Ok(())
    }

    fn parse(&self, text: &str) -> Result<SideId> {
        let malformed = || Error::halt(format!("the saved progress of the {} sweep is not an id", self.side));
        match self.side {
            Side::Legacy => text.parse().map(SideId::Legacy).map_err(|_| malformed()),
            Side::Renaissance => text.parse().map(SideId::Renaissance).map_err(|_| malformed()),
        }
    }

    fn show(&self, state: &SweepState, chunk: u64) {
        let known = |number: i64| u64::try_from(number).unwrap_or(0);
        let (records, parked) = (known(state.records), known(state.parked));
        self.status.swept(Swept {
            entity: self.entity,
            side: self.side,
            kind: self.kind,
            chunk,
            records: records + parked,
            parked,
            total: state.total.map(|total| known(total).max(records + parked)),
            done: state.done,
        });
    }
}

/// Why a document that no key can name is parked.
pub(super) fn unsupported(kind: &str) -> ParkedRow {
    let detail = format!("a document's _id is of type {kind}; only ObjectIds can be linked");
    ParkedRow { field: None, problem: Problem::new(Reason::UnsupportedId, detail), waits: Vec::new() }
}

fn keyed<I>(page: Page<I>, id: fn(I) -> SideId) -> Page<SideId> {
    Page { listed: page.listed.into_iter().map(id).collect(), last: page.last.map(id), walked: page.walked }
}
