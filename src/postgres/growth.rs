//! Fresh statistics while the links multiply.
//!
//! A statement that was planned while the links were few keeps its plan, and on an empty table all indexes look alike: one that
//! walks every link of an entity may win, and gets slower with every batch. ANALYZE makes all sessions plan again. Autovacuum
//! would do so too, a minute and some hundred thousand links later.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::store::Postgres;

/// New links after which statistics are taken for the first time.
const FIRST: u64 = 1000;
/// And again when there are so many times as many.
const FACTOR: u64 = 8;

/// How many links this daemon has made.
#[derive(Clone, Default)]
pub(super) struct Growth(Arc<AtomicU64>);

impl Growth {
    /// Adds new links; whether statistics are due.
    fn add(&self, new: u64) -> bool {
        let before = self.0.fetch_add(new, Ordering::Relaxed);
        let due = |links: u64| {
            std::iter::successors(Some(FIRST), |last| last.checked_mul(FACTOR)).take_while(move |at| *at <= links)
        };
        due(before + new).count() > due(before).count()
    }
}

impl Postgres {
    /// Notes new links and takes statistics when there are many more than at the last time. That it fails costs only time.
    pub(super) async fn grown(&self, new: u64) {
        if new == 0 || !self.growth().add(new) {
            return;
        }
        let analyze = "ANALYZE biograph_bridge.link, biograph_bridge.parked";
        if let Err(error) = sqlx::raw_sql(analyze).execute(&self.pool).await {
            tracing::debug!(%error, "statistics of the links could not be taken");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_due_at_a_thousand_links_and_at_every_eightfold() {
        let growth = Growth::default();
        let due: Vec<u64> = (1..=70).filter(|_| growth.add(1000)).collect();
        assert_eq!(due, [1, 8, 64]);
        assert!(Growth::default().add(600_000), "several at once are one");
    }
}
