//! Servers that are down, refuse the login or cannot do what the bridge needs: waited for, or named with what to do.

use std::process::Command;

use biograph_bridge::sandbox::{Mongod, MongodOptions, PostgresOptions, ServerChoice};
use mongodb::bson::doc;

use crate::bed::{Bed, USERS, holds, output};

/// What a daemon that cannot start says on its way out.
async fn refused(command: Command) -> String {
    let (code, said) = output(command).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("fix"), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_down_are_waited_for_at_the_start_and_later() {
    let mut bed = Bed::new().await;
    bed.postgres.kill().await.unwrap();
    bed.mongo.kill_member(0).await.unwrap();
    let daemon = bed.spawn();
    bed.until("it says that it is not ready", async || {
        daemon.get("/readyz").await.is_some_and(|(code, _)| code == 503)
    })
    .await;
    assert_eq!(daemon.get("/livez").await.unwrap().0, 200, "waiting is not hanging");
    bed.until("the log says why", async || bed.log_tail().contains("connecting to renaissance failed")).await;
    bed.postgres.start_again().await.unwrap();
    bed.mongo.restart_member(0).await.unwrap();
    bed.until("it is ready", async || daemon.get("/readyz").await.is_some_and(|(code, _)| code == 200)).await;
    let (id, row) = bed.shared_person("Ada").await;

    bed.postgres.kill().await.unwrap();
    bed.set(id, "name", "Ada King").await;
    bed.until("it notices", async || daemon.get("/readyz").await.is_some_and(|(code, _)| code == 503)).await;
    bed.postgres.start_again().await.unwrap();
    bed.until_name(id, "Ada King").await;

    bed.mongo.kill_member(0).await.unwrap();
    bed.sql(&format!("UPDATE users SET email = 'king@example.org' WHERE id = {row}")).await;
    bed.until("it notices", async || daemon.get("/readyz").await.is_some_and(|(code, _)| code == 503)).await;
    bed.mongo.restart_member(0).await.unwrap();
    bed.until_document(doc! { "_id": id }, |d| holds(d, "email", "king@example.org")).await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_fix_ends_the_daemon_with_the_fix() {
    let bed = Bed::new().await;
    let with = |name: &str, value: String| {
        let mut command = bed.command(&["run"]);
        command.env(name, value);
        command
    };
    let said = refused(with("BRIDGE_RENAISSANCE_URL", bed.renaissance_url.replace('@', "x@"))).await;
    assert!(said.contains("refused the login"), "{said}");
    let said = refused(with("BRIDGE_LEGACY_URI", bed.legacy_uri.replace("mongodb://", "mongodb://ada:secret@"))).await;
    assert!(said.contains("refuses the bridge's login") && !said.contains("secret"), "{said}");
    let standalone = Mongod::standalone(MongodOptions::default()).await.unwrap();
    let said = refused(with("BRIDGE_LEGACY_URI", format!("mongodb://{}/BioGraphDemo", standalone.address()))).await;
    assert!(said.contains("--replSet"), "{said}");
    bed.sql("ALTER TABLE users RENAME COLUMN profile_picture TO picture").await;
    let said = refused(bed.command(&["run"])).await;
    assert!(said.contains("profile_picture"), "{said}");
    bed.sql("ALTER TABLE users RENAME COLUMN picture TO profile_picture; ALTER TABLE user_profiles RENAME TO profiles")
        .await;
    let said = refused(bed.command(&["run"])).await;
    assert!(said.contains("user_profiles"), "{said}");
    bed.sql("ALTER TABLE profiles RENAME TO user_profiles").await;
    bed.users().drop().await.unwrap();
    bed.legacy.create_collection("AuthApp_usermodel").await.unwrap();
    let said = refused(bed.command(&["run"])).await;
    assert!(said.contains(USERS) && said.contains("AuthApp_usermodel exists"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_without_logical_decoding_is_refused_with_the_command() {
    let bed = Bed::with(PostgresOptions { wal_level: "replica", ..PostgresOptions::default() }, 1).await;
    let said = refused(bed.command(&["run"])).await;
    assert!(said.contains("wal_level") && said.contains("ALTER SYSTEM SET wal_level"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn debians_postgres_15_does_as_well() {
    let debian = std::path::PathBuf::from("/usr/lib/postgresql/15/bin");
    if !debian.exists() {
        println!("NOTICE: skipped, there is no {}", debian.display());
        return;
    }
    let bed = Bed::with(PostgresOptions { server: ServerChoice::At(debian), ..PostgresOptions::default() }, 1).await;
    let daemon = bed.start().await;
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&bed.pool).await.unwrap();
    assert!(version.starts_with("15."), "{version}");
    let (id, _) = bed.shared_person("Ada").await;
    bed.set(id, "name", "Ada King").await;
    bed.until_name(id, "Ada King").await;
    let row = bed.register("grace", "Grace").await;
    let grace = bed.until_document(doc! { "username": "grace" }, |_| true).await.get_object_id("_id").unwrap();
    bed.sql(&format!("UPDATE user_profiles SET profile_visibility = 'friends' WHERE user_id = {row}")).await;
    bed.until_document(doc! { "_id": grace }, |d| holds(d, "profile_settings", "F")).await;
    bed.users().delete_one(doc! { "_id": id }).await.unwrap();
    bed.sql(&format!("DELETE FROM user_profiles WHERE user_id = {row}; DELETE FROM users WHERE id = {row}")).await;
    bed.until("the document goes", async || bed.document(grace).await.is_none()).await;
    bed.until("the row goes", async || bed.row(id).await.is_none()).await;
    assert_eq!(bed.count("SELECT count(*) FROM users").await, 0);
    assert_eq!(daemon.stop().await, Some(0));
}
