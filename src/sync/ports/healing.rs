//! The door to what the state keeps of lost positions.

use std::future::Future;

use super::Page;
use crate::{
    error::Result,
    model::{
        fact::PositionLoss,
        hint::Position,
        key::{EntityIndex, LegacyId},
        side::Side,
    },
};

/// A position that is lost, and the one taken in its place.
#[derive(Clone, Debug)]
pub struct Loss {
    /// On which side.
    pub side: Side,
    /// Why.
    pub cause: PositionLoss,
    /// What was lost.
    pub old: Option<Position>,
    /// From where the stream goes on.
    pub new: Position,
    /// Whether what both sides agreed on no longer counts, as the side was put back to an earlier state.
    pub forget_bases: bool,
}

/// A [`Loss`] in the state: a sweep is due until it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healing {
    /// Its number.
    pub id: i64,
    /// On which side.
    pub side: Side,
    /// Why.
    pub cause: PositionLoss,
    /// What was lost, as text.
    pub old: Option<String>,
    /// From where the stream went on, as text.
    pub new: String,
    /// Whether what both sides agreed on is still to be forgotten.
    pub forget_bases: bool,
    /// When it began, RFC 3339.
    pub begun_at: String,
    /// When the sweep was through, RFC 3339; `None` while it is due.
    pub ended_at: Option<String>,
    /// Records that the sweep wrote on either side, in the run that ended it.
    pub changed: Option<u64>,
}

/// The part of the state that healing needs.
pub trait HealingStore: Send + Sync {
    /// Saves the new position together with the note that a sweep is due, and forgets how far one has come that is under way.
    fn begin_healing(&self, loss: &Loss) -> impl Future<Output = Result<()>> + Send;

    /// How many losses of a side there were since its position last moved on by itself.
    fn losses_in_a_row(&self, side: Side) -> impl Future<Output = Result<u32>> + Send;

    /// Counts losses of a side from one again.
    fn stop_counting(&self, side: Side) -> impl Future<Output = Result<()>> + Send;

    /// All healings that are due and the last ones that ended, oldest first.
    fn healings(&self) -> impl Future<Output = Result<Vec<Healing>>> + Send;

    /// The sweep of these healings is through; so many records were written.
    fn end_healing(&self, ids: &[i64], changed: u64) -> impl Future<Output = Result<()>> + Send;

    /// Forgets what was agreed on about the records of at most `limit` links after `after`; the last of them, `None` at the end.
    fn forget_bases(
        &self,
        entity: EntityIndex,
        after: Option<LegacyId>,
        limit: u32,
    ) -> impl Future<Output = Result<Option<LegacyId>>> + Send;

    /// All bases are forgotten for these healings.
    fn bases_forgotten(&self, ids: &[i64]) -> impl Future<Output = Result<()>> + Send;

    /// Walks on from `after` by at most `limit` links and lists those whose row is gone.
    fn lone_links(
        &self,
        entity: EntityIndex,
        after: Option<LegacyId>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<LegacyId>>> + Send;
}
