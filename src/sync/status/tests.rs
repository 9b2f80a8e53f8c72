//! What is fed in comes out, aged correctly.

use super::*;
use crate::{model::policy::Policy, sync::ports::Counts};

fn status() -> Status {
    Status::new(vec![EntityLabels { name: "user".into(), fields: vec![("name".into(), Policy::Owner)] }])
}

const USER: EntityIndex = EntityIndex(0);
const WAY: Direction = Direction::LegacyToRenaissance;

#[test]
fn a_new_daemon_is_starting_and_knows_no_lag() {
    let report = status().snapshot();
    assert_eq!(report.state, "starting");
    assert_eq!(report.directions["legacy_to_renaissance"].lag_seconds, None);
    assert_eq!(report.sides["legacy"].feed, "down");
}

#[test]
fn caught_up_holds_only_while_the_source_streams() {
    let status = status();
    status.feed(Side::Legacy, Feed::Streaming);
    status.lag(WAY, Lag::CaughtUp);
    assert_eq!(status.snapshot().directions["legacy_to_renaissance"].lag_seconds, Some(0.0));
    status.feed(Side::Legacy, Feed::Down);
    assert_eq!(status.snapshot().directions["legacy_to_renaissance"].lag_seconds, None);
    assert!(!status.metrics_text().contains("sync_lag_seconds{"));
}

#[test]
fn what_became_durable_shortens_a_lag_and_does_not_undo_being_caught_up() {
    let status = status();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64;
    let lag = || status.snapshot().directions["legacy_to_renaissance"].lag_seconds;
    status.feed(Side::Legacy, Feed::Streaming);
    status.lag(WAY, Lag::Since(now - 600_000_000));
    status.durable_up_to(WAY, now);
    assert!(lag().unwrap() < 60.0, "{:?}", lag());
    status.lag(WAY, Lag::CaughtUp);
    status.durable_up_to(WAY, now);
    assert_eq!(lag(), Some(0.0));
}

#[test]
fn a_lag_ages_by_itself() {
    let status = status();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64;
    status.lag(WAY, Lag::Since(now - 5_000_000));
    let lag = status.snapshot().directions["legacy_to_renaissance"].lag_seconds.unwrap();
    assert!((5.0..60.0).contains(&lag), "{lag}");
    status.lag(WAY, Lag::Since(now + 60_000_000));
    assert_eq!(status.snapshot().directions["legacy_to_renaissance"].lag_seconds, Some(0.0), "a clock ahead of ours");
}

#[test]
fn the_clock_of_a_server_changes_nothing_about_the_lag() {
    let status = status();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64;
    for ahead in [60_000_000, -60_000_000] {
        status.clock(Side::Legacy, ahead);
        status.lag(WAY, Lag::Since(now + ahead - 5_000_000));
        let lag = status.snapshot().directions["legacy_to_renaissance"].lag_seconds.unwrap();
        assert!((5.0..35.0).contains(&lag), "{ahead}: {lag}");
        status.applied(WAY, [Some(now + ahead - 5_000_000)], []);
    }
    let metrics = status.metrics_text();
    assert!(metrics.contains("clock_skew_seconds{side=\"legacy\"} -60\n"));
    assert!(metrics.contains("sync_latency_seconds_bucket{direction=\"legacy_to_renaissance\",le=\"2.5\"} 0\n"));
    assert!(metrics.contains("sync_latency_seconds_bucket{direction=\"legacy_to_renaissance\",le=\"60\"} 2\n"));
}

