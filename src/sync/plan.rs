//! From what was read to what will be written: applies the merge to one record and forms its plan. Pure.

use crate::{
    model::{
        digest::{Base, Digest},
        image::{Image, Patch, Version},
        key::{LegacyId, RenaissanceId},
        mapping::{Entity, Field},
        merge::{Agreed, Existence, Verdict, existence, merge},
        policy::Policy,
        problem::{Problem, Reason},
        reading::Reading,
        side::Side,
    },
    sync::ports::{ConflictRow, IntentKind, LegacyChange, ParkedRow, RecordPlan, RenaissanceChange},
};

/// One record as read from both sides and the state.
pub struct Record {
    /// Its legacy id: known, linked, or allocated for its creation.
    pub legacy_id: LegacyId,
    /// Its renaissance id, unless it has yet to be inserted there.
    pub renaissance_id: Option<RenaissanceId>,
    /// The document.
    pub legacy: Option<Image>,
    /// The rows.
    pub renaissance: Option<Image>,
    /// Whether the state holds its link.
    pub linked: bool,
    /// Whether its row is there and its legacy id column is empty.
    pub unnamed: bool,
    /// What both sides last agreed on; `None` until it existed on both.
    pub base: Option<Base>,
    /// Whether the state has parked keys for it.
    pub parked: bool,
    /// The authoritative side.
    pub owner: Side,
    /// The epoch of the owner.
    pub epoch: i64,
    /// Fields that a database refused in this round, with the reason.
    pub refused: Vec<(usize, Problem)>,
    /// A reason to park the record as a whole.
    pub blocked: Option<Problem>,
    /// The whole document, read before it is deleted.
    pub whole: Option<serde_json::Value>,
}

/// What happened to a record, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Something is written to this side: legacy, renaissance.
    pub writes: [bool; 2],
    /// Something of it is parked.
    pub parks: bool,
}

/// A plan with the document change that goes with it and what to tell people about it.
pub struct Planned {
    /// For the renaissance store.
    pub plan: RecordPlan,
    /// For the legacy store, once the plan's intent is durable.
    pub document: Option<LegacyChange>,
    /// Fields that travel, by the side they are written to.
    pub fields: Vec<(Side, usize)>,
}

impl Planned {
    /// What it does, in short.
    pub const fn effect(&self) -> Effect {
        Effect { writes: [self.document.is_some(), self.plan.rows.is_some()], parks: !self.plan.parked.is_empty() }
    }

    /// Whether it makes the record on this side.
    pub const fn creates(&self, side: Side) -> bool {
        match side {
            Side::Legacy => matches!(self.document, Some(LegacyChange::Insert(_))),
            Side::Renaissance => matches!(self.plan.rows, Some(RenaissanceChange::Insert(_))),
        }
    }

    /// The sides on which a field is written: legacy, renaissance.
    pub fn writes_fields(&self) -> [bool; 2] {
        Side::ALL.map(|side| self.fields.iter().any(|(to, _)| *to == side))
    }
}

/// Whether planning the record needs the whole document first, for its tombstone.
pub fn deletes_document(entity: &Entity, record: &Record) -> bool {
    record.blocked.is_none()
        && matches!(fate(entity, record), Existence::Delete(Side::Legacy) | Existence::DeleteChanged(Side::Legacy))
}

/// Decides about a record. `None`: both sides and the state are as they should be.
pub fn plan(entity: &Entity, record: &Record) -> Option<Planned> {
    let mut draft = Draft::new(entity, record);
    if let Some(problem) = &record.blocked {
        // An id that was only allocated for a document that is not made names nothing.
        if !record.linked && record.legacy.is_none() {
            draft.planned.plan.legacy = None;
        }
        draft.planned.plan.parked.push(ParkedRow { field: None, problem: problem.clone(), waits: Vec::new() });
        return Some(draft.planned);
    }
    match fate(entity, record) {
        Existence::Both => draft.merge_fields(),
        Existence::Create(side) => draft.create(side),
        Existence::Restore(side) => {
            draft.deletion_conflict(side.other());
            draft.create(side);
        }
        Existence::Delete(side) => draft.delete(side),
        Existence::DeleteChanged(side) => {
            draft.deletion_conflict(side.other());
            draft.delete(side);
        }
        Existence::Gone => draft.planned.plan.unlink = record.linked,
    }
    draft.finish()
}

