//! Poison in a large batch, networks that take connections and cut them, connections that are half dead, and long outages.

use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc, oid::ObjectId};

use crate::{
    bed::{Bed, USERS, holds},
    proxy::Proxy,
};

/// People in one batch.
const MANY: usize = 1000;

async fn insert_people(bed: &Bed, name: impl Fn(usize) -> String, many: usize) {
    let person = |n| doc! { "_id": ObjectId::new(), "username": format!("user-{n}"), "name": name(n), "status_key": 1 };
    bed.users().insert_many((0..many).map(person)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_records_the_one_that_a_database_refuses_is_parked_alone_either_way() {
    let (bed, daemon) = Bed::running().await;
    // one is refused where it is written, one only when the transaction commits
    bed.sql(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$; \
         CREATE TRIGGER at_once BEFORE INSERT ON users FOR EACH ROW WHEN (NEW.first_name = 'at once') EXECUTE FUNCTION no(); \
         CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
         WHEN (NEW.first_name = 'at commit') EXECUTE FUNCTION no()",
    )
    .await;
    let name = |n| match n {
        17 => "at once".to_owned(),
        801 => "at commit".to_owned(),
        _ => "Ada".to_owned(),
    };
    insert_people(&bed, name, MANY).await;
    bed.until_count("SELECT count(*) FROM users WHERE first_name = 'Ada'", 998).await;
    bed.until_parked(&[("", "constraint"), ("", "constraint")]).await;
    bed.sql("DROP TRIGGER at_once ON users; DROP TRIGGER at_commit ON users").await;
    bed.until_parked(&[]).await;
    bed.until_count("SELECT count(*) FROM users", 1000).await;

    let schema = doc! { "$jsonSchema": { "properties": { "name": { "not": { "enum": ["forbidden"] } } } } };
    bed.legacy.run_command(doc! { "collMod": USERS, "validator": schema }).await.unwrap();
    bed.sql("UPDATE users SET first_name = CASE username WHEN 'user-500' THEN 'forbidden' ELSE 'Grace' END").await;
    bed.until("all but one cross", async || {
        bed.users().count_documents(doc! { "name": "Grace" }).await.unwrap() == 999
    })
    .await;
    bed.until("the one is parked", async || bed.parked().await.len() == 1).await;
    assert_eq!(bed.parked().await[0].1, "constraint");
    bed.sql("UPDATE users SET first_name = 'Grace' WHERE username = 'user-500'").await;
    bed.until_parked(&[]).await;
    bed.until_document(doc! { "username": "user-500" }, |d: &Document| holds(d, "name", "Grace")).await;
    assert_eq!(daemon.stop().await, Some(0));
}

/// Connections taken a second.
async fn rate(line: &Proxy, time: Duration) -> f64 {
    let before = line.taken();
    tokio::time::sleep(time).await;
    f64::from(u32::try_from(line.taken() - before).unwrap()) / time.as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_takes_connections_and_cuts_them_is_not_asked_many_times_a_second() {
    let mut bed = Bed::new().await;
    let (legacy, renaissance) = bed.behind_lines().await;
    let daemon = bed.start().await;
    let (id, _) = bed.shared_person("Ada").await;
    let time = Duration::from_secs(8);
    for line in [&legacy, &renaissance] {
        line.refuse();
        let rate = rate(line, time).await;
        line.pass();
        println!("refused: {rate:.1} connections a second");
        assert!(rate < 6.0, "{rate} connections a second: {}", bed.log_tail());
        let name = format!("Ada {rate}");
        bed.set(id, "name", name.clone()).await;
        bed.until_name(id, &name).await;
    }
    assert_eq!(daemon.stop().await, Some(0));
}

/// How long it takes until the daemon says that it is not ready.
async fn noticed(daemon: &crate::bed::Daemon) -> Duration {
    let started = Instant::now();
    while daemon.get("/readyz").await.is_none_or(|(code, _)| code == 200) {
        assert!(started.elapsed() < Duration::from_secs(200), "nothing is noticed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_stalls_without_an_error_is_noticed_and_when_it_moves_again_all_goes_on() {
    let mut bed = Bed::new().await;
    let (legacy, renaissance) = bed.behind_lines().await;
    let daemon = bed.start().await;
    let (id, _) = bed.shared_person("Ada").await;
    for (side, line) in [("renaissance", &renaissance), ("legacy", &legacy)] {
        bed.until("it is ready", async || daemon.get("/readyz").await.is_some_and(|(code, _)| code == 200)).await;
        line.stall();
        let after = noticed(&daemon).await;
        println!("{side}: noticed after {after:.1?}");
        assert!(after < Duration::from_secs(60), "{side}: only after {after:?}");
        bed.set(id, "name", side).await;
        line.cut();
        line.pass();
        bed.until_name(id, side).await;
    }
    assert_eq!(daemon.stop().await, Some(0));
}
