//! Reading a batch and deciding about it while others before it are still being written. That stands only if they have
//! nothing in common; else the batch is read again in its turn, as if nobody had looked ahead.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use tokio::sync::oneshot;

use super::{Reconciler, Work, gather::Gathered, references::Pull};
use crate::{
    model::{
        digest::Digest,
        key::{EntityIndex, Key, SideId},
        mapping::{Entity, Field},
        reading::Reading,
        side::Side,
        value::Value,
    },
    sync::{
        plan::{self, Record},
        ports::{IntentKind, LegacyStore, RecordPlan, RenaissanceChange, RenaissanceStore},
        tracker::Taken,
    },
};

/// Records decided about before others get a turn.
const DECIDED_AT_ONCE: usize = 50;

/// A batch that was read, and mostly decided about, ahead of its turn.
pub struct Ahead {
    pub(super) gathered: Gathered,
    pub(super) footprint: Footprint,
    /// What single references of the batch name.
    needed: HashSet<Key>,
    /// What any reference names.
    named: HashSet<Key>,
}

/// The records a batch is about, by everything that another could recognise them by.
#[derive(Default)]
pub struct Footprint {
    keys: HashSet<Key>,
    /// Entity, rank of the natural key, its values.
    natural: HashSet<(EntityIndex, usize, Digest)>,
}

impl Footprint {
    /// What records are about, whichever side wins.
    pub(super) fn of(index: EntityIndex, entity: &Entity, works: &[Work]) -> Self {
        let mut footprint = Self {
            keys: HashSet::with_capacity(2 * works.len()),
            natural: HashSet::with_capacity(entity.natural_keys.len() * works.len()),
        };
        for Work { record, keys, .. } in works {
            let key = |id| Key { entity: index, id };
            footprint.keys.extend(keys);
            footprint.keys.insert(key(SideId::Legacy(record.legacy_id)));
            footprint.keys.extend(record.renaissance_id.map(|id| key(SideId::Renaissance(id))));
            for (rank, fields) in entity.natural_keys.iter().enumerate() {
                let digests = natural_key(entity, fields, record);
                footprint.natural.extend(digests.into_iter().flatten().map(|digest| (index, rank, digest)));
            }
        }
        footprint
    }

    /// Adds what another batch is about.
    pub(super) fn extend(&mut self, other: &Self) {
        self.keys.extend(&other.keys);
        self.natural.extend(&other.natural);
    }

    fn meets(&self, other: &Self) -> bool {
        !self.keys.is_disjoint(&other.keys) || !self.natural.is_disjoint(&other.natural)
    }
}

/// A natural key of a record as either side holds it, once if both hold the same, as most often; a key that lacks something is
/// none.
fn natural_key(entity: &Entity, fields: &[usize], record: &Record) -> [Option<Digest>; 2] {
    let fields = || fields.iter().map(|field| entity.fields.get(*field));
    let digest = |values: Option<Vec<Cow<'_, Value>>>| {
        let values = values.filter(|values| values.iter().all(|value| **value != Value::Null))?;
        Some(Digest::of_all(values.iter().map(AsRef::as_ref)))
    };
    if let (Some(legacy), Some(renaissance)) = (&record.legacy, &record.renaissance)
        && let Some(same) = fields().map(|field| field?.same(legacy, renaissance)).collect::<Option<Vec<_>>>()
    {
        return [digest(Some(same)), None];
    }
    [(Side::Legacy, &record.legacy), (Side::Renaissance, &record.renaissance)].map(|(side, image)| {
        let value = |field: Option<&Field>| match field?.get(side, image.as_ref()?) {
            Reading::Value(value) => Some(Cow::Owned(value)),
            Reading::Absent | Reading::Invalid(_) => None,
        };
        digest(fields().map(value).collect())
    })
}

impl RecordPlan {
    /// Whether it only changes what a record holds that is on both sides: nothing that waits for it or that it waits for can tell
    /// before from after.
    pub(in crate::sync) fn concerns_nobody_else(&self) -> bool {
        let rows = matches!(self.rows, None | Some(RenaissanceChange::Update(..)));
        let document = matches!(self.intent, None | Some((IntentKind::Update, _)));
        let stays = self.linked && !self.unlink && !self.changes_hands && !self.back_reference;
        let awaits = self.awaits.as_ref().is_some_and(|awaits| !awaits.is_empty());
        let parks = self.was_parked || !self.parked.is_empty() || awaits;
        rows && document && stays && !parks && self.resolution.is_none()
    }

    /// Whether it deletes the record on a side.
    pub(in crate::sync) const fn deletes(&self) -> bool {
        matches!(self.rows, Some(RenaissanceChange::Delete(_)))
            || matches!(self.intent, Some((IntentKind::Delete(_), _)))
    }
}

