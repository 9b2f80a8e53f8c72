//! Reading a batch: links, both sides, freshness.

use std::collections::{HashMap, HashSet};

use super::{
    Reconciler, Work,
    breaker::By,
    pauses::closed,
    references::{Pull, Sided, named, set_owner},
};
use crate::{
    drill::{self, Mechanism},
    error::Result,
    model::{
        digest::Base,
        hint::Freshness,
        image::Image,
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
        links::Links,
        mapping::Entity,
        side::Side,
    },
    sync::{
        plan::Record,
        ports::{LegacyStore, Owner, RenaissanceRead, RenaissanceStore, Resolved},
        tracker::Taken,
    },
};

/// A record that came back this often wants to know what is in its way.
const INSISTING: u32 = 2;

/// What reading a batch yields.
pub(super) struct Gathered {
    pub(super) works: Vec<Work>,
    /// Who their references name.
    pub(super) links: Links,
    pub(super) lost: Vec<Key>,
    pub(super) not_visible: Vec<Key>,
    /// Under which version of the pauses.
    pub(super) version: u64,
}

/// An unlinked document.
pub(super) struct LooseDocument {
    pub(super) id: LegacyId,
    pub(super) image: Option<Image>,
    pub(super) keys: Vec<Key>,
}

/// An unlinked row.
pub(super) struct LooseRow {
    pub(super) id: RenaissanceId,
    pub(super) image: Option<Image>,
    /// The content of its legacy id column.
    pub(super) legacy_id: Option<String>,
    pub(super) keys: Vec<Key>,
}

/// Records without a link.
pub(super) type Loose = (Vec<LooseDocument>, Vec<LooseRow>);

/// Which keys were hinted, and which of them changed in a transaction the read does not see yet: a decoded commit can
/// still be invisible, and without this check a real change would read as "nothing changed".
struct Hinted {
    index: EntityIndex,
    all: HashSet<Key>,
    hidden: HashSet<Key>,
}

impl Hinted {
    fn new(index: EntityIndex, taken: &[Taken], read: Option<&RenaissanceRead>) -> Self {
        let unseen = |t: &&Taken| t.needs.xids.iter().any(|xid| !read.is_some_and(|read| read.snapshot.sees(*xid)));
        let hidden =
            taken.iter().filter(unseen).filter(|_| !drill::lacks(Mechanism::Freshness)).map(|t| t.key).collect();
        Self { index, all: taken.iter().map(|t| t.key).collect(), hidden }
    }

    const fn key(&self, id: SideId) -> Key {
        Key { entity: self.index, id }
    }

    /// The keys that hinted at a record, unless one of them has to wait; then the others, which wait with it.
    fn of(&self, ids: impl IntoIterator<Item = SideId>) -> Result<Vec<Key>, Vec<Key>> {
        let keys = ids.into_iter().map(|id| self.key(id)).filter(|key| self.all.contains(key));
        let (hidden, seen): (Vec<Key>, Vec<Key>) = keys.partition(|key| self.hidden.contains(key));
        if hidden.is_empty() { Ok(seen) } else { Err(seen) }
    }
}

/// Both sides of a batch as they are: linked records first, in the order of `resolved`, then the others.
struct Read {
    resolved: Vec<Resolved>,
    documents: Vec<(LegacyId, Option<Image>)>,
    /// With the content of the legacy id column.
    rows: Vec<(RenaissanceId, Option<Image>, Option<String>)>,
    hinted: Hinted,
}

