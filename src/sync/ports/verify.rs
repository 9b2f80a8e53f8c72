//! The door to what the state keeps of comparing under live traffic.

use std::future::Future;

use serde::{Deserialize, Serialize};

use super::{LinkedRow, Page, Stretch};
use crate::{
    error::Result,
    model::key::{EntityIndex, LegacyId, RenaissanceId},
};

/// A person by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonIds {
    /// The entity whose record the person is.
    pub entity: String,
    /// Their legacy id, as far as it is known.
    pub legacy_id: Option<String>,
    /// Their renaissance id, likewise.
    pub renaissance_id: Option<RenaissanceId>,
}

/// What is to be compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// Names of entities; none means all.
    pub entities: Vec<String>,
    /// Only this person and what they own.
    pub person: Option<PersonIds>,
    /// The share of the records, always the same ones; `None`: all.
    pub percent: Option<f64>,
    /// Whether differences are reconciled.
    pub repair: bool,
    /// Whether it is only told what that would write.
    pub dry_run: bool,
    /// Who asks.
    pub by: String,
}

/// A comparison that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// What it is about.
    pub asked: Asked,
    /// Whether nobody asked for it.
    pub background: bool,
}

/// What is walked, in this order: every record is met once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Legacy documents, with their rows. Of a whole entity also links without a document.
    Documents,
    /// Rows without a document. Of a whole entity those without a link: the others were met with their links.
    Rows,
    /// Links of which neither side is left.
    Links,
    /// What belongs to one person.
    Person,
}

impl Part {
    /// The parts that make up a whole entity.
    pub const WHOLE: [Self; 2] = [Self::Documents, Self::Rows];
    /// The parts of which a sample is taken.
    pub const SAMPLED: [Self; 3] = [Self::Documents, Self::Rows, Self::Links];

    /// The word in the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Rows => "rows",
            Self::Links => "links",
            Self::Person => "person",
        }
    }
}

/// How many records stood how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// All that were looked at.
    pub compared: i64,
    /// Equal.
    pub equal: i64,
    /// Different, and still so.
    pub differing: i64,
    /// Different, and no longer so.
    pub repaired: i64,
    /// Never quiet for long enough to tell.
    pub unsettled: i64,
    /// What differs is parked.
    pub parked: i64,
    /// What differs is paused.
    pub paused: i64,
}

/// How far one part of an entity has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last record walked, as text.
    pub after: Option<String>,
    /// Whether it is complete.
    pub done: bool,
    /// How many records there are; an estimate.
    pub total: Option<i64>,
    /// What was found so far.
    pub counts: Counts,
}

/// How a record that was found different stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The difference may be about to be settled.
    Candidate,
    /// It differs.
    Differs,
    /// It was never quiet for long enough to tell.
    Unsettled,
    /// It was different and was repaired.
    Repaired,
    /// What differs is parked.
    Parked,
}

impl State {
    /// The word in the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Differs => "differs",
            Self::Unsettled => "unsettled",
            Self::Repaired => "repaired",
            Self::Parked => "parked",
        }
    }
}

/// A record that was found different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its legacy id, if it has one.
    pub legacy: Option<LegacyId>,
    /// Its renaissance id, if it has one.
    pub renaissance: Option<RenaissanceId>,
    /// How it stands.
    pub state: State,
    /// How often it was looked at again.
    pub rounds: i32,
    /// What differs, in a word: `fields`, `missing_in_legacy`.
    pub what: &'static str,
    /// Which side moved, of the record as a whole.
    pub moved: Option<&'static str>,
    /// The fields that differ, each with the side that moved.
    pub fields: Vec<(String, &'static str)>,
    /// The sides that repairing writes.
    pub writes: Vec<&'static str>,
}

/// A candidate of a former look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Its legacy id, if it has one.
    pub legacy: Option<LegacyId>,
    /// Its renaissance id, if it has one.
    pub renaissance: Option<RenaissanceId>,
    /// How often it was looked at again.
    pub rounds: i32,
}

/// What many records hold in one field, counted as it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawSum {
    /// How many hold nothing: null, missing, the empty text.
    pub empty: f64,
    /// The lengths of texts, how often it is true, or the numbers, added up.
    pub sum: f64,
}

/// What many records hold, counted as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct RawSums {
    /// How many were there.
    pub records: f64,
    /// Per field.
    pub fields: Vec<RawSum>,
}

/// How the last complete look at an entity ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Which entity.
    pub entity: EntityIndex,
    /// When, RFC 3339.
    pub at: String,
    /// What was found.
    pub counts: Counts,
}

/// The part of the state that comparing needs.
pub trait VerifyStore: Send + Sync {
    /// Notes what a request asks for; the same request twice is one run. `Err` with the number of another one that is due.
    fn begin_verify(
        &self,
        request: i64,
        asked: &Asked,
    ) -> impl Future<Output = Result<std::result::Result<i64, i64>>> + Send;

    /// The run that is due: one that was asked for first.
    fn due_verify(&self) -> impl Future<Output = Result<Option<Run>>> + Send;

    /// Begins one in the background.
    fn begin_background(&self) -> impl Future<Output = Result<Run>> + Send;

    /// How far a part of an entity has come.
    fn verified(&self, run: i64, entity: EntityIndex, part: Part) -> impl Future<Output = Result<Progress>> + Send;

    /// The candidates that a part has left.
    fn suspects(&self, run: i64, entity: EntityIndex, part: Part) -> impl Future<Output = Result<Vec<Suspect>>> + Send;

    /// Saves how far a part has come, with all its candidates and what is new among the others, in one transaction.
    fn save_verified(
        &self,
        run: i64,
        entity: EntityIndex,
        part: Part,
        progress: &Progress,
        found: &[Found],
    ) -> impl Future<Output = Result<()>> + Send;

    /// What is parked of these records: the place in the list, the field (`None`: the whole record).
    fn parked_of(
        &self,
        entity: EntityIndex,
        records: &[(Option<LegacyId>, Option<RenaissanceId>)],
    ) -> impl Future<Output = Result<Vec<(usize, Option<String>)>>> + Send;

    /// Ends a run; `outcome`: `complete`, or why it stopped. Forgets the oldest runs.
    fn end_verify(&self, run: i64, outcome: &str) -> impl Future<Output = Result<()>> + Send;

    /// The last complete look at each entity, by whoever.
    fn last_verified(&self) -> impl Future<Output = Result<Vec<Verified>>> + Send;

    /// The links that follow `after`, at most `limit`.
    fn links_along(
        &self,
        entity: EntityIndex,
        after: Option<LegacyId>,
        limit: u32,
    ) -> impl Future<Output = Result<Stretch<(LegacyId, RenaissanceId)>>> + Send;

    /// The rows of these links, in their order; of the first ones only, where all would take too much room at once.
    fn rows_along(
        &self,
        entity: EntityIndex,
        links: Vec<(LegacyId, RenaissanceId)>,
    ) -> impl Future<Output = Result<Vec<LinkedRow>>> + Send;

    /// Walks on from `after` by at most `limit` rows and lists those without a link.
    fn unlinked_page(
        &self,
        entity: EntityIndex,
        after: Option<RenaissanceId>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<RenaissanceId>>> + Send;

    /// Walks on from `after` by at most `limit` rows, each with the legacy id of its link.
    fn linked_page(
        &self,
        entity: EntityIndex,
        after: Option<RenaissanceId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(RenaissanceId, Option<LegacyId>)>>> + Send;
}
