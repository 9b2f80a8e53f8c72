//! What a database refuses for everybody: only what needs it waits, nothing is parked for it, and it goes on by itself.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use biograph_bridge::sandbox::MongodOptions;
use mongodb::{
    Client,
    bson::{Document, doc, oid::ObjectId},
};
use serde_json::Value as Json;

use crate::{
    bed::{Bed, Daemon, USERS, holds},
    cli_harness::Answer,
};

const BOOKS: &str = "authapp_booksmodel";

impl Bed {
    /// A bed whose MongoDB refuses what it is told to.
    async fn refusing() -> Self {
        let arguments = ["--setParameter", "enableTestCommands=1"].map(str::to_owned).into();
        Self::on(Default::default(), 1, MongodOptions { arguments, ..MongodOptions::default() }).await
    }

    /// From now on these commands of the bridge on a collection fail with this code; with none they work again.
    async fn refuse(&self, collection: &str, commands: &[&str], code: i32) {
        let of_bridge = doc! {
            "failCommands": commands, "errorCode": code, "namespace": format!("BioGraphDemo.{collection}"),
            "appName": "biograph-bridge",
        };
        let mode = if commands.is_empty() { "off" } else { "alwaysOn" };
        let mut command = doc! { "configureFailPoint": "failCommand", "mode": mode };
        if !commands.is_empty() {
            command.insert("data", of_bridge);
        }
        let client = Client::with_uri_str(&self.legacy_uri).await.unwrap();
        client.database("admin").run_command(command).await.unwrap();
    }

    async fn insert_book(&self, user: ObjectId, title: &str) {
        let book = doc! { "user_id": user, "title": title, "biographs": [], "is_published": true, "status_key": 1 };
        self.legacy.collection::<Document>(BOOKS).insert_one(book).await.unwrap();
    }

    async fn until_book(&self, title: &str) {
        let counts = async || self.scalar(&format!("SELECT count(*) FROM books WHERE title = '{title}'")).await == 1;
        self.until("the book crosses", counts).await;
    }

