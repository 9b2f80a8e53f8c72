//! The doors to what the state, and its mirror in the legacy database, say about who is where.

use std::{future::Future, time::Duration};

use serde_json::Value as Json;

use super::{By, CohortStore, IntentKind, RecordPlan};
use crate::{
    error::Result,
    model::{
        cutover::CutoverRow,
        key::{EntityIndex, LegacyId, RenaissanceId},
        mapping::{Entity, Needs},
        side::Side,
    },
};

/// A person with their cutover row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The person's legacy id.
    pub person: LegacyId,
    /// Their renaissance id, as far as it is known.
    pub renaissance: Option<RenaissanceId>,
    /// The row.
    pub row: CutoverRow,
    /// Since when, microseconds since 1970.
    pub since: i64,
}

/// Who moves, where to and at whose wish: what all steps of a move have in common.
#[derive(Clone, Debug)]
pub struct Journey {
    /// The person's legacy id.
    pub person: LegacyId,
    /// Their renaissance id, as far as it is known.
    pub renaissance: Option<RenaissanceId>,
    /// The side they move to.
    pub to: Side,
    /// Who wants it so.
    pub by: By,
    /// The batch it is part of.
    pub batch: Option<i64>,
    /// The request that asked for it.
    pub request: Option<i64>,
    /// How long it may take, beyond the time to drain, if anything was said.
    pub timeout: Option<Duration>,
}

/// One step, for the history.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// How the move has ended with it; `None` while it goes on.
    pub outcome: Option<&'static str>,
    /// More about it, in words.
    pub detail: Option<String>,
    /// What was in the way or differs: names and ids, no values.
    pub findings: Option<Json>,
}

/// What became of changing a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It is what it was to become.
    Done,
    /// It was not what it had to be.
    Beaten,
    /// Something that was decided under the present owner is still on its way to legacy. Nothing was changed.
    Busy,
}

/// What the state holds of a person beyond their own record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Possessions {
    /// Linked records: entity, both ids, whether they are on both sides. The person's own record is among them.
    pub linked: Vec<(EntityIndex, LegacyId, RenaissanceId, bool)>,
    /// Rows that belong to the person and have no link.
    pub unlinked: Vec<(EntityIndex, RenaissanceId)>,
}

/// Something that has to be settled before a person can move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// The entity of the record.
    pub entity: String,
    /// Its legacy id.
    pub legacy_id: Option<String>,
    /// Its renaissance id.
    pub renaissance_id: Option<RenaissanceId>,
    /// The field; `None` for the whole record.
    pub field: Option<String>,
    /// Why: the reason it is parked for, or the kind of conflict.
    pub why: String,
    /// Its number: of the parked entry, or in the journal.
    pub id: i64,
    /// Whether it is an entry of the journal; else it is parked.
    pub conflict: bool,
}

impl RecordPlan {
    /// Whether it makes the document of a person whom nobody knew on legacy: from then on they have the cutover row of one who was
    /// born in Renaissance.
    pub fn is_born(&self, entity: &Entity) -> bool {
        let born = CutoverRow::BORN_IN_RENAISSANCE;
        let fresh = !self.linked && self.epoch == CutoverRow::UNMOVED.epoch;
        let again = (self.owner, self.epoch) == (born.owner, born.epoch);
        entity.owner.is_none() && matches!(self.intent, Some((IntentKind::Insert, _))) && (fresh || again)
    }
}

/// The part of the state that moving people needs.
pub trait CutoverStore: CohortStore {
    /// Where these persons are; those that nobody ever moved are left out.
    fn standings(&self, persons: &[LegacyId]) -> impl Future<Output = Result<Vec<Standing>>> + Send;

    /// Walks on from `after` by at most `limit` rows, in the order of the legacy ids; `draining`: only those on the way.
    fn walk_standings(
        &self,
        after: Option<LegacyId>,
        draining: bool,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Standing>>> + Send;

    /// Changes a row from `from`, exactly, to `to`, and notes the step, in one transaction. The row as it is then.
    fn swap(
        &self,
        journey: &Journey,
        from: CutoverRow,
        to: CutoverRow,
        step: &Step,
    ) -> impl Future<Output = Result<(Swapped, Option<Standing>)>> + Send;

    /// Notes a step that changes no row.
    fn note(&self, journey: &Journey, row: CutoverRow, step: &Step) -> impl Future<Output = Result<()>> + Send;

    /// Whose wish the last move of these persons was.
    fn last_journeys(&self, persons: &[LegacyId]) -> impl Future<Output = Result<Vec<Journey>>> + Send;

    /// Whether a request has a step in the history.
    fn is_begun(&self, request: i64) -> impl Future<Output = Result<bool>> + Send;

    /// Gives everybody who was born in Renaissance and has no row theirs, and says in the history why. How many there were.
    fn enter_born(&self) -> impl Future<Output = Result<u64>> + Send;

    /// Ends moves that were asked for and never began, as the daemon that took them is gone.
    fn end_unbegun(&self) -> impl Future<Output = Result<u64>> + Send;

    /// What belongs to a person.
    fn possessions(
        &self,
        person: LegacyId,
        renaissance: RenaissanceId,
    ) -> impl Future<Output = Result<Possessions>> + Send;

    /// Rows that name one of these records of an entity and that no mapping knows: how many, by table and record. Of tables that
    /// may be read.
    fn unmapped_rows(
        &self,
        entity: EntityIndex,
        ids: &[RenaissanceId],
    ) -> impl Future<Output = Result<Vec<(String, RenaissanceId, u64)>>> + Send;

    /// Of these rows those that hold what a way to log in needs. The text itself is not read.
    fn opened(
        &self,
        entity: EntityIndex,
        needs: &Needs,
        ids: &[RenaissanceId],
    ) -> impl Future<Output = Result<Vec<RenaissanceId>>> + Send;

    /// The columns of mapped tables that no mapping knows, as `table.column`.
    fn unmapped_columns(&self) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// Tables that name records, that no mapping knows, and that may not be read.
    fn unread_tables(&self) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// What is parked of a person's, and the conflicts that nobody has decided.
    fn unsettled(&self, person: LegacyId) -> impl Future<Output = Result<Vec<Unsettled>>> + Send;

    /// Writes to the state what changes nothing: fails if that cannot be done now.
    fn try_state(&self) -> impl Future<Output = Result<()>> + Send;
}

/// What applications on the legacy side read: a mirror of the rows that never goes back.
pub trait CutoverMirror: Send + Sync {
    /// Makes the mirror say at least this. The epoch that it says then, which is a later one if somebody knows better.
    fn mirror(&self, standing: &Standing) -> impl Future<Output = Result<i64>> + Send;

    /// The epochs that the mirror says of these persons.
    fn mirrored(&self, persons: &[LegacyId]) -> impl Future<Output = Result<Vec<(LegacyId, i64)>>> + Send;

    /// Writes and removes something in the mirror's collection that is about nobody: fails if that cannot be done now.
    fn try_mirror(&self) -> impl Future<Output = Result<()>> + Send;
}
