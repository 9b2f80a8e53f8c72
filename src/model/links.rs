//! The links a batch needs for its references: who is who on the other side. Filled by `sync`, pure.

use std::collections::{HashMap, HashSet};

use super::{
    image::{Image, Patch},
    key::{EntityIndex, LegacyId, RenaissanceId, SideId},
    mapping::{Entity, Field},
    side::Side,
    value::{Slot, Value},
};

/// What is known about a record that others refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its legacy id.
    pub legacy: LegacyId,
    /// Its renaissance id.
    pub renaissance: RenaissanceId,
    /// The legacy id of the person it belongs to (itself, for a person).
    pub person: LegacyId,
    /// The side that is authoritative for that person.
    pub owner: Side,
    /// The epoch of that person's cutover row, 0 if there is none.
    pub epoch: i64,
    /// The side that was authoritative before, if that person has moved.
    pub former: Option<Side>,
}

/// Linked records by either id.
#[derive(Clone, Debug, Default)]
pub struct Links {
    by_legacy: HashMap<(EntityIndex, LegacyId), Target>,
    by_renaissance: HashMap<(EntityIndex, RenaissanceId), LegacyId>,
    deleted: HashSet<(EntityIndex, LegacyId)>,
}

impl Links {
    /// Adds a linked record.
    pub fn add(&mut self, entity: EntityIndex, target: Target) {
        self.by_renaissance.insert((entity, target.renaissance), target.legacy);
        self.by_legacy.insert((entity, target.legacy), target);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_legacy.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_legacy.is_empty()
    }

    /// The record of that legacy id.
    pub fn get(&self, entity: EntityIndex, id: LegacyId) -> Option<&Target> {
        self.by_legacy.get(&(entity, id))
    }

    /// Whether a record is known under this id.
    pub fn knows(&self, entity: EntityIndex, id: SideId) -> bool {
        match id {
            SideId::Legacy(id) => self.by_legacy.contains_key(&(entity, id)),
            SideId::Renaissance(id) => self.by_renaissance.contains_key(&(entity, id)),
        }
    }

    /// Adds a record that was linked once and is deleted.
    pub fn bury(&mut self, entity: EntityIndex, id: LegacyId) {
        self.deleted.insert((entity, id));
    }

    /// Whether a record is known to be deleted, not only missing so far.
    pub fn is_deleted(&self, entity: EntityIndex, id: SideId) -> bool {
        matches!(id, SideId::Legacy(id) if self.deleted.contains(&(entity, id)))
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: &Self) {
        self.by_legacy.extend(other.by_legacy.iter().map(|(key, target)| (*key, target.clone())));
        self.by_renaissance.extend(other.by_renaissance.iter().map(|(key, id)| (*key, *id)));
    }

    /// What an image's reference fields refer to through links, as ids of its own side; each once, in no order.
    pub fn wanted(entity: &Entity, side: Side, image: &Image) -> Vec<(EntityIndex, SideId)> {
        Self::named(entity.linked_slots(side), side, image)
    }

    /// Those of [`Links::wanted`] that single references name: what has to be linked before the record can be made.
    pub fn needed(entity: &Entity, side: Side, image: &Image) -> Vec<(EntityIndex, SideId)> {
        Self::of_single(entity, side, image, |_| true)
    }

    /// Those of [`Links::needed`] without which the record cannot be made on the other side.
    pub fn insisted(entity: &Entity, side: Side, image: &Image) -> Vec<(EntityIndex, SideId)> {
        Self::of_single(entity, side, image, |n| entity.insists_on(n))
    }

    fn of_single(
        entity: &Entity,
        side: Side,
        image: &Image,
        asked: impl Fn(usize) -> bool,
    ) -> Vec<(EntityIndex, SideId)> {
        let fields = entity.fields.iter().enumerate().filter(|(n, _)| asked(*n));
        let single = fields.filter_map(|(_, field)| Some((field, field.refers.as_ref()?)));
        let single = single.filter(|(_, refers)| refers.linked && !refers.many);
        let slots = single.flat_map(|(field, refers)| field.slots(side).iter().map(|slot| (refers.entity, *slot)));
        Self::named(slots, side, image)
    }

    fn named(
        slots: impl Iterator<Item = (EntityIndex, usize)>,
        side: Side,
        image: &Image,
    ) -> Vec<(EntityIndex, SideId)> {
        let held = slots.flat_map(|(target, slot)| held(image, slot).iter().map(move |item| (target, item)));
        let mut named: Vec<_> = held.filter_map(|(target, item)| Some((target, side_id(side, item)?))).collect();
        named.sort_unstable();
        named.dedup();
        named
    }

