//! Comparing both sides, beside everything else.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Bridge;
use crate::{
    error::Result,
    sync::{
        marks::Marks,
        pace::Pace,
        ports::{CutoverStore, HealingStore, LegacyStore, RenaissanceStore, Source, VerifyStore},
        queue::InProcess,
        verify::Verifier,
    },
};

impl<L, R, SL, SR> Bridge<L, R, SL, SR>
where
    L: LegacyStore + 'static,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore + 'static,
    SL: Source + 'static,
    SR: Source + 'static,
{
    /// Compares both sides, as asked and in the background.
    pub(super) async fn verify(self: Arc<Self>, queue: Arc<InProcess>, stop: CancellationToken) -> Result<()> {
        if self.settings.shadow {
            return Ok(());
        }
        let pace = Pace::new(self.settings.sweep_chunk, self.settings.verify_rate);
        let background = self.settings.verify_background.map(|rate| Pace::new(self.settings.sweep_chunk, Some(rate)));
        let verifier = Verifier {
            reconciler: &self.reconciler,
            marks: Marks { sources: (&self.sources.0, &self.sources.1), queue: &*queue },
            queue: &*queue,
            watch: &self.watch,
            status: &self.status,
            entities: &self.entities,
            pace: &pace,
            background: background.as_ref(),
            asked: &self.verify,
        };
        verifier.run(&stop).await
    }
}
