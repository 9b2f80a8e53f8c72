//! Crashes of the bridge and of both databases under two-sided load: all converges, nothing is there twice.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use biograph_bridge::sandbox::{PostgresOptions, Traffic, TrafficOptions, load_people};
use mongodb::bson::{doc, oid::ObjectId};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::Row;
use tokio::task::JoinHandle;

use crate::bed::{Bed, holds};

/// A number from the environment: `BRIDGE_TEST_SEED` repeats the choices of a run that printed it, `BRIDGE_TEST_ROUNDS` makes
/// it that many times as long.
fn set_from_outside(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap())
}

pub(crate) fn seed() -> u64 {
    set_from_outside("BRIDGE_TEST_SEED").unwrap_or_else(|| rand::rng().random_range(1..1_000_000))
}

pub(crate) fn rounds() -> u64 {
    set_from_outside("BRIDGE_TEST_ROUNDS").unwrap_or(1)
}

/// Both applications at work until stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Load {
    /// As the sandbox's traffic does: everything to everybody.
    async fn of_everything(bed: &Bed, seed: u64) -> Self {
        println!("seed {seed}");
        let options = TrafficOptions { seed, clashes: true, ..TrafficOptions::default() };
        let mut traffic = Traffic::new(&bed.legacy_uri, &bed.renaissance_url, options).await.unwrap();
        Self::spawn(async move |stop| {
            let mut steps = 0;
            while !stop.load(Ordering::Relaxed) {
                steps += u64::from(traffic.step().await.is_ok());
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            steps
        })
    }

    /// Each application edits a field of its own, of the same people: there is nothing to conflict.
    pub(crate) fn of_different_fields(bed: &Bed, people: Vec<(ObjectId, i64)>, seed: u64) -> Self {
        println!("seed {seed}");
        let (users, pool) = (bed.users(), bed.pool.clone());
        Self::spawn(async move |stop| {
            let (mut rng, mut step) = (StdRng::seed_from_u64(seed), 0);
            while !stop.load(Ordering::Relaxed) {
                let (id, row) = people[rng.random_range(0..people.len())];
                step += 1;
                // a failed write is one that an application would try again or give up
                drop(users.update_one(doc! { "_id": id }, doc! { "$set": { "name": format!("name {step}") } }).await);
                let sql = "UPDATE users SET profile_picture = $2 WHERE id = $1";
                drop(sqlx::query(sql).bind(row).bind(format!("https://p.example/{step}")).execute(&pool).await);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            step
        })
    }

    fn spawn<F: Future<Output = u64> + Send + 'static>(work: impl FnOnce(Arc<AtomicBool>) -> F) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        Self { task: tokio::spawn(work(Arc::clone(&stop))), stop }
    }

    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

pub(crate) async fn some_people(bed: &Bed, count: usize) -> Vec<(ObjectId, i64)> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(bed.insert_person(&format!("person {n}"), doc! {}).await);
    }
    let mut people = Vec::new();
    for id in ids {
        people.push((id, bed.until_row(id, |_| true).await.get("id")));
    }
    people
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_under_two_sided_load_converge() {
    let seed = seed();
    let bed = Bed::new().await;
    load_people(&bed.legacy, 7, 120).await.unwrap();
    let mut daemon = bed.start().await;
    let load = Load::of_everything(&bed, seed).await;
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..10 * rounds() {
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..500))).await;
        daemon.kill();
        daemon = if rng.random_bool(0.5) { bed.spawn() } else { bed.start().await };
    }
    let steps = load.stop().await;
    let people = bed.until_converged().await;
    println!("{steps} steps, {people} people");
    let twice = "SELECT count(*) FROM (SELECT FROM biograph_bridge.conflict WHERE kind = 'update_update' \
                 GROUP BY legacy_id, field, legacy_value, renaissance_value HAVING count(*) > 1) twice";
    assert_eq!(bed.count(twice).await, 0, "a decided conflict is not decided again");
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_never_make_a_conflict_out_of_different_fields() {
    let seed = seed();
    let bed = Bed::new().await;
    let mut daemon = bed.start().await;
    let people = some_people(&bed, 20).await;
    let load = Load::of_different_fields(&bed, people, seed);
    for _ in 0..5 * rounds() {
        tokio::time::sleep(Duration::from_millis(200)).await;
        daemon.kill();
        daemon = bed.start().await;
    }
    load.stop().await;
    bed.until_converged().await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_down_a_killed_primary_and_a_crash_of_postgres_under_load_converge() {
    let seed = seed();
    let mut bed = Bed::with(PostgresOptions::default(), 3).await;
    let daemon = bed.start().await;
    let people = some_people(&bed, 20).await;
    let load = Load::of_different_fields(&bed, people, seed);
    for _ in 0..2 * rounds() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        bed.mongo.step_down().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let primary = bed.mongo.primary().await.unwrap();
        bed.mongo.kill_member(primary).await.unwrap();
        bed.mongo.primary().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        bed.mongo.restart_member(primary).await.unwrap();
        bed.postgres.kill().await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        bed.postgres.start_again().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    load.stop().await;
    bed.until_converged().await;
    let conflicts = bed.count("SELECT count(*) FROM biograph_bridge.conflict").await;
    assert_eq!(conflicts, 0, "different fields never conflict: {}", bed.log_all());
    assert_eq!(daemon.stop().await, Some(0), "the daemon lived through all of it: {}", bed.log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_bridge_has_drained_and_goes_on_without_a_sweep() {
    let (bed, daemon) = Bed::running().await;
    let (id, row) = bed.shared_person("Ada").await;
    for n in 0..50 {
        bed.insert_person(&format!("person {n}"), doc! {}).await;
    }
    assert_eq!(daemon.stop().await, Some(0));
    let saved = "SELECT count(*) FROM biograph_bridge.checkpoint";
    assert_eq!((bed.count(saved).await, bed.count("SELECT count(*) FROM biograph_bridge.intent").await), (2, 0));
    bed.set(id, "name", "while it was away").await;
    bed.sql(&format!("UPDATE users SET email = 'away@example.org' WHERE id = {row}")).await;
    let daemon = bed.start().await;
    bed.until_name(id, "while it was away").await;
    bed.until_document(doc! { "_id": id }, |d| holds(d, "email", "away@example.org")).await;
    bed.until_count("SELECT count(*) FROM users", 51).await;
    assert_eq!(daemon.metric("sweep_records_total").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_waits_and_takes_over() {
    let (bed, first) = Bed::running().await;
    let (id, _) = bed.shared_person("Ada").await;
    let second = bed.spawn_on(bed.another_port());
    bed.until("the second one waits", async || second.status().await.is_some_and(|s| s["state"] == "standby")).await;
    assert_eq!(second.get("/readyz").await.map(|(code, _)| code), Some(503));
    bed.set(id, "name", "Ada King").await;
    bed.until_name(id, "Ada King").await;
    first.kill();
    bed.set(id, "name", "Ada Lovelace").await;
    bed.until_name(id, "Ada Lovelace").await;
    bed.until("the second one leads", async || second.status().await.is_some_and(|s| s["state"] == "streaming")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_could_not_take_over_says_so() {
    let (mut bed, _first) = Bed::running().await;
    let right = bed.spawn_on(bed.another_port());
    let nobody = bed.another_port();
    let uri = format!("mongodb://127.0.0.1:{nobody}/BioGraphDemo?serverSelectionTimeoutMS=500");
    bed.settings.push(("BRIDGE_LEGACY_URI", uri));
    let wrong = bed.spawn_on(bed.another_port());
    let errors = |status: Option<serde_json::Value>| match status {
        Some(status) if status["state"] == "standby" => status["errors"].as_array().cloned(),
        _ => None,
    };
    let told = |errors: &[serde_json::Value]| errors.iter().any(|e| e["message"].to_string().contains("no primary"));
    bed.until("it says that MongoDB does not answer", async || errors(wrong.status().await).is_some_and(|e| told(&e)))
        .await;
    assert_eq!(errors(right.status().await), Some(Vec::new()), "where MongoDB answers there is nothing to say");
}