impl Read {
    fn images(&self) -> impl Iterator<Item = Sided<'_>> {
        sided(&self.documents)
            .chain(self.rows.iter().filter_map(|(_, image, _)| Some((Side::Renaissance, image.as_ref()?))))
    }

    /// What is to be looked up. Sets that are left for later are not, where a document is met for the first time.
    fn wanted(&self, entity: &Entity, sets_later: bool) -> Vec<(EntityIndex, SideId)> {
        if !sets_later {
            return named(entity, self.images(), |side, image| Links::wanted(entity, side, image));
        }
        let (linked, new) = self.documents.split_at(self.resolved.len().min(self.documents.len()));
        let rows = self.rows.iter().filter_map(|(_, image, _)| Some((Side::Renaissance, image.as_ref()?)));
        let mut wanted = named(entity, sided(linked).chain(rows), |side, image| Links::wanted(entity, side, image));
        wanted.extend(named(entity, sided(new), |side, image| Links::needed(entity, side, image)));
        wanted
    }

    /// What is there of records that are not linked.
    fn loose(&self) -> impl Iterator<Item = (Key, Sided<'_>)> {
        let linked = self.resolved.len();
        let documents = self.documents.iter().skip(linked);
        let documents =
            documents.filter_map(|(id, image)| Some((SideId::Legacy(*id), (Side::Legacy, image.as_ref()?))));
        let rows = self.rows.iter().skip(linked);
        let rows =
            rows.filter_map(|(id, image, _)| Some((SideId::Renaissance(*id), (Side::Renaissance, image.as_ref()?))));
        documents.chain(rows).map(|(id, sided)| (self.hinted.key(id), sided))
    }

    fn lift(&mut self, entity: &Entity, links: &Links) {
        let documents = self.documents.iter_mut().filter_map(|(_, image)| Some((Side::Legacy, image.as_mut()?)));
        let rows = self.rows.iter_mut().filter_map(|(_, image, _)| Some((Side::Renaissance, image.as_mut()?)));
        documents.chain(rows).for_each(|(side, image)| links.lift(entity, side, image));
    }

    /// The records that are linked, and those that are not; of both only what is visible. Third: keys that wait with one of
    /// their record that is not.
    fn split(self) -> (Vec<Work>, Loose, Vec<Key>) {
        let (mut works, mut lost, hinted) = (Vec::new(), Vec::new(), self.hinted);
        let (mut documents, mut rows) = (self.documents.into_iter(), self.rows.into_iter());
        for (resolved, (document, row)) in self.resolved.into_iter().zip(documents.by_ref().zip(rows.by_ref())) {
            let ((legacy, document), (renaissance, row, name)) = (document, row);
            match hinted.of([SideId::Legacy(legacy), SideId::Renaissance(renaissance)]) {
                Ok(keys) => works.push(Work::new(linked(resolved, document, row, name.as_deref()), keys)),
                Err(others) => lost.extend(others),
            }
        }
        let loose_documents = documents
            .filter_map(|(id, image)| Some(LooseDocument { id, image, keys: hinted.of([SideId::Legacy(id)]).ok()? }));
        let loose_rows = rows.filter_map(|(id, image, legacy_id)| {
            Some(LooseRow { id, image, legacy_id, keys: hinted.of([SideId::Renaissance(id)]).ok()? })
        });
        (works, (loose_documents.collect(), loose_rows.collect()), lost)
    }
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    pub(super) async fn gather(&self, index: EntityIndex, taken: &[Taken], pull: &mut Pull) -> Result<Gathered> {
        let entity = self.entity(index)?;
        let (version, pauses) = (self.pauses.version(), self.pauses.now());
        let sets_later = self.leaves_sets(index) && !pull.is_rehearsal();
        let (mut read, mut links) = loop {
            let (read, mut links) = (self.read_both(index, taken).await?, Links::default());
            self.look_up(&mut links, read.wanted(entity, sets_later), pull).await?;
            let needed = named(entity, read.images(), |side, image| pull.needs(entity, side, image));
            if needed.iter().any(|(entity, id)| !links.knows(*entity, *id)) {
                read.loose().for_each(|(key, image)| pull.insistence.note(entity, key, image, &links));
            }
            // what was brought in may be of this very batch: all is read again
            if !self.pull(needed, (&links, taken), pull).await? {
                break (read, links);
            }
        };
        read.lift(entity, &links);
        let not_visible = read.hinted.hidden.iter().copied().collect();
        let (mut works, (documents, rows), lost) = read.split();
        let mut owners = HashMap::new();
        if !documents.is_empty() || !rows.is_empty() {
            owners = self.owners(entity, &documents, &rows).await?;
            let mut identified = self.identify(index, (documents, rows), (&mut links, pull)).await?;
            if sets_later {
                self.look_up_sets(entity, &mut identified, (&mut links, pull)).await?;
            }
            works.extend(identified);
        }
        let lost_before: HashSet<Key> = taken.iter().filter(|t| t.attempts >= INSISTING).map(|t| t.key).collect();
        let hints: HashMap<Key, &Taken> = taken.iter().map(|one| (one.key, one)).collect();
        for work in &mut works {
            work.insists = work.keys.iter().any(|key| lost_before.contains(key));
            set_owner(entity, &links, &owners, &mut work.record);
            work.by = By::of(&work.keys, &hints);
            work.record.looping = self.breaker.stops(index, work);
            work.record.closed = closed(&pauses, (index, entity), &work.record);
            pull.insistence.tell((&self.entities, index), &mut work.record);
        }
        self.look_up_deleted(index, &works, &mut links).await?;
        self.take_orders((index, entity), &mut works, (&mut links, pull)).await?;
        Ok(Gathered { works, links, lost, not_visible, version })
    }

    async fn read_both(&self, index: EntityIndex, taken: &[Taken]) -> Result<Read> {
        let (legacy_keys, row_keys) = split(taken);
        let resolved = self.renaissance.resolve(index, &legacy_keys, &row_keys).await?;
        let documents = extended(resolved.iter().map(|r| r.link.legacy), legacy_keys);
        let rows = extended(resolved.iter().map(|r| r.link.renaissance), row_keys);

        let fresh = taken.iter().filter_map(|t| t.needs.cluster_time).max();
        let fresh = fresh.map(|(seconds, increment)| Freshness::ClusterTime(seconds, increment));
        let (images, read) =
            tokio::try_join!(self.read_documents(index, &documents, fresh), self.read_rows(index, &rows))?;
        let hinted = Hinted::new(index, taken, read.as_ref());
        let (row_images, names) = read.map(|read| (read.images, read.legacy_ids)).unwrap_or_default();
        let rows = rows.into_iter().zip(row_images.into_iter().zip(names)).map(|(id, (image, name))| (id, image, name));
        Ok(Read { resolved, documents: documents.into_iter().zip(images).collect(), rows: rows.collect(), hinted })
    }

    /// Whether unlinked persons have a cutover row nevertheless: their link may have been lost.
    async fn owners(
        &self,
        entity: &Entity,
        documents: &[LooseDocument],
        rows: &[LooseRow],
    ) -> Result<HashMap<LegacyId, Owner>> {
        if entity.owner.is_some() {
            return Ok(HashMap::new());
        }
        let claimed = rows.iter().filter_map(|row| row.legacy_id.as_deref()?.parse().ok());
        let ids: Vec<LegacyId> = documents.iter().map(|document| document.id).chain(claimed).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        Ok(self.renaissance.owners(&ids).await?.into_iter().map(|owner| (owner.person, owner)).collect())
    }

    pub(super) async fn read_documents(
        &self,
        index: EntityIndex,
        ids: &[LegacyId],
        fresh: Option<Freshness>,
    ) -> Result<Vec<Option<Image>>> {
        if ids.is_empty() { Ok(Vec::new()) } else { self.legacy.read(index, ids, fresh).await }
    }

    pub(super) async fn read_rows(&self, index: EntityIndex, ids: &[RenaissanceId]) -> Result<Option<RenaissanceRead>> {
        if ids.is_empty() { Ok(None) } else { self.renaissance.read(index, ids).await.map(Some) }
    }
}

