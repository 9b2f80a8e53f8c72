//! Reading a batch: links, both sides, freshness.

use std::collections::HashSet;

use super::{Reconciler, Work};
use crate::{
    error::Result,
    model::{
        hint::Freshness,
        image::Image,
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
    },
    sync::{
        plan::Record,
        ports::{LegacyStore, RenaissanceRead, RenaissanceStore, Resolved},
        tracker::Taken,
    },
};

/// A record that came back this often wants to know what is in its way.
const INSISTING: u32 = 2;

/// What reading a batch yields.
pub(super) struct Gathered {
    pub(super) works: Vec<Work>,
    pub(super) lost: Vec<Key>,
    pub(super) not_visible: Vec<Key>,
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
        let hidden = taken.iter().filter(unseen).map(|t| t.key).collect();
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

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    pub(super) async fn gather(&self, index: EntityIndex, taken: &[Taken]) -> Result<Gathered> {
        let (legacy_keys, row_keys) = split(taken);
        let resolved = self.renaissance.resolve(index, &legacy_keys, &row_keys).await?;
        let documents = extended(resolved.iter().map(|r| r.link.legacy), legacy_keys);
        let rows = extended(resolved.iter().map(|r| r.link.renaissance), row_keys);

        let fresh = taken.iter().filter_map(|t| t.needs.cluster_time).max();
        let fresh = fresh.map(|(seconds, increment)| Freshness::ClusterTime(seconds, increment));
        let (images, read) =
            tokio::try_join!(self.read_documents(index, &documents, fresh), self.read_rows(index, &rows))?;
        let hinted = Hinted::new(index, taken, read.as_ref());

        let links = resolved.len();
        let mut images = images.into_iter();
        let (row_images, row_legacy_ids) = read.map(|read| (read.images, read.legacy_ids)).unwrap_or_default();
        let mut row_images = row_images.into_iter().zip(row_legacy_ids);
        let (mut works, mut lost) = (Vec::with_capacity(taken.len()), Vec::new());
        for link in resolved {
            let (document, (row, name)) = (images.next().flatten(), row_images.next().unwrap_or_default());
            match hinted.of([SideId::Legacy(link.link.legacy), SideId::Renaissance(link.link.renaissance)]) {
                Ok(keys) => works.push(Work::new(linked(link, document, row, name.as_deref()), keys)),
                Err(others) => lost.extend(others),
            }
        }
        let loose_documents: Vec<LooseDocument> = documents[links..]
            .iter()
            .zip(images)
            .filter_map(|(id, image)| {
                Some(LooseDocument { id: *id, image, keys: hinted.of([SideId::Legacy(*id)]).ok()? })
            })
            .collect();
        let loose_rows: Vec<LooseRow> = rows[links..]
            .iter()
            .zip(row_images)
            .filter_map(|(id, (image, legacy_id))| {
                Some(LooseRow { id: *id, image, legacy_id, keys: hinted.of([SideId::Renaissance(*id)]).ok()? })
            })
            .collect();
        if !loose_documents.is_empty() || !loose_rows.is_empty() {
            works.extend(self.identify(index, loose_documents, loose_rows).await?);
        }
        let lost_before: HashSet<Key> = taken.iter().filter(|t| t.attempts >= INSISTING).map(|t| t.key).collect();
        for work in &mut works {
            work.insists = work.keys.iter().any(|key| lost_before.contains(key));
        }
        Ok(Gathered { works, lost, not_visible: hinted.hidden.into_iter().collect() })
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
        base: resolved.link.base,
        parked: resolved.parked,
        owner: resolved.owner,
        epoch: resolved.epoch,
        refused: Vec::new(),
        blocked: None,
        whole: None,
    }
}
