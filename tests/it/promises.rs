//! What keeps the promises of the bridge is taken out, one mechanism after the other: a test of the promise then has to fail.
//!
//! `src/sync/reconcile/explore.rs` does the same for what only rare interleavings show.

use std::process::Stdio;

use biograph_bridge::drill::Mechanism;
use tokio::process::Command;

/// The promise (its number), what keeps it, and the test that shows it.
const SHOWN: [(u8, Mechanism, &str); 10] = [
    (1, Mechanism::Freshness, "sync_freshness::a_change_decoded_before_it_is_visible_is_not_lost"),
    (2, Mechanism::Journal, "sync_merge::the_same_field_edited_on_both_sides_goes_to_the_owner_and_the_loser_is_kept"),
    (2, Mechanism::Tombstones, "sync_basics::an_update_in_biograph_crosses_and_so_does_a_delete"),
    (3, Mechanism::Base, "sync_merge::a_whole_row_update_does_not_undo_a_concurrent_edit_of_another_field"),
    (4, Mechanism::Echoes, "sync_silence::one_write_is_one_write_on_the_other_side_and_then_nothing"),
    (5, Mechanism::Intents, "crash_points::killed_at_any_step_of_the_path_every_change_arrives_once"),
    (6, Mechanism::HealSweep, "healing::an_oplog_that_has_moved_on_is_healed_with_deletions_of_both_sides"),
    (7, Mechanism::Fence, "sync_fence::a_former_daemon_writes_nothing_to_postgres"),
    (8, Mechanism::ByteBounds, "sync_memory::records_of_many_megabytes_cross_both_ways_a_few_at_a_time"),
    (9, Mechanism::LoopBreaker, "pauses::what_a_trigger_undoes_again_and_again_is_parked_with_both_forms"),
];
/// Tests that run at once.
const AT_ONCE: usize = 4;

/// Runs one test in a process of its own, without a mechanism. Whether it passed, and its output.
async fn passes(test: &str, without: &str) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test]).env("BRIDGE_WITHOUT", without).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("running 1 test"), "there is no test {test}");
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_promise_has_a_test_that_fails_without_what_keeps_it() {
    let mut unshown = Vec::new();
    for some in SHOWN.chunks(AT_ONCE) {
        let run = some.iter().map(|(promise, mechanism, test)| async move {
            let (passed, text) = passes(test, mechanism.as_str()).await;
            let reason = text.lines().find(|line| line.contains("panicked at")).unwrap_or("it passed").to_owned();
            println!("promise {promise} without {}: {test}: {reason}", mechanism.as_str());
            passed.then(|| format!("promise {promise} holds without {}: {test}", mechanism.as_str()))
        });
        unshown.extend(futures_util::future::join_all(run).await.into_iter().flatten());
    }
    assert!(unshown.is_empty(), "{}", unshown.join("\n"));
}