    async fn scalar(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until the status has this to say about a place; its message and fix.
    async fn until_said(&self, daemon: &Daemon, place: &str) -> String {
        let said = async || {
            let status = daemon.status().await?;
            let of_place = |error: &&Json| error["place"] == place;
            status["errors"].as_array()?.iter().find(of_place).map(|e| format!("{} {}", e["message"], e["fix"]))
        };
        self.until(place, async || said().await.is_some()).await;
        said().await.unwrap_or_default()
    }

    /// Waits until nothing is amiss; nothing was parked for it.
    async fn until_well(&self, daemon: &Daemon) {
        let well = async || daemon.status().await.is_some_and(|status| status["errors"] == Json::Array(Vec::new()));
        self.until("no error is left", well).await;
        assert_eq!(self.parked().await, []);
        assert_eq!(self.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
        assert_eq!(self.count("SELECT count(*) FROM biograph_bridge.intent").await, 0);
    }

    async fn rename(&self, row: i64, name: &str) {
        self.sql(&format!("UPDATE users SET first_name = '{name}' WHERE id = {row}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_revoked_in_renaissance_stops_what_needs_it_and_nothing_else() {
    let mut bed = Bed::new().await;
    // it sets up as a superuser and then is none any more
    bed.sql("CREATE ROLE bridge SUPERUSER REPLICATION LOGIN PASSWORD 'secret'").await;
    let (_, address) = bed.renaissance_url.split_once('@').unwrap();
    bed.renaissance_url = format!("postgres://bridge:secret@{address}");
    let daemon = bed.start().await;
    let ((ada, _), (bob, bobs_row)) = (bed.shared_person("Ada").await, bed.shared_person("Bob").await);
    bed.sql(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bridge; ALTER ROLE bridge NOSUPERUSER",
    )
    .await;

    bed.sql("REVOKE UPDATE ON users FROM bridge").await;
    bed.set(ada, "name", "Ada King").await;
    let said = bed.until_said(&daemon, "writing user to renaissance").await;
    assert!(said.contains("permission denied for table users") && said.contains("GRANT"), "{said}");
    bed.rename(bobs_row, "Robert").await;
    bed.until_document(doc! { "_id": bob }, |d| holds(d, "name", "Robert")).await;
    bed.insert_book(ada, "Notes").await;
    bed.until_book("Notes").await;
    // whose document is made has the row told its id
    let grace = bed.register("grace", "Grace").await;
    bed.users().update_many(doc! { "_id": ada }, doc! { "$set": { "name": "Countess" } }).await.unwrap();
    assert_eq!(bed.parked().await, []);
    assert!(bed.row(ada).await.is_some_and(|row| sqlx::Row::get::<String, _>(&row, "first_name") == "Ada"));
    assert!(daemon.metric_of("retries_total", &["side=\"renaissance\"", "class=\"blocked\""]).await > Some(0.0));

    bed.sql("GRANT UPDATE ON users TO bridge").await;
    bed.until_name(ada, "Countess").await;
    let made = bed.until_document(doc! { "username": "grace" }, |_| true).await.get_object_id("_id").unwrap();
    bed.until_row(made, |row| sqlx::Row::get::<i64, _>(row, "id") == grace).await;
    bed.until_well(&daemon).await;

    bed.sql("REVOKE SELECT ON users FROM bridge").await;
    bed.set(ada, "name", "Ada").await;
    let said = bed.until_said(&daemon, "reconciling user").await;
    assert!(said.contains("permission denied for table users"), "{said}");
    bed.insert_book(ada, "More notes").await;
    bed.until_book("More notes").await;
    bed.sql("GRANT SELECT ON users TO bridge").await;
    bed.until_name(ada, "Ada").await;
    bed.until_well(&daemon).await;
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mongodb_that_takes_no_writes_stops_that_direction_and_nothing_else() {
    let bed = Bed::refusing().await;
    let daemon = bed.start().await;
    let ((ada, _), (bob, bobs_row)) = (bed.shared_person("Ada").await, bed.shared_person("Bob").await);
    // a full disk, a missing right, writes blocked by an administrator
    for (code, word) in [(14031, "takes no writes"), (13, "readWrite"), (371, "takes no writes")] {
        bed.refuse(USERS, &["update", "insert", "delete"], code).await;
        bed.rename(bobs_row, &format!("Bob {code}")).await;
        let said = bed.until_said(&daemon, "writing user to legacy").await;
        assert!(said.contains(USERS) && said.contains(word), "{said}");
        bed.set(ada, "name", format!("Ada {code}")).await;
        bed.until_name(ada, &format!("Ada {code}")).await;
        assert!(!holds(&bed.document(bob).await.unwrap(), "name", format!("Bob {code}")));
        assert_eq!(bed.parked().await, []);
        bed.refuse(USERS, &[], 0).await;
        bed.until_document(doc! { "_id": bob }, |d| holds(d, "name", format!("Bob {code}"))).await;
        bed.until_well(&daemon).await;
    }
    // one collection that cannot be read holds up nobody else
    bed.refuse(USERS, &["find"], 13).await;
    bed.rename(bobs_row, "Bob").await;
    let said = bed.until_said(&daemon, "reconciling user").await;
    assert!(said.contains("the right find on authapp_usermodel is missing"), "{said}");
    bed.insert_book(ada, "Notes").await;
    bed.until_book("Notes").await;
    bed.refuse(USERS, &[], 0).await;
    bed.until_document(doc! { "_id": bob }, |d| holds(d, "name", "Bob")).await;
    bed.until_well(&daemon).await;
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_read_only_or_full_parks_nothing_and_is_waited_for() {
    let (bed, daemon) = Bed::running().await;
    let ((ada, _), (bob, bobs_row)) = (bed.shared_person("Ada").await, bed.shared_person("Bob").await);
    // the disk that holds the table is full, the one that holds the state is not
    bed.sql(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END$$; \
         CREATE TRIGGER no_room BEFORE UPDATE ON users FOR EACH ROW WHEN (NEW.first_name = 'Ada King') EXECUTE FUNCTION no_room()",
    )
    .await;
    bed.set(ada, "name", "Ada King").await;
    let said = bed.until_said(&daemon, "writing user to renaissance").await;
    assert!(said.contains("disk of the Postgres server is full"), "{said}");
    bed.rename(bobs_row, "Robert").await;
    bed.until_document(doc! { "_id": bob }, |d| holds(d, "name", "Robert")).await;
    bed.sql("DROP TRIGGER no_room ON users").await;
    bed.until_name(ada, "Ada King").await;
    bed.until_well(&daemon).await;

    let set = async |value: &str| {
        bed.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {value}")).await;
        bed.sql("SELECT pg_reload_conf()").await;
    };
    set("on").await;
    bed.set(ada, "name", "Ada").await;
    let said = bed.until_said(&daemon, "writing user to renaissance").await;
    assert!(said.contains("does not accept writes") && said.contains("default_transaction_read_only"), "{said}");
    let mut session = bed.pool.acquire().await.unwrap();
    let back = "SET default_transaction_read_only = off; ALTER SYSTEM SET default_transaction_read_only = off";
    for statement in back.split("; ").chain(["SELECT pg_reload_conf()"]) {
        sqlx::raw_sql(statement).execute(&mut *session).await.unwrap();
    }
    bed.until_name(ada, "Ada").await;
    bed.until_well(&daemon).await;
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_holds_up_neither_orders_nor_other_requests_nor_a_stop() {
    let bed = Bed::refusing().await;
    let daemon = bed.start().await;
    let ((ada, adas_row), (bob, bobs_row)) = (bed.shared_person("Ada").await, bed.shared_person("Bob").await);
    let disagree = async |row: i64| {
        daemon.hold();
        bed.set(ada, "name", format!("left {row}")).await;
        bed.rename(adas_row, &format!("right {row}")).await;
        daemon.go_on();
        bed.until_name(ada, &format!("left {row}")).await;
        bed.scalar("SELECT max(id) FROM biograph_bridge.conflict").await.to_string()
    };
    let resolve = |entry: &str| bed.command(&["conflicts", "resolve", entry, "--take", "renaissance"]);

    // an order waits for a row that an application has locked; what others ask is answered meanwhile
    let entry = disagree(1).await;
    let mut application = bed.pool.begin().await.unwrap();
    let lock = format!("SELECT FROM users WHERE id = {adas_row} FOR UPDATE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut *application).await.unwrap();
    let mut waiting = resolve(&entry).stdout(Stdio::null()).spawn().unwrap();
    let asked = "SELECT count(*) FROM biograph_bridge.request WHERE command = 'conflict_resolve' AND done_at IS NULL";
    bed.until_count(asked, 1).await;
    let other = Answer::from(bed.command(&["explain", &format!("legacy:{bob}"), "--json"]).output().unwrap());
    assert!(other.json()["lately"]["steps"].is_array(), "{} {}", other.out, other.err);
    assert_eq!(bed.count(asked).await, 1, "the order still waits");
    application.rollback().await.unwrap();
    assert!(waiting.wait().unwrap().success());
    bed.until_document(doc! { "_id": ada }, |d| holds(d, "name", "right 1")).await;

    // one that needs a side which takes no writes is refused at once, and nothing is written for it later
    let entry = disagree(2).await;
    bed.refuse(USERS, &["update", "insert", "delete"], 14031).await;
    bed.rename(bobs_row, "Robert").await;
    bed.until_said(&daemon, "writing user to legacy").await;
    let began = Instant::now();
    let refused = Answer::from(resolve(&entry).output().unwrap());
    assert!(refused.code == Some(1) && refused.err.contains("`biograph-bridge status` says why"), "{}", refused.err);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

    // what is held by it comes at the next start
    let began = Instant::now();
    assert_eq!(daemon.stop().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    bed.refuse(USERS, &[], 0).await;
    let _daemon = bed.start().await;
    bed.until_document(doc! { "_id": bob }, |d| holds(d, "name", "Robert")).await;
    assert!(holds(&bed.document(ada).await.unwrap(), "name", "left 2"));
}