fn split(taken: &[Taken]) -> (Vec<LegacyId>, Vec<RenaissanceId>) {
    let (mut legacy, mut rows) = (Vec::new(), Vec::new());
    for one in taken {
        match one.key.id {
            SideId::Legacy(id) => legacy.push(id),
            SideId::Renaissance(id) => rows.push(id),
        }
    }
    (legacy, rows)
}

fn sided(documents: &[(LegacyId, Option<Image>)]) -> impl Iterator<Item = Sided<'_>> {
    documents.iter().filter_map(|(_, image)| Some((Side::Legacy, image.as_ref()?)))
}

/// The linked ids in order, then those hinted ones that have no link.
fn extended<I: Copy + Eq + std::hash::Hash>(linked: impl Iterator<Item = I>, hinted: Vec<I>) -> Vec<I> {
    let mut all: Vec<I> = linked.collect();
    let known: HashSet<I> = all.iter().copied().collect();
    all.extend(hinted.into_iter().filter(|id| !known.contains(id)));
    all
}

fn linked(
    resolved: Resolved,
    legacy: Option<Image>,
    renaissance: Option<Image>,
    legacy_id_column: Option<&str>,
) -> Record {
    Record {
        legacy_id: resolved.link.legacy,
        renaissance_id: Some(resolved.link.renaissance),
        unnamed: renaissance.is_some() && legacy_id_column.is_none_or(str::is_empty),
        legacy,
        renaissance,
        linked: true,
        base: resolved.link.base.map(|base| if drill::lacks(Mechanism::Base) { Base::empty(0) } else { base }),
        parked: resolved.parked,
        person: resolved.person,
        awaits: resolved.awaits,
        owner: resolved.owner,
        epoch: resolved.epoch,
        former: resolved.former,
        order: None,
        refused: Vec::new(),
        blocked: None,
        circle: None,
        whole: None,
        closed: [None; 2],
        looping: resolved.looping,
    }
}
