//! What pauses keep the reconciler from doing.

use std::collections::HashMap;

use uuid::Uuid;

use super::{BatchReport, Reconciler, hollow};
use crate::{
    error::Result,
    model::{
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
        mapping::Entity,
        pause::{Closed, Closure, Pauses},
        side::Side,
    },
    sync::{
        pauses::Present,
        plan::{Effect, Record},
        ports::{Committed, LegacyStore, Outcome, ParkedRow, RecordPlan, RenaissanceStore, Resolved},
        tracker::Taken,
    },
};

/// Which sides of a record must not be written.
pub(super) fn closed(pauses: &Pauses, (index, entity): (EntityIndex, &Entity), record: &Record) -> Closed {
    let person = if entity.owner.is_none() { Some(record.legacy_id) } else { record.person };
    pauses.closed(index, person)
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// What is paused now.
    pub const fn pauses(&self) -> &Present {
        &self.pauses
    }

    /// Parks keys of an entity of which nothing crosses, without reading its records: they may not even be there.
    pub(super) async fn park_unread(
        &self,
        index: EntityIndex,
        taken: &[Taken],
        closure: Closure,
    ) -> Result<BatchReport> {
        let keys = || taken.iter().map(|one| one.key);
        let legacy: Vec<LegacyId> = keys().filter_map(legacy_id).collect();
        let rows: Vec<RenaissanceId> = keys().filter_map(renaissance_id).collect();
        let mut dirty = Dirty::default();
        for resolved in self.renaissance.resolve(index, &legacy, &rows).await? {
            dirty.add_linked(index, &resolved, closure);
        }
        keys().for_each(|key| dirty.add(key, closure));
        let Committed { outcomes, .. } = self.renaissance.commit(index, Uuid::new_v4(), &dirty.plans).await?;
        let mut report = BatchReport::default();
        for key in keys() {
            let outcome = dirty.places.get(&key).and_then(|place| outcomes.get(*place));
            match outcome {
                Some(Outcome::Written) => report.settled.push(key),
                Some(Outcome::LostRace | Outcome::Refused(..) | Outcome::Blocked) | None => report.lost.push(key),
            }
        }
        report.effects = dirty.plans.iter().map(|_| Effect { writes: [false, false], parks: true }).collect();
        Ok(report)
    }
}

/// Records to park, each once, and which keys name them.
#[derive(Default)]
struct Dirty {
    plans: Vec<RecordPlan>,
    places: HashMap<Key, usize>,
}

impl Dirty {
    fn add_linked(&mut self, index: EntityIndex, resolved: &Resolved, closure: Closure) {
        let (legacy, row) = (resolved.link.legacy, resolved.link.renaissance);
        for id in [SideId::Legacy(legacy), SideId::Renaissance(row)] {
            self.places.insert(Key { entity: index, id }, self.plans.len());
        }
        let plan = parked(Some(legacy), Some(row), closure);
        let (owner, epoch, person) = (resolved.owner, resolved.epoch, resolved.person);
        self.plans.push(RecordPlan { linked: true, person, owner, epoch, ..plan });
    }

    fn add(&mut self, key: Key, closure: Closure) {
        if !self.places.contains_key(&key) {
            self.places.insert(key, self.plans.len());
            self.plans.push(parked(legacy_id(key), renaissance_id(key), closure));
        }
    }
}

const fn legacy_id(key: Key) -> Option<LegacyId> {
    match key.id {
        SideId::Legacy(id) => Some(id),
        SideId::Renaissance(_) => None,
    }
}

const fn renaissance_id(key: Key) -> Option<RenaissanceId> {
    match key.id {
        SideId::Renaissance(id) => Some(id),
        SideId::Legacy(_) => None,
    }
}

/// A plan that does nothing but wait.
fn parked(legacy: Option<LegacyId>, renaissance: Option<RenaissanceId>, closure: Closure) -> RecordPlan {
    let to = if legacy.is_some() { Side::Renaissance } else { Side::Legacy };
    let row = ParkedRow { field: None, problem: closure.problem(to), waits: Vec::new() };
    RecordPlan { legacy, renaissance, was_parked: true, parked: vec![row], ..hollow() }
}
