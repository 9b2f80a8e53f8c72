//! What the page says, without a browser.

use super::*;
use crate::sync::status::{
    BatchStatus, EntryReport, ErrorReport, HealingReport, ParkedReport, PauseReport, SideReport, StatusReport,
    SweepReport,
};

const HOSTILE: &str = "<script>alert('x')</script>\" onload=\"y\u{1}&";

/// A report whose every text is hostile.
fn hostile() -> StatusReport {
    let text = || HOSTILE.to_owned();
    StatusReport {
        version: text(),
        state: text(),
        sides: [(text(), SideReport { feed: text(), checkpoint: Some(text()), ..SideReport::default() })].into(),
        sweeps: vec![SweepReport {
            entity: text(),
            kind: text(),
            side: "legacy".into(),
            total: Some(9),
            ..SweepReport::default()
        }],
        healings: vec![HealingReport { side: text(), cause: text(), ..HealingReport::default() }],
        pauses: vec![PauseReport { detail: text(), entity: Some(text()), ..PauseReport::default() }],
        parked: vec![ParkedReport { entity: text(), reason: text(), count: 1 }],
        newest_conflicts: vec![EntryReport { entity: text(), field: Some(text()), ..EntryReport::default() }],
        newest_parked: vec![EntryReport { legacy_id: Some(text()), what: text(), ..EntryReport::default() }],
        people: [(text(), 3)].into(),
        batches: vec![BatchStatus { state: text(), why: Some(text()), ..BatchStatus::default() }],
        errors: vec![ErrorReport { place: text(), message: text(), fix: Some(text()), ..ErrorReport::default() }],
        recent: vec![crate::sync::status::Crossing { label: Some(text()), fields: vec![text()], ..Default::default() }],
        ..StatusReport::default()
    }
}

/// Fails where elements are not closed in order, or an attribute is not quoted.
fn well_formed(html: &str) {
    const VOID: [&str; 2] = ["meta", "link"];
    let (mut open, mut rest) = (Vec::new(), html.strip_prefix("<!doctype html>").unwrap());
    while let Some((_, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>').expect("every tag ends");
        rest = after;
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn what_comes_from_elsewhere_is_shown_as_text() {
    let page = render(&hostile(), &History::default());
    well_formed(&page);
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;y\u{fffd}&amp;"));
    assert!(!page.contains("alert('x')") && !page.contains("\" onload"));
    assert_eq!(page.matches("<script").count(), 1, "only the page's own script");
}

#[test]
fn it_is_whole_without_the_script_and_has_landmarks() {
    let page = render(&StatusReport::default(), &History::default());
    well_formed(&page);
    let wanted = [
        "<html lang=\"en\">",
        "<header>",
        "<main id=\"main\"",
        "<footer>",
        "<nav aria-label=",
        "<h1>",
        "role=\"status\"",
        "role=\"img\" aria-label=\"Lag",
        "<noscript><meta http-equiv=\"refresh\"",
        "class=\"skip\" href=\"#main\"",
        "What needs you",
        "Nothing needs you",
        "legacy → renaissance",
        "renaissance → legacy",
    ];
    for part in wanted {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("style=") && !page.contains("onclick"), "the policy forbids them");
}

#[test]
fn what_is_wrong_comes_first_and_says_what_to_do() {
    let report = StatusReport {
        state: "streaming".into(),
        sides: [("legacy".into(), SideReport { feed: "down".into(), ..SideReport::default() })].into(),
        parked: vec![ParkedReport { entity: "user".into(), reason: "unique_taken".into(), count: 2 }],
        ..StatusReport::default()
    };
    let page = render(&report, &History::default());
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(at("legacy is not connected") < at("2 records or fields are parked"));
    assert!(at("2 records or fields are parked") < at("Lag in the last hour"));
    assert!(page.contains("<code>biograph-bridge parked list</code>") && page.contains("2 things need you"));
}

#[test]
fn every_link_into_the_runbook_leads_somewhere() {
    let (source, runbook) = (include_str!("trouble.rs"), runbook());
    well_formed(&runbook);
    let alerts: Vec<_> = source.split('"').filter(|word| word.starts_with("Bridge")).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(runbook.contains(&format!("<h3 id=\"{}\">", alert.to_lowercase())), "{alert}");
    }
}
