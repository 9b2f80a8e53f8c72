//! What is wrong, worst first, with the command that helps and the place in the runbook.

use super::{
    html::Html,
    words::{bytes, count, direction, duration},
};
use crate::sync::status::{STUCK, StatusReport};

/// Seconds of lag from which one should look, and act.
const LAGGING: [f64; 2] = [30.0, 300.0];
/// Seconds until the slot is lost, below which one has to act.
const SLOT_SOON: f64 = 4.0 * 3600.0;
/// Seconds that the oplog should reach back.
const OPLOG_SHORT: f64 = 6.0 * 3600.0;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Something does not work until somebody acts.
    Act,
    /// Somebody should look.
    Look,
}

/// Something that is wrong.
pub(super) struct Trouble {
    pub(super) weight: Weight,
    what: String,
    fix: Option<String>,
    /// The alert whose section of the runbook explains it.
    runbook: Option<&'static str>,
}

/// Everything that is wrong, worst first.
pub(super) fn troubles(report: &StatusReport) -> Vec<Trouble> {
    let mut list = Troubles(Vec::new());
    list.errors(report);
    list.pauses(report);
    list.loops(report);
    if !["starting", "standby"].contains(&report.state.as_str()) {
        list.sides(report);
        list.lags(report);
        list.headroom(report);
    }
    list.records(report);
    list.people(report);
    list.0.sort_by_key(|trouble| trouble.weight);
    list.0
}

/// The list for people.
pub(super) fn show(page: &mut Html, troubles: &[Trouble]) {
    if troubles.is_empty() {
        page.raw("<p class=\"fine\"><strong>✓</strong> Nothing needs you.</p>\n");
        return;
    }
    page.raw("<ul class=\"troubles\">\n");
    for trouble in troubles {
        page.raw(match trouble.weight {
            Weight::Act => "<li class=\"act\"><span class=\"badge\">Act</span> ",
            Weight::Look => "<li class=\"look\"><span class=\"badge\">Look</span> ",
        });
        page.text(&trouble.what);
        if let Some(fix) = &trouble.fix {
            let command = fix.starts_with("biograph-bridge ");
            let (open, close) = if command { ("<code>", "</code>") } else { ("", "") };
            page.raw("<div><span class=\"quiet\">What to do:</span> ").raw(open).text(fix).raw(close).raw("</div>");
        }
        if let Some(alert) = trouble.runbook {
            page.raw("<div><a href=\"runbook#")
                .text(alert.to_lowercase())
                .raw("\">Runbook: ")
                .text(alert)
                .raw("</a></div>");
        }
        page.raw("</li>\n");
    }
    page.raw("</ul>\n");
}

struct Troubles(Vec<Trouble>);

impl Troubles {
    fn add(&mut self, weight: Weight, what: String, fix: Option<&str>, runbook: Option<&'static str>) {
        self.0.push(Trouble { weight, what, fix: fix.map(str::to_owned), runbook });
    }

    fn errors(&mut self, report: &StatusReport) {
        let cut = report.sides.values().any(|side| side.feed == "down");
        let runbook = if cut { "BridgeReconnects" } else { "BridgeBlocked" };
        for error in &report.errors {
            let what = format!("{}: {}", error.place, error.message);
            self.add(Weight::Act, what, error.fix.as_deref(), Some(runbook));
        }
    }

    fn pauses(&mut self, report: &StatusReport) {
        for pause in &report.pauses {
            let guard = pause.missing_on.is_some() && pause.deletions.is_none();
            let weight = if guard { Weight::Act } else { Weight::Look };
            self.add(weight, pause.line(), Some(&pause.fix()), Some("BridgePaused"));
        }
    }

    fn loops(&mut self, report: &StatusReport) {
        for stuck in report.loops.iter().filter(|turn| turn.idle_seconds > STUCK.as_secs_f64()) {
            let what = format!("the loop “{}” has not turned for {}", stuck.name, duration(stuck.idle_seconds));
            self.add(Weight::Act, what, None, Some("BridgeNotActive"));
        }
    }

    fn sides(&mut self, report: &StatusReport) {
        for (name, side) in report.sides.iter().filter(|(_, side)| side.feed != "streaming") {
            let (weight, what) = match side.feed.as_str() {
                "down" => (Weight::Act, format!("{name} is not connected")),
                _ => (Weight::Look, format!("{name} is connected but not streaming yet")),
            };
            self.add(weight, what, Some("biograph-bridge check"), Some("BridgeReconnects"));
        }
    }

