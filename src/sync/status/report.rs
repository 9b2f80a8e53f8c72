//! The status document: what `/api/status` serves and `status --json` prints. Keys are stable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{key::EntityIndex, pause::Pause};

/// Fields of one change that are named where there is little room.
const NAMED: usize = 5;

/// Everything a reader may want to know about a daemon. Fields unknown to the reader are ignored, missing ones empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusReport {
    /// The daemon's version.
    pub version: String,
    /// `starting`, `backfilling`, `streaming`, `healing`, `paused`, `standby`.
    pub state: String,
    /// Whether it decides and journals and writes nothing.
    pub shadow: bool,
    /// When the daemon started, RFC 3339.
    pub started_at: String,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// By side: `legacy`, `renaissance`.
    pub sides: BTreeMap<String, SideReport>,
    /// By direction: `legacy_to_renaissance`, `renaissance_to_legacy`.
    pub directions: BTreeMap<String, DirectionReport>,
    /// Keys waiting to be reconciled.
    pub queue: QueueReport,
    /// How long both logs still hold what was not read yet.
    pub headroom: HeadroomReport,
    /// Sweeps, complete or not.
    pub sweeps: Vec<SweepReport>,
    /// Lost positions: those being healed and the last ones that were.
    pub healings: Vec<HealingReport>,
    /// The last complete comparison of each entity.
    pub verified: Vec<VerifyReport>,
    /// What is paused.
    pub pauses: Vec<PauseReport>,
    /// What cannot be synced now.
    pub parked: Vec<ParkedReport>,
    /// Conflicts journalled since the daemon started.
    pub conflicts: u64,
    /// The newest entries of the journal, newest first; without values.
    pub newest_conflicts: Vec<EntryReport>,
    /// What was parked last, newest first; without values.
    pub newest_parked: Vec<EntryReport>,
    /// People by state: `legacy`, `draining`, `renaissance`; empty until counted.
    pub people: BTreeMap<String, i64>,
    /// Batches of people that have not ended, oldest first.
    pub batches: Vec<BatchStatus>,
    /// What fails at the moment.
    pub errors: Vec<ErrorReport>,
    /// The daemon's loops.
    pub loops: Vec<LoopReport>,
    /// The last changes that crossed, newest first.
    pub recent: Vec<Crossing>,
}

impl StatusReport {
    /// How much is parked, over all reasons.
    pub fn parked_total(&self) -> i64 {
        self.parked.iter().map(|parked| parked.count).sum()
    }
}

/// One side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SideReport {
    /// `down`, `connected`, `streaming`.
    pub feed: String,
    /// Changes received since the daemon started.
    pub hints: u64,
    /// The bridge's own writes that came back.
    pub echoes: u64,
    /// The last saved position.
    pub checkpoint: Option<String>,
    /// Seconds since it was saved.
    pub checkpoint_age_seconds: Option<f64>,
}

/// One direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DirectionReport {
    /// Age of the oldest change that is not durable at the other side; 0 when caught up, null when unknown.
    pub lag_seconds: Option<f64>,
    /// Records written at the other side since the daemon started.
    pub applied: u64,
}

/// The queue between captures and reconciler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueReport {
    /// Waiting keys.
    pub keys: u64,
    /// Memory they hold.
    pub bytes: u64,
}

/// How far both logs are from losing what was not read yet. What is unknown or unlimited is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadroomReport {
    /// WAL that Postgres keeps for the bridge.
    pub slot_retained_bytes: Option<f64>,
    /// WAL that may still be written before Postgres gives the slot up.
    pub slot_safe_bytes: Option<f64>,
    /// Seconds until then, as it has gone in the last half hour; null while it does not shrink.
    pub slot_seconds_left: Option<f64>,
    /// Time span of the oplog.
    pub oplog_window_seconds: Option<f64>,
    /// Seconds until the bridge's place in the oplog is overwritten, were it to stand still.
    pub oplog_seconds_left: Option<f64>,
}

/// An entry of the journal, or something parked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EntryReport {
    /// Its number, for `conflicts show` or `parked show`.
    pub id: i64,
    /// The entity.
    pub entity: String,
    /// The record on the legacy side.
    pub legacy_id: Option<String>,
    /// The record on the renaissance side.
    pub renaissance_id: Option<i64>,
    /// The field; null for the whole record.
    pub field: Option<String>,
    /// The kind of conflict, or the reason for parking.
    pub what: String,
    /// Of a conflict, the side that won; null while nobody has decided.
    pub winner: Option<String>,
    /// Of a conflict, whether it was decided or settled meanwhile.
    pub resolved: bool,
    /// When, RFC 3339.
    pub at: String,
}

/// How far a sweep has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SweepReport {
    /// What is swept.
    pub entity: String,
    /// On which side.
    pub side: String,
    /// `backfill`, `references`, `verify`, `heal`, `heal_references`, `heal_links`.
    pub kind: String,
    /// Records walked so far.
    pub records: u64,
    /// How many of them are parked, as no key can name them.
    pub parked: u64,
    /// Estimate of all records.
    pub total: Option<u64>,
    /// Whether it is complete.
    pub done: bool,
    /// Records a second, while it runs.
    pub rate: Option<f64>,
    /// Seconds left at that rate, while it runs.
    pub eta_seconds: Option<f64>,
}

/// How the last complete comparison of an entity ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VerifyReport {
    /// The entity.
    pub entity: String,
    /// When it ended, RFC 3339.
    pub at: String,
    /// Records compared.
    pub compared: i64,
    /// Those that differ.
    pub differing: i64,
    /// Those that were never quiet for long enough to tell.
    pub unsettled: i64,
}

