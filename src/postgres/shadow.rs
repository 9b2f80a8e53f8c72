//! What a shadow leaves in the state: the conflicts that it foresees, marked as such.

use uuid::Uuid;

use super::{commit::Part, journal, statements::Collision, store::Postgres};
use crate::{
    error::{Error, Result},
    model::key::{EntityIndex, LegacyId},
    sync::ports::RecordPlan,
};

/// Those of this transaction; nothing of them is on its way to legacy.
const MARK: &str = "UPDATE biograph_bridge.conflict SET shadow = true, intent = NULL \
    WHERE entity = $1 AND legacy_id = ANY($2) AND xmin = pg_current_xact_id()::xid";

impl Postgres {
    pub(super) async fn journal_foreseen(
        &self,
        index: EntityIndex,
        seen: &[LegacyId],
        plans: &[RecordPlan],
    ) -> Result<()> {
        let (entity, _) = self.entity(index)?;
        let records: Vec<String> = seen.iter().map(ToString::to_string).collect();
        let mut transaction = self.begin_on_state().await?;
        sqlx::query("DELETE FROM biograph_bridge.conflict WHERE shadow AND entity = $1 AND legacy_id = ANY($2)")
            .bind(&entity.name)
            .bind(&records)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        let part = Part::new(plans.iter().collect(), Collision::LeaveOut);
        let under = (self.shapes().current(index)?, Uuid::nil());
        journal::conflicts(&mut transaction, entity, under, &part).await?;
        let mark = sqlx::query(MARK).bind(&entity.name).bind(&records);
        mark.execute(&mut *transaction).await.map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    /// Whether no record is linked and no sweep has begun.
    pub(super) async fn has_no_history(&self) -> Result<bool> {
        sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT FROM biograph_bridge.link) AND NOT EXISTS (SELECT FROM biograph_bridge.sweep)",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(Error::from)
    }

    /// Removes what a shadow foresaw: from now on it is decided.
    pub async fn forget_foreseen(&self) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        let forget = sqlx::query("DELETE FROM biograph_bridge.conflict WHERE shadow");
        let forgotten = forget.execute(&mut *transaction).await.map_err(Error::from)?.rows_affected();
        transaction.commit().await.map_err(Error::from)?;
        if forgotten > 0 {
            tracing::info!(rows = forgotten, "removed what a shadow had foreseen from the journal");
        }
        Ok(())
    }
}
