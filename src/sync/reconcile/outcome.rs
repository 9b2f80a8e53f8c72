//! What becomes of records once they were written, or refused.

use super::{BatchReport, Crossing, Journalled, Parked, Work, breaker::By};
use crate::{
    model::{
        conflict::ConflictKind,
        mapping::Entity,
        problem::Problem,
        side::{Direction, Side},
        value::Value,
    },
    sync::{
        plan::{Effect, Record},
        ports::{IntentKind, LegacyChange, RecordPlan, RenaissanceChange},
    },
};

pub(super) fn take_document(mut work: Work) -> (Work, Option<LegacyChange>) {
    let document = work.planned.as_mut().and_then(|planned| planned.document.take());
    (work, document)
}

/// Keeps what a database refused out of the next plan; refused twice, the record waits as a whole.
pub(super) fn exclude(mut work: Work, field: Option<usize>, problem: Problem) -> Work {
    (work.planned, work.decided) = (None, false);
    refuse(&mut work.record, field, problem);
    work
}

pub(super) fn refuse(record: &mut Record, field: Option<usize>, problem: Problem) {
    // it may be the order's fault: without it, the record may be fine
    if let Some(ordered) = record.order.as_mut().filter(|ordered| ordered.stands()) {
        ordered.outcome = Some(Err(problem.to_string()));
        return;
    }
    match field {
        Some(field) if !record.refused.iter().any(|(known, _)| *known == field) => {
            record.refused.push((field, problem))
        }
        Some(_) | None => record.blocked = Some(problem),
    }
}

pub(super) fn settle(entity: &Entity, work: Work, plan: Option<RecordPlan>, report: &mut BatchReport) {
    let Work { record, keys, planned, approved, by, .. } = work;
    let mut effect = Effect { writes: [false, false], parks: false };
    if let Some(plan) = plan {
        effect.parks = !plan.parked.is_empty();
        effect.writes[1] = plan.rows.is_some();
        effect.writes[0] = plan.intent.is_some();
        if !plan.was_parked {
            let legacy_id = record.legacy_id;
            let parked = plan.parked.iter();
            report.parked.extend(parked.map(|row| Parked {
                legacy_id,
                field: row.field.clone(),
                reason: row.problem.reason,
            }));
        }
        if by == By::Ourselves && effect.writes.contains(&true) {
            report.own.push(record.legacy_id);
        }
        if !approved {
            report.deleted[1] += u64::from(matches!(plan.rows, Some(RenaissanceChange::Delete(_))));
            report.deleted[0] += u64::from(matches!(plan.intent, Some((IntentKind::Delete(_), _))));
        }
        // one that is left to a person was counted when it was parked
        let new = plan.conflicts.into_iter().filter(|row| row.winner.is_some() || !plan.was_parked);
        let new = new.filter(|row| row.kind != ConflictKind::UniqueTaken);
        report.conflicts.extend(new.map(|row| Journalled { field: row.field, policy: row.policy, winner: row.winner }));
    }
    report.effects.push(effect);
    let fields = planned.map(|planned| planned.fields).unwrap_or_default();
    for (wrote, direction) in
        effect.writes.into_iter().zip([Direction::RenaissanceToLegacy, Direction::LegacyToRenaissance])
    {
        if wrote {
            let crossed = fields.iter().filter(|(to, _)| *to == direction.target()).map(|(_, field)| *field);
            report.crossings.push(Crossing {
                direction,
                legacy_id: record.legacy_id,
                fields: crossed.collect(),
                label: label(entity, &record, direction.source()),
                key: keys.iter().find(|key| key.id.side() == direction.source()).copied(),
            });
        }
    }
    let ordered = record.order.and_then(|ordered| ordered.outcome);
    report.orders.extend(ordered.map(|outcome| (record.legacy_id, outcome.map(drop))));
    report.settled.extend(keys);
}

pub(super) fn label(entity: &Entity, record: &Record, side: Side) -> Option<String> {
    let image = match side {
        Side::Legacy => record.legacy.as_ref(),
        Side::Renaissance => record.renaissance.as_ref(),
    };
    let reading = entity.fields[entity.label?].get(side, image?);
    reading.value().and_then(Value::as_text).map(crate::model::mask::mask)
}

/// A plan that was moved out of its place.
pub(super) const fn hollow() -> RecordPlan {
    RecordPlan {
        legacy: None,
        renaissance: None,
        linked: false,
        was_parked: false,
        rows: None,
        base: None,
        unlink: false,
        back_reference: false,
        insists: false,
        intent: None,
        person: None,
        changes_hands: false,
        owner: Side::Legacy,
        epoch: 0,
        resolution: None,
        conflicts: Vec::new(),
        parked: Vec::new(),
        awaits: None,
    }
}
