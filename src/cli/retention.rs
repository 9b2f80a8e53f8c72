//! The daemon forgets, in small steps, what was kept long enough.

use std::time::Duration;

use tracing::{info, warn};

use crate::{error::Result, postgres::store::Postgres};

/// Between two steps, so that forgetting much at once is in nobody's way.
const PAUSE: Duration = Duration::from_millis(200);
/// How often it is looked, at least and at most: a quarter of the time that something is kept.
const LOOK: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(600));

/// How long what people wrote is kept in the state; `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retention {
    /// Decided entries of the journal.
    pub(super) journal: Option<Duration>,
    /// What deleted records held.
    pub(super) tombstones: Option<Duration>,
}

impl Retention {
    /// Forgets for ever; failing to is tried again.
    pub(super) async fn keep(self, store: &Postgres) -> Result<()> {
        let shortest = self.journal.into_iter().chain(self.tombstones).min();
        let Some(shortest) = shortest else { return std::future::pending().await };
        let mut turn = tokio::time::interval((shortest / 4).clamp(LOOK.0, LOOK.1));
        loop {
            turn.tick().await;
            if let Some(kept) = self.journal {
                forget("decided entries of the journal", || store.forget_decided(kept)).await;
            }
            if let Some(kept) = self.tombstones {
                forget("the contents of deleted records", || store.forget_deleted(kept)).await;
            }
        }
    }
}

async fn forget<F: Future<Output = Result<(u64, bool)>>>(what: &str, step: impl Fn() -> F) {
    let mut all = 0;
    loop {
        match step().await {
            Ok((gone, more)) => {
                all += gone;
                if !more {
                    break;
                }
            }
            Err(error) => {
                warn!(%error, "cannot forget {what}; it is tried again");
                break;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    if all > 0 {
        info!(rows = all, "forgot {what}, which were kept long enough");
    }
}
