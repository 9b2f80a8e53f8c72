//! `verify`: what differs is found and repaired, what is only on its way is not told as a difference.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use mongodb::bson::{doc, oid::ObjectId};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value as Json;
use sqlx::Row;

use crate::{bed::Bed, cli_harness::Answer, observed::pause, sync_crash::rounds};

/// A number from the environment, for runs that take longer than CI allows.
fn asked(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

async fn verify(bed: &Bed, arguments: &[&str]) -> Answer {
    let mut command = bed.command(&[&["verify", "--json", "--limit", "5000"], arguments].concat());
    tokio::task::spawn_blocking(move || command.output().unwrap().into()).await.unwrap()
}

fn user(answer: &Answer) -> BTreeMap<String, i64> {
    serde_json::from_value(answer.json()["entities"]["user"].clone()).unwrap()
}

/// The fields of people that are not counted alike on both sides; `records` for the records themselves.
fn warnings(answer: &Answer) -> Vec<String> {
    let opinions = answer.json()["independent"].as_array().unwrap().clone();
    let user = opinions.into_iter().find(|one| one["entity"] == "user").unwrap();
    assert!(user["fields"].as_u64().unwrap() > 0 && user["sample"].as_u64().unwrap() > 0, "{user}");
    let field = |warning: &Json| warning["field"].as_str().unwrap_or("records").to_owned();
    user["warnings"].as_array().unwrap().iter().map(field).collect()
}

impl Bed {
    /// People on both sides.
    async fn shared_people(&self, count: usize) -> Vec<(ObjectId, i64)> {
        let mut ids = Vec::new();
        for number in 0..count {
            ids.push(self.insert_person(&format!("Person {number}"), doc! {}).await);
        }
        self.until("everybody is there", async || {
            let rows = self.count("SELECT count(*) FROM users WHERE old_user_id <> ''").await;
            usize::try_from(rows).unwrap() >= count
        })
        .await;
        let mut people = Vec::new();
        for id in ids {
            people.push((id, self.row(id).await.unwrap().get("id")));
        }
        people
    }

    /// Makes a stopped bridge believe that it has seen everything up to now: no stream will tell of what was done before.
    pub(crate) async fn skip_to_now(&self) {
        let stream = self.legacy.watch().await.unwrap();
        let token = mongodb::bson::serialize_to_document(&stream.resume_token().unwrap()).unwrap();
        let lsn: String =
            sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text").fetch_one(&self.pool).await.unwrap();
        for (side, position) in [("legacy", token.get_str("_data").unwrap()), ("renaissance", &lsn)] {
            sqlx::query("UPDATE biograph_bridge.checkpoint SET position = $2 WHERE side = $1")
                .bind(side)
                .bind(position)
                .execute(&self.pool)
                .await
                .unwrap();
        }
    }

    async fn delete_row(&self, row: i64) {
        self.sql(&format!("DELETE FROM user_profiles WHERE user_id = {row}; DELETE FROM users WHERE id = {row}")).await;
    }

    /// Changes people behind the bridge's back, each in one of six ways; what is to be told of them.
    async fn plant(&self, people: &[(ObjectId, i64)]) -> BTreeMap<String, (&'static str, Option<&'static str>)> {
        let mut planted = BTreeMap::new();
        for (number, (id, row)) in people.iter().enumerate() {
            let kind = number % 6;
            if matches!(kind, 0 | 2) {
                self.set(*id, "name", format!("L {number}")).await;
            }
            if kind == 0 {
                self.set(*id, "email", format!("a-longer-address-than-before-{number}@example.org")).await;
            }
            if matches!(kind, 1 | 2) {
                self.sql(&format!("UPDATE users SET first_name = 'R {number}' WHERE id = {row}")).await;
            }
            if matches!(kind, 3 | 5) {
                self.users().delete_one(doc! { "_id": id }).await.unwrap();
            }
            if matches!(kind, 4 | 5) {
                self.delete_row(*row).await;
            }
            let expected = match kind {
                0 => ("fields", Some("legacy")),
                1 => ("fields", Some("renaissance")),
                2 => ("fields", Some("both")),
                3 => ("missing_in_legacy", Some("legacy")),
                4 => ("missing_in_renaissance", Some("renaissance")),
                _ => ("gone", None),
            };
            planted.insert(id.to_hex(), expected);
        }
        planted
    }
}

fn told(answer: &Answer, state: &str) -> BTreeMap<String, (String, Option<String>)> {
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let findings = answer.json()["findings"].as_array().unwrap().clone();
    let of_state = findings.iter().filter(|one| one["entity"] == "user" && one["state"] == state);
    let name = |one: &Json| text(&one["legacy_id"]).unwrap_or_else(|| format!("row {}", one["renaissance_id"]));
    of_state.map(|one| (name(one), (text(&one["what"]).unwrap(), text(&one["moved"])))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_planted_difference_is_found_with_the_side_that_moved_and_repaired() {
    let mut bed = Bed::new().await;
    bed.settings = vec![("BRIDGE_VERIFY_RATE", "0".into()), ("BRIDGE_DELETE_GUARD_SHARE", "1".into())];
    let daemon = bed.start().await;
    let count = asked("BRIDGE_VERIFY_PLANTED", 60);
    let people = bed.shared_people(count + 20).await;
    bed.until_settled(&daemon).await;
    let clean = verify(&bed, &[]).await;
    assert_eq!(clean.code, Some(0), "{}{}", clean.out, clean.err);
    let everybody = user(&clean)["compared"];
    assert_eq!(user(&clean)["equal"], everybody, "{}", clean.out);
    assert_eq!(warnings(&clean), Vec::<String>::new(), "{}", clean.out);

    assert_eq!(daemon.stop().await, Some(0));
    let planted = bed.plant(&people[..count]).await;
    let unlinked = bed.insert_person("Nobody was told", doc! {}).await;
    // far from the others: once it is linked, rows are no longer read as one range
    bed.sql("SELECT setval(pg_get_serial_sequence('users', 'id'), 1000000)").await;
    let lonely = bed.register("lonely", "Nobody heard of").await;
    bed.skip_to_now().await;
    let daemon = bed.start().await;
    let found = verify(&bed, &[]).await;
    assert_eq!(found.code, Some(3), "{}{}", found.out, found.err);
    let mut expected: BTreeMap<String, (String, Option<String>)> = planted
        .iter()
        .map(|(id, (what, moved))| (id.clone(), ((*what).to_owned(), moved.map(str::to_owned))))
        .collect();
    expected.insert(unlinked.to_hex(), ("missing_in_renaissance".into(), Some("no base".into())));
    expected.insert(format!("row {lonely}"), ("missing_in_legacy".into(), Some("no base".into())));
    assert_eq!(told(&found, "differs"), expected);
    assert!(warnings(&found).contains(&"email".to_owned()), "{}", found.out);
    assert_eq!(user(&found)["differing"], i64::try_from(count).unwrap() + 2);
    assert_eq!(daemon.metric_of("verify_differences", &["user"]).await, Some(count as f64 + 2.0));

    let dry = verify(&bed, &["--repair", "--dry-run"]).await;
    assert_eq!((dry.code, told(&dry, "differs").len()), (Some(3), count + 2), "{}", dry.out);
    let repaired = verify(&bed, &["--repair"]).await;
    assert_eq!(repaired.code, Some(0), "{}{}", repaired.out, repaired.err);
    assert_eq!(told(&repaired, "repaired"), expected);
    let after = verify(&bed, &[]).await;
    assert_eq!((after.code, user(&after)["differing"], user(&after)["unsettled"]), (Some(0), 0, 0), "{}", after.out);
    assert_eq!(bed.row(people[0].0).await.unwrap().get::<String, _>("first_name"), "L 0");
    let back = bed.document(people[1].0).await.unwrap();
    assert_eq!(back.get_str("name").unwrap(), "R 1");
    assert!(bed.row(people[3].0).await.is_none() && bed.document(people[4].0).await.is_none());
    // what a person sees: one line of summary, and nobody's name
    let shown: Answer = bed.command(&["verify", "--attach"]).output().unwrap().into();
    assert!(shown.out.contains("no differences") && !shown.out.contains("Person"), "{}", shown.out);
    let status = daemon.status().await.unwrap();
    assert_eq!(status["verified"].as_array().unwrap().iter().filter(|one| one["entity"] == "user").count(), 1);

    // what a database refuses is parked, and no difference that nobody knows of
    bed.sql("ALTER TABLE users ADD CONSTRAINT short CHECK (length(first_name) < 40) NOT VALID").await;
    let (refused, _) = people[count];
    bed.set(refused, "name", "N".repeat(50)).await;
    bed.until_count("SELECT count(*) FROM biograph_bridge.parked", 1).await;
    let known = verify(&bed, &[]).await;
    assert_eq!((known.code, told(&known, "parked").len()), (Some(0), 1), "{}{}", known.out, known.err);
    assert_eq!((user(&known)["parked"], user(&known)["differing"]), (1, 0), "{}", known.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_storm_raises_no_false_alarm() {
    let mut bed = Bed::new().await;
    bed.settings = vec![("BRIDGE_VERIFY_RATE", "0".into()), ("BRIDGE_VERIFY_BACKGROUND", "5000".into())];
    let daemon = bed.start().await;
    let people = bed.shared_people(150).await;
    let (over, writes, started) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    let storm = Duration::from_secs(8) * u32::try_from(rounds()).unwrap();
    let legacy = async {
        for number in 0_usize.. {
            let (id, _) = people[number * 7 % people.len()];
            bed.set(id, "name", format!("L {number}")).await;
            writes.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(8)).await;
            if over.load(Ordering::Relaxed) {
                return;
            }
        }
    };
    let renaissance = async {
        for number in 0_usize.. {
            let (_, row) = people[number * 11 % people.len()];
            match number % 5 {
                0 => {
                    bed.sql(&format!("UPDATE user_profiles SET profile_visibility = 'friends' WHERE user_id = {row}"))
                        .await
                }
                1 => drop(bed.register(&format!("storm{number}"), "Born in the storm").await),
                _ => bed.sql(&format!("UPDATE users SET email = 'r{number}@example.net' WHERE id = {row}")).await,
            }
            writes.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(8)).await;
            if over.load(Ordering::Relaxed) {
                return;
            }
        }
    };
    let looking = async {
        let (mut looks, mut compared) = (0, 0);
        while started.elapsed() < storm {
            let answer = verify(&bed, &["--entity", "user"]).await;
            assert_eq!(answer.code, Some(0), "{}{}", answer.out, answer.err);
            (looks, compared) = (looks + 1, compared + user(&answer)["compared"]);
        }
        over.store(true, Ordering::Relaxed);
        (looks, compared)
    };
    let ((looks, compared), ..) = tokio::join!(looking, legacy, renaissance);
    println!("{looks} looks at {compared} records during {} writes: no alarm", writes.load(Ordering::Relaxed));
    assert!(compared > 60 && writes.load(Ordering::Relaxed) > 100);
    bed.until_settled(&daemon).await;
    let after = verify(&bed, &["--entity", "user"]).await;
    assert_eq!((after.code, user(&after)["unsettled"]), (Some(0), 0), "{}", after.out);
    // nobody asked for this one
    let unasked = "SELECT count(*) FROM biograph_bridge.verify_run WHERE background AND outcome = 'complete'";
    bed.until("one in the background is through", async || bed.count(unasked).await > 0).await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.verify_difference WHERE state = 'differs'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_goes_on_where_it_was_and_a_record_that_is_never_quiet_is_not_called_clean() {
    let mut bed = Bed::new().await;
    bed.settings = vec![("BRIDGE_VERIFY_RATE", "30".into()), ("BRIDGE_SWEEP_CHUNK", "10".into())];
    let daemon = bed.start().await;
    let people = bed.shared_people(200).await;
    bed.until_settled(&daemon).await;
    let begun = verify(&bed, &["--entity", "user", "--no-wait"]).await;
    let run = begun.json()["run"].as_i64().unwrap();
    let walked = async || {
        let walked = "SELECT compared FROM biograph_bridge.verify_progress WHERE part = 'documents'";
        sqlx::query_scalar::<_, i64>(walked).fetch_optional(&bed.pool).await.unwrap().unwrap_or(0)
    };
    bed.until("some are compared", async || walked().await >= 40).await;
    let busy = verify(&bed, &[]).await;
    assert!(busy.code == Some(1) && busy.err.contains("--attach"), "one at a time: {}", busy.err);
    daemon.kill();
    let before = walked().await;
    assert!(before < 200, "it was killed on the way: {before}");
    // from here on somebody holds a row that the bridge has to write: its record is never settled
    let (id, row) = people[199];
    let mut held = bed.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM users WHERE id = $1 FOR UPDATE").bind(row).execute(&mut *held).await.unwrap();
    bed.set(id, "name", "On its way").await;
    let _daemon = bed.start().await;
    let answer = verify(&bed, &["--attach"]).await;
    assert_eq!((answer.code, answer.json()["run"].as_i64()), (Some(0), Some(run)), "{}{}", answer.out, answer.err);
    let counts = user(&answer);
    let people = bed.users().count_documents(doc! {}).await.unwrap();
    assert_eq!(counts["compared"], i64::try_from(people).unwrap(), "each once: {}", answer.out);
    assert_eq!((counts["unsettled"], counts["differing"]), (1, 0), "{}", answer.out);
    assert!(told(&answer, "unsettled").contains_key(&id.to_hex()));
    held.rollback().await.unwrap();
    bed.until_name(id, "On its way").await;
    pause().await;
    let answer = verify(&bed, &["--user", &format!("legacy:{id}")]).await;
    assert_eq!((answer.code, user(&answer)["equal"]), (Some(0), 1), "{}{}", answer.out, answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_has_not_told_yet_is_no_difference() {
    let (bed, daemon) = Bed::running().await;
    let (id, row) = bed.shared_person("Ada").await;
    bed.until_settled(&daemon).await;
    // the server's end of the stream stands still: a change is committed, can be read, and nobody hears of it
    let walsender = bed.count("SELECT pid::int8 FROM pg_stat_replication").await;
    let walsender = Pid::from_raw(i32::try_from(walsender).unwrap());
    kill(walsender, Signal::SIGSTOP).unwrap();
    bed.sql(&format!("UPDATE users SET first_name = 'Ada King' WHERE id = {row}")).await;
    let under_way = async || bed.count("SELECT count(*) FROM biograph_bridge.verify_run WHERE ended_at IS NULL").await;
    let (answer, waits) = tokio::join!(verify(&bed, &["--entity", "user"]), async {
        bed.until("it has begun", async || under_way().await == 1).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let waits = under_way().await == 1;
        kill(walsender, Signal::SIGCONT).unwrap();
        waits
    });
    assert!(waits, "it does not wait for what it has not heard: {}", answer.out);
    assert_eq!((answer.code, told(&answer, "differs").len()), (Some(0), 0), "{}{}", answer.out, answer.err);
    bed.until_document(doc! { "_id": id }, |document| crate::bed::holds(document, "name", "Ada King")).await;
}
