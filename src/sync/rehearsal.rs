//! What a first copy would do, without doing it: every record is read and decided about, nothing is written.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::{
    pace::Pace,
    ports::{LegacyStore, Listed, RenaissanceStore},
    reconcile::{Claim, Foreseen, Reconciler, Rehearsed},
    tracker::{Needs, Taken},
};
use crate::{
    error::Result,
    model::{
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
        mapping::{Entity, dependency_order},
        problem::Reason,
        side::Side,
    },
};

/// Records shown for each outcome.
const SAMPLES: usize = 5;

/// What would become of the records of one entity.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EntityRehearsal {
    /// The entity.
    pub entity: String,
    /// Documents read, strays included.
    pub documents: u64,
    /// Rows read.
    pub rows: u64,
    /// Records by what would become of them; each is counted once.
    pub outcomes: BTreeMap<&'static str, Counted>,
    /// Records with at least one conflict that would be journalled; each is among the outcomes too.
    pub conflicts: Counted,
    /// Whole records and fields that would be parked, by reason.
    pub parked: BTreeMap<&'static str, Counted>,
}

/// How many, and some of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// Some of them, masked.
    pub samples: Vec<Sample>,
}

/// A record as it may be shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Its id: `legacy:65f0…`, `renaissance:12`.
    pub id: String,
    /// Its name, masked.
    pub label: Option<String>,
    /// The field, where it is about one.
    pub field: Option<String>,
}

impl Counted {
    fn add(&mut self, sample: impl FnOnce() -> Sample) {
        self.count += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push(sample());
        }
    }
}

/// Who was looked at already: the walk over the documents meets again what the walk over the rows has met. Ids and digests of eight
/// bytes, never a value.
#[derive(Default)]
struct Seen {
    documents: HashSet<LegacyId>,
    rows: HashSet<RenaissanceId>,
    claims: HashSet<u64>,
}

impl Seen {
    /// What somebody else has already: the whole record (`None` among them), or these fields.
    fn clashes(&self, record: &Rehearsed) -> Vec<Option<String>> {
        // a row has one document: whoever comes second finds it taken
        let row_taken = record.renaissance.is_some_and(|row| self.rows.contains(&row));
        let whole = row_taken.then_some(None);
        let taken =
            |claim: &&Claim| (claim.held || claim.field.is_none()) && self.claims.contains(&claim.digest.to_bits());
        let mut clashes: Vec<_> =
            record.claims.iter().filter(taken).map(|claim| claim.field.clone()).chain(whole).collect();
        clashes.sort_unstable();
        clashes.dedup();
        clashes
    }

    /// Notes what the record has now, if it crosses.
    fn note(&mut self, record: &Rehearsed, clashes: &[Option<String>]) {
        self.documents.extend(record.legacy);
        self.rows.extend(record.renaissance);
        if !clashes.contains(&None) {
            self.claims.extend(record.claims.iter().filter(|claim| claim.held).map(|claim| claim.digest.to_bits()));
        }
    }
}

/// Rehearses the first copy of these entities in the order in which it would run. `told` hears the entity and the records
/// read so far.
///
/// Values that two new records share are counted as `unique_taken` for the second. Not foreseen: values that a new record shares
/// with one that is only now changed, unique columns of references, unique indexes with a condition or of MongoDB, and what else
/// only a database would refuse.
pub async fn rehearse<L: LegacyStore, R: RenaissanceStore>(
    reconciler: &Reconciler<L, R>,
    entities: &[Entity],
    wanted: &[EntityIndex],
    pace: &Pace,
    mut told: impl FnMut(&str, u64),
) -> Result<Vec<EntityRehearsal>> {
    let mut reports = Vec::new();
    for index in dependency_order(entities).into_iter().filter(|index| wanted.contains(index)) {
        let Some(entity) = entities.get(usize::from(index.0)) else { continue };
        let walk = Walk { reconciler, index, pace };
        let mut report = EntityRehearsal { entity: entity.name.clone(), ..EntityRehearsal::default() };
        let mut seen = Seen::default();
        for side in [Side::Renaissance, Side::Legacy] {
            let mut after = None;
            while let Some((last, walked, ids)) = walk.page(side, after).await? {
                after = Some(last);
                walk.look(&ids, &mut seen, &mut report).await?;
                *(if side == Side::Legacy { &mut report.documents } else { &mut report.rows }) += walked;
                told(&entity.name, report.documents + report.rows);
            }
        }
        walk.strays(&mut report).await?;
        told(&entity.name, report.documents + report.rows);
        reports.push(report);
    }
    Ok(reports)
}

