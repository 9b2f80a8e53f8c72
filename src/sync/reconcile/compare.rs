//! Comparing without doing: what would be reconciled, field by field, and which side moved.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Reconciler, planned, references::Pull};
use crate::{
    error::Result,
    model::{
        digest::Digest,
        image::Image,
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
        mapping::Entity,
        problem::Reason,
        side::Side,
    },
    sync::{
        plan::{Planned, Record},
        ports::{LegacyStore, RenaissanceStore},
        room::Size,
        tracker::{Needs, Taken},
    },
};

/// Keys compared at once at most; fewer where records are large.
const AT_ONCE: usize = 500;

/// Which side moved away from what both last agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moved {
    /// Legacy did.
    Legacy,
    /// Renaissance did.
    Renaissance,
    /// Both did.
    Both,
    /// They never agreed.
    NoBase,
}

impl Moved {
    /// The word in tables and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Renaissance => "renaissance",
            Self::Both => "both",
            Self::NoBase => "no base",
        }
    }

    const fn of(agreed: bool, legacy: bool, renaissance: bool) -> Self {
        match (agreed, legacy, renaissance) {
            (false, ..) | (true, false, false) => Self::NoBase,
            (true, true, false) => Self::Legacy,
            (true, false, true) => Self::Renaissance,
            (true, true, true) => Self::Both,
        }
    }
}

/// In what two sides of a record differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Difference {
    /// It is on both sides and these fields (index) would be written.
    Fields(Vec<(usize, Moved)>),
    /// It is missing on this side.
    MissingIn(Side, Moved),
    /// It is equal on both sides, and the state has no link between them.
    NotLinked,
    /// Its row does not carry its legacy id.
    NotNamed,
    /// It is on neither side, and the state still has its link.
    Gone,
}

/// How a record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing would be written.
    Equal,
    /// What differs is parked, or must not be written because of a pause.
    Waiting,
    /// It differs.
    Differs(Difference),
    /// Something of it was committed that reads do not show yet.
    NotVisible,
}

/// A record that was compared.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The keys among those given that lead to it.
    pub keys: Vec<Key>,
    /// Its legacy id, if it has one.
    pub legacy: Option<LegacyId>,
    /// Its renaissance id, if it has one.
    pub renaissance: Option<RenaissanceId>,
    /// The legacy id of the person it belongs to, as far as that is known; `None` for a person.
    pub person: Option<LegacyId>,
    /// How it stands.
    pub standing: Standing,
    /// What waits, whatever else differs: the field's name (`None`: the whole record) and why.
    pub waiting: Vec<(Option<String>, Reason)>,
    /// The sides that reconciling would write: legacy, renaissance.
    pub writes: [bool; 2],
    /// The same again only if neither side has changed and the difference is the same. Good within one process.
    pub print: u64,
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// How the records of these keys of one entity stand now. Reads and plans like [`Reconciler::reconcile`], so that what it
    /// would leave alone counts as equal, and writes nothing. Both sides are read one after the other while applications
    /// write: a difference may be one that is about to be settled. Every key leads to one record.
    pub async fn compare(&self, index: EntityIndex, keys: &[Key]) -> Result<Vec<Compared>> {
        let (mut size, mut left, mut compared) = (Size::new(AT_ONCE), keys, Vec::new());
        while !left.is_empty() {
            let (now, later) = left.split_at(size.now().min(left.len()));
            match self.compare_batch(index, now).await {
                Ok(some) => {
                    compared.extend(some);
                    left = later;
                    size.grow();
                }
                Err(error) if error.is_too_much() && now.len() > 1 => size.halve(now.len()),
                Err(error) => return Err(error),
            }
        }
        Ok(compared)
    }

    async fn compare_batch(&self, index: EntityIndex, keys: &[Key]) -> Result<Vec<Compared>> {
        if self.pauses.now().entirely(index).is_some() {
            // its records may not even be there
            let waiting = || vec![(None, Reason::Paused)];
            return Ok(keys.iter().map(|key| unread(*key, Standing::Waiting, waiting())).collect());
        }
        let entity = self.entity(index)?;
        let taken: Vec<Taken> = keys
            .iter()
            .map(|key| Taken { key: *key, needs: Needs::default(), committed_at: None, attempts: 0 })
            .collect();
        let gathered = self.gather(index, &taken, &mut Pull::rehearsing()).await?;
        let given = self.given(index, &gathered.links);
        let hidden = gathered.lost.iter().chain(&gathered.not_visible);
        let hidden: Vec<Compared> = hidden.map(|key| unread(*key, Standing::NotVisible, Vec::new())).collect();
        let compared = gathered.works.into_iter().map(|mut work| {
            let planned = planned(entity, &mut work.record, &given);
            compared(entity, &work.record, work.keys, planned.as_ref())
        });
        Ok(compared.chain(hidden).collect())
    }
}

