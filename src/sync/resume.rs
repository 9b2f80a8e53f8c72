//! The end of a pause: records that are missing are looked for if somebody said what is to become of them, then the keys that were
//! parked come back, page by page. A daemon that dies in between leaves it to the next one.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    ports::{By, LegacyStore, RenaissanceStore},
    queue::HintQueue,
    reconcile::Reconciler,
    status::Status,
    sweeps::Ask,
    tracker::Lane,
};
use crate::{
    error::{Disposition, Error, Result},
    model::{
        fact::PauseCause,
        hint::{Freshness, Hint},
        key::{EntityIndex, LegacyId, RenaissanceId},
        pause::{Deletions, Pause},
        side::Side,
    },
    retry::{Backoff, Failures, Policy},
};

/// Links looked at, and keys brought back, at once.
const PAGE: u32 = 500;
/// The name under which failures are shown.
const NAME: &str = "ending a pause";

/// Ends pauses and brings keys back.
pub struct Resume<'a, L, R, Q> {
    /// The stores, and what is paused.
    pub reconciler: &'a Reconciler<L, R>,
    /// Where keys go.
    pub queue: &'a Q,
    /// What people see.
    pub status: &'a Status,
    /// Who sweeps.
    pub sweeps: mpsc::Sender<Ask>,
}

impl<L: LegacyStore, R: RenaissanceStore, Q: HintQueue> Resume<'_, L, R, Q> {
    /// Ends what is to be ended, at the start and whenever there is something, until `stop`. An error means that the bridge has
    /// to start over.
    pub async fn run(&self, stop: &CancellationToken) -> Result<()> {
        let (mut backoff, mut failures) = (Backoff::new(Policy::CONNECTION), Failures::default());
        loop {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                done = self.end_all() => done,
            };
            match done {
                Ok(false) => {
                    self.status.recovered(NAME);
                    failures.succeeded(NAME);
                    backoff.reset();
                }
                Ok(true) => return Err(Error::retry("starting over with the tables as they are now")),
                Err(error) => {
                    self.status.failed(NAME, &error);
                    failures.failed(NAME, &error);
                    let wait = match error.disposition() {
                        Disposition::Retry => backoff.next_delay(),
                        Disposition::Park | Disposition::Halt => Policy::CONNECTION.longest,
                    };
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(wait) => continue,
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.reconciler.pauses().ending() => {}
            }
        }
    }

    /// Whether the bridge has to start over.
    async fn end_all(&self) -> Result<bool> {
        let mut start_over = false;
        for pause in &self.reconciler.pauses().now().0 {
            let (Some(answer), Some(entity), Some(side)) = (pause.answer, pause.scope.entity, pause.missing_on) else {
                continue;
            };
            self.end(pause, (answer, entity, side)).await?;
            start_over |= is_anew(pause.cause) && side == Side::Renaissance;
        }
        // what was decided under a pause that has ended is parked by then
        self.reconciler.pauses().settled().await;
        if !start_over {
            self.bring_back().await?;
        }
        Ok(start_over)
    }

    async fn end(&self, pause: &Pause, (answer, entity, side): (Deletions, EntityIndex, Side)) -> Result<()> {
        if side == Side::Legacy {
            self.reconciler.legacy().ensure(entity).await?;
        }
        // deletions of a burst are parked already
        if answer == Deletions::Restore || pause.cause != PauseCause::Burst {
            self.walk(pause, (answer, entity, side)).await?;
        }
        self.reconciler.take_structure(entity, side).await?;
        let again: &[EntityIndex] = if is_anew(pause.cause) { &[entity] } else { &[] };
        let store = self.reconciler.renaissance();
        store.end_pauses(&[pause.id], &By::default(), again).await?;
        self.reconciler.pauses().load(store).await?;
        tracing::info!(pause = pause.id, answer = answer.as_str(), "a pause has ended");
        if !again.is_empty() {
            self.sweep(entity).await;
        }
        Ok(())
    }

    /// Parks what is missing under the pause.
    async fn walk(&self, pause: &Pause, (answer, entity, side): (Deletions, EntityIndex, Side)) -> Result<()> {
        let store = self.reconciler.renaissance();
        loop {
            let links = store.links_to_walk(pause.id, entity, PAGE).await?;
            let Some((last, _)) = links.last().copied() else { return Ok(()) };
            let present: Vec<bool> = match side {
                Side::Legacy => {
                    let ids: Vec<LegacyId> = links.iter().map(|(legacy, _)| *legacy).collect();
                    let images = self.reconciler.legacy().read(entity, &ids, None).await?;
                    images.iter().map(Option::is_some).collect()
                }
                Side::Renaissance => {
                    let ids: Vec<RenaissanceId> = links.iter().map(|(_, row)| *row).collect();
                    let images = store.read(entity, &ids).await?.images;
                    if answer == Deletions::Restore {
                        let read = links.iter().map(|(legacy, _)| *legacy).zip(&images);
                        let sets: Vec<_> = read
                            .filter_map(|(id, image)| Some((id, self.reconciler.sets(entity, image.as_ref()?))))
                            .collect();
                        store.park_thinned(pause.id, entity, &sets).await?;
                    }
                    images.iter().map(Option::is_some).collect()
                }
            };
            let missing = links.iter().zip(present).filter(|(_, present)| !present).map(|((legacy, _), _)| *legacy);
            let missing: Vec<LegacyId> = missing.collect();
            store.park_missing(pause.id, entity, &missing, answer, last).await?;
        }
    }

    /// What came under an old name without a change that was told is found by a sweep.
    async fn sweep(&self, entity: EntityIndex) {
        let (answer, answered) = oneshot::channel();
        let ask = Ask { entities: vec![entity], restart: false, answer };
        // nobody sweeps any more: the bridge stops, and the next start sweeps
        if self.sweeps.send(ask).await.is_ok() {
            drop(answered.await);
        }
    }

    /// Brings back what was parked under pauses that have ended.
    async fn bring_back(&self) -> Result<()> {
        let (store, mut after, mut count) = (self.reconciler.renaissance(), 0, 0_u64);
        loop {
            let page = store.returning(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for returning in &page {
                let Some(key) = returning.key else { continue };
                if returning.answer == Some(Deletions::Apply) {
                    self.reconciler.approve(key);
                }
                let hint = Hint { key, freshness: Freshness::Any, committed_at: None };
                self.queue.offer(Lane::Sweep(key.id.side()), hint).await;
                count += 1;
            }
        }
        if count > 0 {
            tracing::info!(keys = count, "what was parked under a pause that has ended comes back");
        }
        Ok(())
    }
}

/// Whether another collection or table may have the name now.
const fn is_anew(cause: PauseCause) -> bool {
    matches!(cause, PauseCause::Dropped | PauseCause::Renamed)
}
