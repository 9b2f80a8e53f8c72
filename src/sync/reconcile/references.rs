//! Who references name: fetched for a whole batch at once; targets that are not linked yet are brought in first.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    pin::Pin,
};

use super::{BatchReport, Door, Reconciler, Work, circles::Insistence};
use crate::{
    error::Result,
    model::{
        image::Image,
        key::{EntityIndex, Key, LegacyId, SideId},
        links::{Links, Target},
        mapping::Entity,
        side::Side,
        value::Value,
    },
    sync::{
        plan::Record,
        ports::{LegacyStore, Owner, RenaissanceStore},
        tracker::{Needs, Taken},
    },
};

/// How far references are followed: a record's target's target's …
const DEEPEST: usize = 8;
/// Targets brought in at once.
const PULLED_AT_ONCE: usize = 500;

/// Bringing in what a batch refers to.
#[derive(Default)]
pub(super) struct Pull {
    /// What was brought in already: once is enough, which also ends circles.
    seen: HashSet<Key>,
    depth: usize,
    /// Whom those who are not linked insist on.
    pub(super) insistence: Insistence,
    /// What became of it, by entity.
    pub(super) reports: Vec<(EntityIndex, BatchReport)>,
    /// Set when nothing is written: the links there would be.
    foreseen: Option<Links>,
    /// Set when another batch is being written: nothing can be brought in.
    ahead: Option<LookingAhead>,
}

/// What a batch that is read ahead of its turn refers to.
#[derive(Default)]
struct LookingAhead {
    needed: HashSet<Key>,
    named: HashSet<Key>,
    /// Something would have had to be brought in.
    declined: bool,
}

impl Pull {
    /// For finding out what would happen.
    pub(super) fn rehearsing() -> Self {
        Self { foreseen: Some(Links::default()), ..Self::default() }
    }

    pub(super) const fn is_rehearsal(&self) -> bool {
        self.foreseen.is_some()
    }

    /// For reading while another batch is written.
    pub(super) fn reading_ahead() -> Self {
        Self { ahead: Some(LookingAhead::default()), ..Self::default() }
    }

    /// What single references and what any references name; `None` if something has to be brought in first.
    pub(super) fn looked_ahead(self) -> Option<(HashSet<Key>, HashSet<Key>)> {
        self.ahead.filter(|ahead| !ahead.declined).map(|ahead| (ahead.needed, ahead.named))
    }

    /// What of a record has to be linked first: what its single references name. When rehearsing, the members of its sets
    /// too, but not theirs in turn: everybody knows everybody by a few others.
    pub(super) fn needs(&self, entity: &Entity, side: Side, image: &Image) -> Vec<(EntityIndex, SideId)> {
        match (&self.foreseen, self.depth) {
            (Some(_), 0) => Links::wanted(entity, side, image),
            (Some(_) | None, _) => Links::needed(entity, side, image),
        }
    }

    fn unseen(&mut self, needed: Vec<(EntityIndex, SideId)>, links: &Links) -> BTreeMap<EntityIndex, Vec<Key>> {
        let mut missing: BTreeMap<EntityIndex, Vec<Key>> = BTreeMap::new();
        if self.depth >= DEEPEST {
            return missing;
        }
        for (entity, id) in needed {
            let key = Key { entity, id };
            if !links.knows(entity, id) && self.seen.insert(key) {
                missing.entry(entity).or_default().push(key);
            }
        }
        missing
    }
}

/// An image that may hold references, with its side.
pub(super) type Sided<'a> = (Side, &'a Image);

