//! The lines to the servers are cut, stall and refuse under two-sided load: both sides converge, nothing becomes a conflict.

use std::time::Duration;

use crate::{
    bed::Bed,
    proxy::Proxy,
    sync_crash::{Load, seed, some_people},
};

/// Long enough for the daemon to be in the middle of something.
const MOMENT: Duration = Duration::from_millis(400);

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
