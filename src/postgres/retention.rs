//! Forgetting what was kept long enough: people's values in the journal and in tombstones.

use std::time::Duration;

use super::store::Postgres;
use crate::error::{Error, Result};

/// Rows at once: short enough to be in nobody's way.
const STEP: i64 = 500;

/// What nobody has decided stays, however old it is.
const JOURNAL: &str = "DELETE FROM biograph_bridge.conflict WHERE id IN (SELECT id FROM biograph_bridge.conflict \
    WHERE at < now() - $1 * interval '1 millisecond' AND coalesce(resolved_at, at) < now() - $1 * interval '1 millisecond' \
    AND (winner IS NOT NULL OR resolved_at IS NOT NULL) AND intent IS NULL AND resolution IS NULL ORDER BY at LIMIT $2)";

/// Only what the record held goes. That it was deleted is still to be known: by that, references to it are told from those to
/// records that are yet to come.
const TOMBSTONES: &str = "UPDATE biograph_bridge.tombstone SET record = 'null'::jsonb \
    WHERE id IN (SELECT id FROM biograph_bridge.tombstone WHERE at < now() - $1 * interval '1 millisecond' \
      AND record <> 'null'::jsonb AND intent IS NULL ORDER BY at LIMIT $2)";

impl Postgres {
    /// Forgets some entries of the journal that are older than this and were decided. How many, and whether there may be more.
    pub async fn forget_decided(&self, kept: Duration) -> Result<(u64, bool)> {
        self.forget(JOURNAL, kept).await
    }

    /// Forgets what some records held that were deleted longer ago than this. How many, and whether there may be more.
    pub async fn forget_deleted(&self, kept: Duration) -> Result<(u64, bool)> {
        self.forget(TOMBSTONES, kept).await
    }

    async fn forget(&self, sql: &'static str, kept: Duration) -> Result<(u64, bool)> {
        let mut transaction = self.begin_on_state().await?;
        let millis = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        let gone = sqlx::query(sql).bind(millis).bind(STEP).execute(&mut *transaction).await.map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)?;
        let gone = gone.rows_affected();
        Ok((gone, gone >= STEP.unsigned_abs()))
    }
}
