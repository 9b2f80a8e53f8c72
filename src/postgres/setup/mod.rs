//! What the bridge needs inside Postgres before it can run: the state schema, the publication, the slot, replica
//! identities and an index. Every part is inspected first and changed only if needed, so `init` can run any number of times.

mod fence_triggers;
mod identity;
mod index;
mod migrate;
mod publication;
mod session;
mod slot;
mod teardown;

use sqlx::PgPool;

pub use fence_triggers::{FenceTriggers, Fenced, fence_triggers, fence_triggers_installed, fenced};
pub use identity::{Located, locate, replica_identity};
pub use index::legacy_id_index;
pub use migrate::{StateVersion, state_version, upgrade};
pub use publication::{PublishedTable, published_tables};
pub(super) use slot::usable;
pub use slot::{SlotStatus, recreate_slot, slot_headroom, slot_status};
pub use teardown::{Teardown, teardown};

use self::{session::Session, slot::Keep};
use super::{sql::OWN_NAME, watched::watched_tables};
use crate::{
    error::{Error, Result},
    model::mapping::Entity,
};

/// What a role of an application needs so as to read who is where; its name is for the operator to put in.
pub fn application_rights() -> Vec<String> {
    let rights = [format!("USAGE ON SCHEMA {OWN_NAME}"), format!("SELECT ON {OWN_NAME}.cutover")];
    rights.map(|right| format!("GRANT {right} TO renaissance_app")).into()
}

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

/// Which part of the set-up a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The state schema.
    State,
    /// How a mapped table tells what its deleted rows were.
    ReplicaIdentity,
    /// The publication.
    Publication,
    /// The replication slot.
    Slot,
    /// An index on a legacy id column.
    Index,
    /// A trigger that holds applications' writes.
    FenceTrigger,
}

/// One thing that had to be in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which part it belongs to.
    pub part: Part,
    /// What it is, for people.
    pub what: String,
    /// The statements that put it in place; empty if it was.
    pub sql: Vec<String>,
    /// What became of it.
    pub state: StepState,
}

/// What `init` would find, without stopping at the first thing that it would refuse.
#[derive(Debug, Default)]
pub struct Plan {
    /// What is in place or would be put in place.
    pub steps: Vec<Step>,
    /// The mapped tables that exist, quoted.
    pub tables: Vec<String>,
    /// What `init` would stop at.
    pub refusals: Vec<(Part, Error)>,
}

/// Puts everything in place, or says what it would do. Safe to run at any time, also while the bridge runs and by
/// several processes at once.
pub async fn init(pool: &PgPool, entities: &[Entity], dry_run: bool) -> Result<Vec<Step>> {
    put_in_place(Session::open(pool, dry_run).await?, entities, Keep::Nothing).await
}

/// The same for a daemon: if it has run before, a slot that is missing or lost stays as it is, for the daemon to heal.
pub async fn init_to_run(pool: &PgPool, entities: &[Entity]) -> Result<Vec<Step>> {
    put_in_place(Session::open(pool, false).await?, entities, Keep::ForHealing).await
}

async fn put_in_place(mut session: Session, entities: &[Entity], keep: Keep) -> Result<Vec<Step>> {
    migrate::step(&mut session).await?;
    // one transaction: a column list and a full replica identity must never be in force together, or the
    // application's own updates fail
    session.begin().await?;
    tables(&mut session, entities).await?;
    session.commit().await?;
    // after the publication: decoding looks it up as of each change, so one that is younger than the slot is "missing"
    slot::step(&mut session, keep).await?;
    index::steps(&mut session, entities).await?;
    session.close().await
}

/// Looks at every part and changes nothing.
pub async fn plan(pool: &PgPool, entities: &[Entity]) -> Result<Plan> {
    let mut session = Session::open(pool, true).await?;
    let mut refusals = Vec::new();
    refusals.extend(migrate::step(&mut session).await.err().map(|error| (Part::State, error)));
    let found = tables(&mut session, entities).await;
    let (tables, refusal) = found.map_or_else(|error| (Vec::new(), Some(error)), |tables| (tables, None));
    refusals.extend(refusal.map(|error| (Part::Publication, error)));
    refusals.extend(slot::step(&mut session, Keep::Nothing).await.err().map(|error| (Part::Slot, error)));
    refusals.extend(index::steps(&mut session, entities).await.err().map(|error| (Part::Index, error)));
    Ok(Plan { steps: session.close().await?, tables, refusals })
}

async fn tables(session: &mut Session, entities: &[Entity]) -> Result<Vec<String>> {
    let tables = locate(session.connection(), &watched_tables(entities)).await?;
    let changed = identity::steps(session, &tables).await?;
    publication::step(session, &tables, &changed).await?;
    Ok(tables.iter().map(Located::quoted).collect())
}
