//! What a decision leaves in the journal.

use super::Draft;
use crate::{
    model::{
        conflict::ConflictKind,
        image::Image,
        json::to_json,
        mapping::{DeleteRule, Entity, Field, Flow},
        policy::Policy,
        problem::Reason,
        reading::Reading,
        side::Side,
    },
    sync::ports::ConflictRow,
};

impl Draft<'_> {
    /// Journals that `winner` stays and the other side's value goes, or that both stay until a person decides. The direction
    /// of a one-way field decides like the policy of that name.
    pub(super) fn conflict(&mut self, n: usize, field: &Field, winner: Option<Side>, readings: &[Reading; 2]) {
        let policy = match (field.flow, winner) {
            (Flow::Both, _) | (Flow::To(_), None) => field.policy,
            (Flow::To(_), Some(Side::Legacy)) => Policy::Legacy,
            (Flow::To(_), Some(Side::Renaissance)) => Policy::Renaissance,
        };
        let met = Side::ALL.into_iter().all(|side| self.image(side).is_some());
        let never_agreed = met && self.record.base.as_ref().and_then(|base| base.get(n)).is_none();
        let kind = match (never_agreed, winner, field.flow) {
            (true, ..) if self.record.unnamed && !self.record.linked => ConflictKind::InsertExists,
            (true, ..) => ConflictKind::Adopted,
            (false, Some(_), Flow::Both) if self.record.former.is_some() => ConflictKind::StaleOwnerWrite,
            (false, ..) => ConflictKind::UpdateUpdate,
        };
        self.planned.plan.conflicts.push(ConflictRow {
            kind,
            field: Some(field.name.clone()),
            legacy_value: json(&readings[0]),
            renaissance_value: json(&readings[1]),
            policy: policy.as_str(),
            winner,
            digests: [readings[0].digest(), readings[1].digest()],
            updated: if policy == Policy::Latest { self.updated() } else { [None; 2] },
        });
    }

    /// A whole record that one side deleted: while the other changed it, or although its person had left that side.
    pub(super) fn deletion_conflict(&mut self, kind: ConflictKind, winner: Side) {
        let values = |side: Side| {
            let image = self.image(side);
            image.map_or(serde_json::Value::Null, |image| whole_record(self.entity, side, image))
        };
        // the rule that restores decides like the policy of the side that is left
        let policy = match (self.entity.deletes, winner) {
            (DeleteRule::Mirror | DeleteRule::Keep, _) => Policy::Owner,
            (DeleteRule::Restore, Side::Legacy) => Policy::Legacy,
            (DeleteRule::Restore, Side::Renaissance) => Policy::Renaissance,
        };
        self.planned.plan.conflicts.push(ConflictRow {
            kind,
            field: None,
            legacy_value: values(Side::Legacy),
            renaissance_value: values(Side::Renaissance),
            policy: policy.as_str(),
            winner: Some(winner),
            digests: [None; 2],
            updated: [None; 2],
        });
    }

    /// Journals that what the application of the side that a person has left changed goes to `to`. Fields that cross only one
    /// way, and bookkeeping such as update times, change without anybody deciding anything.
    pub(super) fn note_stale(&mut self, n: usize, field: &Field, to: Side, readings: &[Reading; 2]) {
        let bookkeeping = matches!(field.policy, Policy::Max | Policy::Min) || field.flow != Flow::Both;
        let agreed = self.record.base.as_ref().and_then(|base| base.get(n)).is_some();
        if self.record.former == Some(to.other()) && agreed && !bookkeeping && !self.is_parked(field) {
            self.conflict(n, field, self.record.former, readings);
        }
    }

    /// Journals what is parked because somebody else holds a unique value.
    pub(super) fn note_taken(&mut self) {
        let taken = self.planned.plan.parked.iter().filter(|row| row.problem.reason == Reason::UniqueTaken);
        let rows: Vec<ConflictRow> = taken
            .map(|row| {
                let field = row.field.as_deref().and_then(|name| self.entity.field(name));
                let field = field.and_then(|n| self.entity.fields.get(n));
                let value = |side: Side| {
                    let Some(image) = self.image(side) else { return serde_json::Value::Null };
                    match field {
                        Some(field) => json(&field.get(side, image)),
                        None => whole_record(self.entity, side, image),
                    }
                };
                ConflictRow {
                    kind: ConflictKind::UniqueTaken,
                    field: row.field.clone(),
                    legacy_value: value(Side::Legacy),
                    renaissance_value: value(Side::Renaissance),
                    policy: Policy::Park.as_str(),
                    winner: None,
                    digests: [None; 2],
                    updated: [None; 2],
                }
            })
            .collect();
        self.planned.plan.conflicts.extend(rows);
    }
}

fn json(reading: &Reading) -> serde_json::Value {
    reading.value().map_or(serde_json::Value::Null, to_json)
}

/// Every readable field of a record, for the journal.
fn whole_record(entity: &Entity, side: Side, image: &Image) -> serde_json::Value {
    let fields = entity.fields.iter().filter_map(|field| {
        let reading = field.get(side, image);
        Some((field.name.clone(), to_json(reading.value()?)))
    });
    serde_json::Value::Object(fields.collect())
}
