//! The journal and what was deleted, as they cross the doors.

use crate::model::{
    conflict::ConflictKind,
    digest::Digest,
    key::{LegacyId, RenaissanceId},
    side::Side,
};

/// A row of the conflict journal.
#[derive(Clone, Debug)]
pub struct ConflictRow {
    /// What it is about.
    pub kind: ConflictKind,
    /// The field's name; `None` for the whole record.
    pub field: Option<String>,
    /// The legacy value as JSON.
    pub legacy_value: serde_json::Value,
    /// The renaissance value as JSON.
    pub renaissance_value: serde_json::Value,
    /// The digests of both values (legacy, renaissance); `None` for a whole record or where there is no value.
    pub digests: [Option<Digest>; 2],
    /// The policy's name.
    pub policy: &'static str,
    /// The side that won; `None` if parked.
    pub winner: Option<Side>,
    /// When legacy and renaissance say that they were updated, in microseconds since 1970, if the policy goes by that.
    pub updated: [Option<i64>; 2],
}

/// A person's order about entries of the journal, noted in them with the writes that carry it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The entries' numbers.
    pub entries: Vec<i64>,
    /// What was taken: `legacy`, `renaissance`, `value`.
    pub taken: String,
    /// Who ordered it.
    pub by: String,
    /// The number of the request.
    pub request: i64,
}

/// An entry of the journal, as far as resolving it needs.
#[derive(Clone, Debug)]
pub struct JournalEntry {
    /// Its number.
    pub id: i64,
    /// The entity's name.
    pub entity: String,
    /// The record on the legacy side.
    pub legacy: Option<LegacyId>,
    /// What it is about; `None` for one that another version wrote.
    pub kind: Option<ConflictKind>,
    /// The field; `None` for the whole record.
    pub field: Option<String>,
    /// Both values as JSON: legacy, renaissance.
    pub values: [serde_json::Value; 2],
    /// Their digests.
    pub digests: [Option<Digest>; 2],
    /// Who won; `None` if nobody has decided.
    pub winner: Option<Side>,
    /// Whether the write that goes with it is still on its way.
    pub under_way: bool,
    /// Whether a shadow foresaw it.
    pub foreseen: bool,
    /// By whom, when and on which request it was resolved by hand.
    pub resolved: Option<(String, String, i64)>,
}

/// What the bridge deleted on one side, as far as putting it back needs.
#[derive(Clone, Debug)]
pub struct Tombstone {
    /// Its number.
    pub id: i64,
    /// The entity's name.
    pub entity: String,
    /// Its legacy id.
    pub legacy: Option<LegacyId>,
    /// Its renaissance id.
    pub renaissance: Option<RenaissanceId>,
    /// The side on which the bridge deleted it; `None` if both applications did, so that nothing is kept.
    pub from: Option<Side>,
    /// The whole record.
    pub record: serde_json::Value,
    /// Whether the deletion is still on its way.
    pub under_way: bool,
    /// Whether it was put back before.
    pub restored: bool,
}

/// What became of putting a record back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is there again, or was already, just as it was.
    There,
    /// Something is there by now under its id.
    Taken,
    /// The database refused it, for this reason; names only.
    Refused(String),
}