/// A batch of people that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchStatus {
    /// Its number.
    pub id: i64,
    /// Where to.
    pub toward: String,
    /// `running`, `paused`.
    pub state: String,
    /// What paused it by itself.
    pub why: Option<String>,
    /// How many are in it.
    pub people: i64,
    /// Of how many it is known what became of them.
    pub done: i64,
    /// How many of these did not move.
    pub failed: i64,
}

impl BatchStatus {
    /// `120 of 200 (60 %) to renaissance, 2 did not move`.
    pub fn line(&self) -> String {
        let Self { toward, people, done, failed, .. } = self;
        let failed = if *failed > 0 { format!(", {failed} did not move") } else { String::new() };
        format!("{done} of {people} ({} %) to {toward}{failed}", done * 100 / people.max(&1))
    }
}

/// A lost position.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealingReport {
    /// The side whose position was lost.
    pub side: String,
    /// Why: `history_lost`, `slot_missing` and so on.
    pub cause: String,
    /// The position that was lost.
    pub old_position: Option<String>,
    /// Where the stream went on.
    pub new_position: String,
    /// When, RFC 3339.
    pub begun_at: String,
    /// When the sweep was through, RFC 3339; null while it is due.
    pub ended_at: Option<String>,
    /// Records that the sweep wrote on either side, in the run that ended it.
    pub changed: Option<u64>,
}

/// A pause.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PauseReport {
    /// Its number.
    pub id: i64,
    /// The direction, if only one is paused.
    pub direction: Option<String>,
    /// The entity, if only one is.
    pub entity: Option<String>,
    /// The legacy id of the person, if only one is.
    pub person: Option<String>,
    /// `asked`, `dropped`, `renamed`, `truncated`, `burst`.
    pub cause: String,
    /// Why, in words.
    pub detail: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// The side on which records may be missing: who resumes has to say what becomes of them.
    pub missing_on: Option<String>,
    /// What was said: `apply`, `restore`. It is about to end.
    pub deletions: Option<String>,
}

impl PauseReport {
    /// A pause for people; `name` is that of an entity.
    pub fn new(pause: &Pause, name: impl Fn(EntityIndex) -> String) -> Self {
        Self {
            id: pause.id,
            direction: pause.scope.direction.map(|direction| direction.to_string()),
            entity: pause.scope.entity.map(name),
            person: pause.scope.person.map(|person| person.to_string()),
            cause: pause.cause.to_string(),
            detail: pause.detail.clone(),
            since: pause.since.clone(),
            missing_on: pause.missing_on.map(|side| side.to_string()),
            deletions: pause.answer.map(|answer| answer.as_str().to_owned()),
        }
    }

    /// What is paused: `user, legacy → renaissance`.
    pub fn scope(&self) -> String {
        let person = self.person.as_ref().map(|id| format!("the person legacy:{id}"));
        let direction = self.direction.as_ref().map(|direction| direction.replace("_to_", " → "));
        let parts: Vec<String> = [self.entity.clone(), person, direction].into_iter().flatten().collect();
        if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
    }

    /// `pause 3: user, legacy → renaissance (burst) since …: …`.
    pub fn line(&self) -> String {
        let detail = if self.detail.is_empty() { String::new() } else { format!(": {}", self.detail) };
        format!("pause {}: {} ({}) since {}{detail}", self.id, self.scope(), self.cause, self.since)
    }

    /// The command that ends it.
    pub fn fix(&self) -> String {
        let part = |flag: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!(" --{flag} {value}")).unwrap_or_default()
        };
        let person = self.person.as_ref().map(|id| format!("legacy:{id}"));
        let asks = self.missing_on.is_some() && self.deletions.is_none();
        let deletions = if asks { " --deletions apply (they were meant) or restore (make them again)" } else { "" };
        let entity = part("entity", &self.entity);
        let direction = if asks { String::new() } else { part("direction", &self.direction) };
        format!("biograph-bridge resume{entity}{direction}{}{deletions}", part("user", &person))
    }
}

/// What is parked for one reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParkedReport {
    /// The entity.
    pub entity: String,
    /// The reason, as in `parked list`.
    pub reason: String,
    /// Records and fields.
    pub count: i64,
}

/// Something that fails at the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorReport {
    /// What fails: `legacy capture`.
    pub place: String,
    /// When it last failed, RFC 3339.
    pub at: String,
    /// What it said.
    pub message: String,
    /// What to do.
    pub fix: Option<String>,
}

/// A loop of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoopReport {
    /// Its name.
    pub name: String,
    /// Seconds since it last turned.
    pub idle_seconds: f64,
}

/// A change that became durable at the other side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Crossing {
    /// When, RFC 3339; filled in by the status if empty.
    pub at: String,
    /// The way it travelled.
    pub direction: String,
    /// The entity.
    pub entity: String,
    /// The record's legacy id.
    pub legacy_id: String,
    /// The fields that were written; names only.
    pub fields: Vec<String>,
    /// The record's masked label.
    pub label: Option<String>,
}

impl Crossing {
    /// The fields' names; of many only the first, as a new record has all of them.
    pub fn fields_in_short(&self) -> String {
        match self.fields.len() {
            ..=NAMED => self.fields.join(", "),
            many => format!("{} and {} more", self.fields[..NAMED - 1].join(", "), many + 1 - NAMED),
        }
    }
}
