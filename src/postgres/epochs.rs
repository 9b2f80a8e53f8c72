//! Whether a decision still holds that was made under an owner: the epoch of the person's cutover row, at the time it is written.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sqlx::{PgConnection, PgPool};

use super::{commit::Part, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{key::LegacyId, mapping::Entity},
    sync::ports::RecordPlan,
};

/// Held until the transaction ends: the owner changes after it or has changed before.
const HOLD: &str = "SELECT legacy_id, epoch FROM biograph_bridge.cutover WHERE legacy_id = ANY($1) FOR SHARE";

/// Whether anybody has a cutover row. Only this daemon makes any, so it knows; as long as nobody has, there is nothing to ask.
#[derive(Clone, Default)]
pub(super) struct AnybodyMoved(Arc<AtomicBool>);

impl AnybodyMoved {
    /// As the state has it.
    pub(super) async fn read(pool: &PgPool) -> Result<Self> {
        let anybody = "SELECT EXISTS (SELECT FROM biograph_bridge.cutover)";
        let anybody: bool = sqlx::query_scalar(anybody).fetch_one(pool).await.map_err(Error::from)?;
        Ok(Self(Arc::new(AtomicBool::new(anybody))))
    }

    /// From now on somebody may have one.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Postgres {
    /// Takes plans out of the race whose person's epoch is no longer the one that they were decided under.
    pub(super) async fn hold_owners(
        &self,
        connection: &mut PgConnection,
        entity: &Entity,
        part: &mut Part<'_>,
    ) -> Result<()> {
        if !self.anybody_moved().0.load(Ordering::Acquire) {
            return Ok(());
        }
        let decided: Vec<(usize, String, i64)> = part
            .living()
            .filter_map(|(n, plan, _)| Some((n, decided_for(entity, plan)?.to_string(), plan.epoch)))
            .collect();
        if decided.is_empty() {
            return Ok(());
        }
        let persons: Vec<&str> = decided.iter().map(|(_, person, _)| person.as_str()).collect();
        let rows: Vec<(String, i64)> =
            sqlx::query_as(HOLD).bind(persons).fetch_all(connection).await.map_err(Error::from)?;
        let present: HashMap<String, i64> = rows.into_iter().collect();
        for (n, person, epoch) in decided {
            part.alive[n] = present.get(&person).copied().unwrap_or(0) == epoch;
        }
        Ok(())
    }
}

/// Whose owner a plan was decided under, if it writes anything. A record that changes hands was decided under the former person,
/// who is not named any more.
fn decided_for(entity: &Entity, plan: &RecordPlan) -> Option<LegacyId> {
    let writes = plan.rows.is_some() || plan.intent.is_some();
    let person = if entity.owner.is_none() { plan.legacy } else { plan.person };
    person.filter(|_| writes && !plan.changes_hands)
}
