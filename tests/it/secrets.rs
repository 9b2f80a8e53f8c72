//! What people entered, and passwords, are nowhere in what the program says: not at the finest level of the log, not in an error.

use std::process::Command;

use mongodb::bson::doc;

use crate::bed::{Bed, Daemon, output};

/// In every value that a person has here, however it is written on a side.
const MARK: &str = "zyxq";
/// Phone numbers hold these digits.
const DIGITS: &str = "8475559";
const PASSWORD: &str = "hush-zyxq-hush";

/// Fails where somebody's value or a secret can be read.
fn clean(what: &str, said: &str) {
    let bare = said.to_lowercase();
    for secret in [MARK, DIGITS] {
        if let Some(at) = bare.find(secret) {
            let around: String = bare[..at].chars().rev().take(600).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{what} tells {secret}: {around}{secret}");
        }
    }
}

async fn says(bed: &Bed, arguments: &[&str]) -> String {
    output(bed.command(arguments)).await.1
}

/// A person whose every value is marked.
async fn person(bed: &Bed, n: u32, more: mongodb::bson::Document) -> mongodb::bson::oid::ObjectId {
    let mut values = doc! {
        "username": format!("zyxquser{n}"), "email": format!("zyxq{n}@example.org"), "phone_number": format!("{DIGITS}{n:03}"),
        "about_you": format!("Zyxq about {n}"), "city": format!("Zyxqville {n}"),
    };
    values.extend(more);
    bed.insert_person(&format!("Zyxqina {n}"), values).await
}

/// A person who is in conflict, parked records, and a repeated and a refused write.
async fn trouble(bed: &Bed, daemon: &Daemon) {
    let ada = person(bed, 1, doc! {}).await;
    bed.until_name(ada, "Zyxqina 1").await;
    let hex = ada.to_hex();
    daemon.hold();
    bed.set(ada, "name", "Zyxqina Legacy").await;
    bed.set(ada, "email", "zyxq-legacy@example.org").await;
    bed.sql(&format!("UPDATE users SET first_name = 'Zyxqina Renaissance', email = 'zyxq-ren@example.org' WHERE old_user_id = '{hex}'"))
        .await;
    daemon.go_on();
    bed.until("a conflict is journalled", async || {
        bed.count("SELECT count(*) FROM biograph_bridge.conflict").await > 0
    })
    .await;
    person(bed, 2, doc! { "name": "Zyxq".repeat(60) }).await;
    person(bed, 3, doc! { "email": { "zyxq": "nested" }, "created_time": "zyxq o'clock", "is_removed": "zyxq" }).await;
    person(bed, 4, doc! { "username": "zyxquser1", "email": "zyxq1@example.org", "name": "Zyxq\u{0}ina" }).await;
    person(bed, 5, doc! { "phone_number": ["zyxq"], "profile_settings": "zyxq", "country_code": "zyxq" }).await;
    bed.register("zyxqdjango", "Zyxqina Django").await;
    bed.until("records are parked", async || bed.parked().await.len() >= 4).await;
    bed.until_settled(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_people_entered_and_no_secret_is_in_what_the_program_says() {
    let mut bed = Bed::new().await;
    bed.settings.push(("RUST_LOG", "debug,biograph_bridge=trace".to_owned()));
    bed.settings.push(("BRIDGE_LOG_FORMAT", "json".to_owned()));
    let daemon = bed.start().await;
    trouble(&bed, &daemon).await;
    bed.postgres.kill().await.unwrap();
    bed.until("it is noticed", async || daemon.get("/readyz").await.is_some_and(|(code, _)| code == 503)).await;
    let down = daemon.get("/").await.unwrap().1;
    assert!(down.contains("renaissance is not connected"), "{down}");
    bed.postgres.start_again().await.unwrap();
    bed.until("it is ready", async || daemon.get("/readyz").await.is_some_and(|(code, _)| code == 200)).await;
    bed.until("the newest are shown", async || {
        daemon.status().await.is_some_and(|s| !s["newest_parked"].as_array().unwrap().is_empty())
    })
    .await;
    for path in ["/", "/api/status", "/metrics", "/api/route?phone=8475559001", "/api/route?email=zyxq1%40example.org"]
    {
        clean(path, &daemon.get(path).await.unwrap().1);
    }
    let page = daemon.get("/").await.unwrap().1;
    assert!(page.contains("Newest conflicts") && page.contains("Parked last"), "{page}");
    let logged = bed.log_all();
    assert!(logged.contains("\"level\":\"DEBUG\""), "{}", bed.log_tail());
    assert!(
        logged.contains("the engine failed, trying again") && logged.contains("the engine works again"),
        "{logged:.20000}"
    );
    assert!(
        logged
            .lines()
            .filter(|line| line.starts_with('{'))
            .all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok())
    );

    let conflict = bed.count("SELECT max(id) FROM biograph_bridge.conflict").await.to_string();
    let parked = bed.count("SELECT max(id) FROM biograph_bridge.parked").await.to_string();
    let person = bed.count("SELECT min(renaissance_id) FROM biograph_bridge.link WHERE entity = 'user'").await;
    for arguments in [
        &["parked", "list"][..],
        &["parked", "list", "--json"],
        &["parked", "show", &parked],
        &["parked", "retry", "--all"],
        &["conflicts", "list"],
        &["conflicts", "list", "--json"],
        &["conflicts", "show", &conflict],
        &["explain", &format!("user renaissance:{person}")],
        &["verify", "--json"],
        &["status"],
        &["status", "--json"],
        &["cutover", "start", &format!("renaissance:{person}"), "--dry-run"],
        &["cutover", "list", "--state", "legacy"],
    ] {
        clean(&arguments.join(" "), &says(&bed, arguments).await);
    }
    assert_eq!(daemon.stop().await, Some(0));
    clean("the log", &bed.log_all());
}

/// What a daemon that cannot log in says, with these databases.
async fn refused(bed: &Bed, variable: &str, url: &str) -> String {
    let mut command: Command = bed.command(&["check"]);
    command.env(variable, url).env("RUST_LOG", "trace");
    output(command).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_not_told_when_it_is_refused() {
    let bed = Bed::new().await;
    let (_, postgres) = bed.renaissance_url.split_once("://").unwrap();
    let (_, postgres) = postgres.split_once('@').unwrap_or(("", postgres));
    let (_, mongo) = bed.legacy_uri.split_once("://").unwrap();
    let said = refused(&bed, "BRIDGE_RENAISSANCE_URL", &format!("postgres://nobody:{PASSWORD}@{postgres}")).await;
    clean("a login at Postgres", &said);
    let said =
        refused(&bed, "BRIDGE_LEGACY_URI", &format!("mongodb://nobody:{PASSWORD}@{mongo}&authSource=admin")).await;
    assert!(said.contains("fix"), "{said}");
    clean("a login at MongoDB", &said);
    for broken in [
        format!("postgres://nobody:{PASSWORD}@:0:0/x"),
        format!("{PASSWORD}@x"),
        format!("postgres://n:{PASSWORD}%zz@h/d"),
    ] {
        clean("a broken URL", &refused(&bed, "BRIDGE_RENAISSANCE_URL", &broken).await);
        clean("a broken URI", &refused(&bed, "BRIDGE_LEGACY_URI", &broken.replace("postgres", "mongodb")).await);
    }
}
