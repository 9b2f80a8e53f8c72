//! The status on one screen.

use std::collections::BTreeMap;

use super::paint::Paint;
use crate::{
    model::fact::PersonState,
    sync::status::{Crossing, StatusReport, SweepReport},
};

/// Changes shown at the end.
const SHOWN: usize = 8;
/// Seconds until the slot is lost, below which one has to act, as the alert has it.
const SLOT_SOON: f64 = 4.0 * 3600.0;
/// Width of a bar.
const BAR: u64 = 24;
/// Where values start.
const LABEL: usize = 26;

/// The screen for a status document.
pub(super) fn status(report: &StatusReport, address: &str, paint: Paint) -> String {
    let mut lines = Lines { lines: Vec::new(), paint };
    lines.title(report, address);
    lines.directions(report);
    lines.sides(report);
    lines.pauses(report);
    lines.work(report);
    lines.headroom(report);
    lines.failing(report);
    lines.recent(&report.recent);
    lines.lines.join("\n") + "\n"
}

struct Lines {
    lines: Vec<String>,
    paint: Paint,
}

impl Lines {
    fn line(&mut self, label: &str, value: &str) {
        // at least a blank between them, however long the label is
        self.lines.push(format!("  {label:<width$} {value}", width = LABEL - 1).trim_end().to_owned());
    }

    fn title(&mut self, report: &StatusReport, address: &str) {
        let state = match report.state.as_str() {
            "streaming" => self.paint.good(&report.state),
            other => self.paint.attention(other),
        };
        let up = duration(report.uptime_seconds as f64);
        let title = self.paint.bold(&format!("biograph-bridge {}", report.version));
        self.lines.push(format!("{title}  {state}  up {up}  http://{address}/"));
        if report.shadow {
            self.lines.push(self.paint.attention("shadow: decides and journals, writes nothing"));
        }
        self.lines.push(String::new());
    }

    fn directions(&mut self, report: &StatusReport) {
        for (name, direction) in &report.directions {
            let lag = match direction.lag_seconds {
                None => self.paint.attention("lag unknown"),
                Some(lag) if lag <= 0.0 => self.paint.good("caught up"),
                Some(lag) => format!("behind by {}", duration(lag)),
            };
            let written = if report.shadow { "would be written" } else { "written" };
            self.line(&name.replace("_to_", " → "), &format!("{lag}, {} {written}", count(direction.applied)));
        }
    }

    fn sides(&mut self, report: &StatusReport) {
        for (name, side) in &report.sides {
            let feed = match side.feed.as_str() {
                "streaming" => self.paint.good(&side.feed),
                "down" => self.paint.bad(&side.feed),
                other => self.paint.attention(other),
            };
            let saved = match side.checkpoint_age_seconds {
                Some(age) => format!("position saved {} ago", duration(age)),
                None => "no position saved yet".to_owned(),
            };
            let (hints, echoes) = (count(side.hints), count(side.echoes));
            self.line(name, &format!("{feed}, {hints} received, {echoes} own writes came back, {saved}"));
        }
    }

    fn pauses(&mut self, report: &StatusReport) {
        for pause in &report.pauses {
            let line = self.paint.attention(&pause.line());
            self.line("paused", &line);
            self.line("", &format!("{} {}", self.paint.bold("end it with:"), pause.fix()));
        }
    }

    fn work(&mut self, report: &StatusReport) {
        let waiting = format!("{} keys ({} KiB)", count(report.queue.keys), count(report.queue.bytes.div_ceil(1024)));
        self.line("waiting", &waiting);
        let (done, open): (Vec<_>, Vec<_>) = report.sweeps.iter().partition(|sweep| sweep.done);
        if !done.is_empty() {
            self.line("sweeps complete", &format!("{} of {}", done.len(), report.sweeps.len()));
        }
        for sweep in open {
            self.line(&format!("{} {} {}", sweep.kind, sweep.entity, sweep.side), &progress(sweep));
        }
        for healing in &report.healings {
            let label = format!("lost position {}", healing.side);
            let value = match (&healing.ended_at, healing.changed) {
                (Some(at), changed) => {
                    format!("{}, healed at {at}, {} records written", healing.cause, count(changed.unwrap_or(0)))
                }
                (None, _) => self.paint.attention(&format!("{}, healing since {}", healing.cause, healing.begun_at)),
            };
            self.line(&label, &value);
        }
        for one in &report.verified {
            let differing = match one.differing {
                0 => self.paint.good("no differences"),
                many => self.paint.bad(&format!("{many} differ")),
            };
            let unsettled = if one.unsettled > 0 { format!(", {} unsettled", one.unsettled) } else { String::new() };
            let compared = count(u64::try_from(one.compared).unwrap_or(0));
            self.line(
                &format!("verified {}", one.entity),
                &format!("{differing}{unsettled} of {compared}, {}", one.at),
            );
        }
        self.line("conflicts since start", &count(report.conflicts));
        let mut reasons: BTreeMap<&str, i64> = BTreeMap::new();
        report.parked.iter().for_each(|parked| *reasons.entry(&parked.reason).or_default() += parked.count);
        let reasons: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        match report.parked_total() {
            0 => self.line("parked", "0"),
            total => {
                let total = self.paint.attention(&total.to_string());
                self.line("parked", &format!("{total} ({}); see `biograph-bridge parked list`", reasons.join(", ")));
            }
        }
        if !report.people.is_empty() {
            let number = |number: i64| count(u64::try_from(number).unwrap_or(0));
            let known = PersonState::ALL.iter().map(|state| state.as_str());
            let people = known.filter_map(|state| Some(format!("{state} {}", number(*report.people.get(state)?))));
            let people: Vec<_> = people.collect();
            self.line("people", &people.join(", "));
        }
        for batch in &report.batches {
            let line = match (batch.state.as_str(), &batch.why) {
                ("running", _) => batch.line(),
                (state, why) => {
                    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                    format!("{}, {}", self.paint.attention(&format!("{state}{why}")), batch.line())
                }
            };
            self.line(&format!("batch {}", batch.id), &line);
        }
    }

