//! The guard against bursts of deletions: more than a share of an entity within a minute is hardly meant, whoever does it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Reconciler, Work};
use crate::{
    drill::{Mechanism, lacks},
    error::Result,
    model::{
        fact::PauseCause,
        image::Image,
        key::{EntityIndex, Key},
        mapping::Entity,
        pause::Scope,
        side::Side,
        value::Value,
    },
    sync::{
        plan::Planned,
        ports::{By, LegacyChange, LegacyStore, NewPause, RenaissanceChange, RenaissanceStore},
    },
};

/// Deletions are counted over this time.
const WINDOW: Duration = Duration::from_secs(60);
/// So many may always go, however small the entity is.
const FLOOR: u64 = 50;
/// How long a count of links is good for.
const FRESH: Duration = Duration::from_secs(300);

/// How much of something is taken for a mistake.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The share of an entity's records that may be deleted in a minute; a few are always allowed.
    pub deletions: f64,
    /// How often the bridge may write a record within a minute that no application changes.
    pub loops: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deletions: 0.05, loops: 10 }
    }
}

/// Counts deletions.
#[derive(Debug)]
pub(super) struct Guard {
    /// The share of an entity's links that may be deleted in a minute.
    share: f64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Deletions on a side of an entity, with when.
    deleted: HashMap<(EntityIndex, Side), VecDeque<(Instant, u64)>>,
    links: HashMap<EntityIndex, (Instant, u64)>,
    /// Keys whose deletion was approved.
    approved: HashSet<Key>,
}

impl Guard {
    pub(super) fn new(share: f64) -> Self {
        Self { share, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many were deleted on a side within the last minute.
    fn recent(&self, index: EntityIndex, side: Side, now: Instant) -> u64 {
        let mut state = self.state();
        let Some(deleted) = state.deleted.get_mut(&(index, side)) else { return 0 };
        while deleted.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            deleted.pop_front();
        }
        deleted.iter().map(|(_, count)| count).sum()
    }

    /// Notes deletions that were carried out, and keys that are through.
    pub(super) fn note(&self, index: EntityIndex, deleted: [u64; 2], settled: &[Key]) {
        let mut state = self.state();
        for (side, count) in Side::ALL.into_iter().zip(deleted).filter(|(_, count)| *count > 0) {
            state.deleted.entry((index, side)).or_default().push_back((Instant::now(), count));
        }
        if !state.approved.is_empty() {
            settled.iter().for_each(|key| _ = state.approved.remove(key));
        }
    }

    /// Lets this key's deletion through once.
    pub(super) fn approve(&self, key: Key) {
        self.state().approved.insert(key);
    }

    pub(super) fn is_approved(&self, keys: &[Key]) -> bool {
        let state = self.state();
        !state.approved.is_empty() && keys.iter().any(|key| state.approved.contains(key))
    }

    fn known_links(&self, index: EntityIndex, now: Instant) -> Option<u64> {
        let known = self.state().links.get(&index).copied();
        known.filter(|(at, _)| now.saturating_duration_since(*at) < FRESH).map(|(_, links)| links)
    }

    /// How many may be deleted in a minute of an entity with so many links.
    fn limit(&self, links: u64) -> u64 {
        let share = (links as f64 * self.share).ceil();
        FLOOR.max(share as u64)
    }
}

/// The side on which a plan deletes the record.
pub(super) const fn deletes(planned: &Planned) -> Option<Side> {
    match (&planned.plan.rows, &planned.document) {
        (Some(RenaissanceChange::Delete(_)), _) => Some(Side::Renaissance),
        (_, Some(LegacyChange::Delete(_))) => Some(Side::Legacy),
        _ => None,
    }
}

/// How many items a slot holds.
fn held(image: &Image, slot: usize) -> usize {
    match image.slots.get(slot) {
        Some(Some(Value::List(items))) => items.len(),
        _ => 0,
    }
}

impl Work {
    /// Whether the record is deleted on a side without a person having said so.
    pub(super) fn deletes_unasked(&self, side: Side) -> bool {
        !self.approved && self.planned.as_ref().and_then(deletes) == Some(side)
    }

    /// Whether the document loses what rows of a join table say no more, without a person having said so.
    fn drops_members_unasked(&self, entity: &Entity) -> bool {
        let (Some(document), Some(rows)) = (&self.record.legacy, &self.record.renaissance) else { return false };
        let fields = self.planned.iter().filter(|_| !self.approved).flat_map(|planned| &planned.fields);
        let written = fields.filter(|(to, _)| *to == Side::Legacy).filter_map(|(_, field)| entity.fields.get(*field));
        let mut lists =
            written.filter_map(|field| Some((field.legacy.slots.first()?, field.renaissance.slots.first()?)));
        lists.any(|(list, set)| entity.is_set(Side::Renaissance, *set) && held(rows, *set) < held(document, *list))
    }

