//! `run --shadow` decides and journals, and writes nothing.

use std::time::{Duration, Instant};

use mongodb::bson::doc;
use serde_json::Value as Json;
use sqlx::Row;

use crate::bed::{Bed, Daemon, PATIENCE};

/// The foreseen conflicts, as (field, legacy value, renaissance value).
async fn foreseen(bed: &Bed) -> Vec<(String, Json, Json)> {
    sqlx::query(
        "SELECT field, legacy_value, renaissance_value FROM biograph_bridge.conflict WHERE shadow AND field = 'name'",
    )
    .fetch_all(&bed.pool)
    .await
    .unwrap()
    .into_iter()
    .map(|row| (row.get(0), row.get(1), row.get(2)))
    .collect()
}

async fn until_foreseen(bed: &Bed, wanted: &[(&str, &str)]) {
    let started = Instant::now();
    loop {
        let found = foreseen(bed).await;
        let found: Vec<_> = found.iter().map(|(_, l, r)| (l.as_str().unwrap(), r.as_str().unwrap())).collect();
        if found == wanted {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{found:?}, not {wanted:?}: {}", bed.log_tail());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn settled(daemon: &Daemon) {
    let started = Instant::now();
    while daemon.status().await.is_none_or(|status| status["queue"]["keys"] != 0) {
        assert!(started.elapsed() < PATIENCE, "the queue stays full");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_journals_what_it_would_decide_and_writes_nothing_until_a_real_run_does_all_of_it() {
    let bed = Bed::new().await;
    let both = bed.register("grace", "Grace Hopper").await;
    let twin = bed.insert_person("Grace", doc! { "username": "grace", "email": "grace@example.net" }).await;
    let alone = bed.insert_person("Ada", doc! {}).await;
    let shadow = bed.start_shadow().await;
    until_foreseen(&bed, &[("Grace", "Grace Hopper")]).await;

    // what applications do meanwhile is decided anew, in place of what was foreseen
    sqlx::query("UPDATE users SET first_name = 'Rear Admiral' WHERE id = $1")
        .bind(both)
        .execute(&bed.pool)
        .await
        .unwrap();
    until_foreseen(&bed, &[("Grace", "Rear Admiral")]).await;
    bed.set(alone, "name", "Ada King").await;
    settled(&shadow).await;
    let status = shadow.status().await.unwrap();
    assert_eq!(status["shadow"], true);
    let document = bed.users().find_one(doc! { "_id": twin }).await.unwrap().unwrap();
    assert_eq!(document.get_str("name").unwrap(), "Grace");
    assert_eq!(bed.users().count_documents(doc! {}).await.unwrap(), 2);
    assert_eq!(bed.count("SELECT count(*) FROM users").await, 1, "nobody was made");
    assert_eq!(
        bed.count("SELECT count(*) FROM users WHERE first_name = 'Rear Admiral' AND old_user_id IS NULL").await,
        1
    );
    for table in ["link", "parked", "intent", "tombstone", "sweep"] {
        let sql = format!("SELECT count(*) FROM biograph_bridge.{table}");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&bed.pool).await.unwrap();
        assert_eq!(count, 0, "{table}");
    }
    let asked = tokio::task::spawn_blocking({
        let mut command = bed.command(&["backfill"]);
        move || command.output().unwrap()
    });
    let asked = asked.await.unwrap();
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(!asked.status.success() && said.contains("--shadow"), "{said}");
    assert_eq!(shadow.stop().await, Some(0));

    let _daemon = bed.start().await;
    bed.until_name(alone, "Ada King").await;
    bed.until_name(twin, "Grace").await;
    assert!(foreseen(&bed).await.is_empty(), "now it is decided");
    bed.until_count("SELECT count(*) FROM biograph_bridge.conflict WHERE field = 'name' AND winner = 'legacy'", 1)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_of_a_bridge_in_service_leaves_its_work_to_the_next_run() {
    let (bed, daemon) = Bed::running().await;
    let id = bed.insert_person("Ada", doc! {}).await;
    bed.until_name(id, "Ada").await;
    assert_eq!(daemon.stop().await, Some(0));
    let saved = "SELECT string_agg(position, ' ' ORDER BY side) FROM biograph_bridge.checkpoint";
    let before: String = sqlx::query_scalar(saved).fetch_one(&bed.pool).await.unwrap();
    let shadow = bed.start_shadow().await;
    bed.set(id, "name", "Ada King").await;
    let started = Instant::now();
    while shadow.status().await.is_none_or(|status| status["directions"]["legacy_to_renaissance"]["applied"] != 1) {
        assert!(started.elapsed() < PATIENCE, "the change was not looked at: {}", bed.log_tail());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(shadow.stop().await, Some(0));
    let after: String = sqlx::query_scalar(saved).fetch_one(&bed.pool).await.unwrap();
    assert_eq!(before, after, "nothing is done yet");
    assert_eq!(bed.row(id).await.unwrap().get::<String, _>("first_name"), "Ada");
    let _daemon = bed.start().await;
    bed.until_name(id, "Ada King").await;
}
