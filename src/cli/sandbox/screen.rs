//! What is shown each second, as text: a block of lines, one line, or one JSON object.

use std::time::Duration;

use serde_json::json;

use super::super::{paint::Paint, screen::count};
use super::drive::{People, Tally};
use crate::{
    model::{fact::DaemonState, side::Direction},
    sync::status::{Crossing, DirectionReport, StatusReport},
};

/// Changes shown at the end of the block.
const SHOWN: usize = 8;
/// So many fields of a change are named.
const NAMED: usize = 6;
/// Where the columns of the two sides start.
const LABEL: usize = 24;
const COLUMN: usize = 12;

/// Everything there is to show.
pub(super) struct View<'a> {
    pub(super) report: &'a StatusReport,
    pub(super) tally: Tally,
    pub(super) people: People,
    /// The legacy id of the person to try things on.
    pub(super) example: &'a str,
    pub(super) elapsed: Duration,
}

/// How a piece of a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Plain,
    Bold,
    Dim,
    Good,
    Attention,
    Bad,
}

/// One line of the block: pieces with their looks, so that it can be cut by what is seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Vec<(Look, String)>);

impl Line {
    fn and(mut self, look: Look, text: impl Into<String>) -> Self {
        self.0.push((look, text.into()));
        self
    }

    fn plain(self, text: impl Into<String>) -> Self {
        self.and(Look::Plain, text)
    }

    /// At most `width` letters of it, coloured.
    pub(super) fn painted(&self, paint: Paint, width: usize) -> String {
        let mut left = width;
        let mut painted = String::new();
        for (look, text) in &self.0 {
            let seen: String = text.chars().take(left).collect();
            left -= seen.chars().count();
            if seen.is_empty() {
                continue;
            }
            painted.push_str(&match look {
                Look::Plain => seen,
                Look::Bold => paint.bold(&seen),
                Look::Dim => paint.dim(&seen),
                Look::Good => paint.good(&seen),
                Look::Attention => paint.attention(&seen),
                Look::Bad => paint.bad(&seen),
            });
        }
        painted
    }
}

/// The block that is redrawn in place.
pub(super) fn block(view: &View<'_>) -> Vec<Line> {
    let (report, tally, people) = (view.report, view.tally, view.people);
    let look = if report.state == DaemonState::Streaming.as_str() { Look::Good } else { Look::Attention };
    let mut lines = vec![
        Line::default()
            .and(look, report.state.clone())
            .and(Look::Dim, format!("  {}", clock(view.elapsed)))
            .plain(copying(view)),
        columns(Look::Bold, "", "BioGraph", "Renaissance"),
        columns(Look::Plain, "people", &known(people.legacy), &known(people.renaissance)),
        columns(Look::Plain, "written by the app", &count(tally.legacy), &count(tally.renaissance)),
        columns(
            Look::Plain,
            "written by the bridge",
            &applied(view, Direction::RenaissanceToLegacy),
            &applied(view, Direction::LegacyToRenaissance),
        ),
        columns(Look::Plain, "echoes dropped", &echoes(view, "legacy"), &echoes(view, "renaissance")),
        Line::default(),
        behind(view, "BioGraph → Renaissance", Direction::LegacyToRenaissance),
        behind(view, "Renaissance → BioGraph", Direction::RenaissanceToLegacy),
        rest(view),
        Line::default(),
    ];
    for error in &report.errors {
        lines.push(Line::default().and(Look::Bad, format!("✗ {}: ", error.place)).plain(error.message.clone()));
    }
    lines.push(Line::default().and(Look::Bold, "last changes"));
    lines.extend(report.recent.iter().take(SHOWN).map(|crossing| change(crossing, view.example)));
    lines.extend(vec![Line::default(); SHOWN.saturating_sub(report.recent.len())]);
    lines
}

/// The same in one line, without colour.
pub(super) fn line(view: &View<'_>) -> String {
    let lag = |direction: Direction| lag(way(view, direction).as_ref());
    let newest = view
        .report
        .recent
        .first()
        .map(|crossing| format!("  last {} {} {}", arrow(crossing), who(crossing), what(crossing)));
    format!(
        "{} {}{}  people {} | {}  lag → {} ← {}  crossed → {} ← {}  conflicts {}  parked {}  echoes {} | {}{}",
        clock(view.elapsed),
        view.report.state,
        copying(view),
        known(view.people.legacy),
        known(view.people.renaissance),
        lag(Direction::LegacyToRenaissance),
        lag(Direction::RenaissanceToLegacy),
        applied(view, Direction::LegacyToRenaissance),
        applied(view, Direction::RenaissanceToLegacy),
        count(view.report.conflicts),
        view.report.parked_total(),
        echoes(view, "legacy"),
        echoes(view, "renaissance"),
        newest.unwrap_or_default(),
    )
}

