//! The status page: one document that needs no script, shows what is wrong first, and has one script to keep it fresh.

mod chart;
mod html;
mod runbook;
mod sections;
mod trouble;
mod words;

use std::time::Instant;

use html::Html;
use trouble::{Trouble, Weight};
use words::{count, duration, moment};

use crate::{
    model::side::Direction,
    sync::status::{History, StatusReport},
};

/// Where the style is served.
pub(super) const STYLE: &str = "/page.css";
/// The style: light and dark, wide and narrow.
pub(super) const CSS: &str = include_str!("page/style.css");
/// Where the script is served.
pub(super) const SCRIPT: &str = "/page.js";
/// The script: puts what has changed in the place of what is shown.
pub(super) const REFRESH: &str = include_str!("page/refresh.js");

const HEAD: &str = "<meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
<meta name=\"color-scheme\" content=\"light dark\"><link rel=\"stylesheet\" href=\"page.css\">";
/// Without the script, the browser itself loads the page again now and then.
const FRESH: &str = "<script src=\"page.js\" defer></script>\
<noscript><meta http-equiv=\"refresh\" content=\"30\"></noscript>";

/// The runbook.
pub(super) fn runbook() -> String {
    runbook::render()
}

/// The page for a status and the hour before it.
pub(super) fn render(report: &StatusReport, history: &History) -> String {
    let troubles = trouble::troubles(report);
    document("biograph-bridge", |page| {
        page.raw(FRESH).raw("<a class=\"skip\" href=\"#main\">To the content</a>\n");
        header(page, report, &troubles);
        page.raw("<p id=\"stale\" role=\"alert\" hidden></p>\n<main id=\"main\" tabindex=\"-1\">\n");
        page.section("needs", "What needs you", |page| trouble::show(page, &troubles));
        let lags = Direction::ALL.map(|way| report.directions.get(way.as_str()).and_then(|way| way.lag_seconds));
        page.section("lag", "Lag in the last hour", |page| chart::lag(page, history, Instant::now(), lags));
        page.section("people", "People", |page| sections::people(page, report));
        page.section("work", "Work", |page| sections::work(page, report));
        page.section("headroom", "Headroom of the logs", |page| sections::headroom(page, report));
        page.section("sweeps", "Copying and comparing", |page| sections::sweeps(page, report));
        page.section("records", "Conflicts, parked keys, changes", |page| sections::records(page, report));
        page.raw("</main>\n<footer><nav aria-label=\"More\"><a href=\"runbook\">Runbook</a> <a href=\"api/status\">");
        page.raw("Status as JSON</a> <a href=\"metrics\">Metrics</a> <a href=\"readyz\">Ready?</a> ");
        page.raw("<a href=\"livez\">Alive?</a></nav></footer>\n");
    })
}

/// A document with this title.
fn document(title: &'static str, content: impl FnOnce(&mut Html)) -> String {
    let mut page = Html::default();
    page.raw("<!doctype html>\n<html lang=\"en\"><head>").raw(HEAD).raw("<title>").raw(title);
    page.raw("</title></head>\n<body>\n");
    content(&mut page);
    page.raw("</body></html>\n");
    page.0
}

fn header(page: &mut Html, report: &StatusReport, troubles: &[Trouble]) {
    let acts = troubles.iter().filter(|trouble| trouble.weight == Weight::Act).count();
    let class = match (acts, troubles.is_empty()) {
        (0, true) => "fine",
        (0, false) => "look",
        _ => "act",
    };
    page.raw("<header><h1>biograph-bridge</h1>\n<p id=\"state\" role=\"status\" class=\"state ").raw(class).raw("\">");
    page.raw("<strong>").text(&report.state).raw("</strong>: ").text(meaning(report));
    if report.shadow {
        page.raw("; a shadow: it decides and journals, and writes nothing");
    }
    if !troubles.is_empty() {
        page.raw(" – ").text(count(troubles.len(), "thing needs you", "things need you"));
    }
    page.raw("</p>\n<p class=\"quiet\">Version ").text(&report.version).raw(", up for ");
    page.text(duration(report.uptime_seconds as f64)).raw(", since ").text(moment(&report.started_at)).raw(" UTC</p>");
    page.raw("</header>\n");
}

/// What a state means.
fn meaning(report: &StatusReport) -> &'static str {
    let whole = report.sides.values().all(|side| side.feed == "streaming");
    match report.state.as_str() {
        "starting" => "connecting, and looking at what is there",
        "backfilling" => "copying what was never copied; changes follow meanwhile",
        "streaming" if whole => "following changes, both ways",
        "streaming" => "but not from both sides",
        "healing" => "a position was lost; looking for what was missed",
        "paused" => "something stands still, by command or by a guard",
        "standby" => "another daemon is active; this one takes over when that ends",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