/// Through it a batch says what it is about once those that have nothing in common with it need not wait for what is left to be
/// written.
#[derive(Default)]
pub struct Door(Mutex<Option<oneshot::Sender<Arc<Footprint>>>>);

impl Door {
    /// A door, and where it is heard when it opens; the sender is gone if it never does.
    pub fn new() -> (Self, oneshot::Receiver<Arc<Footprint>>) {
        let (opened, heard) = oneshot::channel();
        (Self(Mutex::new(Some(opened))), heard)
    }

    /// Lets others in, the first time.
    pub fn open(&self, footprint: &Arc<Footprint>) {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // nobody may be waiting outside
        opened.map(|opened| opened.send(Arc::clone(footprint)).is_ok());
    }
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// Reads a batch whose turn comes after the one that is being reconciled. `None` where that is no use: something is to
    /// be settled or brought in first, or a database does not answer.
    pub async fn read_ahead(&self, index: EntityIndex, taken: &[Taken]) -> Option<Ahead> {
        let closed = self.pauses.now().entirely(index).is_some();
        if self.shadow || closed || self.unsettled.load(Ordering::Acquire) {
            return None;
        }
        let mut pull = Pull::reading_ahead();
        // an error shows again when it is the batch's turn
        let mut gathered = self.gather(index, taken, &mut pull).await.ok()?;
        let entity = self.entity(index).ok()?;
        let footprint = Footprint::of(index, entity, &gathered.works);
        let (needed, named) = pull.looked_ahead()?;
        self.decide(index, entity, &mut gathered).await;
        Some(Ahead { gathered, footprint, needed, named })
    }

    /// Decides about records that need no further reading, giving way to the batch that is being written now and then.
    async fn decide(&self, index: EntityIndex, entity: &Entity, gathered: &mut Gathered) {
        let given = self.given(index, &gathered.links);
        for works in gathered.works.chunks_mut(DECIDED_AT_ONCE) {
            for work in works.iter_mut().filter(|work| !plan::deletes_document(entity, &work.record)) {
                work.decide(entity, &given);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Whether what was read ahead stands beside a batch that was written since, or still is: they have nothing in common.
    pub fn stands(&self, index: EntityIndex, ahead: &Ahead, beside: &Footprint) -> bool {
        let is_met = |named: &HashSet<Key>| !named.is_disjoint(&beside.keys);
        // a second pass visits sets that are left for later
        let of_sets = !self.leaves_sets(index) && is_met(&ahead.named);
        let current = self.pauses.is_current(ahead.gathered.version);
        current && !ahead.footprint.meets(beside) && !is_met(&ahead.needed) && !of_sets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::key::LegacyId,
        sync::plan::tests::{agreed, set, text, user},
    };

    fn about(id: u8) -> Footprint {
        let key = Key { entity: EntityIndex(0), id: SideId::Legacy(LegacyId::new([id; 12])) };
        Footprint { keys: HashSet::from([key]), natural: HashSet::new() }
    }

    fn named(rank: usize, name: &str) -> Footprint {
        let natural = (EntityIndex(0), rank, Digest::of(&Value::Text(name.into())));
        Footprint { keys: HashSet::new(), natural: HashSet::from([natural]) }
    }

    #[test]
    fn a_natural_key_is_that_of_either_side() {
        let entity = user();
        let key = [entity.field("email").unwrap()];
        let mut record = agreed(&entity);
        let of = |record: &Record| natural_key(&entity, &key, record);
        assert_eq!(of(&record), [None, None], "nobody is known by no email");
        for side in Side::ALL {
            let image = if side == Side::Legacy { &mut record.legacy } else { &mut record.renaissance };
            set(&entity, image, side, "email", &text("ada@example.org"));
        }
        let [Some(same), None] = of(&record) else { panic!("both sides hold one email") };
        set(&entity, &mut record.renaissance, Side::Renaissance, "email", &text("ada@example.net"));
        let [Some(held), Some(other)] = of(&record) else { panic!("each side holds another email") };
        assert!(held == same && other != same);
        assert_eq!(of(&Record { legacy: None, ..record }), [None, Some(other)]);
    }

    #[test]
    fn batches_meet_in_a_record_or_in_what_a_record_can_be_recognised_by() {
        assert!(about(1).meets(&about(1)));
        assert!(!about(1).meets(&about(2)));
        assert!(named(0, "ada").meets(&named(0, "ada")));
        assert!(!named(0, "ada").meets(&named(1, "ada")));
        let mut both = about(1);
        both.extend(&named(0, "ada"));
        assert!(both.meets(&about(1)) && both.meets(&named(0, "ada")) && !both.meets(&about(2)));
    }
}
