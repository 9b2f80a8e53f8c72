//! Finding the counterparts of unlinked records: by the legacy id a row carries, then by natural keys.

use std::collections::HashMap;

use super::{
    Reconciler, Work,
    gather::{Loose, LooseDocument, LooseRow},
    references::{Pull, named},
};
use crate::{
    error::Result,
    model::{
        image::{Image, Patch},
        key::{EntityIndex, Key, LegacyId, RenaissanceId},
        links::Links,
        mapping::Entity,
        problem::{Problem, Reason},
        reading::Reading,
        side::Side,
    },
    sync::{
        identify::{Identity, Match, choose, contradiction},
        plan::Record,
        ports::{LegacyStore, Probe, RenaissanceStore},
    },
};

/// An unlinked record with what was decided about who it is.
struct Pair {
    document: Option<(LegacyId, Option<Image>)>,
    row: Option<(RenaissanceId, Option<Image>)>,
    keys: Vec<Key>,
    blocked: Option<Problem>,
    /// Whether the row's legacy id column is empty.
    unnamed: bool,
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// Pairs unlinked records with their counterparts, in a constant number of round trips.
    pub(super) async fn identify(
        &self,
        index: EntityIndex,
        (documents, rows): Loose,
        (links, pull): (&mut Links, &mut Pull),
    ) -> Result<Vec<Work>> {
        let entity = self.entity(index)?;
        let row_of = self.rows_matching(index, (entity, links), &documents).await?;
        let document_of = self.documents_matching(index, (entity, links), &rows).await?;
        let wanted_rows = chosen(&row_of);
        let wanted_documents = chosen(&document_of);
        let (read_rows, read_documents) =
            tokio::try_join!(self.read_rows(index, &wanted_rows), self.read_documents(index, &wanted_documents, None))?;
        let (mut row_images, legacy_ids) = read_rows.map(|read| (read.images, read.legacy_ids)).unwrap_or_default();
        let mut read_documents = read_documents;
        self.lift_counterparts(entity, (&mut read_documents, &mut row_images), (links, pull)).await?;
        let claims: HashMap<RenaissanceId, Option<String>> = wanted_rows.iter().copied().zip(legacy_ids).collect();
        let mut row_images: HashMap<_, _> = wanted_rows.into_iter().zip(row_images).collect();
        let mut document_images: HashMap<_, _> = wanted_documents.into_iter().zip(read_documents).collect();

        let mut pairs = Vec::with_capacity(documents.len() + rows.len());
        for (document, identity) in documents.into_iter().zip(row_of) {
            let known = Some((document.id, document.image));
            let mut pair = Pair { document: known, row: None, keys: document.keys, blocked: None, unnamed: false };
            match identity {
                Identity::New => {}
                Identity::Unclear(problem) => pair.blocked = Some(problem),
                Identity::Same(id, rank) => {
                    pair.row = Some((id, row_images.remove(&id).flatten()));
                    let claim = claims.get(&id).and_then(Option::as_deref).filter(|claim| !claim.is_empty());
                    pair.unnamed = claim.is_none();
                    pair.check(entity, rank, claim);
                }
            }
            pairs.push(pair);
        }
        for (row, identity) in rows.into_iter().zip(document_of) {
            let claim = row.legacy_id.filter(|claim| !claim.is_empty());
            let (known, unnamed) = (Some((row.id, row.image)), claim.is_none());
            let mut pair = Pair { document: None, row: known, keys: row.keys, blocked: None, unnamed };
            match identity {
                Identity::New => {
                    // The row names a document that is not there: the record comes back under the id it names.
                    pair.document = claim.and_then(|claim| claim.parse().ok()).map(|id| (id, None));
                }
                Identity::Unclear(problem) => pair.blocked = Some(problem),
                Identity::Same(id, rank) => {
                    pair.document = Some((id, document_images.remove(&id).flatten()));
                    pair.check(entity, rank, claim.as_deref());
                }
            }
            pairs.push(pair);
        }
        Ok(fold(pairs).into_iter().map(|pair| self.work(pair)).collect())
    }

    /// Looks up what the counterparts that were found refer to. Nothing is brought in for them: it may be of this very batch,
    /// which was read already; what is missing is waited for. A rehearsal has nobody to wait for.
    async fn lift_counterparts(
        &self,
        entity: &Entity,
        (documents, rows): (&mut [Option<Image>], &mut [Option<Image>]),
        (links, pull): (&mut Links, &mut Pull),
    ) -> Result<()> {
        let images = || {
            let documents = documents.iter().flatten().map(|image| (Side::Legacy, image));
            documents.chain(rows.iter().flatten().map(|image| (Side::Renaissance, image)))
        };
        let wanted = named(entity, images(), |side, image| Links::wanted(entity, side, image));
        self.look_up(links, wanted.clone(), pull).await?;
        if pull.is_rehearsal() {
            let needed = named(entity, images(), |side, image| pull.needs(entity, side, image));
            if self.pull(needed, (links, &[]), pull).await? {
                self.look_up(links, wanted, pull).await?;
            }
        }
        documents.iter_mut().flatten().for_each(|image| links.lift(entity, Side::Legacy, image));
        rows.iter_mut().flatten().for_each(|image| links.lift(entity, Side::Renaissance, image));
        Ok(())
    }