    /// Whether the document, or members of its sets, would go because of rows that are gone, without a person having said so.
    pub(super) fn loses_unasked(&self, entity: &Entity) -> bool {
        self.deletes_unasked(Side::Legacy) || self.drops_members_unasked(entity)
    }
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// The fields of an entity that are rows of a join table, and how many of them a record holds.
    pub fn sets(&self, index: EntityIndex, rows: &Image) -> Vec<(usize, usize)> {
        let Some(entity) = self.entities.get(usize::from(index.0)) else { return Vec::new() };
        let slots = entity.fields.iter().map(|field| field.renaissance.slots.first()).enumerate();
        let sets = slots.filter_map(|(field, slot)| Some((field, *slot?)));
        sets.filter(|(_, slot)| entity.is_set(Side::Renaissance, *slot))
            .map(|(field, slot)| (field, held(rows, slot)))
            .collect()
    }

    /// Lets the deletion of the record that this key names through the guard.
    pub fn approve(&self, key: Key) {
        self.guard.approve(key);
    }

    /// Lets the record that this key names be written once more, however often it was.
    pub fn forgive(&self, key: Key) {
        self.breaker.forgive(key);
    }

    /// Looks at the deletions of a batch before any of them is carried out. If they are too many, or the place where the records
    /// are missing is not what it was, a pause begins; what was decided before is then not written. Whether documents and members of
    /// their sets must stay for now, as nobody knows whether their rows were deleted.
    pub(super) async fn guard(&self, index: EntityIndex, entity: &Entity, works: &[Work]) -> Result<bool> {
        let mut doubtful = false;
        for side in Side::ALL {
            let unasked = works.iter().filter(|work| work.deletes_unasked(side)).count() as u64;
            let loses = unasked > 0 || side == Side::Legacy && works.iter().any(|work| work.loses_unasked(entity));
            if loses && !self.pause_if_replaced(index, side.other()).await? {
                doubtful |= side == Side::Legacy && self.may_be_truncated(index).await?;
                if unasked > 0 {
                    self.pause_if_burst((index, entity), side, unasked).await?;
                }
            }
        }
        Ok(doubtful)
    }

    async fn pause_if_burst(&self, (index, entity): (EntityIndex, &Entity), side: Side, planned: u64) -> Result<()> {
        let now = Instant::now();
        let recent = self.guard.recent(index, side, now);
        if recent + planned <= FLOOR || lacks(Mechanism::BurstGuard) {
            return Ok(());
        }
        let links = match self.guard.known_links(index, now) {
            Some(links) => links,
            None => {
                // with those that went within the last minute: their links are gone
                let links = self.renaissance.links(index).await? + recent;
                self.guard.state().links.insert(index, (now, links));
                links
            }
        };
        let limit = self.guard.limit(links);
        if recent + planned <= limit {
            return Ok(());
        }
        let detail = format!(
            "{} records of {} were deleted on {} within a minute, more than {limit} of {links}; {recent} of them are deleted on \
             {side} already, the others wait",
            recent + planned,
            entity.name,
            side.other(),
        );
        let direction = Some(side.other().outbound());
        self.pause_for(NewPause {
            scope: Scope { direction, entity: Some(index), person: None },
            cause: PauseCause::Burst,
            detail,
            missing_on: Some(side.other()),
            event: None,
            by: By::default(),
        })
        .await
    }

    /// Begins a pause that nobody asked for, and says so.
    pub(super) async fn pause_for(&self, new: NewPause) -> Result<()> {
        if self.pauses.begin(&self.renaissance, &new).await? {
            let entity = new.scope.entity.and_then(|index| self.entities.get(usize::from(index.0)));
            let entity = entity.map_or("", |entity| entity.name.as_str());
            let hint = format!(
                "biograph-bridge resume --entity {entity} --deletions apply (what is missing was meant to go) or restore (make it again)"
            );
            tracing::error!(entity, cause = %new.cause, hint, "paused: {}", new.detail);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::SideId;

    const USER: EntityIndex = EntityIndex(0);

    #[test]
    fn deletions_count_for_a_minute_and_each_side_by_itself() {
        let guard = Guard::new(0.05);
        guard.note(USER, [3, 0], &[]);
        guard.note(USER, [4, 2], &[]);
        let now = Instant::now();
        assert_eq!((guard.recent(USER, Side::Legacy, now), guard.recent(USER, Side::Renaissance, now)), (7, 2));
        assert_eq!(guard.recent(EntityIndex(1), Side::Legacy, now), 0);
        assert_eq!(guard.recent(USER, Side::Legacy, now + WINDOW), 0);
    }

    #[test]
    fn small_entities_have_a_floor_and_large_ones_a_share() {
        let guard = Guard::new(0.05);
        assert_eq!((guard.limit(0), guard.limit(1000), guard.limit(100_000)), (50, 50, 5000));
    }

    #[test]
    fn an_approval_lasts_until_its_key_is_through() {
        let guard = Guard::new(0.05);
        let key = Key { entity: USER, id: SideId::Renaissance(7) };
        guard.approve(key);
        guard.note(USER, [0, 0], &[Key { entity: USER, id: SideId::Renaissance(8) }]);
        assert!(guard.is_approved(&[key]));
        guard.note(USER, [0, 0], &[key]);
        assert!(!guard.is_approved(&[key]));
    }
}
