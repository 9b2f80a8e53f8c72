//! From what was read to what will be written: applies the merge to one record and forms its plan. Pure.

mod create;
mod fields;
mod held;
mod journal;
mod order;
mod plain;
mod scope;
mod waits;

pub use self::{
    order::{Order, Ordered, OrderedField, examine},
    plain::is_plainly_equal,
};
use crate::{
    model::{
        conflict::ConflictKind,
        digest::{Base, Digest},
        image::{Image, Patch, Version},
        key::{EntityIndex, LegacyId, RenaissanceId},
        links::Links,
        mapping::{Entity, Field},
        pause::Closed,
        policy::Policy,
        problem::Problem,
        side::Side,
        value::Value,
    },
    sync::ports::{IntentKind, LegacyChange, RecordPlan, RenaissanceChange},
};

/// One record as read from both sides and the state. What its reference fields hold was lifted.
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
    /// The person it belongs to, as far as the state knows; `None` for a person.
    pub person: Option<LegacyId>,
    /// Deleted records that its sets named, as far as the state knows.
    pub awaits: Vec<(EntityIndex, LegacyId)>,
    /// The authoritative side.
    pub owner: Side,
    /// The epoch of the owner.
    pub epoch: i64,
    /// The side that was authoritative before, if the person has moved.
    pub former: Option<Side>,
    /// What a person ordered about it.
    pub order: Option<Ordered>,
    /// Fields that a database refused in this round, with the reason.
    pub refused: Vec<(usize, Problem)>,
    /// A reason to park the record as a whole.
    pub blocked: Option<Problem>,
    /// Where it can only be made after others that in turn can only be made after it: the entities on the way round.
    pub circle: Option<String>,
    /// The whole document, read before it is deleted.
    pub whole: Option<serde_json::Value>,
    /// Which sides must not be written now.
    pub closed: Closed,
    /// Whether the bridge writes it again and again: nothing more is written until an application changes it.
    pub looping: bool,
}

/// What a decision needs besides the record.
pub struct Given<'a> {
    /// Who the references of the batch name.
    pub links: &'a Links,
    /// Whether members of sets that are not linked are left for later without parking their field.
    pub sets_later: bool,
    /// The time, in microseconds since 1970.
    pub now: i64,
    /// Makes random UUIDs.
    pub new_uuid: fn() -> uuid::Uuid,
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
        && record.closed[at(Side::Legacy)].is_none()
        && scope::is_synced(entity, record)
        && matches!(scope::fate(entity, record), scope::Fate::Delete { on: Side::Legacy, .. })
}

/// Decides about a record. `None`: both sides and the state are as they should be.
pub fn plan(entity: &Entity, record: &Record, given: &Given<'_>) -> Option<Planned> {
    let mut draft = Draft::new(entity, record, given);
    if !scope::is_synced(entity, record) {
        draft.forget_unmade();
        return (draft.note_outside() || record.parked).then_some(draft.planned);
    }
    let fate = scope::fate(entity, record);
    let instead = record.blocked.as_ref().map(|problem| (problem, scope::instead(fate, problem, record.owner)));
    if let Some((problem, None)) = instead {
        draft.park_whole(problem.clone());
        draft.note_taken();
        return Some(draft.planned);
    }
    match instead.and_then(|(_, instead)| instead).unwrap_or(fate) {
        scope::Fate::Merge => {
            draft.note_outside();
            draft.merge_fields();
        }
        scope::Fate::Create(side) => draft.create(side),
        scope::Fate::Restore { on, winner } => {
            draft.note_outside();
            if let Some(winner) = winner {
                draft.deletion_conflict(ConflictKind::UpdateDeleted, winner);
            }
            draft.create(on);
        }
        scope::Fate::Delete { on, winner } => {
            match winner {
                Some(winner) => draft.deletion_conflict(ConflictKind::DeleteUpdated, winner),
                None if record.former == Some(on.other()) => {
                    draft.deletion_conflict(ConflictKind::StaleOwnerWrite, on.other());
                }
                None => {}
            }
            draft.delete(on);
        }
        scope::Fate::Stay => {}
        scope::Fate::End => draft.planned.plan.unlink = record.linked,
    }
    draft.finish()
}

