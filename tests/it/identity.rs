//! Another database behind an address is refused; one that was put back to an earlier state is swept, and nothing is lost.

use std::{path::Path, process::Command};

use biograph_bridge::sandbox::make_collections;
use mongodb::bson::{Document, doc};
use serde_json::Value as Json;
use sqlx::Row;

use crate::bed::{Bed, Daemon, holds, output};

const PEOPLE: &str = "SELECT count(*) FROM users";

async fn is_refused(bed: &Bed, option: &str) {
    for command in ["run", "check"] {
        let (code, said) = output(bed.command(&[command])).await;
        assert_eq!(code, Some(1), "{command}: {said}");
        assert!(said.contains(&format!("init --{option}")), "{command}: {said}");
        let secret = bed.renaissance_url.split([':', '@']).nth(2).unwrap();
        assert!(said.contains("127.0.0.1") && !said.contains(secret), "{command}: {said}");
    }
}

async fn healing(daemon: &Daemon) -> Json {
    let status = daemon.status().await.unwrap_or_default();
    status["healings"].as_array().and_then(|healings| healings.last().cloned()).unwrap_or_default()
}

async fn until_healed(bed: &Bed, daemon: &Daemon, side: &str, cause: &str) {
    bed.until("it has healed", async || {
        let healing = healing(daemon).await;
        healing["side"] == side && healing["cause"] == cause && healing["ended_at"].is_string()
    })
    .await;
}