#[test]
fn a_heartbeat_that_does_not_come_back_is_a_lag() {
    let status = status();
    status.feed(Side::Legacy, Feed::Streaming);
    status.lag(WAY, Lag::CaughtUp);
    let lag = || status.snapshot().directions["legacy_to_renaissance"].lag_seconds;
    status.beat(WAY, Instant::now(), Duration::from_secs(10));
    assert_eq!(lag(), Some(0.0));
    let before = Instant::now().checked_sub(Duration::from_secs(40)).unwrap();
    status.beat(WAY, before, Duration::from_secs(10));
    assert!(lag().unwrap() >= 40.0, "{:?}", lag());
    status.feed(Side::Legacy, Feed::Down);
    assert!(lag().unwrap() >= 40.0, "nothing is known since then: {:?}", lag());
    status.state(DaemonState::Standby);
    assert_eq!(lag(), None, "another daemon is active");
    assert!(
        status.metrics_text().contains("heartbeat_roundtrip_seconds_count{direction=\"legacy_to_renaissance\"} 2\n")
    );
}

#[test]
fn only_coming_back_counts_as_a_reconnect() {
    let status = status();
    for feed in [Feed::Connected, Feed::Streaming, Feed::Down, Feed::Connected, Feed::Streaming] {
        status.feed(Side::Renaissance, feed);
    }
    assert!(status.metrics_text().contains("reconnects_total{side=\"renaissance\"} 1\n"));
}

#[test]
fn the_last_fifty_crossings_are_kept_newest_first() {
    let status = status();
    for number in 0..60 {
        let crossing = Crossing { legacy_id: number.to_string(), ..Crossing::default() };
        status.applied(WAY, [None], [crossing]);
    }
    let report = status.snapshot();
    assert_eq!(report.directions["legacy_to_renaissance"].applied, 60);
    assert_eq!(report.recent.len(), 50);
    assert_eq!(report.recent[0].legacy_id, "59");
    assert!(report.recent[0].at.ends_with('Z'), "{}", report.recent[0].at);
}

#[test]
fn a_reason_that_is_no_longer_parked_goes_to_zero() {
    let status = status();
    status.parked(&[(USER, Reason::TooLong, 3)]);
    assert_eq!(status.snapshot().parked_total(), 3);
    status.parked(&[(USER, Reason::WrongType, 1)]);
    let text = status.metrics_text();
    assert!(text.contains("parked{entity=\"user\",reason=\"too_long\"} 0\n"));
    assert!(text.contains("parked{entity=\"user\",reason=\"wrong_type\"} 1\n"));
}

#[test]
fn a_loop_that_does_not_turn_is_stuck_until_it_ends() {
    let status = status();
    status.turned("reconcile");
    let later = Instant::now() + STUCK + Duration::from_secs(1);
    assert_eq!(status.stuck(Instant::now()), Vec::<&str>::new());
    assert_eq!(status.stuck(later), ["reconcile"]);
    status.ended("reconcile");
    assert_eq!(status.stuck(later), Vec::<&str>::new());
}

#[test]
fn it_is_behind_once_more_waits_than_is_under_way_when_it_keeps_up() {
    let status = status();
    assert!(!status.is_behind());
    status.queue(BEHIND - 1, 640);
    assert!(!status.is_behind());
    status.queue(BEHIND, 640);
    assert!(status.is_behind());
}

#[test]
fn a_standby_shows_nothing_that_it_knew_while_it_was_active() {
    let status = status();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64;
    status.state(DaemonState::Streaming);
    status.lag(WAY, Lag::Since(now - 600_000_000));
    status.parked(&[(USER, Reason::Looping, 3)]);
    status.people(PersonState::Draining, 1);
    status.checkpoint(Side::Legacy, &Position::Lsn(255));
    status.slot(SlotRoom { retained_bytes: Some(1e9), safe_bytes: Some(1.0), ..SlotRoom::default() });
    status.oplog_window(Some(Duration::from_secs(600)));
    status.queue(5, 640);
    let counts = Counts { differing: 7, ..Counts::default() };
    status.verified(&[Verified { entity: USER, at: String::new(), counts }]);
    status.state(DaemonState::Standby);
    let text = status.metrics_text();
    for gone in ["sync_lag_seconds{", "people{", "checkpoint_age", "slot_", "oplog_", "verify_differences{"] {
        assert!(!text.contains(&format!("\nbiograph_bridge_{gone}")), "{gone}: {text}");
    }
    assert!(
        text.contains("parked{entity=\"user\",reason=\"looping\"} 0\n") && text.contains("queue_keys 0\n"),
        "{text}"
    );
    let report = status.snapshot();
    assert_eq!((report.parked_total(), report.people.len(), report.queue.keys), (0, 0, 0));
}

