//! The lines to the servers are cut, stall and refuse under two-sided load: both sides converge, nothing becomes a conflict.
//!
//! `BRIDGE_TEST_OUTAGE=1800` makes each outage last half an hour instead of seconds.

use std::time::Duration;

use crate::{
    bed::Bed,
    proxy::Proxy,
    sync_crash::{Load, seed, some_people},
};

/// Long enough for the daemon to be in the middle of something.
const MOMENT: Duration = Duration::from_millis(400);
/// What an outage may add to the daemon's memory, in MiB: nothing of what changes meanwhile is kept but keys.
const MORE: u64 = 100;

async fn moment() {
    tokio::time::sleep(MOMENT).await;
}

/// All that may happen to one line.
async fn trouble(line: &Proxy) {
    for _ in 0..3 {
        line.cut();
        moment().await;
    }
    line.stall();
    moment().await;
    line.pass();
    moment().await;
    // what was on its way never arrives, nor does an answer
    line.stall();
    moment().await;
    line.cut();
    line.pass();
    moment().await;
    line.refuse();
    moment().await;
    line.pass();
    moment().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_cut_stall_or_refuse_under_load_lose_nothing() {
    let mut bed = Bed::new().await;
    let (legacy, renaissance) = bed.behind_lines().await;
    let daemon = bed.start().await;
    let people = some_people(&bed, 20).await;
    let load = Load::of_different_fields(&bed, people, seed());
    trouble(&legacy).await;
    trouble(&renaissance).await;
    tokio::join!(trouble(&legacy), trouble(&renaissance));
    load.stop().await;
    bed.until_converged().await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
    assert_eq!(daemon.stop().await, Some(0), "the daemon lived through all of it: {}", bed.log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_either_side_while_both_are_written_to_is_survived_in_bounded_memory() {
    let mut bed = Bed::new().await;
    let (legacy, renaissance) = bed.behind_lines().await;
    let daemon = bed.start().await;
    let people = some_people(&bed, 50).await;
    let outage = std::env::var("BRIDGE_TEST_OUTAGE").map_or(5, |seconds| seconds.parse().unwrap());
    let load = Load::of_different_fields(&bed, people, seed());
    let before = daemon.peak();
    for line in [&legacy, &renaissance] {
        line.refuse();
        tokio::time::sleep(Duration::from_secs(outage)).await;
        line.pass();
        moment().await;
    }
    load.stop().await;
    bed.until_converged().await;
    println!("{outage} s without either side: peak {before} MiB before, {} MiB after", daemon.peak());
    assert!(daemon.peak() < before + MORE, "{} MiB, {before} before", daemon.peak());
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
    assert_eq!(daemon.stop().await, Some(0), "{}", bed.log_tail());
}
