//! The door to what the state says about people who move together.

use std::future::Future;

use serde_json::Value as Json;

use super::By;
use crate::{
    error::Result,
    model::{
        cohort::Share,
        key::{EntityIndex, LegacyId, RenaissanceId},
        side::Side,
    },
};

/// Who is in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Those whom a command has written into this draft.
    Drafted(i64),
    /// All linked people on the other side.
    Everybody,
}

/// A batch that is to begin.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// Where to.
    pub to: Side,
    /// Who.
    pub chosen: Chosen,
    /// Only this share of them.
    pub share: Option<Share>,
    /// At most so many, the lowest hashes first.
    pub limit: Option<i64>,
    /// The same in words.
    pub words: String,
    /// So many at once.
    pub concurrency: u32,
    /// It pauses once more than this many have failed; `None` is 1 % of all, but at least 10.
    pub max_failures: Option<i64>,
    /// It pauses once more than this many keys were parked since it began.
    pub max_parked: i64,
    /// It pauses once more than this many conflicts came up since it began.
    pub max_conflicts: i64,
    /// It pauses once a direction is further behind than this, in milliseconds.
    pub max_lag_ms: i64,
    /// How long each move may take beyond the time to drain, in milliseconds.
    pub timeout_ms: Option<i64>,
    /// Who wants it so.
    pub by: By,
    /// The request that asked for it.
    pub request: i64,
}

/// What became of beginning a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its number; `None` if it was only tried.
    pub id: Option<i64>,
    /// How many are in it.
    pub people: i64,
    /// How many of them are in another batch that has not ended. If any, nothing has begun.
    pub taken: i64,
    /// If it was only tried: who of them cannot move now, as something is parked or in conflict; at most ten thousand.
    pub hindered: Vec<LegacyId>,
    /// If it was only tried: one of the others.
    pub easy: Option<LegacyId>,
}

/// A batch that runs.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its number.
    pub id: i64,
    /// Where to.
    pub to: Side,
    /// So many at once.
    pub concurrency: u32,
    /// It pauses above this many failures, parked keys, conflicts.
    pub limits: Toll,
    /// It pauses once a direction is further behind than this, in milliseconds.
    pub max_lag_ms: i64,
    /// How long each move may take beyond the time to drain, in milliseconds.
    pub timeout_ms: Option<i64>,
    /// Who wants it so.
    pub by: By,
}

/// What came up since a batch was begun or resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toll {
    /// People who did not move.
    pub failures: i64,
    /// Keys that were parked.
    pub parked: i64,
    /// Conflicts.
    pub conflicts: i64,
}

/// The part of the state that moving people together needs.
pub trait CohortStore: Send + Sync {
    /// Begins a batch, once for each request; `dry`: only says who would be in it.
    fn begin_batch(&self, batch: &NewBatch, dry: bool) -> impl Future<Output = Result<Begun>> + Send;

    /// The batches that run.
    fn running_batches(&self) -> impl Future<Output = Result<Vec<Batch>>> + Send;

    /// Members of whom nothing is known yet, but for these; at most `limit`.
    fn waiting_members(
        &self,
        batch: i64,
        but: &[LegacyId],
        limit: u32,
    ) -> impl Future<Output = Result<Vec<LegacyId>>> + Send;

    /// Notes what became of a member. Who was moved by the batch before and is there stays moved.
    fn end_member(
        &self,
        batch: i64,
        person: LegacyId,
        outcome: &str,
        findings: &Json,
    ) -> impl Future<Output = Result<()>> + Send;

    /// What came up since a batch was begun or resumed.
    fn batch_toll(&self, batch: i64) -> impl Future<Output = Result<Toll>> + Send;

    /// Changes the state of a batch that has not ended: `running`, `paused`, `stopped` (who was not begun is left out), `ended`
    /// (only if nobody is left). False if it has ended or there is none.
    fn set_batch_state(&self, batch: i64, state: &str, why: Option<&str>) -> impl Future<Output = Result<bool>> + Send;

    /// Walks on from `after` over linked people who rest on a side, in the order of their legacy ids.
    fn people_on(
        &self,
        entity: EntityIndex,
        side: Side,
        after: Option<LegacyId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<LegacyId>>> + Send;

    /// The linked records of these people, their own among them.
    fn belongings(&self, persons: &[LegacyId]) -> impl Future<Output = Result<Vec<Belonging>>> + Send;
}

/// A record and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Belonging {
    /// The legacy id of the person.
    pub person: LegacyId,
    /// The entity of the record.
    pub entity: EntityIndex,
    /// Its legacy id.
    pub legacy: LegacyId,
    /// Its renaissance id.
    pub renaissance: RenaissanceId,
}
