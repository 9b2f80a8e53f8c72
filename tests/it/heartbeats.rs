//! Heartbeats: known lag on a quiet system, and a stall that is noticed without traffic.

use std::time::{Duration, Instant};

use biograph_bridge::model::side::Direction;

use crate::bed::{Bed, Daemon, PATIENCE};

/// A metric of a direction; `None` while it is absent.
async fn metric(daemon: &Daemon, name: &str, direction: Direction) -> Option<f64> {
    let (_, text) = daemon.get("/metrics").await?;
    let start = format!("biograph_bridge_{name}{{direction=\"{direction}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
}

async fn until(daemon: &Daemon, name: &str, direction: Direction, wanted: impl Fn(f64) -> bool) {
    let started = Instant::now();
    while !metric(daemon, name, direction).await.is_some_and(&wanted) {
        let now = metric(daemon, name, direction).await;
        assert!(started.elapsed() < PATIENCE, "{name} of {direction} is {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stalls_without_traffic_shows_in_its_lag_and_in_no_other() {
    let mut bed = Bed::new().await;
    bed.settings.push(("BRIDGE_HEARTBEAT_INTERVAL", "1s".to_owned()));
    let (legacy, renaissance) = bed.behind_lines().await;
    let daemon = bed.start().await;
    for direction in Direction::ALL {
        until(&daemon, "heartbeat_roundtrip_seconds_count", direction, |count| count >= 2.0).await;
        let sum = metric(&daemon, "heartbeat_roundtrip_seconds_sum", direction).await.unwrap();
        let count = metric(&daemon, "heartbeat_roundtrip_seconds_count", direction).await.unwrap();
        assert!(sum / count < 0.9, "a mark comes through the stream and waits for no timeout: {sum} s for {count}");
        until(&daemon, "sync_lag_seconds", direction, |lag| lag == 0.0).await;
    }
    for (line, direction) in [(legacy, Direction::LegacyToRenaissance), (renaissance, Direction::RenaissanceToLegacy)] {
        line.stall();
        until(&daemon, "sync_lag_seconds", direction, |lag| lag > 4.0).await;
        line.pass();
        until(&daemon, "sync_lag_seconds", direction, |lag| lag == 0.0).await;
    }
    assert_eq!(daemon.stop().await, Some(0), "{}", bed.log_tail());
}