#[test]
fn readiness_names_what_is_missing() {
    let status = status();
    status.feed(Side::Legacy, Feed::Streaming);
    status.feed(Side::Renaissance, Feed::Connected);
    assert_eq!(status.not_ready(), ["renaissance is connected but not streaming yet"]);
    status.feed(Side::Renaissance, Feed::Streaming);
    assert!(status.not_ready().is_empty());
    status.state(DaemonState::Standby);
    assert_eq!(status.not_ready(), ["another daemon is active"]);
}

#[test]
fn sweep_progress_covers_the_sides_that_are_swept() {
    let status = status();
    let swept = |side, records, done| Swept {
        entity: USER,
        side,
        kind: SweepKind::Backfill,
        chunk: 10,
        records,
        parked: 0,
        total: Some(100),
        done,
    };
    status.swept(swept(Side::Legacy, 150, true));
    status.swept(swept(Side::Renaissance, 50, false));
    let text = status.metrics_text();
    assert!(text.contains("sweep_progress_ratio{entity=\"user\",kind=\"backfill\"} 0.75\n"), "{text}");
    assert!(text.contains("sweep_records_total{entity=\"user\",kind=\"backfill\"} 20\n"));
    assert_eq!(status.snapshot().sweeps.len(), 2);
}

#[test]
fn a_running_sweep_has_a_rate_and_an_end_and_a_complete_one_has_neither() {
    let status = status();
    let swept = |records, done| Swept {
        entity: USER,
        side: Side::Legacy,
        kind: SweepKind::Backfill,
        chunk: 10,
        records,
        parked: 0,
        total: Some(400),
        done,
    };
    status.swept(swept(100, false));
    assert_eq!(status.snapshot().sweeps[0].rate, None, "what a former run did says nothing about this one");
    std::thread::sleep(Duration::from_millis(10));
    status.swept(swept(200, false));
    let sweep = status.snapshot().sweeps.remove(0);
    let (rate, left) = (sweep.rate.unwrap(), sweep.eta_seconds.unwrap());
    assert!(rate > 0.0 && rate <= 10_000.0 && left > 0.0, "{rate} {left}");
    status.swept(swept(400, true));
    assert_eq!((status.snapshot().sweeps[0].rate, status.snapshot().sweeps[0].eta_seconds), (None, None));
}

#[test]
fn the_document_survives_json_and_ignores_what_it_does_not_know() {
    let status = status();
    status.failed("legacy capture", &Error::retry("refused").with_hint("start it"));
    status.checkpoint(Side::Renaissance, &Position::Lsn(0x1_0000_00FF));
    let report = status.snapshot();
    let json = serde_json::to_string(&report).unwrap();
    let read: StatusReport = serde_json::from_str(&json.replacen('{', "{\"new_key\":1,", 1)).unwrap();
    assert_eq!(read, report);
    assert_eq!(read.sides["renaissance"].checkpoint.as_deref(), Some("1/FF"));
    status.recovered("legacy capture");
    assert!(status.snapshot().errors.is_empty());
}

#[test]
fn an_engine_that_was_dropped_is_neither_ready_nor_stuck() {
    let status = status();
    Side::ALL.into_iter().for_each(|side| status.feed(side, Feed::Streaming));
    status.turned("a loop");
    status.let_go();
    assert_eq!(status.not_ready(), ["legacy is not connected", "renaissance is not connected"]);
    assert!(status.stuck(Instant::now() + Duration::from_secs(60)).is_empty());
}
