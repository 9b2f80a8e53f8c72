//! Secrets that are replaced while the bridge runs.

use std::path::Path;

use mongodb::bson::doc;

use crate::bed::{Bed, holds};

const SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotating'";

impl Bed {
    /// Settings in a file that refers to another one for the password.
    async fn with_password_file(folder: &Path) -> Self {
        let mut bed = Self::new().await;
        bed.sql("CREATE ROLE rotating SUPERUSER LOGIN PASSWORD 'first'").await;
        let (_, address) = bed.renaissance_url.split_once('@').unwrap();
        let text = format!("renaissance_url = \"postgres://rotating:${{file:password}}@{address}\"\n");
        std::fs::write(folder.join("bridge.toml"), text).unwrap();
        std::fs::write(folder.join("password"), "first\n").unwrap();
        bed.settings.push(("BRIDGE_RENAISSANCE_URL", String::new()));
        bed.settings.push(("BRIDGE_CONFIG", folder.join("bridge.toml").display().to_string()));
        bed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_replaced_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::with_password_file(folder.path()).await;
    let daemon = bed.start().await;
    let standby = bed.spawn_on(bed.another_port());
    bed.until("one stands by", async || standby.status().await.is_some_and(|status| status["state"] == "standby"))
        .await;
    let (ada, row) = bed.shared_person("Ada").await;

    // the server first: until the file follows, both wait and say so
    std::fs::remove_file(folder.path().join("password")).unwrap();
    bed.sql("ALTER ROLE rotating PASSWORD 'second'").await;
    bed.sql(SESSIONS).await;
    bed.until("it is not ready", async || daemon.get("/readyz").await.is_some_and(|(code, _)| code == 503)).await;
    bed.until("it says that the login is refused", async || bed.log_all().contains("refused the login")).await;
    bed.until("it says that there is no file", async || {
        bed.log_all().contains("cannot be read again") && bed.log_all().contains("there is no such file")
    })
    .await;
    bed.set(ada, "name", "Ada meanwhile").await;
    std::fs::write(folder.path().join("password"), "second\n").unwrap();
    bed.until_name(ada, "Ada meanwhile").await;

    // the file first, as whoever rotates with care does
    std::fs::write(folder.path().join("password"), "third\n").unwrap();
    bed.sql("ALTER ROLE rotating PASSWORD 'third'").await;
    bed.sql(SESSIONS).await;
    bed.sql(&format!("UPDATE users SET first_name = 'Grace' WHERE id = {row}")).await;
    bed.until_document(doc! { "_id": ada }, |person| holds(person, "name", "Grace")).await;
    assert!(bed.log_all().contains("the connection strings have changed"), "{}", bed.log_tail());
    assert!(!["first", "second", "third"].iter().any(|secret| bed.log_all().contains(&format!(":{secret}@"))));
    let ends = (standby.stop().await, daemon.stop().await);
    assert_eq!(ends, (Some(0), Some(0)), "{}", bed.log_all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_never_worked_ends_the_daemon_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::with_password_file(folder.path()).await;
    std::fs::write(folder.path().join("password"), "wrong\n").unwrap();
    let (code, said) = crate::bed::output(bed.command(&["run"])).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("refused the login"), "{said}");
}