const fn at(side: Side) -> usize {
    match side {
        Side::Legacy => 0,
        Side::Renaissance => 1,
    }
}

fn unread(key: Key, standing: Standing, waiting: Vec<(Option<String>, Reason)>) -> Compared {
    let (legacy, renaissance) = match key.id {
        SideId::Legacy(id) => (Some(id), None),
        SideId::Renaissance(id) => (None, Some(id)),
    };
    Compared { keys: vec![key], legacy, renaissance, person: None, standing, waiting, writes: [false; 2], print: 0 }
}

fn compared(entity: &Entity, record: &Record, keys: Vec<Key>, planned: Option<&Planned>) -> Compared {
    let standing = planned.map_or(Standing::Equal, |planned| standing(entity, record, planned));
    let waiting = planned.iter().flat_map(|planned| &planned.plan.parked);
    let waiting = waiting.map(|row| (row.field.clone(), row.problem.reason)).collect();
    let mut hasher = DefaultHasher::new();
    if let Standing::Differs(difference) = &standing {
        let versions = [&record.legacy, &record.renaissance].map(|image| image.as_ref().map(|image| &image.version.0));
        (difference, versions).hash(&mut hasher);
    }
    Compared {
        keys,
        legacy: (record.linked || record.legacy.is_some()).then_some(record.legacy_id),
        renaissance: record.renaissance_id,
        person: record.person,
        standing,
        waiting,
        writes: planned.map_or([false; 2], |planned| planned.effect().writes),
        print: hasher.finish(),
    }
}

fn standing(entity: &Entity, record: &Record, planned: &Planned) -> Standing {
    let difference = match (&record.legacy, &record.renaissance) {
        _ if planned.plan.parked.iter().any(|row| row.field.is_none()) => None,
        (Some(legacy), Some(renaissance)) => {
            let fields = fields(entity, record, planned, [legacy, renaissance]);
            match planned.plan.back_reference {
                _ if !fields.is_empty() => Some(Difference::Fields(fields)),
                true => Some(Difference::NotNamed),
                false => (!record.linked).then_some(Difference::NotLinked),
            }
        }
        (Some(image), None) => missing(entity, record, planned, (Side::Renaissance, image)),
        (None, Some(image)) => missing(entity, record, planned, (Side::Legacy, image)),
        (None, None) => (record.linked && planned.plan.unlink).then_some(Difference::Gone),
    };
    match difference {
        Some(difference) => Standing::Differs(difference),
        None if planned.plan.parked.is_empty() => Standing::Equal,
        None => Standing::Waiting,
    }
}

/// A record that is to be made on this side, or deleted on the other.
fn missing(entity: &Entity, record: &Record, planned: &Planned, (side, there): (Side, &Image)) -> Option<Difference> {
    if planned.effect().writes == [false, false] && !planned.creates(side) {
        return None;
    }
    let moved = match &record.base {
        None => Moved::NoBase,
        Some(base) => {
            let remains = entity.fields.iter().enumerate().any(|(n, field)| {
                let (now, agreed) = (field.get(side.other(), there).digest(), base.get(n));
                !field.once && now.is_some() && agreed.is_some() && now != agreed
            });
            // it was there once: the side that lacks it has deleted it
            let changed = Side::ALL.map(|one| one == side || remains);
            Moved::of(true, changed[0], changed[1])
        }
    };
    Some(Difference::MissingIn(side, moved))
}

