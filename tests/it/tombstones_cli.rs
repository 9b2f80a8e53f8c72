//! `tombstones`: what the bridge deleted comes back as it was, and the other side follows.

use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use serde_json::Value as Json;

use crate::{
    bed::{Bed, Daemon},
    cli_harness::Answer,
    toys::Toys,
};

fn run(bed: &Bed, arguments: &[&str]) -> Answer {
    Answer::from(bed.command(arguments).output().unwrap())
}

/// The number under which a deleted record is kept, once its deletion is final.
async fn kept(bed: &Bed, id: ObjectId) -> String {
    let there = format!("SELECT max(id) FROM biograph_bridge.tombstone WHERE legacy_id = '{id}' AND intent IS NULL");
    let newest = async || -> Option<i64> {
        sqlx::query_scalar(sqlx::AssertSqlSafe(there.clone())).fetch_one(&bed.pool).await.unwrap()
    };
    bed.until("it is kept", async || newest().await.is_some()).await;
    newest().await.unwrap().to_string()
}

async fn whole_row(bed: &Bed, id: i64) -> Json {
    sqlx::query_scalar(
        "SELECT jsonb_build_array(to_jsonb(u), to_jsonb(p)) FROM users u LEFT JOIN user_profiles p ON p.user_id = u.id WHERE u.id = $1",
    )
    .bind(id)
    .fetch_optional(&bed.pool)
    .await
    .unwrap()
    .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_person_comes_back_exactly_and_is_made_again_on_the_other_side() {
    let (bed, daemon) = Bed::running().await;
    let (ada, ada_row) = bed.shared_person("Ada Secret").await;
    // deleted in BioGraph: the rows come back, and the document under its old id
    bed.sql(&format!("UPDATE users SET password = 'hash', bio = 'mine' WHERE id = {ada_row}")).await;
    bed.until_settled(&daemon).await;
    let before = whole_row(&bed, ada_row).await;
    bed.users().delete_one(doc! { "_id": ada }).await.unwrap();
    bed.until("the row goes", async || bed.row(ada).await.is_none()).await;
    let tombstone = kept(&bed, ada).await;
    let listed = run(&bed, &["tombstones", "list", "--user", &format!("legacy:{ada}"), "--since", "1h"]);
    assert!(listed.code == Some(0) && listed.out.contains(&ada.to_hex()), "{}{}", listed.out, listed.err);
    let listed = run(&bed, &["tombstones", "list", "--entity", "user", "--since", "1h", "--json"]);
    assert_eq!(listed.json()["tombstones"][0]["legacy_id"], ada.to_hex());
    let shown = run(&bed, &["tombstones", "show", &tombstone]).out;
    assert!(
        shown.contains("it held: friendships, subscribers, user_profiles, users") && !shown.contains("Secret"),
        "{shown}"
    );
    assert!(run(&bed, &["tombstones", "show", &tombstone, "--reveal"]).out.contains("Ada Secret"));
    let restored = run(&bed, &["tombstones", "restore", &tombstone, "--json"]);
    assert_eq!(restored.code, Some(0), "{}", restored.err);
    assert_eq!(restored.json()["side"], "renaissance");
    bed.until_document(doc! { "_id": ada, "name": "Ada Secret" }, |_| true).await;
    bed.until_settled(&daemon).await;
    assert_eq!(whole_row(&bed, ada_row).await, before);
    // once more is harmless; an entry that something else has taken the place of is refused
    assert_eq!(run(&bed, &["tombstones", "restore", &tombstone]).code, Some(0));
    bed.sql(&format!("UPDATE users SET bio = 'another' WHERE id = {ada_row}")).await;
    let taken = run(&bed, &["tombstones", "restore", &tombstone]);
    assert!(taken.code == Some(1) && taken.err.contains("something is in renaissance by now"), "{}", taken.err);

    // deleted in Renaissance: the document comes back with what no mapping knows, and a row is made
    let odd = doc! { "unmapped": { "long": 7_i64, "big": 1e17, "list": [1, Bson::Null] }, "name": "Grace" };
    let grace = bed.insert_person("Grace", odd).await;
    let grace_row = sqlx::Row::get::<i64, _>(&bed.until_name(grace, "Grace").await, "id");
    let before = bed.document(grace).await.unwrap();
    bed.sql(&format!(
        "DELETE FROM user_profiles WHERE user_id = {grace_row}; DELETE FROM users WHERE id = {grace_row}"
    ))
    .await;
    bed.until("the document goes", async || bed.document(grace).await.is_none()).await;
    let deleted = kept(&bed, grace).await;
    let restored = run(&bed, &["tombstones", "restore", &deleted]);
    assert_eq!(restored.code, Some(0), "{}", restored.err);
    let again = bed.until_name(grace, "Grace").await;
    assert_ne!(sqlx::Row::get::<i64, _>(&again, "id"), grace_row);
    bed.until_settled(&daemon).await;
    assert_eq!(bed.document(grace).await, Some(before));

    // its timeline, under any name of it, and without what people wrote
    let timeline = run(&bed, &["explain", &format!("legacy:{grace}")]);
    for part in [
        "linked, on both sides; a person; owner: legacy",
        "tombstone",
        "put back by",
        "tombstone_restore",
        "written",
        "to renaissance: ",
    ] {
        assert!(timeline.out.contains(part), "{part}: {}{}", timeline.out, timeline.err);
    }
    let same = run(&bed, &["explain", &format!("legacy:{ada}"), "--entity", "user", "--json"]);
    let hints = same.json()["lately"]["steps"].as_array().unwrap().iter().filter(|step| step["what"] == "hint").count();
    assert!(hints > 0 && !same.out.contains("Secret"), "{}", same.out);
    let slip = run(&bed, &["explain", "ada", "--entity", "user"]);
    assert_eq!(slip.code, Some(2), "{}", slip.err);

    // it is an ordinary person again
    bed.set(grace, "name", "Grace H").await;
    bed.until_name(grace, "Grace H").await;
    assert!(run(&bed, &["tombstones", "restore", "999"]).err.contains("nothing deleted is kept under number 999"));
    let log = std::fs::read_to_string(&bed.log).unwrap();
    assert!(!log.contains("Secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_deleted_while_the_other_side_changed_them_comes_back_by_their_conflict() {
    let (bed, daemon) = Bed::running().await;
    let (ada, ada_row) = bed.shared_person("Ada").await;
    daemon.hold();
    bed.sql(&format!("UPDATE users SET first_name = 'Ada changed' WHERE id = {ada_row}")).await;
    bed.users().delete_one(doc! { "_id": ada }).await.unwrap();
    daemon.go_on();
    bed.until("the row goes", async || bed.row(ada).await.is_none()).await;
    let entry = conflict(&bed, "delete_updated").await;
    let kept_side = run(&bed, &["conflicts", "resolve", &entry, "--take", "legacy"]);
    assert!(kept_side.code == Some(1) && kept_side.err.contains("puts it back"), "{}", kept_side.err);
    let resolved = run(&bed, &["conflicts", "resolve", &entry, "--take", "renaissance"]);
    assert_eq!(resolved.code, Some(0), "{}", resolved.err);
    bed.until_document(doc! { "_id": ada, "name": "Ada changed" }, |_| true).await;
    let again = run(&bed, &["conflicts", "resolve", &entry, "--take", "renaissance"]);
    assert!(again.err.contains("was resolved by"), "{}", again.err);
    let noted = "SELECT count(*) FROM biograph_bridge.tombstone WHERE restored_by <> '' AND restored_at IS NOT NULL";
    assert_eq!(bed.count(noted).await, 1);
    who_is_gone_on_both_sides_is_found(&bed, &daemon).await;
}

async fn who_is_gone_on_both_sides_is_found(bed: &Bed, daemon: &Daemon) {
    let (lin, lin_row) = bed.shared_person("Lin").await;
    let books = bed.legacy.collection::<Document>("authapp_booksmodel");
    let book = doc! { "user_id": lin, "title": "Notes", "biographs": [], "is_published": true, "status_key": 1 };
    let book = books.insert_one(book).await.unwrap().inserted_id;
    bed.until_count("SELECT count(*) FROM books WHERE title = 'Notes'", 1).await;
    bed.until_settled(daemon).await;
    daemon.hold();
    books.delete_one(doc! { "_id": book }).await.unwrap();
    bed.users().delete_one(doc! { "_id": lin }).await.unwrap();
    bed.sql(&format!(
        "DELETE FROM books WHERE title = 'Notes'; DELETE FROM user_profiles WHERE user_id = {lin_row}; \
         DELETE FROM users WHERE id = {lin_row}"
    ))
    .await;
    daemon.go_on();
    bed.until_count("SELECT count(*) FROM biograph_bridge.tombstone WHERE deleted_on = 'both'", 2).await;
    for name in [format!("legacy:{lin}"), format!("renaissance:{lin_row}")] {
        let listed = run(bed, &["tombstones", "list", "--user", &name, "--json"]);
        let listed = listed.json()["tombstones"].as_array().unwrap().iter().map(|one| one["entity"].clone()).collect();
        let mut listed: Vec<Json> = listed;
        listed.sort_by_key(Json::to_string);
        assert_eq!(listed, ["book", "user"], "{name}");
    }
    let nobody = run(bed, &["tombstones", "list", "--user", &format!("legacy:{}", ObjectId::new())]);
    assert!(nobody.code == Some(1) && nobody.err.contains("nobody has this legacy"), "{}", nobody.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_long_enough_is_forgotten_and_what_nobody_has_decided_is_not() {
    let mut bed = Bed::new().await;
    let daemon = bed.start().await;
    let (ada, ada_row) = bed.shared_person("Ada").await;
    let (grace, _) = bed.shared_person("Grace").await;
    daemon.hold();
    bed.set(ada, "name", "left").await;
    bed.sql(&format!("UPDATE users SET first_name = 'right' WHERE id = {ada_row}")).await;
    bed.users().delete_one(doc! { "_id": grace }).await.unwrap();
    daemon.go_on();
    bed.until_name(ada, "left").await;
    bed.until("the row goes", async || bed.row(grace).await.is_none()).await;
    bed.until_settled(&daemon).await;
    let open = "INSERT INTO biograph_bridge.conflict (entity, legacy_id, kind, field, policy, owner, epoch, at) \
                VALUES ('user', 'x', 'update_update', 'open', 'park', 'legacy', 0, now() - interval '1 year')";
    bed.sql(open).await;
    let old = "UPDATE biograph_bridge.conflict SET at = now() - interval '89 days' WHERE field = 'name'; \
               UPDATE biograph_bridge.tombstone SET at = now() - interval '89 days'";
    bed.sql(old).await;
    assert_eq!(daemon.stop().await, Some(0));

    let journal = "SELECT count(*) FROM biograph_bridge.conflict";
    let contents = "SELECT count(*) FROM biograph_bridge.tombstone WHERE record <> 'null'::jsonb";
    let daemon = bed.start().await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!((bed.count(journal).await, bed.count(contents).await), (2, 1), "89 days are not 90");
    assert_eq!(daemon.stop().await, Some(0));
    bed.settings.push(("BRIDGE_JOURNAL_RETENTION", "88d".to_owned()));
    bed.settings.push(("BRIDGE_TOMBSTONE_RETENTION", "88d".to_owned()));
    let _daemon = bed.start().await;
    bed.until_count(contents, 0).await;
    bed.until_count(journal, 1).await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict WHERE field = 'open'").await, 1);
    let tombstone = kept(&bed, grace).await;
    let late = run(&bed, &["tombstones", "restore", &tombstone]);
    assert!(late.code == Some(1) && late.err.contains("not kept any more"), "{}", late.err);
    assert!(std::fs::read_to_string(&bed.log).unwrap().contains("forgot decided entries of the journal"));
}

async fn conflict(bed: &Bed, kind: &str) -> String {
    let sql = format!("SELECT max(id)::text FROM biograph_bridge.conflict WHERE kind = '{kind}' AND intent IS NULL");
    let id: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&bed.pool).await.unwrap();
    id.expect("it is journalled")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_is_in_the_sets_that_named_them_and_has_their_own() {
    let (toys, daemon): (Toys, Daemon) = Toys::with_notes_running().await;
    let (ada, lin) = (toys.member("Ada").await, toys.member("Lin").await);
    let grace = toys.member("Grace").await;
    toys.set("members", grace, "follows", vec![ada]).await;
    toys.set("members", ada, "follows", vec![lin]).await;
    toys.until_follows("Grace", "Ada").await;
    toys.until_follows("Ada", "Lin").await;
    toys.delete("members", ada).await;
    toys.until_follows("Grace", "-").await;
    let tombstone = kept(&toys.bed, ada).await;
    let restored = run(&toys.bed, &["tombstones", "restore", &tombstone]);
    assert_eq!(restored.code, Some(0), "{}", restored.err);
    toys.until_document("members", doc! { "_id": ada, "name": "Ada", "follows": [lin] }, |_: &Document| true).await;
    toys.until_follows("Grace", "Ada").await;
    toys.until_follows("Ada", "Lin").await;
    drop(daemon);
    let nobody = run(&toys.bed, &["tombstones", "restore", &tombstone]);
    assert!(nobody.code == Some(3) || nobody.err.contains("has not answered"), "{}", nobody.err);
}
