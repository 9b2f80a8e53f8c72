//! Who is where, of everybody, in little memory: ids of both sides, keyed hashes of what names a person, and the cutover row.
//! Pure. Nothing that a person is called by can be read out of it.

mod entry;
mod table;

use std::collections::HashMap;

use self::{
    entry::{Entry, HELD},
    table::Table,
};
use super::{
    cutover::CutoverRow,
    digest::sealed,
    fact::PersonState,
    key::{EntityIndex, LegacyId, RenaissanceId, SideId},
    side::Side,
    value::Value,
};

/// Entries that are allocated together: the directory grows without being copied.
const CHUNK: usize = 4096;

/// What one person is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The entity whose record they are.
    pub entity: EntityIndex,
    /// Their legacy id, if they are known there.
    pub legacy: Option<LegacyId>,
    /// Their renaissance id, likewise.
    pub renaissance: Option<RenaissanceId>,
    /// What names them on either side, sealed.
    pub names: Vec<u64>,
    /// The ways to log in that they have on each side (legacy, renaissance), one bit each in the order of the mapping.
    pub ways: [u8; 2],
    /// Their cutover row.
    pub row: CutoverRow,
}

/// Where a person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The entity whose record they are.
    pub entity: EntityIndex,
    /// Their cutover row.
    pub row: CutoverRow,
    /// The ways to log in that they have on the side that is authoritative for them.
    pub ways: u8,
}

/// Whom a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no such person.
    Nobody,
    /// This one.
    One(Whereabouts),
    /// More than one person is called that.
    Several,
}

/// Everybody.
pub struct People {
    key: (u64, u64),
    chunks: Vec<Vec<Entry>>,
    /// Places whose person has gone.
    free: Vec<u32>,
    /// More names than an entry has room for.
    more: HashMap<u32, Box<[u64]>>,
    table: Table,
    /// How many linked people are in each state.
    counts: [i64; 3],
    /// The walk that is under way, or the last one.
    walk: u8,
}

impl People {
    /// Nobody yet. The key has to be random and is kept nowhere else.
    pub fn new(key: (u64, u64)) -> Self {
        Self {
            key,
            chunks: Vec::new(),
            free: Vec::new(),
            more: HashMap::new(),
            table: Table::default(),
            counts: [0; 3],
            walk: 0,
        }
    }

    /// What a name is kept as: `word` says what it is.
    pub fn seal(&self, word: &str, value: &Value) -> u64 {
        sealed(self.key, word, value)
    }

    /// Where the one person is who has one of these names.
    pub fn named(&self, names: &[u64]) -> Found {
        let mut found = Found::Nobody;
        let mut first = None;
        for name in names {
            for place in self.table.candidates(*name) {
                let Some(entry) = self.entry(place) else { continue };
                if !self.has_name(place, entry, *name) || first == Some(place) {
                    continue;
                }
                if first.replace(place).is_some() {
                    return Found::Several;
                }
                found = Found::One(entry.whereabouts());
            }
        }
        found
    }

    /// Where the person with this id is.
    pub fn with_id(&self, id: SideId) -> Found {
        let mut places = self.places_of(id);
        let Some(first) = places.next() else { return Found::Nobody };
        // a place may be met once for each of its hashes
        if places.any(|place| place != first) {
            return Found::Several;
        }
        self.entry(first).map_or(Found::Nobody, |entry| Found::One(entry.whereabouts()))
    }

    /// Both ids of the person of an entity with this id.
    pub fn ids(&self, entity: EntityIndex, id: SideId) -> Option<(Option<LegacyId>, Option<RenaissanceId>)> {
        let entry = self.entry(self.place(entity, id)?)?;
        Some((entry.legacy(), entry.renaissance()))
    }

    /// The renaissance id of the person of an entity with this id, and the ways to log in that they have there.
    pub fn in_renaissance(&self, entity: EntityIndex, id: SideId) -> Option<(RenaissanceId, u8)> {
        let entry = self.entry(self.place(entity, id)?)?;
        Some((entry.renaissance()?, entry.ways[1]))
    }