fn fate(entity: &Entity, record: &Record) -> Existence {
    let remaining = match (&record.legacy, &record.renaissance) {
        (Some(image), None) => Some((Side::Legacy, image)),
        (None, Some(image)) => Some((Side::Renaissance, image)),
        (None, None) | (Some(_), Some(_)) => None,
    };
    let changed = match (remaining, &record.base) {
        (Some((side, image)), Some(base)) => moved(entity, side, image, base),
        _ => false,
    };
    let (legacy, renaissance) = (record.legacy.is_some(), record.renaissance.is_some());
    existence(legacy, renaissance, record.base.is_some(), changed, record.owner)
}

/// Whether any readable field differs from what was agreed on.
fn moved(entity: &Entity, side: Side, image: &Image, base: &Base) -> bool {
    entity.fields.iter().enumerate().any(|(n, field)| {
        let (now, agreed) = (field.get(side, image).digest(), base.get(n));
        now.is_some() && agreed.is_some() && now != agreed
    })
}

struct Draft<'a> {
    entity: &'a Entity,
    record: &'a Record,
    planned: Planned,
    /// The base once everything planned has landed.
    base: Base,
    /// The base as far as it holds before the document is written.
    base_now: Base,
    patches: [Patch; 2],
}

const fn at(side: Side) -> usize {
    match side {
        Side::Legacy => 0,
        Side::Renaissance => 1,
    }
}

impl<'a> Draft<'a> {
    fn new(entity: &'a Entity, record: &'a Record) -> Self {
        let plan = RecordPlan {
            legacy: Some(record.legacy_id),
            renaissance: record.renaissance_id,
            linked: record.linked,
            was_parked: record.parked,
            rows: None,
            base: None,
            unlink: false,
            back_reference: false,
            insists: false,
            intent: None,
            person: None,
            owner: record.owner,
            epoch: record.epoch,
            conflicts: Vec::new(),
            parked: Vec::new(),
        };
        let base = record.base.clone().unwrap_or_else(|| Base::empty(entity.fields.len()));
        let planned = Planned { plan, document: None, fields: Vec::new() };
        Self { entity, record, planned, base_now: base.clone(), base, patches: [Vec::new(), Vec::new()] }
    }

