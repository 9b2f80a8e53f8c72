//! Telling in the log that records are parked.

use std::time::{Duration, Instant};

use crate::sync::reconcile::Parked;

/// How often it is told that records are parked.
const PARKED_EVERY: Duration = Duration::from_secs(10);

/// What was parked and is not told yet: in a storm one line in a while stands for many.
#[derive(Default)]
pub(super) struct ToldParked {
    untold: usize,
    last: Option<Instant>,
}

impl ToldParked {
    /// Tells of records of an entity that wait from now on.
    pub(super) fn tell(&mut self, entity: &str, parked: &[Parked]) {
        self.untold += parked.len();
        let Some(Parked { legacy_id, field, reason }) = parked.first() else { return };
        if self.last.is_some_and(|last| last.elapsed() < PARKED_EVERY) {
            return;
        }
        let parked = std::mem::take(&mut self.untold);
        self.last = Some(Instant::now());
        tracing::warn!(entity, %legacy_id, field, %reason, parked, "parked until it fits: `biograph-bridge parked list`");
    }
}