    /// How long both logs still hold what was not read yet; nothing where nothing is known.
    fn headroom(&mut self, report: &StatusReport) {
        let room = &report.headroom;
        let mebibytes = |bytes: f64| format!("{} MiB", count((bytes.max(0.0) / 1_048_576.0).ceil() as u64));
        if let Some(kept) = room.slot_retained_bytes {
            let left = match (room.slot_safe_bytes, room.slot_seconds_left) {
                (None, _) => "no limit is set".to_owned(),
                (Some(safe), None) => format!("{} more until the slot is lost", mebibytes(safe)),
                (Some(safe), Some(left)) => {
                    let line =
                        format!("{} more until the slot is lost, at this rate in {}", mebibytes(safe), duration(left));
                    if left < SLOT_SOON { self.paint.attention(&line) } else { line }
                }
            };
            self.line("log kept by Postgres", &format!("{}, {left}", mebibytes(kept)));
        }
        if let Some(window) = room.oplog_window_seconds {
            let left =
                room.oplog_seconds_left.map(|left| format!(", {} left if the bridge stood still", duration(left)));
            self.line("oplog reaches back", &format!("{}{}", duration(window), left.unwrap_or_default()));
        }
    }

    fn failing(&mut self, report: &StatusReport) {
        for error in &report.errors {
            self.lines.push(String::new());
            self.lines.push(format!("  {} {}: {}", self.paint.bad("✗"), error.place, error.message));
            if let Some(fix) = &error.fix {
                self.lines.push(format!("    {} {fix}", self.paint.bold("fix:")));
            }
        }
    }

    fn recent(&mut self, recent: &[Crossing]) {
        if recent.is_empty() {
            return;
        }
        self.lines.push(String::new());
        self.lines.push(format!("  {}", self.paint.bold("last changes")));
        for crossing in recent.iter().take(SHOWN) {
            self.lines.push(format!("  {}", change(crossing, self.paint)));
        }
    }
}

/// One change on one line.
fn change(crossing: &Crossing, paint: Paint) -> String {
    let arrow = if crossing.direction == "legacy_to_renaissance" { "→" } else { "←" };
    let time = crossing.at.get(11..19).unwrap_or(&crossing.at);
    let who = crossing.label.as_deref().unwrap_or("");
    let (entity, id) = (&crossing.entity, &crossing.legacy_id);
    format!("{} legacy {arrow} renaissance  {entity} {id}  {who}  {}", paint.dim(time), crossing.fields_in_short())
}

/// `12,000 of about 40,000 (30 %), 900 a second, 31.1 s left`.
pub(super) fn progress(sweep: &SweepReport) -> String {
    let records = count(sweep.records);
    let mut line = match (sweep.done, sweep.total) {
        (true, _) => format!("complete, {records} walked"),
        (false, Some(total)) if total > 0 => {
            let share = (sweep.records.min(total) * 100) / total;
            format!("{records} of about {} ({share} %)", count(total))
        }
        (false, Some(_) | None) => format!("{records} walked"),
    };
    if sweep.parked > 0 {
        line.push_str(&format!(", {} parked without a usable _id", count(sweep.parked)));
    }
    if let Some(rate) = sweep.rate {
        line.push_str(&format!(", {} a second", count(rate as u64)));
    }
    if let Some(left) = sweep.eta_seconds {
        line.push_str(&format!(", {} left", duration(left)));
    }
    line
}

/// How much of something is done, as a bar.
pub(super) fn bar(records: u64, total: Option<u64>, done: bool) -> String {
    let filled = match (done, total) {
        (true, _) => BAR,
        (false, Some(total)) if total > 0 => (records.min(total) * BAR / total).min(BAR - 1),
        (false, Some(_) | None) => 0,
    };
    let bar: String = (0..BAR).map(|place| if place < filled { '█' } else { '░' }).collect();
    if done { Paint::stdout().good(&bar) } else { bar }
}

