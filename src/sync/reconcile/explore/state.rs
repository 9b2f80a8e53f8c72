//! What a transaction leaves in the bridge's state: links with bases, journal, tombstones, intents.

use super::{
    Without,
    shape::document_of,
    world::{Doing, Intent, Saved, Set, Tie, Values, World, at, set},
};
use crate::{
    model::side::Side,
    sync::ports::{ConflictRow, IntentKind, RecordPlan},
};

/// Keeps what a deleted record held.
pub(super) fn bury(world: &mut World, plan: &RecordPlan, values: Values, awaits: Option<u8>) {
    world.journal.push(Saved { document: plan.legacy.map(document_of), values: set(values), awaits });
}

/// Journals the conflicts of a plan, before it changes anything.
pub(super) fn conflicts(world: &mut World, plan: &RecordPlan, number: u8, without: Option<Without>) {
    plan.conflicts.iter().for_each(|conflict| journal(world, plan, conflict, number, without));
}

/// Everything else of a plan but its rows.
pub(super) fn record(world: &mut World, plan: &RecordPlan, row: Option<i64>, number: u8, without: Option<Without>) {
    let Some(document) = plan.legacy.map(document_of) else { return };
    tie(world, plan, document, row, without);
    let Some((kind, base)) = &plan.intent else { return };
    let doing = match kind {
        IntentKind::Insert => Doing::Insert,
        IntentKind::Update => Doing::Update,
        IntentKind::Delete(whole) => {
            if without != Some(Without::Tombstones) {
                let values = values_in(whole);
                world.journal.push(Saved { document: Some(document), values, awaits: Some(number) });
            }
            Doing::Delete
        }
    };
    world.intents.push(Intent { number, document, row, doing, base: base.to_bytes() });
}

fn tie(world: &mut World, plan: &RecordPlan, document: u8, row: Option<i64>, without: Option<Without>) {
    if plan.unlink {
        world.ties.remove(&document);
        return;
    }
    let inserts = matches!(plan.intent, Some((IntentKind::Insert, _)));
    let early = plan.intent.as_ref().filter(|_| without == Some(Without::BasesLast)).map(|(_, base)| base);
    let base = early.or(plan.base.as_ref()).map(|base| base.to_bytes());
    if let Some(row) = row.filter(|_| base.is_some() || inserts) {
        let tie = world.ties.entry(document).or_insert(Tie { row, base: None });
        if plan.linked {
            tie.row = row;
        }
        tie.base = base.or(tie.base.take());
    }
}

fn journal(world: &mut World, plan: &RecordPlan, row: &ConflictRow, number: u8, without: Option<Without>) {
    let (legacy, renaissance) = (values_in(&row.legacy_value), values_in(&row.renaissance_value));
    let unseen = |side: Side, values: Set| values & !world.seen.held[at(side.other())] != 0;
    let met = if row.field.is_some() {
        unseen(Side::Legacy, legacy) && unseen(Side::Renaissance, renaissance)
    } else {
        unseen(Side::Legacy, legacy) || unseen(Side::Renaissance, renaissance)
    };
    if !met {
        world.seen.wrong = Some("a conflict although one side had seen the other's value");
    }
    if row.winner != Some(plan.owner) {
        world.seen.wrong = Some("a conflict that the owner lost");
    }
    if without != Some(Without::Journal) {
        let held_back = plan.intent.is_some() && row.winner != Some(Side::Legacy);
        let document = plan.legacy.map(document_of);
        world.journal.push(Saved { document, values: legacy | renaissance, awaits: held_back.then_some(number) });
    }
}

/// Closes an intent: what landed is agreed on, what did not leaves no trace.
pub(super) fn settle(world: &mut World, number: u8, landed: &[u8]) {
    let (closed, open) = std::mem::take(&mut world.intents).into_iter().partition(|intent| intent.number == number);
    world.intents = open;
    let closed: Vec<Intent> = closed;
    for intent in closed.into_iter().filter(|intent| landed.contains(&intent.document)) {
        if intent.doing == Doing::Delete {
            world.ties.remove(&intent.document);
        } else if let Some(tie) = world.ties.get_mut(&intent.document) {
            tie.base = Some(intent.base);
        }
        if let (Doing::Insert, Some(row)) = (intent.doing, intent.row.and_then(|row| world.rows.get_mut(&row))) {
            row.names = Some(intent.document);
        }
    }
    let landed = |row: &Saved| row.document.is_some_and(|document| landed.contains(&document));
    world.journal.retain(|row| row.awaits != Some(number) || landed(row));
    world.journal.iter_mut().filter(|row| row.awaits == Some(number)).for_each(|row| row.awaits = None);
}

/// Every number in a JSON value.
fn values_in(json: &serde_json::Value) -> Set {
    match json {
        serde_json::Value::Number(number) => set(number.as_u64().and_then(|number| u8::try_from(number).ok())),
        serde_json::Value::Array(items) => items.iter().map(values_in).fold(0, |all, one| all | one),
        serde_json::Value::Object(entries) => entries.values().map(values_in).fold(0, |all, one| all | one),
        _ => 0,
    }
}
