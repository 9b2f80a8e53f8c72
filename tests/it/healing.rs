//! Lost positions, both ways: what was inserted, changed and deleted while nobody looked is found by the sweep.

use std::time::Duration;

use biograph_bridge::sandbox::{MongodOptions, PostgresOptions};
use mongodb::bson::{Binary, Document, doc, oid::ObjectId, spec::BinarySubtype};
use serde_json::Value as Json;
use sqlx::Row;

use crate::bed::{Bed, Daemon, holds, output};

/// People of whom one of each kind is changed while no daemon runs.
struct Round {
    number: u32,
    untouched: ObjectId,
    renamed: ObjectId,
    moved: (ObjectId, i64),
    deleted_in_legacy: ObjectId,
    deleted_in_renaissance: (ObjectId, i64),
    deleted_in_both: (ObjectId, i64),
}

impl Round {
    async fn prepare(bed: &Bed, number: u32) -> Self {
        let person = async |name: &str| bed.shared_person(&format!("{name} {number}")).await;
        Self {
            number,
            untouched: person("Ada").await.0,
            renamed: person("Grace").await.0,
            moved: person("Edsger").await,
            deleted_in_legacy: person("Alan").await.0,
            deleted_in_renaissance: person("Barbara").await,
            deleted_in_both: person("Donald").await,
        }
    }

    /// What both applications do meanwhile.
    async fn change(&self, bed: &Bed) {
        bed.set(self.renamed, "name", "Grace Hopper").await;
        bed.sql(&format!("UPDATE users SET first_name = 'Edsger Dijkstra' WHERE id = {}", self.moved.1)).await;
        bed.users().delete_one(doc! { "_id": self.deleted_in_legacy }).await.unwrap();
        bed.users().delete_one(doc! { "_id": self.deleted_in_both.0 }).await.unwrap();
        for (_, row) in [self.deleted_in_renaissance, self.deleted_in_both] {
            bed.sql(&format!("DELETE FROM user_profiles WHERE user_id = {row}; DELETE FROM users WHERE id = {row}"))
                .await;
        }
        bed.insert_person(&format!("Niklaus {}", self.number), Document::new()).await;
        bed.register(&format!("margaret{}", self.number), "Margaret").await;
    }

    /// All of it has crossed, and nothing else has happened.
    async fn is_healed(&self, bed: &Bed) {
        bed.until_name(self.renamed, "Grace Hopper").await;
        bed.until_document(doc! { "_id": self.moved.0 }, |d| holds(d, "name", "Edsger Dijkstra")).await;
        bed.until("the row goes", async || bed.row(self.deleted_in_legacy).await.is_none()).await;
        bed.until("the document goes", async || bed.document(self.deleted_in_renaissance.0).await.is_none()).await;
        let born = format!("margaret{}", self.number);
        bed.until_document(doc! { "username": &born }, |_| true).await;
        let name = format!("Niklaus {}", self.number);
        let niklaus = bed.until_document(doc! { "name": &name }, |_| true).await.get_object_id("_id").unwrap();
        bed.until_name(niklaus, &name).await;
        let ended = [self.deleted_in_legacy, self.deleted_in_renaissance.0, self.deleted_in_both.0];
        bed.until("no link names what is gone", async || {
            let ended: Vec<String> = ended.iter().map(|id| id.to_hex()).collect();
            let links = "SELECT count(*) FROM biograph_bridge.link WHERE legacy_id = ANY($1)";
            sqlx::query_scalar::<_, i64>(links).bind(ended).fetch_one(&bed.pool).await.unwrap() == 0
        })
        .await;
        assert_eq!(
            bed.row(self.untouched).await.unwrap().get::<String, _>("first_name"),
            format!("Ada {}", self.number)
        );
        assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
        assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.parked").await, 0);
    }
}

/// The last healing, as `status` shows it.
async fn healing(daemon: &Daemon) -> Json {
    let status = daemon.status().await.unwrap();
    status["healings"].as_array().unwrap().last().cloned().unwrap_or_default()
}

async fn healed(bed: &Bed, daemon: &Daemon, side: &str, cause: &str) {
    bed.until("the healing is told as ended", async || healing(daemon).await["ended_at"].is_string()).await;
    let healing = healing(daemon).await;
    assert_eq!((healing["side"].as_str(), healing["cause"].as_str()), (Some(side), Some(cause)), "{healing}");
    let (_, metrics) = daemon.get("/metrics").await.unwrap();
    let counted = format!("biograph_bridge_healings_total{{cause=\"{cause}\",side=\"{side}\"}} 1");
    assert!(metrics.contains(&counted), "{counted} is not in the metrics");
    assert!(bed.log_all().contains("is lost: a new one is taken"), "the log says so");
}