    /// Takes in what is known of a person now, in place of whatever was known under either id.
    pub fn put(&mut self, known: &Known) {
        let ids = known.legacy.map(SideId::Legacy).into_iter().chain(known.renaissance.map(SideId::Renaissance));
        let mut places: Vec<u32> = ids.filter_map(|id| self.place(known.entity, id)).collect();
        places.dedup();
        if let [place] = places[..]
            && self.known(place).is_some_and(|former| former.same_names(known))
        {
            self.stamp(place, known);
            return;
        }
        places.into_iter().for_each(|place| self.remove_at(place));
        self.add(known);
    }

    /// Forgets the person of an entity with this id.
    pub fn remove(&mut self, entity: EntityIndex, id: SideId) {
        if let Some(place) = self.place(entity, id) {
            self.remove_at(place);
        }
    }

    /// Takes in a cutover row. False if nobody with that legacy id is known.
    pub fn stand(&mut self, person: LegacyId, row: CutoverRow) -> bool {
        let places: Vec<u32> = self.places_of(SideId::Legacy(person)).collect();
        for place in &places {
            self.count(*place, -1);
            if let Some(entry) = self.entry_mut(*place) {
                entry.stand(row);
            }
            self.count(*place, 1);
        }
        !places.is_empty()
    }

    /// The cutover row that is known of a person.
    pub fn row(&self, person: LegacyId) -> Option<CutoverRow> {
        let place = self.places_of(SideId::Legacy(person)).next()?;
        Some(self.entry(place)?.row())
    }

    /// How many linked people are in each state.
    pub fn counts(&self) -> Vec<(PersonState, i64)> {
        PersonState::ALL.iter().zip(self.counts).map(|(state, count)| (*state, count)).collect()
    }

    /// How many people are known.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum::<usize>() - self.free.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A walk over everybody begins: who is not taken in until [`Self::end_walk`] has gone.
    pub const fn begin_walk(&mut self) {
        self.walk = self.walk.wrapping_add(1);
    }

    /// Forgets whom the walk did not meet.
    pub fn end_walk(&mut self) {
        let places = 0..u32::try_from(self.chunks.iter().map(Vec::len).sum::<usize>()).unwrap_or(u32::MAX);
        let missed = places.filter(|place| self.entry(*place).is_some_and(|entry| entry.walk != self.walk));
        missed.collect::<Vec<_>>().into_iter().for_each(|place| self.remove_at(place));
    }

    /// Whether the walk that is under way has met a person of an entity.
    pub fn is_met(&self, entity: EntityIndex, id: SideId) -> bool {
        let entry = self.place(entity, id).and_then(|place| self.entry(place));
        entry.is_some_and(|entry| entry.walk == self.walk)
    }