    fn image(&self, side: Side) -> Option<&'a Image> {
        match side {
            Side::Legacy => self.record.legacy.as_ref(),
            Side::Renaissance => self.record.renaissance.as_ref(),
        }
    }

    fn refusal(&self, field: usize) -> Option<&'a Problem> {
        self.record.refused.iter().find(|(refused, _)| *refused == field).map(|(_, problem)| problem)
    }

    fn park(&mut self, field: &Field, problem: Problem) {
        self.planned.plan.parked.push(ParkedRow { field: Some(field.name.clone()), problem, waits: Vec::new() });
    }

    fn merge_fields(&mut self) {
        let (Some(legacy), Some(renaissance)) = (self.image(Side::Legacy), self.image(Side::Renaissance)) else {
            return;
        };
        for (n, field) in self.entity.fields.iter().enumerate() {
            if let Some(problem) = self.refusal(n) {
                self.park(field, problem.clone());
                continue;
            }
            let readings = [field.get(Side::Legacy, legacy), field.get(Side::Renaissance, renaissance)];
            let agreed = Agreed { value: self.base.get(n), members: self.base.members(n) };
            match merge(field.policy, self.record.owner, agreed, &readings[0], &readings[1]) {
                Verdict::Agreed(digest) => {
                    agree(&mut self.base, n, field, digest, readings[0].value());
                    agree(&mut self.base_now, n, field, digest, readings[0].value());
                }
                Verdict::Keep => {}
                Verdict::Copy { to, value } => {
                    self.copy(n, field, to, &value);
                }
                Verdict::Combined(value) => {
                    _ = self.copy(n, field, Side::Renaissance, &value) && self.copy(n, field, Side::Legacy, &value);
                }
                Verdict::Conflict { winner, value } => {
                    if self.copy(n, field, winner.other(), &value) {
                        self.conflict(field, winner, &readings);
                    }
                }
                Verdict::Undecided => {
                    let detail = format!("both sides changed {} and its policy leaves it to a person", field.name);
                    self.park(field, Problem::new(Reason::Undecided, detail));
                }
                Verdict::Unreadable(_, problem) => self.park(field, problem),
            }
        }
        let [document, rows] = std::mem::take(&mut self.patches);
        // A row found by a natural key is told who it is.
        self.planned.plan.back_reference = self.record.unnamed;
        if !rows.is_empty() || self.record.unnamed {
            self.planned.plan.rows = Some(RenaissanceChange::Update(renaissance.version.clone(), rows));
        }
        if !document.is_empty() {
            self.planned.document = Some(LegacyChange::Update(legacy.version.clone(), document));
            self.planned.plan.intent = Some((IntentKind::Update, self.base.clone()));
        }
        if self.record.base.as_ref() != Some(&self.base_now) {
            self.planned.plan.base = Some(self.base_now.clone());
        }
    }

    /// Adds one value to what is written to a side. False if that side cannot hold it: the field is parked.
    fn copy(&mut self, n: usize, field: &Field, to: Side, value: &crate::model::value::Value) -> bool {
        match field.put(to, value, self.image(to)) {
            Ok(patch) => {
                agree(&mut self.base, n, field, Digest::of(value), Some(value));
                if to == Side::Renaissance || patch.is_empty() {
                    agree(&mut self.base_now, n, field, Digest::of(value), Some(value));
                }
                if !patch.is_empty() {
                    self.planned.fields.push((to, n));
                }
                self.patches[at(to)].extend(patch);
                true
            }
            Err(problem) => {
                self.park(field, problem);
                false
            }
        }
    }

    fn conflict(&mut self, field: &Field, winner: Side, readings: &[Reading; 2]) {
        let json = |reading: &Reading| reading.value().map_or(serde_json::Value::Null, crate::model::json::to_json);
        self.planned.plan.conflicts.push(ConflictRow {
            kind: if self.record.base.is_some() { "update_update" } else { "adopted" },
            field: Some(field.name.clone()),
            legacy_value: json(&readings[0]),
            renaissance_value: json(&readings[1]),
            policy: field.policy.as_str(),
            winner: Some(winner),
        });
    }

    /// A whole record that one side deleted (`deleted_on`) while the other changed it.
    fn deletion_conflict(&mut self, deleted_on: Side) {
        let values = |side: Side| {
            let image = self.image(side);
            image.map_or(serde_json::Value::Null, |image| whole_record(self.entity, side, image))
        };
        self.planned.plan.conflicts.push(ConflictRow {
            kind: "delete_updated",
            field: None,
            legacy_value: values(Side::Legacy),
            renaissance_value: values(Side::Renaissance),
            policy: "owner",
            winner: Some(self.record.owner),
        });
        debug_assert!(self.image(deleted_on).is_none() || self.image(deleted_on.other()).is_none());
    }

    /// Makes the record on `to` from the other side. A field that cannot cross is parked and takes the value a record
    /// without it would have; if there is none, the whole record is parked.
    fn create(&mut self, to: Side) {
        let Some(source) = self.image(to.other()) else { return };
        let mut created = blank(self.entity, to, self.record.legacy_id);
        let mut unset = Vec::new();
        for (n, field) in self.entity.fields.iter().enumerate() {
            match self.created_value(n, field, to, source) {
                Ok(Some((patch, digest))) => {
                    apply(&mut created, &patch);
                    self.patches[at(to)].extend(patch);
                    self.planned.fields.push((to, n));
                    match digest {
                        Some(digest) => agree(&mut self.base, n, field, digest, field.get(to.other(), source).value()),
                        None => unset.push(n),
                    }
                }
                Ok(None) => unset.push(n),
                Err(problem) => {
                    self.planned.plan.parked = vec![ParkedRow { field: None, problem, waits: Vec::new() }];
                    self.planned.plan.conflicts.clear();
                    self.planned.fields.clear();
                    return;
                }
            }
        }
        // What was not agreed on is held against what the new record reads now: only a later change there conflicts.
        for n in unset {
            self.base.set(n, self.entity.fields[n].get(to, &created).digest());
        }
        let patch = std::mem::take(&mut self.patches[at(to)]);
        match to {
            Side::Renaissance => {
                self.planned.plan.rows = Some(RenaissanceChange::Insert(patch));
                self.planned.plan.renaissance = None;
                self.planned.plan.base = Some(self.base.clone());
            }
            Side::Legacy => {
                self.planned.document = Some(LegacyChange::Insert(patch));
                self.planned.plan.intent = Some((IntentKind::Insert, self.base.clone()));
            }
        }
    }

    /// What a new record gets for a field, with the digest agreed on (`None`: a stand-in).
    fn created_value(
        &mut self,
        n: usize,
        field: &Field,
        to: Side,
        source: &Image,
    ) -> Result<Option<(Patch, Option<Digest>)>, Problem> {
        let problem = match (self.refusal(n), field.get(to.other(), source)) {
            (Some(problem), _) => problem.clone(),
            (None, Reading::Value(value)) => match field.put(to, &value, None) {
                Ok(patch) => return Ok(Some((patch, Some(Digest::of(&value))))),
                Err(problem) => problem,
            },
            (None, Reading::Absent) => return Ok(None),
            (None, Reading::Invalid(problem)) => problem,
        };
        if to == Side::Legacy {
            self.park(field, problem);
            return Ok(None);
        }
        let stand_in = field.get(Side::Legacy, &blank(self.entity, Side::Legacy, self.record.legacy_id));
        let patch = stand_in.value().and_then(|value| field.put(to, value, None).ok());
        // A stand-in that was itself refused would be refused again.
        let Some(patch) = patch else {
            return Err(Problem::new(problem.reason, format!("{}: {}", field.name, problem.detail)));
        };
        self.park(field, problem);
        Ok(Some((patch, None)))
    }

    fn delete(&mut self, from: Side) {
        let Some(image) = self.image(from) else { return };
        match from {
            Side::Renaissance => {
                self.planned.plan.rows = Some(RenaissanceChange::Delete(image.version.clone()));
                self.planned.plan.unlink = true;
            }
            Side::Legacy => {
                let whole = self.record.whole.clone().unwrap_or(serde_json::Value::Null);
                self.planned.document = Some(LegacyChange::Delete(image.version.clone()));
                self.planned.plan.intent = Some((IntentKind::Delete(whole), Base::empty(self.entity.fields.len())));
            }
        }
    }

    fn finish(self) -> Option<Planned> {
        let plan = &self.planned.plan;
        let writes = plan.rows.is_some() || plan.base.is_some() || plan.unlink || plan.intent.is_some();
        let notes = !plan.conflicts.is_empty() || !plan.parked.is_empty() || self.record.parked || !self.record.linked;
        (writes || notes).then_some(self.planned)
    }
}

