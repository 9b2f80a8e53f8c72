//! The names, labels and help texts that dashboards rely on.

use super::*;
use crate::model::fact::{SlotRoom, SlotState};

fn metrics() -> Metrics {
    let fields = vec![("name".to_owned(), Policy::Owner), ("email".to_owned(), Policy::Park)];
    Metrics::new(vec![EntityLabels { name: "user".to_owned(), fields }])
}

fn feed_everything(metrics: &Metrics) {
    let user = EntityIndex(0);
    for direction in Direction::ALL {
        metrics.lag(direction, Some(0.5));
        metrics.latency(direction, 0.02);
        metrics.batch(direction, 10, Duration::from_millis(30));
    }
    for side in Side::ALL {
        metrics.hint(side, user);
        metrics.clock_skew(side, 0.1);
        metrics.echoes(side, 2);
        metrics.checkpoint_age(side, Some(Duration::from_secs(1)));
        metrics.retry(side, RetryClass::Error);
        metrics.reconnect(side);
        metrics.healing(side, PositionLoss::HistoryLost);
    }
    metrics.reconciled(user, Reconciled::ToLegacy, 3);
    metrics.conflict(user, Some("name"), "owner", Some(Side::Legacy));
    metrics.parked(user, Reason::TooLong, 1);
    metrics.queue(5, 640);
    metrics.slot(SlotRoom {
        retained_bytes: Some(1.0),
        safe_bytes: Some(2.0),
        state: Some(SlotState::Extended),
        is_read: Some(true),
    });
    metrics.exhaustion(Some(3600.0), Some(7200.0));
    metrics.oplog_window(Some(Duration::from_secs(3600)));
    metrics.swept(user, SweepKind::Backfill, 100, Some(0.5));
    metrics.verify_differences(user, 0);
    metrics.people(PersonState::Legacy, 7);
    metrics.moved(Duration::from_secs(6));
    metrics.state(DaemonState::Streaming);
}

/// Help and type of every family, then its label names: what a change of is a breaking change.
fn shape(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            lines.push(comment.to_owned());
        } else {
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(labels, _)| labels);
            let names: Vec<_> = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(n, _)| n).collect();
            let names =
                format!("  {{{}}}", names.into_iter().filter(|name| *name != "le").collect::<Vec<_>>().join(","));
            if lines.last() != Some(&names) {
                lines.push(names);
            }
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn names_labels_and_help_are_what_the_contract_says() {
    let metrics = metrics();
    feed_everything(&metrics);
    let shape = shape(&metrics.render());
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/golden.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &shape).unwrap();
    }
    assert_eq!(shape, include_str!("golden.txt"), "UPDATE_GOLDEN=1 cargo test metrics rewrites it");
}

#[test]
fn counters_start_at_zero_and_unknown_gauges_are_absent() {
    let text = metrics().render();
    for line in [
        "biograph_bridge_hints_total{entity=\"user\",side=\"legacy\"} 0",
        "biograph_bridge_echoes_total{side=\"renaissance\"} 0",
        "biograph_bridge_reconciled_total{entity=\"user\",outcome=\"to_legacy\"} 0",
        "biograph_bridge_conflicts_total{entity=\"user\",field=\"name\",policy=\"owner\",winner=\"renaissance\"} 0",
        "biograph_bridge_conflicts_total{entity=\"user\",field=\"email\",policy=\"park\",winner=\"none\"} 0",
        "biograph_bridge_parked{entity=\"user\",reason=\"too_long\"} 0",
        "biograph_bridge_sync_latency_seconds_count{direction=\"legacy_to_renaissance\"} 0",
        "biograph_bridge_cutover_duration_seconds_count 0",
        "biograph_bridge_state{state=\"starting\"} 1",
        "biograph_bridge_state{state=\"streaming\"} 0",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} is missing from\n{text}");
    }
    for absent in ["sync_lag_seconds{", "checkpoint_age_seconds{", "slot_", "oplog_", "sweep_progress_ratio{"] {
        assert!(!text.contains(&format!("\nbiograph_bridge_{absent}")), "{absent} must be absent");
    }
}

#[test]
fn a_lag_that_becomes_unknown_disappears() {
    let metrics = metrics();
    metrics.lag(Direction::LegacyToRenaissance, Some(0.0));
    assert!(metrics.render().contains("sync_lag_seconds{direction=\"legacy_to_renaissance\"} 0\n"));
    metrics.lag(Direction::LegacyToRenaissance, None);
    metrics.lag(Direction::LegacyToRenaissance, None);
    assert!(!metrics.render().contains("sync_lag_seconds"));
}

#[test]
fn the_slot_is_in_one_state_and_in_none_when_unknown() {
    let metrics = metrics();
    let slot = SlotRoom { state: Some(SlotState::Unreserved), is_read: Some(false), ..SlotRoom::default() };
    metrics.slot(slot);
    let text = metrics.render();
    for line in ["slot_status{status=\"unreserved\"} 1", "slot_status{status=\"lost\"} 0", "slot_active 0"] {
        assert!(text.contains(&format!("biograph_bridge_{line}\n")), "{line} is missing from\n{text}");
    }
    metrics.slot(SlotRoom::default());
    assert!(!metrics.render().contains("\nbiograph_bridge_slot_"));
}
