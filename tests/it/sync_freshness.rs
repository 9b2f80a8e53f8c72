//! Reads that are new enough and writes that overwrite nobody: invisible commits, held rows, open transactions, triggers.

use std::time::{Duration, Instant};

use biograph_bridge::sandbox::PostgresOptions;
use mongodb::bson::doc;
use sqlx::{Connection, PgConnection, Row};

use crate::{
    bed::{Bed, holds},
    observed::pause,
};

/// How long another person may take while somebody's row is held: far below any lock timeout.
const UNHINDERED: Duration = Duration::from_secs(4);

/// A person's change that must cross although somebody else is held.
async fn somebody_else_crosses(bed: &Bed, (id, row): (mongodb::bson::oid::ObjectId, i64), name: &str) {
    let started = Instant::now();
    bed.set(id, "name", name).await;
    bed.until_name(id, name).await;
    bed.sql(&format!("UPDATE users SET first_name = '{name} back' WHERE id = {row}")).await;
    bed.until_document(doc! { "_id": id }, |d| holds(d, "name", format!("{name} back"))).await;
    assert!(started.elapsed() < UNHINDERED, "others were held up for {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_decoded_before_it_is_visible_is_not_lost() {
    let settings = vec![("synchronous_commit".to_owned(), "local".to_owned())];
    let bed = Bed::with(PostgresOptions { settings, ..PostgresOptions::default() }, 1).await;
    let daemon = bed.start().await;
    let (id, row) = bed.shared_person("Ada").await;
    let other = bed.shared_person("Grace").await;
    bed.until_settled(&daemon).await;
    bed.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody_there'").await;
    bed.sql("SELECT pg_reload_conf()").await;
    pause().await;
    let mut application: PgConnection = bed.postgres.connect("renaissance").await.unwrap();
    sqlx::query("SET synchronous_commit = on").execute(&mut application).await.unwrap();
    let waiting = tokio::spawn(async move {
        sqlx::query("UPDATE users SET first_name = 'Late' WHERE id = $1").bind(row).execute(&mut application).await
    });
    bed.until("the hint is seen before its commit", async || {
        daemon.metric_of("retries_total", &["not_visible"]).await.is_some_and(|count| count >= 3.0)
    })
    .await;
    assert!(!waiting.is_finished() && holds(&bed.document(id).await.unwrap(), "name", "Ada"));
    somebody_else_crosses(&bed, other, "Hopper").await;
    bed.sql("ALTER SYSTEM RESET synchronous_standby_names").await;
    bed.sql("SELECT pg_reload_conf()").await;
    waiting.await.unwrap().unwrap();
    bed.until_document(doc! { "_id": id }, |d| holds(d, "name", "Late")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_held_by_the_application_keeps_its_value_and_holds_up_nobody() {
    let (bed, daemon) = Bed::running().await;
    let (id, row) = bed.shared_person("Ada").await;
    let (shared, shared_row) = bed.shared_person("Mary").await;
    let other = bed.shared_person("Grace").await;
    let mut application = bed.postgres.connect("renaissance").await.unwrap();
    let mut transaction = application.begin().await.unwrap();
    let sql = "UPDATE users SET bio = 'mine', email = 'mine@example.org' WHERE id = $1";
    sqlx::query(sql).bind(row).execute(&mut *transaction).await.unwrap();
    // what a foreign key check holds: compatible with most updates, but not with one of a unique column
    sqlx::query("SELECT FROM users WHERE id = $1 FOR KEY SHARE")
        .bind(shared_row)
        .execute(&mut *transaction)
        .await
        .unwrap();
    bed.set(id, "name", "Ada King").await;
    bed.set(shared, "username", "mary-2").await;
    somebody_else_crosses(&bed, other, "Hopper").await;
    assert!(daemon.metric_of("retries_total", &["lost_race"]).await.unwrap() > 0.0);
    transaction.commit().await.unwrap();
    let row = bed.until_name(id, "Ada King").await;
    assert_eq!(
        (row.get::<String, _>("bio"), row.get::<String, _>("email")),
        ("mine".into(), "mine@example.org".into())
    );
    bed.until_document(doc! { "_id": id }, |d| holds(d, "email", "mine@example.org")).await;
    bed.until_row(shared, |row| row.get::<String, _>("username") == "mary-2").await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_value_in_an_unfinished_registration_holds_up_nobody() {
    let (bed, _daemon) = Bed::running().await;
    let (taken, taken_row) = bed.shared_person("Ada").await;
    let other = bed.shared_person("Grace").await;
    let mut application = bed.postgres.connect("renaissance").await.unwrap();
    let mut transaction = application.begin().await.unwrap();
    let sql = "UPDATE users SET username = 'wanted' WHERE id = $1";
    sqlx::query(sql).bind(taken_row).execute(&mut *transaction).await.unwrap();
    let new = bed.insert_person("Eve", doc! { "username": "wanted" }).await;
    somebody_else_crosses(&bed, other, "Hopper").await;
    transaction.rollback().await.unwrap();
    bed.until_row(new, |row| row.get::<String, _>("username") == "wanted").await;
    assert!(bed.row(taken).await.is_some());
    bed.until_parked(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_in_an_open_transaction_keeps_its_value_and_holds_up_nobody() {
    let (bed, daemon) = Bed::running().await;
    let (id, row) = bed.shared_person("Ada").await;
    let other = bed.shared_person("Grace").await;
    let mut session = bed.legacy.client().start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let edit = doc! { "$set": { "name": "Ada King", "private": "mine" } };
    bed.users().update_one(doc! { "_id": id }, edit).session(&mut session).await.unwrap();
    bed.sql(&format!("UPDATE users SET email = 'king@example.org' WHERE id = {row}")).await;
    somebody_else_crosses(&bed, other, "Hopper").await;
    assert!(daemon.metric_of("retries_total", &["lost_race"]).await.unwrap() > 0.0);
    session.commit_transaction().await.unwrap();
    let document = bed.until_document(doc! { "_id": id }, |d| holds(d, "email", "king@example.org")).await;
    assert!(holds(&document, "name", "Ada King") && holds(&document, "private", "mine"));
    bed.until_name(id, "Ada King").await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_changes_during_our_write_travels_back() {
    let (bed, daemon) = Bed::running().await;
    let (id, _) = bed.shared_person("Ada").await;
    bed.sql(
        "CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           NEW.email = lower(NEW.email); UPDATE user_profiles SET profile_visibility = 'private' WHERE user_id = NEW.id; \
           RETURN NEW; END $$; \
         CREATE TRIGGER tidy BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION tidy();",
    )
    .await;
    bed.users()
        .update_one(doc! { "_id": id }, doc! { "$set": { "name": "Ada King", "email": "King@Example.ORG" } })
        .await
        .unwrap();
    bed.until_document(doc! { "_id": id }, |d| {
        holds(d, "profile_settings", "O") && holds(d, "email", "king@example.org") && holds(d, "name", "Ada King")
    })
    .await;
    bed.until_settled(&daemon).await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
}
