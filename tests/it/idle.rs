//! A quiet system still moves its positions. Named so that this slow test runs beside the others rather than after them.

use std::time::Duration;

use mongodb::bson::{Document, doc};

use crate::bed::Bed;

/// Where both sides would resume: the slot's position, the saved token.
async fn positions(bed: &Bed) -> (i64, String) {
    let slot =
        "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = 'biograph_bridge'";
    let token = "SELECT position FROM biograph_bridge.checkpoint WHERE side = 'legacy'";
    let lsn = bed.count(slot).await;
    (lsn, sqlx::query_scalar(token).fetch_one(&bed.pool).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_minute_advances_both_positions() {
    let (bed, daemon) = Bed::running().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = positions(&bed).await;
    // neighbours write, nobody writes what is mapped
    bed.sql("CREATE TABLE other (n int)").await;
    for n in 0..12 {
        bed.sql(&format!("INSERT INTO other VALUES ({n})")).await;
        bed.legacy.collection::<Document>("other").insert_one(doc! { "n": n }).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let after = positions(&bed).await;
    assert!(after.0 > before.0, "the slot holds no log back: {before:?} {after:?}");
    assert!(after.1 > before.1, "the token does not age: {before:?} {after:?}");
    let status = daemon.status().await.unwrap();
    for direction in status["directions"].as_object().unwrap().values() {
        assert_eq!(direction["lag_seconds"], 0.0, "{status}");
    }
    // what the bridge writes for itself is little: an idle minute is no load
    let status = "SELECT sum(n_tup_upd)::bigint FROM pg_stat_user_tables WHERE relname = 'checkpoint'";
    assert!(bed.count(status).await <= 40);
}
