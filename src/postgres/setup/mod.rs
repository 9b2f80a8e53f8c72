//! What the bridge needs inside Postgres before it can run: the state schema, the publication, the slot, replica
//! identities and an index. Every part is inspected first and changed only if needed, so `init` can run any number of times.

mod identity;
mod index;
mod migrate;
mod publication;
mod session;
mod slot;
mod teardown;

use sqlx::PgPool;

pub use identity::{Located, locate, replica_identity};
pub use index::legacy_id_index;
pub use migrate::{StateVersion, state_version, upgrade};
pub use publication::{PublishedTable, published_tables};
pub(super) use slot::usable;
pub use slot::{SlotStatus, recreate_slot, slot_headroom, slot_status};
pub use teardown::{Teardown, teardown};

use self::session::Session;
use super::watched::watched_tables;
use crate::{error::Result, model::mapping::Entity};

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It was in place already.
    Present,
    /// It was carried out.
    Done,
    /// It would be carried out (`--dry-run`).
    Planned,
}

/// One thing that had to be in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is, for people.
    pub what: String,
    /// The statements that put it in place; empty if it was.
    pub sql: Vec<String>,
    /// What became of it.
    pub state: StepState,
}

/// Puts everything in place, or says what it would do. Safe to run at any time, also while the bridge runs and by
/// several processes at once.
pub async fn init(pool: &PgPool, entities: &[Entity], dry_run: bool) -> Result<Vec<Step>> {
    let mut session = Session::open(pool, dry_run).await?;
    migrate::step(&mut session).await?;
    let tables = locate(session.connection(), &watched_tables(entities)).await?;
    // one transaction: a column list and a full replica identity must never be in force together, or the
    // application's own updates fail
    session.begin().await?;
    let changed = identity::steps(&mut session, &tables).await?;
    publication::step(&mut session, &tables, &changed).await?;
    session.commit().await?;
    // after the publication: decoding looks it up as of each change, so one that is younger than the slot is "missing"
    slot::step(&mut session).await?;
    index::steps(&mut session, entities).await?;
    session.close().await
}