    fn entry(&self, place: u32) -> Option<&Entry> {
        let place = place as usize;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK).filter(|entry| entry.is_somebody())
    }

    fn entry_mut(&mut self, place: u32) -> Option<&mut Entry> {
        let place = place as usize;
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK).filter(|entry| entry.is_somebody())
    }

    fn names<'a>(&'a self, place: u32, entry: &'a Entry) -> impl Iterator<Item = u64> + 'a {
        let more = self.more.get(&place).map_or(&[][..], |more| &more[..]);
        entry.names.iter().filter(|name| **name != 0).chain(more).copied()
    }

    fn has_name(&self, place: u32, entry: &Entry, name: u64) -> bool {
        self.names(place, entry).any(|known| known == name)
    }

    /// The hash under which an id is found.
    fn id_hash(&self, id: SideId) -> u64 {
        match id {
            SideId::Legacy(id) => self.seal(Side::Legacy.as_str(), &Value::Id(id.bytes())),
            SideId::Renaissance(id) => self.seal(Side::Renaissance.as_str(), &Value::Int(id)),
        }
    }

    fn places_of(&self, id: SideId) -> impl Iterator<Item = u32> {
        self.table
            .candidates(self.id_hash(id))
            .filter(move |place| self.entry(*place).is_some_and(|entry| entry.is(id)))
    }

    fn place(&self, entity: EntityIndex, id: SideId) -> Option<u32> {
        self.places_of(id).find(|place| self.entry(*place).is_some_and(|entry| entry.entity == entity))
    }

    fn known(&self, place: u32) -> Option<Known> {
        let entry = self.entry(place)?;
        Some(Known {
            entity: entry.entity,
            legacy: entry.legacy(),
            renaissance: entry.renaissance(),
            names: self.names(place, entry).collect(),
            ways: entry.ways,
            row: entry.row(),
        })
    }

    /// Takes in what may change without changing where a person is found.
    fn stamp(&mut self, place: u32, known: &Known) {
        let walk = self.walk;
        self.count(place, -1);
        if let Some(entry) = self.entry_mut(place) {
            entry.stand(known.row);
            (entry.ways, entry.walk) = (known.ways, walk);
        }
        self.count(place, 1);
    }

    fn add(&mut self, known: &Known) {
        let mut entry = Entry::new(known);
        entry.walk = self.walk;
        let place = match self.free.pop() {
            Some(place) => {
                let at = place as usize;
                if let Some(held) = self.chunks.get_mut(at / CHUNK).and_then(|chunk| chunk.get_mut(at % CHUNK)) {
                    *held = entry;
                }
                place
            }
            None => {
                if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                    self.chunks.push(Vec::with_capacity(CHUNK));
                }
                let full = (self.chunks.len() - 1) * CHUNK;
                let last = self.chunks.last_mut().map_or(0, |chunk| {
                    chunk.push(entry);
                    chunk.len() - 1
                });
                u32::try_from(full + last).unwrap_or(u32::MAX)
            }
        };
        if known.names.len() > HELD {
            self.more.insert(place, known.names[HELD..].into());
        }
        self.count(place, 1);
        let hashes = self.hashes(place);
        if self.table.is_full_for(hashes.len()) {
            self.build_table(hashes.len());
        } else {
            hashes.into_iter().for_each(|hash| self.table.insert(hash, place));
        }
    }

    fn remove_at(&mut self, place: u32) {
        self.count(place, -1);
        for hash in self.hashes(place) {
            self.table.remove(hash, place);
        }
        self.more.remove(&place);
        if let Some(entry) = self.entry_mut(place) {
            *entry = Entry::nobody();
            self.free.push(place);
        }
    }

    /// Everything a person is found under.
    fn hashes(&self, place: u32) -> Vec<u64> {
        let Some(entry) = self.entry(place) else { return Vec::new() };
        let ids = entry.legacy().map(SideId::Legacy).into_iter().chain(entry.renaissance().map(SideId::Renaissance));
        ids.map(|id| self.id_hash(id)).chain(self.names(place, entry)).collect()
    }

    /// Makes the table anew, with room for what is there and `more`.
    fn build_table(&mut self, more: usize) {
        let mut table = Table::with_room(self.table.len() + more);
        for place in 0..u32::try_from(self.chunks.iter().map(Vec::len).sum::<usize>()).unwrap_or(u32::MAX) {
            self.hashes(place).into_iter().for_each(|hash| table.insert(hash, place));
        }
        self.table = table;
    }

    fn count(&mut self, place: u32, by: i64) {
        let linked = self.entry(place).filter(|entry| entry.legacy().is_some() && entry.renaissance().is_some());
        let state = linked.map(|entry| entry.row().state.index());
        if let Some(count) = state.and_then(|state| self.counts.get_mut(state)) {
            *count += by;
        }
    }
}

impl Known {
    /// Whether this person is found by the same ids and names.
    fn same_names(&self, other: &Self) -> bool {
        self.legacy == other.legacy && self.renaissance == other.renaissance && self.names == other.names
    }
}

#[cfg(test)]
mod tests;