/// 1234567 → "1,234,567".
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        86_400.. => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Error,
        metrics::EntityLabels,
        model::{
            fact::{DaemonState, Feed, Lag, SlotRoom},
            key::EntityIndex,
            problem::Reason,
            side::{Direction, Side},
        },
        sync::status::{BatchStatus, Status},
    };

    #[test]
    fn everything_worth_knowing_fits_on_one_screen() {
        let status = Status::new(vec![EntityLabels { name: "user".into(), fields: Vec::new() }]);
        status.state(DaemonState::Streaming);
        status.feed(Side::Legacy, Feed::Streaming);
        status.lag(Direction::LegacyToRenaissance, Lag::CaughtUp);
        status.parked(&[(EntityIndex(0), Reason::TooLong, 2)]);
        status.failed("renaissance capture", &Error::retry("connection refused").with_hint("start Postgres"));
        let crossing = Crossing {
            at: "2026-11-22T12:00:01.5Z".into(),
            direction: "legacy_to_renaissance".into(),
            entity: "user".into(),
            legacy_id: "65f0c0ffee00000000000abc".into(),
            fields: vec!["name".into(), "email".into()],
            label: Some("A•••• L••••".into()),
        };
        status.applied(Direction::LegacyToRenaissance, [None], [crossing]);
        status.batches(vec![BatchStatus {
            id: 3,
            toward: "renaissance".into(),
            state: "paused".into(),
            why: Some("11 people did not move, more than 10".into()),
            people: 200,
            done: 120,
            failed: 11,
        }]);
        status.slot(SlotRoom { retained_bytes: Some(2_000_000.0), safe_bytes: Some(1e9), ..SlotRoom::default() });
        status.oplog_window(Some(std::time::Duration::from_secs(7_200)));
        let screen = super::status(&status.snapshot(), "127.0.0.1:9464", Paint::plain());
        for expected in [
            "  log kept by Postgres      2 MiB, 954 MiB more until the slot is lost\n",
            "  oplog reaches back        2 h 0 min, 2 h 0 min left if the bridge stood still\n",
            "  batch 3                   paused: 11 people did not move, more than 10, 120 of 200 (60 %) to renaissance, 11 did not \
             move\n",
            "streaming  up 0.0 s  http://127.0.0.1:9464/\n",
            "  legacy → renaissance      caught up, 1 written\n",
            "  renaissance → legacy      lag unknown, 0 written\n",
            "  parked                    2 (too_long 2); see `biograph-bridge parked list`\n",
            "  ✗ renaissance capture: connection refused\n    fix: start Postgres\n",
            "  12:00:01 legacy → renaissance  user 65f0c0ffee00000000000abc  A•••• L••••  name, email\n",
        ] {
            assert!(screen.contains(expected), "{expected:?} is missing from\n{screen}");
        }
        assert!(screen.lines().count() <= 24, "{screen}");
    }

    #[test]
    fn a_change_of_many_fields_takes_one_line() {
        let fields = |many: usize| (0..many).map(|n| format!("f{n}")).collect();
        let short = |many| Crossing { fields: fields(many), ..Crossing::default() }.fields_in_short();
        assert_eq!(short(5), "f0, f1, f2, f3, f4");
        assert_eq!(short(14), "f0, f1, f2, f3 and 10 more");
    }

    #[test]
    fn sweeps_that_are_done_take_one_line() {
        let sweep = |side: &str, done| SweepReport {
            entity: "recorded_time".into(),
            side: side.into(),
            kind: "backfill".into(),
            records: 7,
            done,
            ..SweepReport::default()
        };
        let sweeps = vec![sweep("legacy", true), sweep("renaissance", false)];
        let screen = super::status(&StatusReport { sweeps, ..StatusReport::default() }, "", Paint::plain());
        assert!(screen.contains("  sweeps complete           1 of 2\n"), "{screen}");
        assert!(screen.contains("  backfill recorded_time renaissance 7 walked\n"), "{screen}");
    }

    #[test]
    fn a_running_sweep_says_how_fast_and_how_long() {
        let sweep = SweepReport {
            records: 12_000,
            total: Some(40_000),
            parked: 2,
            rate: Some(900.5),
            eta_seconds: Some(31.1),
            ..SweepReport::default()
        };
        assert_eq!(
            progress(&sweep),
            "12,000 of about 40,000 (30 %), 2 parked without a usable _id, 900 a second, 31.1 s left"
        );
    }

    #[test]
    fn numbers_and_times_are_for_people() {
        assert_eq!((count(7), count(1_234), count(1_234_567)), ("7".into(), "1,234".into(), "1,234,567".into()));
        assert_eq!(
            (duration(0.25), duration(61.0), duration(90_000.0)),
            ("0.2 s".into(), "1 min 1 s".into(), "1 d 1 h".into())
        );
    }
}