/// Writes until the oplog no longer reaches back to what the bridge has saved.
async fn overrun(bed: &Bed) {
    let legacy = &bed.legacy;
    let oplog = legacy.client().database("local").collection::<Document>("oplog.rs");
    let filler = legacy.collection::<Document>("filler");
    let oldest = async || {
        let entry = oplog.find_one(doc! {}).sort(doc! { "$natural": 1 }).await.unwrap().unwrap();
        entry.get_timestamp("ts").unwrap()
    };
    let tip = legacy.run_command(doc! { "ping": 1 }).await.unwrap().get_timestamp("operationTime").unwrap();
    let bytes = vec![7; 1 << 20];
    bed.until("the oplog has moved on", async || {
        for _ in 0..8 {
            let data = Binary { subtype: BinarySubtype::Generic, bytes: bytes.clone() };
            filler.insert_one(doc! { "data": data }).await.unwrap();
        }
        oldest().await > tip
    })
    .await;
    filler.drop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oplog_that_has_moved_on_is_healed_with_deletions_of_both_sides() {
    // the server keeps what it would need after a crash: a checkpoint every second leaves little
    let arguments = ["--syncdelay", "1"].map(str::to_owned).to_vec();
    let mongod = MongodOptions { oplog_mb: 16, arguments, ..MongodOptions::default() };
    let bed = Bed::on(PostgresOptions::default(), 1, mongod).await;
    let daemon = bed.start().await;
    let first = Round::prepare(&bed, 1).await;
    daemon.stop().await;
    first.change(&bed).await;
    overrun(&bed).await;
    let daemon = bed.start().await;
    healed(&bed, &daemon, "legacy", "history_lost").await;
    first.is_healed(&bed).await;

    let second = Round::prepare(&bed, 2).await;
    daemon.stop().await;
    second.change(&bed).await;
    bed.sql("UPDATE biograph_bridge.checkpoint SET position = '82ZZ' WHERE side = 'legacy'").await;
    let daemon = bed.start().await;
    healed(&bed, &daemon, "legacy", "token_unusable").await;
    second.is_healed(&bed).await;
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_gone_or_was_given_up_is_healed_with_deletions_of_both_sides() {
    let settings = [("max_wal_size", "32MB"), ("min_wal_size", "32MB")];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let mut bed = Bed::with(PostgresOptions { settings, ..PostgresOptions::default() }, 1).await;
    let daemon = bed.start().await;
    let dropped = Round::prepare(&bed, 1).await;
    daemon.stop().await;
    dropped.change(&bed).await;
    bed.sql("SELECT pg_drop_replication_slot('biograph_bridge')").await;
    let daemon = bed.start().await;
    healed(&bed, &daemon, "renaissance", "slot_missing").await;
    dropped.is_healed(&bed).await;

    let given_up = Round::prepare(&bed, 2).await;
    daemon.stop().await;
    bed.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'").await;
    bed.sql("SELECT pg_reload_conf()").await;
    given_up.change(&bed).await;
    bed.sql("CREATE TABLE filler (t text)").await;
    bed.until("the slot is lost", async || {
        bed.sql("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 30000)").await;
        bed.sql("SELECT pg_switch_wal()").await;
        bed.sql("CHECKPOINT").await;
        bed.count("SELECT count(*) FROM pg_replication_slots WHERE wal_status = 'lost'").await == 1
    })
    .await;
    bed.sql("ALTER SYSTEM RESET max_slot_wal_keep_size").await;
    bed.sql("SELECT pg_reload_conf()").await;

    // killed in the middle of the sweep: the next daemon finds the note
    bed.settings.push(("BRIDGE_BACKFILL_RATE", "2".to_owned()));
    let daemon = bed.spawn();
    bed.until("the sweep is under way", async || {
        bed.count("SELECT count(*) FROM biograph_bridge.sweep WHERE kind = 'heal' AND records > 0").await > 0
    })
    .await;
    assert_eq!(daemon.status().await.unwrap()["state"], "healing");
    let during = bed.insert_person("Tony", Document::new()).await;
    bed.until_name(during, "Tony").await;
    daemon.kill();
    bed.settings.clear();
    let daemon = bed.start().await;
    bed.until("the healing is told as ended", async || healing(&daemon).await["ended_at"].is_string()).await;
    assert_eq!(healing(&daemon).await["cause"], "slot_invalidated");
    given_up.is_healed(&bed).await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.healing").await, 2);

    // while it runs, the slot is made anew behind its back
    let replaced = Round::prepare(&bed, 3).await;
    bed.until("the slot is made anew", async || {
        let sql = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active; \
             SELECT pg_drop_replication_slot('biograph_bridge'); ";
        sqlx::raw_sql(sql).execute(&bed.pool).await.is_ok()
    })
    .await;
    replaced.change(&bed).await;
    replaced.is_healed(&bed).await;
    bed.until("the healing is told as ended", async || {
        let healing = healing(&daemon).await;
        healing["cause"] == "slot_missing" && healing["ended_at"].is_string()
    })
    .await;
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_is_lost_again_and_again_ends_the_daemon_until_a_person_starts_it_again() {
    let (bed, daemon) = Bed::running().await;
    let (id, _) = bed.shared_person("Ada").await;
    daemon.stop().await;
    // three losses, and no position saved in between
    bed.sql(
        "INSERT INTO biograph_bridge.healing (side, cause, new_position, in_a_row, ended_at) \
         SELECT side, 'slot_missing', position, 3, now() FROM biograph_bridge.checkpoint WHERE side = 'renaissance'",
    )
    .await;
    bed.sql("SELECT pg_drop_replication_slot('biograph_bridge')").await;
    let (code, said) = output(bed.command(&["run"])).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("3 times in a row") && said.contains("max_slot_wal_keep_size"), "{said}");
    let daemon = bed.start().await;
    bed.set(id, "name", "Ada King").await;
    bed.until_name(id, "Ada King").await;
    bed.until("it has healed", async || healing(&daemon).await["ended_at"].is_string()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(daemon.stop().await, Some(0));
}