    async fn rows_matching(
        &self,
        index: EntityIndex,
        (entity, links): (&Entity, &Links),
        documents: &[LooseDocument],
    ) -> Result<Vec<Identity<RenaissanceId>>> {
        let present: Vec<LegacyId> = documents.iter().filter(|d| d.image.is_some()).map(|d| d.id).collect();
        if present.is_empty() {
            return Ok(documents.iter().map(|_| Identity::New).collect());
        }
        let places: HashMap<LegacyId, usize> = documents.iter().enumerate().map(|(n, d)| (d.id, n)).collect();
        let probes = probes((entity, links), Side::Legacy, documents.iter().map(|d| d.image.as_ref()));
        let (by_id, by_key) = tokio::try_join!(
            self.renaissance.find_by_legacy_id(index, &present),
            self.renaissance.find(index, &probes)
        )?;
        let mut found: Vec<(usize, usize, RenaissanceId)> =
            by_id.into_iter().filter_map(|(legacy, id)| Some((*places.get(&legacy)?, 0, id))).collect();
        found.extend(by_key.into_iter().map(|(probe, rank, id)| (probe, rank + 1, id)));
        let ids: Vec<RenaissanceId> = found.iter().map(|(.., id)| *id).collect();
        let resolved = if ids.is_empty() { Vec::new() } else { self.renaissance.resolve(index, &[], &ids).await? };
        let linked: std::collections::HashSet<_> = resolved.iter().map(|r| r.link.renaissance).collect();
        Ok(decide(entity, documents.len(), found, |id| linked.contains(id)))
    }

    async fn documents_matching(
        &self,
        index: EntityIndex,
        (entity, links): (&Entity, &Links),
        rows: &[LooseRow],
    ) -> Result<Vec<Identity<LegacyId>>> {
        if rows.iter().all(|row| row.image.is_none()) {
            return Ok(rows.iter().map(|_| Identity::New).collect());
        }
        let claimed: Vec<(usize, LegacyId)> =
            rows.iter().enumerate().filter_map(|(n, row)| Some((n, row.legacy_id.as_deref()?.parse().ok()?))).collect();
        let ids: Vec<LegacyId> = claimed.iter().map(|(_, id)| *id).collect();
        let probes = probes((entity, links), Side::Renaissance, rows.iter().map(|row| row.image.as_ref()));
        let (claimed_images, by_key) =
            tokio::try_join!(self.read_documents(index, &ids, None), self.legacy.find(index, &probes))?;
        let mut found: Vec<(usize, usize, LegacyId)> =
            claimed.into_iter().zip(claimed_images).filter_map(|((n, id), image)| image.map(|_| (n, 0, id))).collect();
        found.extend(by_key.into_iter().map(|(probe, rank, id)| (probe, rank + 1, id)));
        let ids: Vec<LegacyId> = found.iter().map(|(.., id)| *id).collect();
        let resolved = if ids.is_empty() { Vec::new() } else { self.renaissance.resolve(index, &ids, &[]).await? };
        let linked: std::collections::HashSet<_> = resolved.iter().map(|r| r.link.legacy).collect();
        Ok(decide(entity, rows.len(), found, |id| linked.contains(id)))
    }

    fn work(&self, pair: Pair) -> Work {
        let (document, row) = (pair.document, pair.row);
        let legacy_id = document.as_ref().map_or_else(|| self.legacy.new_id(), |(id, _)| *id);
        let record = Record {
            legacy_id,
            renaissance_id: row.as_ref().map(|(id, _)| *id),
            legacy: document.and_then(|(_, image)| image),
            renaissance: row.and_then(|(_, image)| image),
            linked: false,
            unnamed: pair.unnamed,
            base: None,
            parked: true,
            person: None,
            awaits: Vec::new(),
            owner: Side::Legacy,
            epoch: 0,
            former: None,
            order: None,
            refused: Vec::new(),
            blocked: pair.blocked,
            circle: None,
            whole: None,
            closed: [None; 2],
            looping: false,
        };
        Work::new(record, pair.keys)
    }
}