struct Draft<'a> {
    entity: &'a Entity,
    record: &'a Record,
    given: &'a Given<'a>,
    planned: Planned,
    /// The base once everything planned has landed.
    base: Base,
    /// The base as far as it holds before the document is written.
    base_now: Base,
    patches: [Patch; 2],
    /// What the owner field holds once everything planned has landed, if that is decided.
    owner: Option<Value>,
}

const fn at(side: Side) -> usize {
    match side {
        Side::Legacy => 0,
        Side::Renaissance => 1,
    }
}

impl<'a> Draft<'a> {
    fn new(entity: &'a Entity, record: &'a Record, given: &'a Given<'a>) -> Self {
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
            person: record.person,
            changes_hands: false,
            owner: record.owner,
            epoch: record.epoch,
            resolution: record.order.as_ref().filter(|o| o.stands()).map(|o| o.order.resolution.clone()),
            conflicts: Vec::new(),
            parked: Vec::new(),
            awaits: None,
        };
        let base = record.base.clone().unwrap_or_else(|| Base::empty(entity.fields.len())).renewed();
        let planned = Planned { plan, document: None, fields: Vec::new() };
        let (base_now, patches) = (base.clone(), [Vec::new(), Vec::new()]);
        Self { entity, record, given, planned, base, base_now, patches, owner: None }
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

    /// An id that was only allocated for a document that is not made names nothing.
    fn forget_unmade(&mut self) {
        if !self.record.linked && self.record.legacy.is_none() {
            self.planned.plan.legacy = None;
        }
    }

    /// Keeps with the link on which sides the record does not belong; where it is not there, it is as it was last seen. Whether
    /// that is news.
    fn note_outside(&mut self) -> bool {
        let Some(before) = &self.record.base else { return false };
        for side in Side::ALL {
            if let Some(image) = self.image(side) {
                let outside = !self.entity.belongs(side, image);
                self.base.set_outside(side, outside);
                self.base_now.set_outside(side, outside);
            }
        }
        let news = *before != self.base_now;
        if news {
            self.planned.plan.base = Some(self.base_now.clone());
        }
        news
    }

    /// Records a value as agreed on; for sets that are merged member by member, its members too. `now`: already before the
    /// document is written.
    fn agree(&mut self, n: usize, field: &Field, digest: Digest, value: &Value, now: bool) {
        let bases = [Some(&mut self.base), now.then_some(&mut self.base_now)];
        for base in bases.into_iter().flatten() {
            base.set(n, Some(digest));
            match field.policy {
                Policy::Union => base.keep_members(n, value),
                Policy::Sum => base.keep_number(n, value),
                _ => {}
            }
        }
        self.decided(n, value);
    }

    /// Notes what the owner field will hold.
    fn decided(&mut self, n: usize, value: &Value) {
        if self.entity.owner == Some(n) {
            self.owner = Some(value.clone());
        }
    }

    fn delete(&mut self, on: Side) {
        let Some(image) = self.image(on) else { return };
        if let Some(problem) = self.held_whole(on) {
            return self.park_whole(problem);
        }
        match on {
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

    fn finish(mut self) -> Option<Planned> {
        self.follow_person();
        self.note_taken();
        let plan = &self.planned.plan;
        let writes = plan.rows.is_some() || plan.base.is_some() || plan.unlink || plan.intent.is_some();
        let awaits = plan.awaits.as_ref().is_some_and(|awaits| *awaits != self.record.awaits);
        let notes = awaits
            || plan.resolution.is_some()
            || !plan.conflicts.is_empty()
            || !plan.parked.is_empty()
            || self.record.parked
            || !self.record.linked;
        (writes || notes).then_some(self.planned)
    }

    /// The record belongs to whom its owner field's target belongs to; where that changed, the link is written again.
    fn follow_person(&mut self) {
        let target = self.entity.owner.and_then(|field| self.entity.fields[field].refers.as_ref());
        let (Some(refers), Some(Value::Id(id))) = (target, &self.owner) else { return };
        let Some(target) = self.given.links.get(refers.entity, LegacyId::new(*id)) else { return };
        let plan = &mut self.planned.plan;
        if plan.person != Some(target.person) {
            plan.person = Some(target.person);
            plan.changes_hands = self.record.linked;
            if self.record.base.is_some() && plan.base.is_none() && !plan.unlink {
                plan.base = Some(self.base_now.clone());
            }
        }
    }
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
        *first = Some(Value::Id(id.bytes()));
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
pub(in crate::sync) mod tests;