    fn lags(&mut self, report: &StatusReport) {
        for (name, way) in &report.directions {
            let name = direction(name);
            match way.lag_seconds {
                None => self.add(Weight::Look, format!("{name}: lag is unknown"), None, Some("BridgeLagUnknown")),
                Some(lag) if lag > LAGGING[1] => {
                    self.add(
                        Weight::Act,
                        format!("{name} is {} behind", duration(lag)),
                        None,
                        Some("BridgeLaggingFar"),
                    );
                }
                Some(lag) if lag > LAGGING[0] => {
                    self.add(Weight::Look, format!("{name} is {} behind", duration(lag)), None, Some("BridgeLagging"));
                }
                Some(_) => {}
            }
        }
    }

    fn headroom(&mut self, report: &StatusReport) {
        let room = &report.headroom;
        if let Some(left) = room.slot_seconds_left.filter(|left| *left < SLOT_SOON) {
            let what = format!("at this rate Postgres gives the slot up in {}", duration(left));
            self.add(Weight::Act, what, None, Some("BridgeSlotExhaustion"));
        }
        if let Some((safe, kept)) = room.slot_safe_bytes.zip(room.slot_retained_bytes) {
            let what =
                format!("Postgres keeps {} for the bridge; after {} more the slot is lost", bytes(kept), bytes(safe));
            match safe / (safe + kept).max(1.0) {
                ..0.2 => self.add(Weight::Act, what, None, Some("BridgeSlotNearlyUsed")),
                0.2..0.5 => self.add(Weight::Look, what, None, Some("BridgeSlotHalfUsed")),
                _ => {}
            }
        }
        let Some(window) = room.oplog_window_seconds else { return };
        if room.oplog_seconds_left.is_some_and(|left| left < window / 2.0) && window > LAGGING[1] {
            let what = "the bridge's place in the oplog is about to be overwritten".to_owned();
            self.add(Weight::Act, what, None, Some("BridgeOplogRunningOut"));
        }
        // an oplog that has never wrapped is as short as the server is young
        let uptime = report.uptime_seconds as f64;
        if window < OPLOG_SHORT && uptime > OPLOG_SHORT {
            let what = format!("the oplog reaches back {} only", duration(window));
            self.add(Weight::Look, what, None, Some("BridgeOplogShort"));
        }
    }

    fn records(&mut self, report: &StatusReport) {
        let parked: Vec<_> = report.parked.iter().filter(|parked| parked.reason != "paused").collect();
        let sum: i64 = parked.iter().map(|parked| parked.count).sum();
        if sum > 0 {
            let parts = parked.iter().map(|one| format!("{} {}: {}", one.entity, one.reason, one.count));
            let what = format!(
                "{} parked and cannot cross ({})",
                count(usize::try_from(sum).unwrap_or(usize::MAX), "record or field is", "records or fields are"),
                parts.collect::<Vec<_>>().join(", ")
            );
            self.add(Weight::Look, what, Some("biograph-bridge parked list"), Some("BridgeParkedGrowing"));
        }
        if report.newest_conflicts.iter().any(|entry| entry.winner.is_none() && !entry.resolved) {
            let what = "a conflict waits for a person to decide".to_owned();
            self.add(Weight::Look, what, Some("biograph-bridge conflicts list --open"), Some("BridgeConflictsJump"));
        }
        for one in report.verified.iter().filter(|one| one.differing > 0) {
            let what = format!("{}: {} of {} compared records differ", one.entity, one.differing, one.compared);
            let fix = format!("biograph-bridge verify --entity {} --repair --dry-run", one.entity);
            self.add(Weight::Look, what, Some(&fix), Some("BridgeVerifyDifferences"));
        }
        for healing in report.healings.iter().filter(|healing| healing.ended_at.is_none()) {
            let what = format!("{} lost its position ({}); a sweep finds what was missed", healing.side, healing.cause);
            self.add(Weight::Look, what, None, Some("BridgePositionLost"));
        }
    }

    fn people(&mut self, report: &StatusReport) {
        for batch in &report.batches {
            if let Some(why) = &batch.why {
                let what = format!("batch {} has paused by itself: {why}", batch.id);
                self.add(Weight::Act, what, Some("biograph-bridge cutover list"), Some("BridgeMovesStuck"));
            }
        }
    }
}
