//! The door to the pauses in the state.

use std::future::Future;

use crate::{
    error::Result,
    model::{
        fact::PauseCause,
        hint::Position,
        key::{EntityIndex, Key, LegacyId, RenaissanceId},
        pause::{Deletions, Pause, Scope},
        side::Side,
    },
};

/// A pause to begin.
#[derive(Clone, Debug)]
pub struct NewPause {
    /// What it is about.
    pub scope: Scope,
    /// Why.
    pub cause: PauseCause,
    /// Why, in words.
    pub detail: String,
    /// The side on which records may be gone that nobody deleted one by one.
    pub missing_on: Option<Side>,
    /// What the change log calls the event that led to it.
    pub event: Option<String>,
    /// Who wants it so.
    pub by: By,
}

/// Who asked for something, and why.
#[derive(Clone, Debug, Default)]
pub struct By {
    /// Their name on the machine where they asked.
    pub who: Option<String>,
    /// In their words.
    pub reason: Option<String>,
}

/// A parked key that comes back, as the pause it waited for has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returning {
    /// The number of its parked row.
    pub id: i64,
    /// The key; `None` where no mapping knows it any more.
    pub key: Option<Key>,
    /// What was said about records that are missing.
    pub answer: Option<Deletions>,
}

/// Collections or tables by their names, each with what tells it from another one of that name; `None` if it is missing.
pub type Places = Vec<(String, Option<String>)>;

/// The pauses in the state. All calls are safe to repeat.
pub trait PauseStore: Send + Sync {
    /// The pauses that have not ended, oldest first.
    fn pauses(&self) -> impl Future<Output = Result<Vec<Pause>>> + Send;

    /// Begins a pause, unless there is one of this scope and cause or this event had one. Whether it is new.
    fn pause(&self, new: &NewPause) -> impl Future<Output = Result<bool>> + Send;

    /// Notes what is to become of records that are missing: these pauses are about to end.
    fn answer_pauses(&self, ids: &[i64], answer: Deletions, by: &By) -> impl Future<Output = Result<()>> + Send;

    /// Ends pauses. `again`: entities whose first copy starts over, in the same transaction.
    fn end_pauses(&self, ids: &[i64], by: &By, again: &[EntityIndex]) -> impl Future<Output = Result<()>> + Send;

    /// Parked rows that wait for a pause that has ended, by their numbers after `after`.
    fn returning(&self, after: i64, limit: u32) -> impl Future<Output = Result<Vec<Returning>>> + Send;

    /// Links of records that were on both sides, after the one where the walk for this pause has come to, in the order of their
    /// legacy ids.
    fn links_to_walk(
        &self,
        pause: i64,
        entity: EntityIndex,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(LegacyId, RenaissanceId)>>> + Send;

    /// Parks these records, which are missing on one side, under a pause; with [`Deletions::Restore`] what both sides last agreed
    /// on is forgotten, so that they count as new. `walked`: how far the walk has come.
    fn park_missing(
        &self,
        pause: i64,
        entity: EntityIndex,
        missing: &[LegacyId],
        answer: Deletions,
        walked: LegacyId,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Of these records, parks those whose sets hold fewer members than both sides last agreed on, and forgets of these sets
    /// what was agreed on, so that the other side's members count as new. Each comes with its sets: fields, and how many members
    /// they hold.
    fn park_thinned(
        &self,
        pause: i64,
        entity: EntityIndex,
        sets: &[(LegacyId, Vec<(usize, usize)>)],
    ) -> impl Future<Output = Result<()>> + Send;

    /// How many links an entity has.
    fn links(&self, entity: EntityIndex) -> impl Future<Output = Result<u64>> + Send;

    /// The tables an entity cannot be without. Where rows are stored follows their identity after a slash.
    fn tables(&self, entity: EntityIndex) -> impl Future<Output = Result<Places>> + Send;

    /// Whether this table of the entity holds no row.
    fn is_empty(&self, entity: EntityIndex, table: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Leaves a mark in the log of renaissance, as [`Source::mark`](super::Source::mark) does.
    fn mark(&self) -> impl Future<Output = Result<Position>> + Send;

    /// What told the structure of an entity's side from others when that was last in order, as it was given to
    /// [`PauseStore::know_structure`].
    fn known_structure(&self, entity: EntityIndex, side: Side) -> impl Future<Output = Result<Option<String>>> + Send;

    /// Takes the present structure of an entity's side as in order.
    fn know_structure(
        &self,
        entity: EntityIndex,
        side: Side,
        identity: &str,
    ) -> impl Future<Output = Result<()>> + Send;
}
