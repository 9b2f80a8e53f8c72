//! One person, in 56 bytes.

use super::{Known, Whereabouts};
use crate::model::{
    cutover::CutoverRow,
    fact::PersonState,
    key::{EntityIndex, LegacyId, RenaissanceId, SideId},
    side::Side,
};

/// Names an entry has room for: as many as most people have.
pub(super) const HELD: usize = 3;

const ON_LEGACY: u8 = 1;
const ON_RENAISSANCE: u8 = 1 << 1;
const OWNED_BY_RENAISSANCE: u8 = 1 << 2;
const DRAINING: u8 = 1 << 3;

/// One person, or a place that is free.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) names: [u64; HELD],
    renaissance: RenaissanceId,
    epoch: u32,
    legacy: [u8; 12],
    pub(super) entity: EntityIndex,
    pub(super) ways: [u8; 2],
    /// The walk that met this person last.
    pub(super) walk: u8,
    flags: u8,
}

impl Entry {
    pub(super) fn new(known: &Known) -> Self {
        let mut entry = Self {
            names: [0; HELD],
            renaissance: known.renaissance.unwrap_or_default(),
            epoch: 0,
            legacy: known.legacy.map(LegacyId::bytes).unwrap_or_default(),
            entity: known.entity,
            ways: known.ways,
            walk: 0,
            flags: known.legacy.map_or(0, |_| ON_LEGACY) | known.renaissance.map_or(0, |_| ON_RENAISSANCE),
        };
        entry.names.iter_mut().zip(&known.names).for_each(|(held, name)| *held = *name);
        entry.stand(known.row);
        entry
    }

    pub(super) const fn nobody() -> Self {
        Self {
            names: [0; HELD],
            renaissance: 0,
            epoch: 0,
            legacy: [0; 12],
            entity: EntityIndex(0),
            ways: [0; 2],
            walk: 0,
            flags: 0,
        }
    }

    pub(super) const fn is_somebody(&self) -> bool {
        self.flags & (ON_LEGACY | ON_RENAISSANCE) != 0
    }

    pub(super) fn is(&self, id: SideId) -> bool {
        match id {
            SideId::Legacy(id) => self.legacy() == Some(id),
            SideId::Renaissance(id) => self.renaissance() == Some(id),
        }
    }

    pub(super) fn legacy(&self) -> Option<LegacyId> {
        (self.flags & ON_LEGACY != 0).then(|| LegacyId::new(self.legacy))
    }

    pub(super) fn renaissance(&self) -> Option<RenaissanceId> {
        (self.flags & ON_RENAISSANCE != 0).then_some(self.renaissance)
    }

    pub(super) fn row(&self) -> CutoverRow {
        let owner = if self.flags & OWNED_BY_RENAISSANCE != 0 { Side::Renaissance } else { Side::Legacy };
        let state = match owner {
            _ if self.flags & DRAINING != 0 => PersonState::Draining,
            Side::Legacy => PersonState::Legacy,
            Side::Renaissance => PersonState::Renaissance,
        };
        CutoverRow { state, owner, epoch: i64::from(self.epoch) }
    }

    /// A person would have to be moved two thousand million times for the epoch not to fit.
    pub(super) fn stand(&mut self, row: CutoverRow) {
        self.flags &= !(OWNED_BY_RENAISSANCE | DRAINING);
        self.flags |= if row.owner == Side::Renaissance { OWNED_BY_RENAISSANCE } else { 0 };
        self.flags |= if row.state == PersonState::Draining { DRAINING } else { 0 };
        self.epoch = u32::try_from(row.epoch).unwrap_or(u32::MAX);
    }

    pub(super) fn whereabouts(&self) -> Whereabouts {
        let row = self.row();
        let [legacy, renaissance] = self.ways;
        let ways = if row.owner == Side::Legacy { legacy } else { renaissance };
        Whereabouts { entity: self.entity, row, ways }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_person_takes_fifty_six_bytes() {
        assert_eq!(size_of::<super::Entry>(), 56);
    }
}