/// A folder as `cp -a` copies it, over whatever was there.
fn copy(from: &Path, to: &Path) {
    drop(std::fs::remove_dir_all(to));
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_refused_until_a_person_accepts_it() {
    let (mut bed, daemon) = Bed::running().await;
    let (ada, _) = bed.shared_person("Ada").await;
    daemon.stop().await;
    bed.legacy.drop().await.unwrap();
    make_collections(&bed.legacy).await.unwrap();
    is_refused(&bed, "accept-legacy").await;
    assert_eq!(bed.count(PEOPLE).await, 1);
    let (code, said) = output(bed.command(&["init", "--accept-legacy"])).await;
    assert_eq!(code, Some(0), "{said}");
    let daemon = bed.start().await;
    until_healed(&bed, &daemon, "legacy", "moved").await;
    bed.until_document(doc! { "_id": ada }, |d| holds(d, "name", "Ada")).await;
    assert_eq!(bed.count(PEOPLE).await, 1, "what is missing is made again, and nothing is deleted");

    let (code, said) = output(bed.command(&["init", "--accept-renaissance"])).await;
    assert!(code == Some(1) && said.contains("a daemon is active"), "{said}");
    daemon.stop().await;
    // the state as it is after a dump was restored on another server
    bed.sql("UPDATE biograph_bridge.identity SET id = '1/1' WHERE side = 'renaissance'").await;
    is_refused(&bed, "accept-renaissance").await;
    let (code, said) = output(bed.command(&["init", "--accept-renaissance"])).await;
    assert_eq!(code, Some(0), "{said}");
    bed.users().update_one(doc! { "_id": ada }, doc! { "$set": { "name": "Ada King" } }).await.unwrap();
    let daemon = bed.start().await;
    until_healed(&bed, &daemon, "renaissance", "moved").await;
    bed.until_name(ada, "Ada King").await;
    daemon.stop().await;

    // a Renaissance that no bridge has ever seen
    let known = std::mem::replace(&mut bed.renaissance_url, bed.postgres.create_renaissance("another").await.unwrap());
    is_refused(&bed, "accept-renaissance").await;
    let written = "SELECT to_regnamespace('biograph_bridge') IS NOT NULL";
    let mut another = bed.postgres.connect("another").await.unwrap();
    assert!(
        !sqlx::query_scalar::<_, bool>(written).fetch_one(&mut another).await.unwrap(),
        "nothing was written to it"
    );
    bed.renaissance_url = known;
    assert_eq!(bed.start().await.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_biograph_that_is_put_back_under_a_running_bridge_overwrites_and_deletes_nothing() {
    let (mut bed, daemon) = Bed::running().await;
    let (ada, _) = bed.shared_person("Ada").await;
    let (grace, grace_row) = bed.shared_person("Grace").await;
    let (alan, _) = bed.shared_person("Alan").await;
    daemon.stop().await;
    let data = bed.mongo.members()[0].folder().join("data");
    let backup = data.with_extension("backup");
    bed.mongo.kill_member(0).await.unwrap();
    copy(&data, &backup);
    bed.mongo.restart_member(0).await.unwrap();

    let daemon = bed.start().await;
    bed.set(ada, "name", "Ada King").await;
    bed.until_name(ada, "Ada King").await;
    bed.sql(&format!("UPDATE users SET first_name = 'Grace Hopper' WHERE id = {grace_row}")).await;
    bed.until_document(doc! { "_id": grace }, |d| holds(d, "name", "Grace Hopper")).await;
    let (niklaus, _) = bed.shared_person("Niklaus").await;
    bed.users().delete_one(doc! { "_id": alan }).await.unwrap();
    bed.until("the row goes", async || bed.row(alan).await.is_none()).await;
    bed.mongo.kill_member(0).await.unwrap();
    copy(&backup, &data);
    bed.mongo.restart_member(0).await.unwrap();

    until_healed(&bed, &daemon, "legacy", "restored").await;
    bed.until_document(doc! { "_id": niklaus }, |d| holds(d, "name", "Niklaus")).await;
    assert_eq!(bed.row(niklaus).await.unwrap().get::<String, _>("first_name"), "Niklaus");
    bed.until_name(alan, "Alan").await;
    for (id, lost) in [(ada, "Ada King"), (grace, "Grace Hopper")] {
        let journal = "SELECT count(*) FROM biograph_bridge.conflict \
             WHERE legacy_id = $1 AND field = 'name' AND renaissance_value = to_jsonb($2)";
        let kept = async || {
            let rows = sqlx::query_scalar::<_, i64>(journal).bind(id.to_hex()).bind(lost);
            rows.fetch_one(&bed.pool).await.unwrap() == 1
        };
        bed.until("the newer value is in the journal", kept).await;
        assert_eq!(
            bed.row(id).await.unwrap().get::<String, _>("first_name"),
            bed.document(id).await.unwrap().get_str("name").unwrap()
        );
    }
    // and all is as usual again
    bed.set(ada, "name", "Ada Lovelace").await;
    bed.until_name(ada, "Ada Lovelace").await;
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renaissance_that_is_put_back_catches_up_with_biograph() {
    let (mut bed, daemon) = Bed::running().await;
    let (ada, _) = bed.shared_person("Ada").await;
    let (alan, _) = bed.shared_person("Alan").await;
    daemon.stop().await;
    let data = bed.postgres.folder().join("data");
    let backup = data.with_extension("backup");
    bed.postgres.stop().await.unwrap();
    copy(&data, &backup);
    bed.postgres.start_again().await.unwrap();

    let daemon = bed.start().await;
    bed.register("grace", "Grace").await;
    let grace = bed.until_document(doc! { "username": "grace" }, |_| true).await.get_object_id("_id").unwrap();
    daemon.stop().await;
    let daemon = bed.start().await;
    bed.set(ada, "name", "Ada King").await;
    bed.until_name(ada, "Ada King").await;
    bed.users().delete_one(doc! { "_id": alan }).await.unwrap();
    bed.until("the row goes", async || bed.row(alan).await.is_none()).await;
    daemon.stop().await;
    bed.postgres.stop().await.unwrap();
    copy(&backup, &data);
    bed.postgres.start_again().await.unwrap();

    let daemon = bed.start().await;
    until_healed(&bed, &daemon, "renaissance", "restored").await;
    bed.until_name(ada, "Ada King").await;
    bed.until_name(grace, "Grace").await;
    bed.until("the row goes again", async || bed.row(alan).await.is_none()).await;
    assert_eq!(bed.users().count_documents(Document::new()).await.unwrap(), 2);
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
    assert_eq!(daemon.stop().await, Some(0));
}