    /// What a lifted image's field refers to that is not linked, as ids of its own side, and to how many it refers at all.
    pub fn dangling(field: &Field, side: Side, image: &Image) -> (Vec<(EntityIndex, SideId)>, usize) {
        let Some(refers) = field.refers.as_ref().filter(|refers| refers.linked) else { return (Vec::new(), 0) };
        let held = field.slots(side).iter().flat_map(|slot| held(image, *slot));
        let (mut waiting, mut all) = (Vec::new(), 0);
        for item in held {
            all += 1;
            if let Value::Dangling(inner) = item {
                waiting.extend(side_id(side, inner).map(|id| (refers.entity, id)));
            }
        }
        (waiting, all)
    }

    /// Turns what an image's reference fields hold into what lenses read: the legacy id of a linked record, or
    /// [`Value::Dangling`] around what is there. May be done again when more links are known.
    pub fn lift(&self, entity: &Entity, side: Side, image: &mut Image) {
        for (target, slot) in entity.linked_slots(side) {
            if let Some(Some(held)) = image.slots.get_mut(slot) {
                match held {
                    Value::List(items) => items.iter_mut().for_each(|item| self.lift_one(target, side, item)),
                    held => self.lift_one(target, side, held),
                }
            }
        }
    }

    fn lift_one(&self, target: EntityIndex, side: Side, held: &mut Value) {
        // an image may be lifted again, once more is known
        let again = matches!(held, Value::Dangling(_));
        let raw = if let Value::Dangling(inner) = &mut *held { &mut **inner } else { &mut *held };
        let Some(id) = side_id(side, raw) else { return };
        match (id, self.knows(target, id)) {
            (SideId::Renaissance(id), true) => {
                if let Some(legacy) = self.by_renaissance.get(&(target, id)) {
                    *held = Value::Id(legacy.bytes());
                }
            }
            (SideId::Legacy(_), true) if again => *held = std::mem::replace(raw, Value::Null),
            (_, false) if !again => *held = Value::Dangling(Box::new(std::mem::replace(raw, Value::Null))),
            _ => {}
        }
    }

    /// Turns what lenses wrote into reference slots of a side into what that side holds. The legacy id of a record that is
    /// not linked has no form in Renaissance: its slot index is returned.
    pub fn lower(&self, entity: &Entity, side: Side, patch: &mut Patch) -> Result<(), usize> {
        for (target, slot) in entity.linked_slots(side) {
            for (_, content) in patch.iter_mut().filter(|(at, _)| *at == slot) {
                self.lower_slot(target, side, content).map_err(|()| slot)?;
            }
        }
        Ok(())
    }

    fn lower_slot(&self, target: EntityIndex, side: Side, content: &mut Slot) -> Result<(), ()> {
        match content {
            Some(Value::List(items)) => items.iter_mut().try_for_each(|item| self.lower_one(target, side, item)),
            Some(held) => self.lower_one(target, side, held),
            None => Ok(()),
        }
    }

    fn lower_one(&self, target: EntityIndex, side: Side, item: &mut Value) -> Result<(), ()> {
        if let Value::Dangling(held) = item {
            *item = std::mem::replace(held, Value::Null);
            return Ok(());
        }
        if let (Side::Renaissance, Value::Id(id)) = (side, &*item) {
            let linked = self.get(target, LegacyId::new(*id)).ok_or(())?;
            *item = Value::Int(linked.renaissance);
        }
        Ok(())
    }
}

/// What a slot holds, one by one.
fn held(image: &Image, slot: usize) -> &[Value] {
    match image.slots.get(slot) {
        Some(Some(Value::List(items))) => items,
        Some(Some(held)) => std::slice::from_ref(held),
        Some(None) | None => &[],
    }
}

/// The id a slot's content names: an ObjectId or its hex text in legacy, an integer in Renaissance.
fn side_id(side: Side, held: &Value) -> Option<SideId> {
    match (side, held) {
        (Side::Legacy, Value::Id(id)) => Some(SideId::Legacy(LegacyId::new(*id))),
        (Side::Legacy, Value::Text(text)) => text.trim().parse().ok().map(SideId::Legacy),
        (Side::Renaissance, Value::Int(id)) => Some(SideId::Renaissance(*id)),
        _ => None,
    }
}
