//! The sections below what is wrong: work, headroom, sweeps, people, records.

use std::collections::BTreeMap;

use super::{
    html::Html,
    words::{bytes, direction, duration, duration_if_known, moment},
};
use crate::{
    model::{fact::PersonState, side::Side},
    sync::status::{EntryReport, StatusReport, SweepReport},
};

/// Both sides and what waits between them.
pub(super) fn work(page: &mut Html, report: &StatusReport) {
    page.facts([
        ("Waiting keys".to_owned(), format!("{} ({})", report.queue.keys, bytes(report.queue.bytes as f64))),
        ("Parked".to_owned(), report.parked_total().to_string()),
        ("Conflicts since the start".to_owned(), report.conflicts.to_string()),
    ]);
    let sides = report.sides.iter().map(|(name, side)| {
        let saved = side.checkpoint_age_seconds.map_or("never".to_owned(), |age| format!("{} ago", duration(age)));
        [name.clone(), side.feed.clone(), side.hints.to_string(), side.echoes.to_string(), saved]
    });
    page.table("Sides", ["side", "feed", "changes received", "own writes recognised", "position saved"], sides);
    let ways = report
        .directions
        .iter()
        .map(|(name, way)| [direction(name), duration_if_known(way.lag_seconds), way.applied.to_string()]);
    page.table("Directions", ["direction", "lag", "written since the start"], ways);
}

/// How long both logs still hold what was not read yet.
pub(super) fn headroom(page: &mut Html, report: &StatusReport) {
    let room = &report.headroom;
    let sized = |amount: Option<f64>, none: &str| amount.map_or_else(|| none.to_owned(), bytes);
    let (retained, safe, left) = (room.slot_retained_bytes, room.slot_safe_bytes, room.slot_seconds_left);
    // a server that limits nothing says how much it keeps, and not how much it may
    let unlimited = if retained.is_some() { "no limit" } else { "unknown" };
    let lost_in = match (safe, left) {
        (None, _) => if retained.is_some() { "never: no limit" } else { "unknown" }.to_owned(),
        (Some(_), None) => "not in sight".to_owned(),
        (Some(_), Some(left)) => format!("in {}", duration(left)),
    };
    page.facts([
        ("Postgres keeps for the bridge".to_owned(), sized(retained, "unknown")),
        ("Postgres may still write".to_owned(), sized(safe, unlimited)),
        ("At this rate the slot is lost".to_owned(), lost_in),
        ("The oplog reaches back".to_owned(), duration_if_known(room.oplog_window_seconds)),
        ("Left if the bridge stood still".to_owned(), duration_if_known(room.oplog_seconds_left)),
    ]);
}

/// Walks over entities, their sides beside each other, and how the last comparisons ended.
pub(super) fn sweeps(page: &mut Html, report: &StatusReport) {
    let mut walks: BTreeMap<(&str, &str), BTreeMap<&str, &SweepReport>> = BTreeMap::new();
    for sweep in &report.sweeps {
        walks.entry((&sweep.kind, &sweep.entity)).or_default().insert(&sweep.side, sweep);
    }
    if walks.is_empty() && report.verified.is_empty() {
        page.remark("Nothing was copied or compared yet.");
    }
    let (done, running): (Vec<_>, Vec<_>) =
        walks.into_iter().partition(|(_, sides)| sides.len() == 2 && sides.values().all(|sweep| sweep.done));
    if !running.is_empty() {
        page.raw("<ul class=\"walks\">\n");
        for ((kind, entity), sides) in &running {
            for side in Side::ALL {
                walk(page, (kind, entity, side), sides.get(side.as_str()).copied());
            }
        }
        page.raw("</ul>\n");
    }
    if !done.is_empty() {
        page.raw("<details id=\"walks-done\"><summary>Complete: ").text(done.len().to_string()).raw("</summary>\n");
        let rows = done.iter().map(|((kind, entity), sides)| {
            let [legacy, renaissance] =
                Side::ALL.map(|side| sides.get(side.as_str()).map_or(0, |sweep| sweep.records).to_string());
            [format!("{kind} {entity}"), legacy, renaissance]
        });
        page.table("Complete sweeps", ["sweep", "legacy", "renaissance"], rows);
        page.raw("</details>\n");
    }
    if !report.verified.is_empty() {
        let rows = report.verified.iter().map(|one| {
            let [compared, differing, unsettled] = [one.compared, one.differing, one.unsettled].map(|n| n.to_string());
            [one.entity.clone(), moment(&one.at), compared, differing, unsettled]
        });
        page.table("Last comparisons", ["entity", "when (UTC)", "compared", "differ", "never quiet"], rows);
    }
}

