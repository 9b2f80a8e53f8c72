//! Queries of alerts and of the dashboard name metrics and labels that exist.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    alerts,
    files::{list, string, text},
};

/// Labels that Prometheus adds to what it scrapes, and to alerts.
const ADDED: [&str; 4] = ["job", "instance", "alertname", "alertstate"];

/// Each series that the daemon exposes, with its labels.
fn exposed() -> BTreeMap<String, BTreeSet<String>> {
    let golden = include_str!("../../src/metrics/golden.txt");
    let mut series = BTreeMap::new();
    let mut family = ("", "");
    for line in golden.lines() {
        if let Some(named) = line.strip_prefix("TYPE ") {
            family = named.split_once(' ').unwrap();
        } else if let Some(labels) = line.trim().strip_prefix('{') {
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).map(str::to_owned);
            let labels: BTreeSet<_> = labels.collect();
            if family.1 == "histogram" {
                let with_le = labels.iter().cloned().chain(["le".to_owned()]).collect();
                series.insert(format!("{}_bucket", family.0), with_le);
                series.insert(format!("{}_sum", family.0), labels.clone());
                series.insert(format!("{}_count", family.0), labels);
            } else {
                series.insert(family.0.to_owned(), labels);
            }
        }
    }
    series
}

/// A word of a query and what follows it.
fn words(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = query;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches(|c: char| !c.is_alphabetic() && c != '"' && c != '_');
            if let Some(quoted) = rest.strip_prefix('"') {
                rest = &quoted[quoted.find('"').expect("quotes are closed") + 1..];
                continue;
            }
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            return (!word.is_empty()).then_some((word, after));
        }
    })
}

/// The label names of `{a="…",b=~"…"}` at the start of `after`.
fn matchers(after: &str) -> Vec<String> {
    let Some(inside) = after.strip_prefix('{') else { return Vec::new() };
    let quoted: Vec<_> = inside.split('"').collect();
    let mut names = Vec::new();
    for between in quoted.iter().step_by(2) {
        let (here, closed) = between.split_once('}').map_or((*between, false), |(before, _)| (before, true));
        let name = here.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        names.extend((!name.is_empty()).then(|| name.to_owned()));
        if closed {
            break;
        }
    }
    names
}

/// What is wrong with a query.
fn problems(query: &str, exposed: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known: BTreeSet<&str> = ADDED.into();
    for (word, after) in words(query) {
        if let Some(labels) = exposed.get(word) {
            known.extend(labels.iter().map(String::as_str));
            let unknown = matchers(after).into_iter().filter(|name| !labels.contains(name) && name != "job");
            wrong.extend(unknown.map(|name| format!("{word} has no label {name}")));
        } else if word.starts_with("biograph_bridge") {
            wrong.push(format!("there is no metric {word}"));
        }
    }
    for (word, after) in words(query).filter(|(word, _)| ["by", "on", "without", "ignoring"].contains(word)) {
        let inside = after.trim_start().trim_start_matches('(').split(')').next().unwrap_or_default();
        let unknown = inside.split(',').map(str::trim).filter(|label| !known.contains(label));
        wrong.extend(unknown.map(|label| format!("{word} ({label}): no metric of the query has it")));
    }
    wrong
}

/// Every query of the dashboard, with the title of its panel.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&text("grafana/biograph-bridge.json")).unwrap();
    let panels = list(&dashboard, "/panels").iter().filter(|panel| panel["type"] != "row");
    let queries = panels.flat_map(|panel| {
        let title = string(panel, "/title");
        list(panel, "/targets").iter().map(move |target| (title.to_owned(), string(target, "/expr").to_owned()))
    });
    queries.collect()
}

#[test]
fn every_query_names_metrics_and_labels_that_exist() {
    let exposed = exposed();
    let rules =
        alerts::rules().into_iter().map(|rule| (string(&rule, "/alert").to_owned(), string(&rule, "/expr").to_owned()));
    let queries: Vec<_> = rules.chain(dashboard()).collect();
    assert!(queries.len() > 40, "{} queries", queries.len());
    let wrong: Vec<_> = queries
        .iter()
        .flat_map(|(place, query)| problems(query, &exposed).into_iter().map(move |what| format!("{place}: {what}")))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_metric_is_on_the_dashboard_or_in_an_alert() {
    let rules = alerts::rules().into_iter().map(|rule| string(&rule, "/expr").to_owned());
    let queries: Vec<String> = rules.chain(dashboard().into_iter().map(|(_, query)| query)).collect();
    let asked: BTreeSet<&str> = queries.iter().flat_map(|query| words(query)).map(|(word, _)| word).collect();
    let golden = include_str!("../../src/metrics/golden.txt");
    let families = golden.lines().filter_map(|line| line.strip_prefix("TYPE ")?.split(' ').next());
    let series = |family: &str| ["", "_bucket", "_sum", "_count"].map(|end| format!("{family}{end}"));
    let unseen: Vec<_> =
        families.filter(|family| !series(family).iter().any(|name| asked.contains(name.as_str()))).collect();
    assert_eq!(unseen, [""; 0]);
}

#[test]
fn a_query_that_is_wrong_is_found_out() {
    for (query, expected) in [
        ("sum by (side) (biograph_bridge_nothing)", "there is no metric biograph_bridge_nothing"),
        ("biograph_bridge_parked{job=\"a\",reson=~\"x|}y\"} > 0", "biograph_bridge_parked has no label reson"),
        ("sum by (entity) (biograph_bridge_queue_keys)", "by (entity): no metric of the query has it"),
        ("biograph_bridge_sync_latency_seconds", "there is no metric biograph_bridge_sync_latency_seconds"),
    ] {
        assert!(problems(query, &exposed()).iter().any(|problem| problem == expected), "{query}");
    }
    assert_eq!(problems("sum by (le) (rate(biograph_bridge_sync_latency_seconds_bucket[5m]))", &exposed()), [""; 0]);
}

#[test]
fn panels_take_their_data_source_from_the_variable() {
    let dashboard: Value = serde_json::from_str(&text("grafana/biograph-bridge.json")).unwrap();
    for panel in list(&dashboard, "/panels").iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(string(panel, "/datasource/uid"), "${datasource}", "{}", string(panel, "/title"));
    }
}
