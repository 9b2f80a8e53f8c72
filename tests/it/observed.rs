//! What can be seen of a bridge at work (journal, parked keys, metrics) and done to its process.

use std::time::Instant;

use mongodb::bson::{Document, doc, oid::ObjectId};
use nix::sys::signal::{Signal, kill};
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, Row};

use crate::bed::{Bed, Daemon, PATIENCE};

/// A row of the conflict journal.
#[derive(Debug, PartialEq)]
pub(crate) struct Conflict {
    pub(crate) kind: String,
    pub(crate) field: Option<String>,
    pub(crate) legacy: Json,
    pub(crate) renaissance: Json,
    pub(crate) winner: Option<String>,
    pub(crate) owner: String,
}

impl Bed {
    /// What the journal says about a person, oldest first.
    pub(crate) async fn conflicts(&self, id: ObjectId) -> Vec<Conflict> {
        let rows = sqlx::query(
            "SELECT kind, field, legacy_value, renaissance_value, winner, owner FROM biograph_bridge.conflict \
             WHERE legacy_id = $1 AND intent IS NULL ORDER BY id",
        )
        .bind(id.to_hex())
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let conflict = |row: &sqlx::postgres::PgRow| Conflict {
            kind: row.get(0),
            field: row.get(1),
            legacy: row.get(2),
            renaissance: row.get(3),
            winner: row.get(4),
            owner: row.get(5),
        };
        rows.iter().map(conflict).collect()
    }

    /// What is parked: field (empty for the whole record) and reason.
    pub(crate) async fn parked(&self) -> Vec<(String, String)> {
        sqlx::query_as("SELECT coalesce(field, ''), reason FROM biograph_bridge.parked ORDER BY 1, 2, id")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Waits until exactly this is parked.
    pub(crate) async fn until_parked(&self, wanted: &[(&str, &str)]) {
        let wanted: Vec<(String, String)> = wanted.iter().map(|(f, r)| ((*f).to_owned(), (*r).to_owned())).collect();
        let started = Instant::now();
        loop {
            let parked = self.parked().await;
            if parked == wanted {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "parked: {parked:?}, not {wanted:?}: {}", self.log_tail());
            pause().await;
        }
    }

    /// Waits for a condition.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !holds().await {
            assert!(started.elapsed() < PATIENCE, "{what}: not in time: {}", self.log_tail());
            pause().await;
        }
    }

    /// Statements as an application would send them.
    pub(crate) async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }

    /// A person on both sides: document and row.
    pub(crate) async fn shared_person(&self, name: &str) -> (ObjectId, i64) {
        let id = self.insert_person(name, doc! {}).await;
        (id, self.until_name(id, name).await.get("id"))
    }

    pub(crate) async fn document(&self, id: ObjectId) -> Option<Document> {
        self.users().find_one(doc! { "_id": id }).await.unwrap()
    }

    /// Waits until everything written before has been dealt with: fresh changes of both sides have crossed and nothing is
    /// queued.
    pub(crate) async fn until_settled(&self, daemon: &Daemon) {
        let (id, row) = self.shared_person("Canary").await;
        self.sql(&format!("UPDATE users SET first_name = 'Canary back' WHERE id = {row}")).await;
        self.until_document(doc! { "_id": id }, |d| crate::bed::holds(d, "name", "Canary back")).await;
        self.until("the queue is empty", async || daemon.metric("queue_keys").await == Some(0.0)).await;
    }
}

impl Daemon {
    fn signal(&self, signal: Signal) {
        kill(nix::unistd::Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Stops the process as it is; it notices nothing.
    pub(crate) fn hold(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// The sum of a metric's samples that have all these parts in their name: `echoes_total`, `side="legacy"`.
    pub(crate) async fn metric_of(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let (_, text) = self.get("/metrics").await?;
        let name = format!("biograph_bridge_{name}");
        let samples = text.lines().filter(|line| line.starts_with(&name) && labels.iter().all(|l| line.contains(l)));
        let value = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
        samples.map(value).sum()
    }

    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        self.metric_of(name, &[]).await
    }
}

pub(crate) async fn pause() {
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
}