/// One side of a walk that is under way.
fn walk(page: &mut Html, (kind, entity, side): (&str, &str, Side), sweep: Option<&SweepReport>) {
    let name = format!("{kind} {entity}, {side}");
    page.raw("<li><span>").text(&name).raw("</span> ");
    if let Some((sweep, total)) = sweep.and_then(|sweep| Some((sweep, sweep.total?))).filter(|(_, total)| *total > 0) {
        let share = if sweep.done { 1.0 } else { (sweep.records as f64 / total as f64).min(1.0) };
        page.raw("<progress max=\"1\" aria-label=\"").text(&name).raw("\" value=\"").text(format!("{share:.3}"));
        page.raw("\"></progress> ");
    }
    page.raw("<span class=\"quiet\">").text(sweep.map_or_else(|| "waiting".to_owned(), progress)).raw("</span></li>\n");
}

/// How far a sweep has come.
fn progress(sweep: &SweepReport) -> String {
    let mut words = match (sweep.done, sweep.total) {
        (true, _) => format!("{}, complete", sweep.records),
        (false, Some(total)) => format!("{} of about {total}", sweep.records),
        (false, None) => sweep.records.to_string(),
    };
    if let Some((rate, left)) = sweep.rate.zip(sweep.eta_seconds) {
        words.push_str(&format!(", {rate:.0} a second, {} left", duration(left)));
    }
    if sweep.parked > 0 {
        words.push_str(&format!(", {} parked without a usable _id", sweep.parked));
    }
    words
}

/// How many people are where, and those who move together.
pub(super) fn people(page: &mut Html, report: &StatusReport) {
    let all: i64 = report.people.values().sum();
    if all == 0 {
        page.remark("Nobody was counted yet.");
    } else {
        let share = |count: i64| format!("{count} ({:.1} %)", 100.0 * count as f64 / all as f64);
        let name = |state: &str| if state == "draining" { "On the way".to_owned() } else { format!("In {state}") };
        let known = PersonState::ALL.iter().map(|state| state.as_str());
        page.facts(known.filter_map(|state| Some((name(state), share(*report.people.get(state)?)))));
    }
    if !report.batches.is_empty() {
        let rows = report.batches.iter().map(|batch| [batch.id.to_string(), batch.state.clone(), batch.line()]);
        page.table("Batches under way", ["batch", "state", "how far"], rows);
    }
}

/// The newest conflicts, parked keys and changes.
pub(super) fn records(page: &mut Html, report: &StatusReport) {
    if report.newest_conflicts.is_empty() && report.newest_parked.is_empty() {
        page.remark("No conflict and nothing parked.");
    }
    if !report.newest_conflicts.is_empty() {
        let rows = report.newest_conflicts.iter().map(|entry| {
            let outcome = match (&entry.winner, entry.resolved) {
                (Some(winner), _) => format!("{winner} won"),
                (None, true) => "settled".to_owned(),
                (None, false) => "open".to_owned(),
            };
            [entry.id.to_string(), moment(&entry.at), record(entry), entry.what.clone(), outcome]
        });
        page.table("Newest conflicts", ["number", "when (UTC)", "record", "kind", "outcome"], rows);
        page.raw("<p class=\"quiet\">One of them: <code>biograph-bridge conflicts show NUMBER</code></p>\n");
    }
    if !report.newest_parked.is_empty() {
        let rows = report.newest_parked.iter();
        let rows = rows.map(|entry| [entry.id.to_string(), moment(&entry.at), record(entry), entry.what.clone()]);
        page.table("Parked last", ["number", "since (UTC)", "record", "reason"], rows);
        page.raw("<p class=\"quiet\">One of them: <code>biograph-bridge parked show NUMBER</code></p>\n");
    }
    if !report.recent.is_empty() {
        page.raw("<details id=\"changes\"><summary>Last changes that crossed</summary>\n");
        let rows = report.recent.iter().take(20).map(|one| {
            let who = one.label.clone().unwrap_or_default();
            let what = format!("{} legacy:{} {who}", one.entity, one.legacy_id);
            [moment(&one.at), direction(&one.direction), what, one.fields_in_short()]
        });
        page.table("Last changes", ["when (UTC)", "direction", "record", "fields"], rows);
        page.raw("</details>\n");
    }
}

/// `user legacy:65f0… bio`.
fn record(entry: &EntryReport) -> String {
    let legacy = entry.legacy_id.as_ref().map(|id| format!("legacy:{id}"));
    let renaissance = || entry.renaissance_id.map(|id| format!("renaissance:{id}"));
    let id = legacy.or_else(renaissance).unwrap_or_default();
    [entry.entity.as_str(), &id, entry.field.as_deref().unwrap_or("(whole record)")].join(" ")
}
