//! What goes on beside streams and sweeps for as long as the bridge runs.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Bridge;
use crate::{
    error::Result,
    model::hint::{Freshness, Hint},
    sync::{
        cohorts::Cohorts,
        cutover::{Mover, Movers, Wish},
        ports::{CutoverMirror, CutoverStore, HealingStore, LegacyStore, RenaissanceStore, Source, VerifyStore},
        queue::{HintQueue, InProcess},
        tracker::Lane,
    },
};

impl<L, R, SL, SR> Bridge<L, R, SL, SR>
where
    L: LegacyStore + CutoverMirror + 'static,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore + 'static,
    SL: Source + 'static,
    SR: Source + 'static,
{
    /// Moves people.
    pub(super) async fn move_people(
        self: Arc<Self>,
        queue: Arc<InProcess>,
        wishes: mpsc::Receiver<Wish>,
        stop: CancellationToken,
    ) -> Result<()> {
        if self.settings.shadow {
            return Ok(());
        }
        let (sources, about) = ((&self.sources.0, &self.sources.1), (&*self.status, &self.entities[..]));
        Mover::new(&self.reconciler, sources, &*queue, about, self.settings.cutover_drain).run(wishes, &stop).await
    }

    /// Moves people who move together.
    pub(super) async fn move_cohorts(self: Arc<Self>, movers: Movers, stop: CancellationToken) -> Result<()> {
        if !self.settings.shadow {
            Cohorts::new(self.reconciler.renaissance(), &movers, &self.status).run(&stop).await;
        }
        Ok(())
    }

    /// Brings back keys that wait for something outside of them: a unique value to become free, a reference to appear.
    pub(super) async fn parked_again(self: Arc<Self>, queue: Arc<InProcess>, stop: CancellationToken) -> Result<()> {
        let store = self.reconciler.renaissance();
        if self.settings.shadow {
            return Ok(());
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.settings.parked_retry) => {}
            }
            match store.parked_for_others().await {
                Ok(keys) => {
                    for key in keys {
                        let hint = Hint { key, freshness: Freshness::Any, committed_at: None };
                        queue.offer(Lane::Sweep(key.id.side()), hint).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot read what is parked; it is tried again later"),
            }
        }
    }
}