/// What the images that are synced at all name, each once.
pub(super) fn named<'a>(
    entity: &Entity,
    images: impl Iterator<Item = Sided<'a>>,
    names: impl Fn(Side, &Image) -> Vec<(EntityIndex, SideId)>,
) -> Vec<(EntityIndex, SideId)> {
    let mut all: Vec<_> = images
        .filter(|(side, image)| entity.belongs(*side, image))
        .flat_map(|(side, image)| names(side, image))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// Adds what is wanted and not known yet, in one round trip; in none if there is nothing.
    pub(super) async fn look_up(
        &self,
        links: &mut Links,
        mut wanted: Vec<(EntityIndex, SideId)>,
        pull: &mut Pull,
    ) -> Result<()> {
        if let Some(ahead) = &mut pull.ahead {
            ahead.named.extend(wanted.iter().map(|(entity, id)| Key { entity: *entity, id: *id }));
        }
        wanted.retain(|(entity, id)| !links.knows(*entity, *id));
        if wanted.is_empty() {
            return Ok(());
        }
        for (entity, target) in self.renaissance.targets(&wanted).await? {
            links.add(entity, target);
        }
        if let Some(foreseen) = &pull.foreseen {
            links.extend(foreseen);
        }
        Ok(())
    }

    /// Finds out which members of sets that are not linked were deleted: those need not be waited for.
    pub(super) async fn look_up_deleted(&self, index: EntityIndex, works: &[Work], links: &mut Links) -> Result<()> {
        let entity = self.entity(index)?;
        if self.leaves_sets(index) || !entity.has_linked_sets() {
            return Ok(());
        }
        let images = works.iter().flat_map(|Work { record, .. }| {
            let sides = [(Side::Legacy, &record.legacy), (Side::Renaissance, &record.renaissance)];
            sides.into_iter().filter_map(|(side, image)| Some((side, image.as_ref()?)))
        });
        let sets = || entity.fields.iter().filter(|field| field.refers.as_ref().is_some_and(|refers| refers.many));
        let dangling =
            images.flat_map(|(side, image)| sets().flat_map(move |field| Links::dangling(field, side, image).0));
        let mut missing: Vec<(EntityIndex, LegacyId)> = dangling
            .filter_map(|(entity, id)| match id {
                SideId::Legacy(id) => Some((entity, id)),
                SideId::Renaissance(_) => None,
            })
            .collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let deleted = self.renaissance.deleted(&missing).await?;
            deleted.into_iter().for_each(|(entity, id)| links.bury(entity, id));
        }
        Ok(())
    }

    /// A document that turned out to have a row needs its sets after all, to be compared with what that row has.
    pub(super) async fn look_up_sets(
        &self,
        entity: &Entity,
        works: &mut [Work],
        (links, pull): (&mut Links, &mut Pull),
    ) -> Result<()> {
        let has_row = |work: &&mut Work| work.record.renaissance.is_some();
        let documents = works.iter_mut().filter(has_row).filter_map(|work| work.record.legacy.as_mut());
        let documents: Vec<&mut Image> = documents.collect();
        let names = |image: &Image| {
            let waiting = |field| Links::dangling(field, Side::Legacy, image).0;
            entity.fields.iter().flat_map(waiting).collect::<Vec<_>>()
        };
        let wanted: Vec<_> = documents.iter().flat_map(|image| names(image)).collect();
        self.look_up(links, wanted, pull).await?;
        documents.into_iter().for_each(|image| links.lift(entity, Side::Legacy, image));
        Ok(())
    }

    /// Brings in what is needed and not linked. False if there was nothing to do.
    pub(super) async fn pull(
        &self,
        needed: Vec<(EntityIndex, SideId)>,
        (links, taken): (&Links, &[Taken]),
        pull: &mut Pull,
    ) -> Result<bool> {
        if let Some(ahead) = &mut pull.ahead {
            ahead.needed.extend(needed.iter().map(|(entity, id)| Key { entity: *entity, id: *id }));
        }
        let missing = pull.unseen(needed, links);
        if missing.is_empty() {
            return Ok(false);
        }
        if let Some(ahead) = &mut pull.ahead {
            ahead.declined = true;
            return Ok(false);
        }
        // whatever the record that refers to them was read at is new enough for them
        let cluster_time = taken.iter().filter_map(|one| one.needs.cluster_time).max();
        pull.depth += 1;
        for (entity, keys) in missing {
            let mut chunks: Vec<&[Key]> = keys.chunks(PULLED_AT_ONCE).rev().collect();
            while let Some(chunk) = chunks.pop() {
                let taken: Vec<Taken> = chunk.iter().map(|key| pulled(*key, cluster_time)).collect();
                if pull.foreseen.is_some() {
                    self.foresee(entity, &taken, pull).await?;
                    continue;
                }
                match self.reconcile_first(entity, &taken, pull).await {
                    Ok(report) => pull.reports.push((entity, report)),
                    Err(error) if error.is_too_much() && chunk.len() > 1 => {
                        let (first, second) = chunk.split_at(chunk.len() / 2);
                        chunks.extend([second, first]);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        pull.depth -= 1;
        Ok(true)
    }

    fn reconcile_first<'a>(
        &'a self,
        entity: EntityIndex,
        taken: &'a [Taken],
        pull: &'a mut Pull,
    ) -> Pin<Box<dyn Future<Output = Result<BatchReport>> + Send + 'a>> {
        // nobody is let in before these are through
        Box::pin(async move { self.reconcile_pulling(entity, taken, pull, &Door::default()).await })
    }

    /// Finds out under which ids targets would be linked; where one would be made, a stand-in takes the place of its id.
    fn foresee<'a>(
        &'a self,
        index: EntityIndex,
        taken: &'a [Taken],
        pull: &'a mut Pull,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(async move {
            let gathered = self.gather(index, taken, pull).await?;
            let Some(foreseen) = &mut pull.foreseen else { return Ok(()) };
            for Work { record, .. } in gathered.works {
                if record.blocked.is_some()
                    || record.circle.is_some()
                    || (record.legacy.is_none() && record.renaissance.is_none())
                {
                    continue;
                }
                let stand_in = || -1 - i64::try_from(foreseen.len()).unwrap_or(i64::MAX - 1);
                let target = Target {
                    legacy: record.legacy_id,
                    renaissance: record.renaissance_id.unwrap_or_else(stand_in),
                    person: record.person.unwrap_or(record.legacy_id),
                    owner: record.owner,
                    epoch: record.epoch,
                    former: record.former,
                };
                foreseen.add(index, target);
            }
            Ok(())
        })
    }
}

fn pulled(key: Key, cluster_time: Option<(u32, u32)>) -> Taken {
    Taken { key, needs: Needs { cluster_time, xids: Vec::new() }, committed_at: None, attempts: 0 }
}

/// Says whom a record belongs to whose link does not say so: the person of its owner field's target, or itself.
pub(super) fn set_owner(entity: &Entity, links: &Links, owners: &HashMap<LegacyId, Owner>, record: &mut Record) {
    let Some(field) = entity.owner.and_then(|field| entity.fields.get(field)) else {
        if let Some(owner) = owners.get(&record.legacy_id).filter(|_| !record.linked) {
            (record.owner, record.epoch, record.former) = (owner.side, owner.epoch, owner.former);
        }
        return;
    };
    if record.person.is_some() {
        return;
    }
    let images = [(Side::Legacy, &record.legacy), (Side::Renaissance, &record.renaissance)];
    let id = images.into_iter().find_map(|(side, image)| match field.get(side, image.as_ref()?).value() {
        Some(Value::Id(id)) => Some(LegacyId::new(*id)),
        _ => None,
    });
    let target = field.refers.as_ref().zip(id).and_then(|(refers, id)| links.get(refers.entity, id));
    if let Some(target) = target {
        (record.owner, record.epoch, record.former) = (target.owner, target.epoch, target.former);
        if !record.linked {
            record.person = Some(target.person);
        }
    }
}
