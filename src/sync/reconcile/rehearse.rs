//! What reconciling would do, without doing it.

use super::{
    Reconciler,
    claims::{Claim, claims},
    outcome::label,
    planned,
    references::Pull,
};
use crate::{
    error::Result,
    model::{
        conflict::ConflictKind,
        key::{EntityIndex, Key, LegacyId, RenaissanceId},
        mapping::Entity,
        problem::Reason,
        side::Side,
    },
    sync::{
        plan::{Planned, Record},
        ports::{LegacyStore, RecordPlan, RenaissanceChange, RenaissanceStore},
        tracker::Taken,
    },
};

/// What would become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Foreseen {
    /// Nothing: linked and equal, or outside of what is synced.
    Unchanged,
    /// Its counterpart is found and equal: the two are linked.
    Linked,
    /// Its counterpart is found and differs: the two are linked, and the differences settled by policy.
    Adopted,
    /// It is made on this side.
    Created(Side),
    /// It is changed on these sides: legacy, renaissance.
    Changed([bool; 2]),
    /// It is deleted on this side.
    Deleted(Side),
    /// It waits as a whole; [`Rehearsed::parked`] says why.
    Parked,
}

/// A record that was rehearsed.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The keys among those given that lead to it.
    pub keys: Vec<Key>,
    /// Its document, if there is one.
    pub legacy: Option<LegacyId>,
    /// Its row, if there is one.
    pub renaissance: Option<RenaissanceId>,
    /// What would become of it.
    pub foreseen: Foreseen,
    /// What would be parked: the field's name (`None`: the whole record) and why.
    pub parked: Vec<(Option<String>, Reason)>,
    /// How many conflicts would be journalled, differences of adopted records among them.
    pub conflicts: usize,
    /// Its name, masked.
    pub label: Option<String>,
    /// What a record that would be made must not share with another one.
    pub claims: Vec<Claim>,
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// What reconciling these keys of one entity would do now: reads and plans like [`Reconciler::reconcile`] and writes
    /// nothing. References to records that exist on their side and are not linked yet count as linked. What only a database
    /// would refuse, such as a unique value that somebody else has, is not foreseen; what new records would have to share
    /// can be told from their claims.
    pub async fn rehearse(&self, index: EntityIndex, taken: &[Taken]) -> Result<Vec<Rehearsed>> {
        let entity = self.entity(index)?;
        let gathered = self.gather(index, taken, &mut Pull::rehearsing()).await?;
        let given = self.given(index, &gathered.links);
        let rehearsed = gathered.works.into_iter().map(|mut work| {
            let planned = planned(entity, &mut work.record, &given);
            rehearsed(entity, &work.record, work.keys, planned)
        });
        Ok(rehearsed.collect())
    }
}

fn rehearsed(entity: &Entity, record: &Record, keys: Vec<Key>, planned: Option<Planned>) -> Rehearsed {
    let foreseen = foreseen(record, planned.as_ref());
    let claims = claims(entity, record, foreseen, planned.as_ref());
    let plan = planned.map(|planned| planned.plan);
    let disputed =
        |plan: &RecordPlan| plan.conflicts.iter().filter(|row| row.kind != ConflictKind::UniqueTaken).count();
    let parked = plan.iter().flat_map(|plan| plan.parked.iter().map(|row| (row.field.clone(), row.problem.reason)));
    Rehearsed {
        keys,
        legacy: record.legacy.is_some().then_some(record.legacy_id),
        renaissance: record.renaissance_id.filter(|_| record.renaissance.is_some()),
        foreseen,
        parked: parked.collect(),
        conflicts: plan.as_ref().map_or(0, disputed),
        label: label(entity, record, Side::Legacy).or_else(|| label(entity, record, Side::Renaissance)),
        claims,
    }
}

fn foreseen(record: &Record, planned: Option<&Planned>) -> Foreseen {
    let Some(planned) = planned else { return Foreseen::Unchanged };
    if planned.plan.parked.iter().any(|row| row.field.is_none()) {
        return Foreseen::Parked;
    }
    match (&record.legacy, &record.renaissance) {
        (Some(_), None) if planned.creates(Side::Renaissance) => Foreseen::Created(Side::Renaissance),
        (None, Some(_)) if planned.creates(Side::Legacy) => Foreseen::Created(Side::Legacy),
        (Some(_), None) if planned.document.is_some() => Foreseen::Deleted(Side::Legacy),
        (None, Some(_)) if matches!(planned.plan.rows, Some(RenaissanceChange::Delete(_))) => {
            Foreseen::Deleted(Side::Renaissance)
        }
        (Some(_), Some(_)) => match (record.base.is_some(), planned.writes_fields()) {
            (true, [false, false]) => Foreseen::Unchanged,
            (true, sides) => Foreseen::Changed(sides),
            (false, [false, false]) => Foreseen::Linked,
            (false, _) => Foreseen::Adopted,
        },
        (None | Some(_), None) | (None, Some(_)) => Foreseen::Unchanged,
    }
}