/// A walk over one entity.
struct Walk<'a, L, R> {
    reconciler: &'a Reconciler<L, R>,
    index: EntityIndex,
    pace: &'a Pace,
}

impl<L: LegacyStore, R: RenaissanceStore> Walk<'_, L, R> {
    /// The last id walked, how many, and their ids; `None` at the end.
    async fn page(&self, side: Side, after: Option<SideId>) -> Result<Option<(SideId, u64, Vec<SideId>)>> {
        let limit = self.pace.chunk();
        Ok(match (side, after) {
            (Side::Legacy, after) => {
                let after = if let Some(SideId::Legacy(id)) = after { Some(id) } else { None };
                let page = self.reconciler.legacy().page(self.index, after, limit, Listed::All).await?;
                let ids = page.listed.into_iter().map(SideId::Legacy).collect();
                page.last.map(|last| (SideId::Legacy(last), page.walked, ids))
            }
            (Side::Renaissance, after) => {
                let after = if let Some(SideId::Renaissance(id)) = after { Some(id) } else { None };
                let page = self.reconciler.renaissance().page(self.index, after, limit, Listed::All).await?;
                let ids = page.listed.into_iter().map(SideId::Renaissance).collect();
                page.last.map(|last| (SideId::Renaissance(last), page.walked, ids))
            }
        })
    }

    async fn look(&self, ids: &[SideId], seen: &mut Seen, report: &mut EntityRehearsal) -> Result<()> {
        let met = |id: &&SideId| !matches!(id, SideId::Legacy(id) if seen.documents.contains(id));
        let taken: Vec<Taken> = ids.iter().filter(met).map(|id| self.taken(*id)).collect();
        if taken.is_empty() {
            return Ok(());
        }
        for record in self.reconciler.rehearse(self.index, &taken).await? {
            count(&record, seen, report);
        }
        Ok(())
    }

    const fn taken(&self, id: SideId) -> Taken {
        let needs = Needs { cluster_time: None, xids: Vec::new() };
        Taken { key: Key { entity: self.index, id }, needs, committed_at: None, attempts: 0 }
    }

    async fn strays(&self, report: &mut EntityRehearsal) -> Result<()> {
        let mut mark: Option<String> = None;
        loop {
            let strays = self.reconciler.legacy().strays(self.index, mark.as_deref(), self.pace.chunk()).await?;
            for stray in strays.found {
                report.documents += 1;
                let sample = || Sample { id: format!("legacy:{}", stray.shown), ..Sample::default() };
                report.outcomes.entry("parked").or_default().add(sample);
                report.parked.entry(Reason::UnsupportedId.as_str()).or_default().add(sample);
            }
            let Some(last) = strays.mark else { return Ok(()) };
            mark = Some(last);
        }
    }
}

fn count(record: &Rehearsed, seen: &mut Seen, report: &mut EntityRehearsal) {
    let clashes = seen.clashes(record);
    seen.note(record, &clashes);
    let sample = |field: Option<&String>| Sample {
        id: record.keys.first().map_or_else(String::new, |key| key.id.to_string()),
        label: record.label.clone(),
        field: field.cloned(),
    };
    if clashes.contains(&None) {
        report.outcomes.entry("parked").or_default().add(|| sample(None));
        report.parked.entry(Reason::UniqueTaken.as_str()).or_default().add(|| sample(None));
        return;
    }
    report.outcomes.entry(word(record.foreseen)).or_default().add(|| sample(None));
    if record.conflicts > 0 {
        report.conflicts.add(|| sample(None));
    }
    let clashes = clashes.into_iter().map(|field| (field, Reason::UniqueTaken));
    for (field, reason) in &record.parked.iter().cloned().chain(clashes).collect::<Vec<_>>() {
        report.parked.entry(reason.as_str()).or_default().add(|| sample(field.as_ref()));
    }
}

/// The word for an outcome; stable.
const fn word(foreseen: Foreseen) -> &'static str {
    match foreseen {
        Foreseen::Unchanged | Foreseen::Changed([false, false]) => "unchanged",
        Foreseen::Linked => "linked",
        Foreseen::Adopted => "adopted",
        Foreseen::Created(Side::Legacy) => "created_in_legacy",
        Foreseen::Created(Side::Renaissance) => "created_in_renaissance",
        Foreseen::Changed([true, false]) => "changed_in_legacy",
        Foreseen::Changed([false, true]) => "changed_in_renaissance",
        Foreseen::Changed([true, true]) => "changed_in_both",
        Foreseen::Deleted(Side::Legacy) => "deleted_in_legacy",
        Foreseen::Deleted(Side::Renaissance) => "deleted_in_renaissance",
        Foreseen::Parked => "parked",
    }
}