fn fields(entity: &Entity, record: &Record, planned: &Planned, images: [&Image; 2]) -> Vec<(usize, Moved)> {
    let mut written: Vec<usize> = planned.fields.iter().map(|(_, field)| *field).collect();
    written.sort_unstable();
    written.dedup();
    let moved = |n: usize| {
        let base = record.base.as_ref().and_then(|base| base.get(n));
        let away = |side: Side| {
            let held: Option<Digest> = entity.fields[n].get(side, images[at(side)]).digest();
            held.is_some() && held != base
        };
        (n, Moved::of(base.is_some(), away(Side::Legacy), away(Side::Renaissance)))
    };
    written.into_iter().map(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{links::Links, value::Value},
        sync::plan::{
            Given,
            tests::{agreed, set, text, user, uuid},
        },
    };

    fn look(entity: &Entity, record: &mut Record) -> Compared {
        let links = Links::default();
        let given = Given { links: &links, sets_later: false, now: 1, new_uuid: uuid };
        let planned = planned(entity, record, &given);
        compared(entity, record, Vec::new(), planned.as_ref())
    }

    fn name(entity: &Entity, moved: Moved) -> Standing {
        Standing::Differs(Difference::Fields(vec![(entity.field("name").unwrap(), moved)]))
    }

    #[test]
    fn a_field_that_differs_is_named_with_the_side_that_moved() {
        let entity = user();
        assert_eq!(look(&entity, &mut agreed(&entity)).standing, Standing::Equal);
        let mut record = agreed(&entity);
        set(&entity, &mut record.legacy, Side::Legacy, "name", &text("L"));
        assert_eq!(look(&entity, &mut record).standing, name(&entity, Moved::Legacy));
        set(&entity, &mut record.renaissance, Side::Renaissance, "name", &text("R"));
        assert_eq!(look(&entity, &mut record).standing, name(&entity, Moved::Both));
        record.base.as_mut().unwrap().set(entity.field("name").unwrap(), None);
        assert_eq!(look(&entity, &mut record).standing, name(&entity, Moved::NoBase));
        let mut record = agreed(&entity);
        set(&entity, &mut record.renaissance, Side::Renaissance, "name", &text("R"));
        let seen = look(&entity, &mut record);
        assert_eq!(seen.standing, name(&entity, Moved::Renaissance));
        assert_eq!(seen.print, look(&entity, &mut record).print);
        record.renaissance.as_mut().unwrap().version.0.push(9);
        assert_ne!(seen.print, look(&entity, &mut record).print, "the row was written again");
    }

    #[test]
    fn a_base_that_only_has_to_move_is_no_difference() {
        let entity = user();
        let mut record = agreed(&entity);
        for (image, side) in [(&mut record.legacy, Side::Legacy), (&mut record.renaissance, Side::Renaissance)] {
            set(&entity, image, side, "name", &text("Ada King"));
        }
        assert_eq!(look(&entity, &mut record).standing, Standing::Equal);
    }

    #[test]
    fn what_is_missing_says_where_and_what_waits_is_no_difference() {
        let entity = user();
        let mut record = agreed(&entity);
        record.legacy = None;
        let missing = |moved| Standing::Differs(Difference::MissingIn(Side::Legacy, moved));
        assert_eq!(look(&entity, &mut record).standing, missing(Moved::Legacy));
        set(&entity, &mut record.renaissance, Side::Renaissance, "name", &text("R"));
        assert_eq!(look(&entity, &mut record).standing, missing(Moved::Both));
        record.renaissance = None;
        assert_eq!(look(&entity, &mut record).standing, Standing::Differs(Difference::Gone));

        let mut record = agreed(&entity);
        let place = entity.legacy.paths.iter().position(|path| path.0 == ["is_premium_member"]).unwrap();
        record.legacy.as_mut().unwrap().slots[place] = Some(Value::List(vec![]));
        let seen = look(&entity, &mut record);
        assert_eq!((seen.standing, seen.waiting.len()), (Standing::Waiting, 1));
    }

    #[test]
    fn a_pair_without_a_link_or_without_its_legacy_id_is_not_equal() {
        let entity = user();
        let mut record = agreed(&entity);
        (record.linked, record.base) = (false, None);
        assert_eq!(look(&entity, &mut record).standing, Standing::Differs(Difference::NotLinked));
        let mut record = agreed(&entity);
        record.unnamed = true;
        assert_eq!(look(&entity, &mut record).standing, Standing::Differs(Difference::NotNamed));
    }
}