/// The same for programs.
pub(super) fn object(view: &View<'_>) -> serde_json::Value {
    json!({ "people": view.people, "traffic": view.tally, "bridge": view.report })
}

/// What has been done when it ends.
pub(super) fn summary(view: &View<'_>) -> String {
    format!(
        "done after {}: {} changes crossed to Renaissance, {} to BioGraph; {} conflicts, {} parked",
        clock(view.elapsed),
        applied(view, Direction::LegacyToRenaissance),
        applied(view, Direction::RenaissanceToLegacy),
        count(view.report.conflicts),
        view.report.parked_total()
    )
}

fn columns(look: Look, label: &str, legacy: &str, renaissance: &str) -> Line {
    let text = format!("{legacy:>COLUMN$}  {renaissance:>COLUMN$}");
    Line::default().plain(format!("  {label:<LABEL$}")).and(look, text)
}

fn behind(view: &View<'_>, label: &str, direction: Direction) -> Line {
    let report = way(view, direction);
    let seconds = report.as_ref().and_then(|report| report.lag_seconds);
    let look = match seconds {
        Some(seconds) if seconds < 1.0 => Look::Good,
        Some(_) | None => Look::Attention,
    };
    let text = match seconds {
        Some(0.0) => "caught up".to_owned(),
        Some(_) => format!("{} behind", lag(report.as_ref())),
        None => "not known yet".to_owned(),
    };
    Line::default().plain(format!("  {label:<LABEL$}")).and(look, text)
}

fn rest(view: &View<'_>) -> Line {
    let tell = |line: Line, label: &str, number: u64| {
        let look = if number == 0 { Look::Plain } else { Look::Attention };
        line.plain(format!("  {label} ")).and(look, count(number))
    };
    let parked = u64::try_from(view.report.parked_total()).unwrap_or(0);
    let line = tell(Line::default(), "conflicts", view.report.conflicts);
    let line = tell(line, "parked", parked).plain(format!("  waiting {}", count(view.report.queue.keys)));
    if view.tally.failed == 0 { line } else { tell(line, "failed writes of the apps", view.tally.failed) }
}

/// How far the first copy is, until it is complete.
fn copying(view: &View<'_>) -> String {
    let report = view.report;
    if report.state != DaemonState::Backfilling.as_str() {
        return String::new();
    }
    let sweeps = || report.sweeps.iter().filter(|sweep| sweep.side == "legacy" && sweep.kind != "references");
    let done = sweeps().map(|sweep| sweep.records).sum();
    let known: Option<u64> = sweeps().map(|sweep| sweep.total).sum();
    let total = known.or(view.people.legacy).map(|all| format!(" of {}", count(all))).unwrap_or_default();
    format!("  first copy: {}{total}", count(done))
}

fn change(crossing: &Crossing, example: &str) -> Line {
    let (time, fields) = (crossing.at.get(11..19).unwrap_or_default(), what(crossing));
    let line = Line::default().and(Look::Dim, format!("  {time}  ")).plain(format!("{}  ", arrow(crossing)));
    let line = line.and(Look::Bold, format!("{:<16}", who(crossing))).plain(format!(" {fields}"));
    if crossing.legacy_id == example { line.and(Look::Good, "  ← your change") } else { line }
}

fn who(crossing: &Crossing) -> &str {
    crossing.label.as_deref().unwrap_or("(no name)")
}

/// A deletion names no fields.
fn what(crossing: &Crossing) -> String {
    match crossing.fields.as_slice() {
        [] => "deleted".to_owned(),
        few if few.len() <= NAMED => few.join(", "),
        many => format!("{} fields", many.len()),
    }
}

fn arrow(crossing: &Crossing) -> &'static str {
    if crossing.direction == Direction::LegacyToRenaissance.as_str() {
        "BioGraph → Renaissance"
    } else {
        "BioGraph ← Renaissance"
    }
}

fn way(view: &View<'_>, direction: Direction) -> Option<DirectionReport> {
    view.report.directions.get(direction.as_str()).cloned()
}

fn lag(report: Option<&DirectionReport>) -> String {
    match report.and_then(|report| report.lag_seconds) {
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        Some(seconds) => format!("{seconds:.1} s"),
        None => "?".to_owned(),
    }
}

fn applied(view: &View<'_>, direction: Direction) -> String {
    count(way(view, direction).map_or(0, |report| report.applied))
}

fn echoes(view: &View<'_>, side: &str) -> String {
    count(view.report.sides.get(side).map_or(0, |report| report.echoes))
}

fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "?".to_owned(), count)
}

/// 1234567 → "1,234,567".
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests;
