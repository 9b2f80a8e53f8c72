//! Records that insist on each other. None of them can be the first, so each waits, and says so.

use std::collections::HashMap;

use super::references::Sided;
use crate::{
    model::{
        key::{EntityIndex, Key, SideId},
        links::Links,
        mapping::{Entity, names, round},
    },
    sync::plan::Record,
};

/// Whom records that are not linked insist on that is not linked either, as far as was read.
#[derive(Default)]
pub(super) struct Insistence(HashMap<Key, Vec<Key>>);

impl Insistence {
    /// Notes a record that is not linked.
    pub(super) fn note(&mut self, entity: &Entity, record: Key, (side, image): Sided<'_>, links: &Links) {
        let insisted = Links::insisted(entity, side, image).into_iter().filter(|(to, id)| !links.knows(*to, *id));
        let insisted: Vec<Key> = insisted.map(|(entity, id)| Key { entity, id }).collect();
        if !insisted.is_empty() {
            self.0.insert(record, insisted);
        }
    }

    /// Tells a record if it waits for itself.
    pub(super) fn tell(&self, (entities, index): (&[Entity], EntityIndex), record: &mut Record) {
        if self.0.is_empty() {
            return;
        }
        let document = record.legacy.as_ref().map(|_| SideId::Legacy(record.legacy_id));
        let row = record.renaissance.as_ref().and(record.renaissance_id).map(SideId::Renaissance);
        let next = |key: Key| self.0.get(&key).cloned().unwrap_or_default();
        let way = [document, row].into_iter().flatten().find_map(|id| round(Key { entity: index, id }, next));
        let entities_of = |way: Vec<Key>| way.iter().map(|key| key.entity).collect::<Vec<_>>();
        record.circle = way.map(|way| names(entities, &entities_of(way)));
    }
}