impl Pair {
    /// Refuses a counterpart that says it belongs to another record, or that a stronger key contradicts.
    fn check(&mut self, entity: &Entity, rank: usize, claim: Option<&str>) {
        let Some((legacy_id, document)) = &self.document else { return };
        let row = self.row.as_ref().and_then(|(_, image)| image.as_ref());
        if claim.is_some_and(|claim| claim != legacy_id.to_string()) {
            let detail = "the matching row already carries the id of another legacy record";
            self.blocked = Some(Problem::new(Reason::UniqueTaken, detail));
        } else if let (Some(document), Some(row)) = (document, row) {
            self.blocked = contradiction(entity, rank, document, row);
        }
        if self.blocked.is_some() {
            // What is parked is the record that was hinted, not its would-be counterpart.
            match self.keys.first().map(|key| key.id.side()) {
                Some(Side::Legacy) => self.row = None,
                Some(Side::Renaissance) | None => self.document = None,
            }
        }
    }
}

/// Both halves of a pair may be in one batch, each having found the other: one pair with both keys.
fn fold(pairs: Vec<Pair>) -> Vec<Pair> {
    let mut folded: Vec<Pair> = Vec::with_capacity(pairs.len());
    let mut by_document: HashMap<LegacyId, usize> = HashMap::new();
    let mut by_row: HashMap<RenaissanceId, usize> = HashMap::new();
    for pair in pairs {
        let (document, row) = (pair.document.as_ref().map(|(id, _)| *id), pair.row.as_ref().map(|(id, _)| *id));
        let known =
            document.and_then(|id| by_document.get(&id)).or_else(|| row.and_then(|id| by_row.get(&id))).copied();
        match known.and_then(|place| folded.get_mut(place)) {
            Some(same) if pair.blocked.is_none() && same.agrees(document, row) => same.absorb(pair),
            Some(_) | None => {
                document.into_iter().for_each(|id| _ = by_document.entry(id).or_insert(folded.len()));
                row.into_iter().for_each(|id| _ = by_row.entry(id).or_insert(folded.len()));
                folded.push(pair);
            }
        }
    }
    folded
}

impl Pair {
    fn agrees(&self, document: Option<LegacyId>, row: Option<RenaissanceId>) -> bool {
        let same_document = self.document.as_ref().zip(document).is_none_or(|((mine, _), theirs)| *mine == theirs);
        let same_row = self.row.as_ref().zip(row).is_none_or(|((mine, _), theirs)| *mine == theirs);
        same_document && same_row
    }

    fn absorb(&mut self, other: Self) {
        self.keys.extend(other.keys);
        if self.document.as_ref().is_none_or(|(_, image)| image.is_none()) {
            self.document = other.document.or(self.document.take());
        }
        if self.row.as_ref().is_none_or(|(_, image)| image.is_none()) {
            self.row = other.row.or(self.row.take());
            self.unnamed = other.unnamed;
        }
    }
}

/// The forms that natural keys take on the other side; a reference there names its target by the id of that side, and one whose
/// target is not linked matches nothing.
fn probes<'a>(
    (entity, links): (&Entity, &Links),
    from: Side,
    images: impl Iterator<Item = Option<&'a Image>>,
) -> Vec<Probe> {
    let forms = |image: &Image, field: usize| match entity.fields[field].get(from, image) {
        Reading::Value(value) => {
            let mut forms = entity.fields[field].forms(from.other(), &value);
            forms.retain_mut(|form| links.lower(entity, from.other(), form).is_ok());
            forms
        }
        Reading::Absent | Reading::Invalid(_) => Vec::new(),
    };
    // a key of several fields has every combination of their forms
    let combined = |image: &Image, fields: &Vec<usize>| {
        fields.iter().map(|field| forms(image, *field)).fold(vec![Patch::new()], |all, next| {
            all.iter().flat_map(|one| next.iter().map(move |form| [one.as_slice(), form].concat())).collect()
        })
    };
    let probe = |image: Option<&Image>| Probe {
        keys: image.map_or_else(Vec::new, |image| entity.natural_keys.iter().map(|key| combined(image, key)).collect()),
    };
    images.map(probe).collect()
}

fn decide<I: Copy + Eq>(
    entity: &Entity,
    count: usize,
    found: Vec<(usize, usize, I)>,
    linked: impl Fn(&I) -> bool,
) -> Vec<Identity<I>> {
    let mut matches: Vec<Vec<Match<I>>> = (0..count).map(|_| Vec::new()).collect();
    for (place, rank, id) in found {
        if let Some(list) = matches.get_mut(place) {
            list.push(Match { rank, id, linked: linked(&id) });
        }
    }
    matches.into_iter().map(|list| choose(entity, list)).collect()
}

fn chosen<I: Copy>(identities: &[Identity<I>]) -> Vec<I> {
    let same = |identity: &Identity<I>| match identity {
        Identity::Same(id, _) => Some(*id),
        Identity::New | Identity::Unclear(_) => None,
    };
    identities.iter().filter_map(same).collect()
}