/// Records a value as agreed on; for sets that are merged member by member, its members too.
fn agree(base: &mut Base, n: usize, field: &Field, digest: Digest, value: Option<&crate::model::value::Value>) {
    base.set(n, Some(digest));
    if let (Policy::Union, Some(value)) = (field.policy, value) {
        base.keep_members(n, value);
    }
}

/// Every readable field of a record, for the journal.
fn whole_record(entity: &Entity, side: Side, image: &Image) -> serde_json::Value {
    let fields = entity.fields.iter().filter_map(|field| {
        let reading = field.get(side, image);
        Some((field.name.clone(), crate::model::json::to_json(reading.value()?)))
    });
    serde_json::Value::Object(fields.collect())
}

/// A record of which nothing is there yet.
fn blank(entity: &Entity, side: Side, id: LegacyId) -> Image {
    let mut slots = match side {
        Side::Legacy => vec![None; entity.legacy.paths.len()],
        Side::Renaissance => vec![None; entity.renaissance.columns.len()],
    };
    if side == Side::Legacy
        && let Some(first) = slots.first_mut()
    {
        *first = Some(crate::model::value::Value::Id(id.bytes()));
    }
    Image { slots, version: Version(Vec::new()) }
}

fn apply(image: &mut Image, patch: &Patch) {
    for (slot, content) in patch {
        if let Some(place) = image.slots.get_mut(*slot) {
            place.clone_from(content);
        }
    }
}

#[cfg(test)]
mod tests;
