//! People move together: by file and by share, with limits, and over a death of the daemon.

use std::{
    collections::BTreeSet,
    process::Stdio,
    time::{Duration, Instant},
};

use mongodb::bson::{doc, oid::ObjectId};
use serde_json::json;

use crate::bed::{Bed, PATIENCE};

impl Bed {
    async fn until_linked(&self, people: usize) {
        let started = Instant::now();
        let linked = "SELECT count(*) FROM biograph_bridge.link WHERE entity = 'user' AND base IS NOT NULL";
        while sqlx::query_scalar::<_, i64>(linked).fetch_one(&self.pool).await.unwrap() < i64::try_from(people).unwrap()
        {
            assert!(started.elapsed() < PATIENCE, "not everybody is linked: {}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn people(&self, count: usize) -> Vec<ObjectId> {
        let mut people = Vec::new();
        for n in 0..count {
            people.push(self.insert_person(&format!("Person {n}"), doc! {}).await);
        }
        people
    }

    async fn are_on(&self, state: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM biograph_bridge.cutover WHERE state = $1")
            .bind(state)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    async fn who_is_on(&self, state: &str) -> BTreeSet<String> {
        let on = "SELECT legacy_id FROM biograph_bridge.cutover WHERE state = $1";
        let on: Vec<String> = sqlx::query_scalar(on).bind(state).fetch_all(&self.pool).await.unwrap();
        on.into_iter().collect()
    }

    /// Of these people those whose hash, as the README tells it, is below a share.
    async fn share(&self, people: &[ObjectId], share: f64) -> BTreeSet<String> {
        let mut below = BTreeSet::new();
        for id in people.iter().map(|id| id.to_hex()) {
            let hash = sqlx::query_scalar("SELECT encode(sha256($1), 'hex')").bind(id.as_bytes());
            let hash: String = hash.fetch_one(&self.pool).await.unwrap();
            if f64::from(u32::from_str_radix(&hash[..8], 16).unwrap()) < share * 4_294_967_296.0 {
                below.insert(id);
            }
        }
        below
    }

    /// Waits until a batch has paused by itself, and says why.
    async fn until_paused(&self, batch: &str) -> String {
        let started = Instant::now();
        loop {
            let listed = self.cutover(&["list", "--batch", batch]).1["batches"][0].take();
            if listed["state"] == "paused" {
                return listed["why"].as_str().unwrap_or_default().to_owned();
            }
            assert!(started.elapsed() < PATIENCE && listed["state"] == "running", "{listed} {}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Something parked of a person, so that they cannot move.
    async fn spoil(&self, id: ObjectId) {
        sqlx::query(
            "INSERT INTO biograph_bridge.parked (entity, legacy_id, field, reason, detail, person) \
             VALUES ('user', $1, 'name', 'too_long', 'for the test', $1)",
        )
        .bind(id.to_hex())
        .execute(&self.pool)
        .await
        .unwrap();
    }
}

/// How many people the cohort has; `BRIDGE_COHORT=1000` for the whole of it.
fn size() -> usize {
    std::env::var("BRIDGE_COHORT").ok().and_then(|size| size.parse().ok()).unwrap_or(60)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cohort_moves_all_but_who_cannot_and_a_death_in_the_middle_changes_nothing() {
    let bed = Bed::for_moves().await;
    let daemon = bed.start().await;
    let people = bed.people(size()).await;
    bed.until_linked(people.len()).await;
    let bad = &people[7..10];
    for id in bad {
        bed.spoil(*id).await;
    }
    let file = bed.log.with_file_name("cohort.txt");
    let listed: String = people.iter().map(|id| format!("legacy:{id} # somebody\n")).collect();
    std::fs::write(&file, format!("{listed}legacy:{}\nlegacy:{}\n", people[0], ObjectId::new())).unwrap();
    let path = file.to_str().unwrap();
    let refused = bed.cutover_output(&["batch", "--file", path]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let (twice, nobody) = (people.len() + 1, people.len() + 2);
    assert!(said.contains(&format!("line {twice}: the same person as in line 1")), "{said}");
    assert!(said.contains(&format!("line {nobody}: nobody has")), "{said}");
    assert_eq!(bed.are_on("renaissance").await, 0, "nothing has begun");

    std::fs::write(&file, listed).unwrap();
    let (_, begun) = bed.cutover(&["batch", "--file", path, "--concurrency", "20", "--no-wait"]);
    let batch = begun["batch"].as_i64().unwrap().to_string();
    let other = bed.cutover_output(&["batch", "--percent", "50"]);
    assert_eq!(other.status.code(), Some(3), "they are in a batch already");
    // somebody watches it, whatever becomes of the daemon
    assert_eq!(bed.cutover(&["batch", "--pause", &batch]).0, 0);
    let mut watching = bed.command(&["cutover", "batch", "--resume", &batch]);
    let watching = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let goes_on = "SELECT count(*) FROM biograph_bridge.cutover_batch WHERE state = 'running'";
    bed.until_count(goes_on, 1).await;
    let started = Instant::now();
    while bed.are_on("renaissance").await < 10 {
        let draining = bed.are_on("draining").await;
        assert!(draining <= 20, "{draining} move at once");
        assert!(started.elapsed() < PATIENCE, "{}", bed.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon.kill();
    // long enough for whoever watches to see that there is none
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let daemon = bed.start().await;
    let patience = PATIENCE + Duration::from_millis(200) * u32::try_from(people.len()).unwrap();
    let done = loop {
        let listed = bed.cutover(&["list", "--batch", &batch]).1;
        if listed["batches"][0]["state"] == "ended" {
            break listed;
        }
        assert!(started.elapsed() < patience, "nobody goes on with it: {listed} {}", bed.log_tail());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    eprintln!("{} people in {:?}", people.len(), started.elapsed());
    let moved = people.len() - bad.len();
    assert_eq!(done["batches"][0]["moved"], json!(moved), "{done}");
    let mut named: Vec<_> = done["failed"].as_array().unwrap().iter().map(|one| one["legacy_id"].clone()).collect();
    named.sort_by_key(ToString::to_string);
    assert_eq!(named, bad.iter().map(|id| json!(id.to_hex())).collect::<Vec<_>>());
    assert_eq!(bed.are_on("renaissance").await, i64::try_from(moved).unwrap());
    assert_eq!(bed.are_on("draining").await, 0);
    let watched = watching.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&watched.stderr);
    assert_eq!(watched.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("batch {batch} is ended; 3 did not move, 0 are left")), "{said}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_share_is_inside_a_greater_one_and_a_batch_pauses_above_its_limits() {
    let bed = Bed::for_moves().await;
    let daemon = bed.start().await;
    let people = bed.people(24).await;
    bed.until_linked(people.len()).await;
    let counts = ["20", "60", "100"]
        .map(|percent| bed.cutover(&["batch", "--percent", percent, "--dry-run"]).1["people"].as_i64().unwrap());
    assert!(counts[0] <= counts[1] && counts[1] <= counts[2] && counts[2] == 24, "{counts:?}");
    assert_eq!(bed.are_on("renaissance").await, 0, "a dry run changes nothing");
    for wrong in ["0", "101", "many"] {
        assert_eq!(bed.cutover_output(&["batch", "--percent", wrong]).status.code(), Some(2), "{wrong}");
    }
    let (code, done) = bed.cutover(&["batch", "--percent", "60"]);
    assert_eq!((code, &done["batch"]["moved"]), (0, &json!(counts[1])), "{done}");
    assert_eq!(bed.who_is_on("renaissance").await, bed.share(&people, 0.6).await, "the same on every machine");
    let (_, inside) = bed.cutover(&["batch", "--percent", "20", "--dry-run"]);
    assert_eq!(inside["people"], json!(0), "all of them are there: {inside}");

    for id in &people {
        bed.spoil(*id).await;
    }
    let (code, paused) = bed.cutover(&["batch", "--percent", "100", "--concurrency", "2", "--max-failures", "2"]);
    assert_eq!((code, &paused["batch"]["state"]), (3, &json!("paused")), "{paused}");
    assert!(paused["batch"]["why"].as_str().unwrap().contains("did not move"), "{paused}");
    sqlx::query("DELETE FROM biograph_bridge.parked").execute(&bed.pool).await.unwrap();
    let batch = paused["batch"]["id"].to_string();
    let (code, done) = bed.cutover(&["batch", "--resume", &batch]);
    assert_eq!(code, 3, "some did not move");
    assert_eq!((&done["batch"]["state"], &done["batch"]["left"]), (&json!("ended"), &json!(0)), "{done}");
    let (code, listed) = bed.cutover(&["list"]);
    assert_eq!((code, listed["batches"].as_array().unwrap().len()), (0, 2), "{listed}");
    for command in ["--pause", "--resume", "--stop"] {
        assert_eq!(bed.cutover_output(&["batch", command, &batch]).status.code(), Some(3), "it has ended: {command}");
        assert_eq!(bed.cutover_output(&["batch", command, "999"]).status.code(), Some(3), "there is none: {command}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_chosen_by_their_fields_and_a_batch_or_everybody_goes_back_once_it_is_said_what_is_lost() {
    let bed = Bed::for_moves().await;
    let daemon = bed.start().await;
    let others = bed.people(5).await;
    let mut chosen = Vec::new();
    for n in 0..6 {
        chosen.push(bed.insert_person(&format!("Chosen {n}"), doc! { "is_premium_member": true }).await);
    }
    bed.insert_person("Chosen too, perhaps", doc! { "is_premium_member": "perhaps" }).await;
    bed.until_linked(12).await;

    let wrong = bed.cutover_output(&["batch", "--where", "premum = true"]);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2), "{said}");
    assert!(said.contains("\n  premum = true\n  ^^^^^^\n") && said.contains("did you mean `premium`?"), "{said}");
    let condition = "premium = true and name starts with 'Chosen'";
    let (code, tried) = bed.cutover(&["batch", "--where", condition, "--dry-run"]);
    assert_eq!((code, &tried["people"]), (0, &json!(6)), "{tried}");
    assert_eq!(tried["choice"], json!({ "looked": 12, "chosen": 6, "untold": 1 }), "who cannot be judged is counted");
    assert_eq!(bed.are_on("renaissance").await, 0, "a dry run changes nothing");
    bed.spoil(chosen[0]).await;
    let (code, tried) = bed.cutover(&["batch", "--where", condition, "--dry-run"]);
    assert_eq!((code, &tried["hindered"]), (3, &json!([chosen[0].to_hex()])), "{tried}");
    sqlx::query("DELETE FROM biograph_bridge.parked WHERE detail = 'for the test'").execute(&bed.pool).await.unwrap();
    let (code, done) = bed.cutover(&["batch", "--where", condition]);
    assert_eq!((code, &done["batch"]["moved"]), (0, &json!(6)), "{done}");
    assert_eq!(done["batch"]["chosen"], json!("where premium = true and name starts with 'C••••'"), "nobody's text");
    let (_, listed) = bed.cutover(&["list", "--state", "renaissance", "--limit", "5"]);
    assert_eq!((listed["people"].as_array().unwrap().len(), &listed["more"]), (5, &json!(true)), "{listed}");
    assert_eq!(
        (&listed["people"][0]["label"], &listed["people"][0]["owner"]),
        (&json!("C•••• ••••"), &json!("renaissance"))
    );
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.cutover_draft").await, 0, "drafts are gone");

    let first = done["batch"]["id"].to_string();
    let alone = format!("legacy:{}", others[0]);
    assert_eq!(bed.cutover(&["start", &alone]).0, 0);
    sqlx::query("UPDATE users SET subscription_status = 'pro' WHERE old_user_id = ANY($1)")
        .bind(chosen[..2].iter().map(|id| id.to_hex()).collect::<Vec<_>>())
        .execute(&bed.pool)
        .await
        .unwrap();
    let (code, tried) = bed.cutover(&["rollback", "--batch", &first, "--dry-run"]);
    let loss = &tried["loss"];
    assert_eq!((code, &tried["people"], &loss["people"]), (0, &json!(6), &json!(6)), "{tried}");
    let premium = loss["fields"].as_array().unwrap().iter().find(|lost| lost["field"] == "premium").unwrap();
    assert_eq!((&premium["records"], &premium["people"]), (&json!(2), &json!(2)), "{loss}");
    let pro = |one: &serde_json::Value| one["fields"].as_array().unwrap().iter().any(|lost| lost["field"] == "premium");
    let named: Vec<_> =
        loss["persons"].as_array().unwrap().iter().filter(|one| pro(one)).map(|one| one["legacy_id"].clone()).collect();
    assert_eq!(named, chosen[..2].iter().map(|id| json!(id.to_hex())).collect::<Vec<_>>());
    let unconfirmed = bed.cutover_output(&["rollback", "--batch", &first]);
    let said = String::from_utf8_lossy(&unconfirmed.stdout);
    assert_eq!(unconfirmed.status.code(), Some(3), "nobody confirmed: {said}");
    assert!(said.contains("premium of user, 2 records of 2 people"), "it is said before anybody is asked: {said}");
    assert_eq!(bed.cutover_output(&["rollback", "--batch", "999"]).status.code(), Some(3), "there is none");
    assert_eq!(bed.are_on("renaissance").await, 7, "nobody has moved");
    let (code, back) = bed.cutover(&["rollback", "--batch", &first, "--yes"]);
    assert_eq!((code, &back["batch"]["moved"], &back["batch"]["toward"]), (0, &json!(6), &json!("legacy")), "{back}");
    assert_eq!(bed.are_on("renaissance").await, 1, "who is not of that batch stays");
    let (code, back) = bed.cutover(&["rollback", "--all", "--yes"]);
    assert_eq!((code, &back["batch"]["moved"], bed.are_on("renaissance").await), (0, &json!(1), 0), "{back}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_pauses_for_lag_parked_keys_and_conflicts_and_begins_with_nobody_once_it_is_stopped() {
    let bed = Bed::for_moves().await;
    let daemon = bed.start().await;
    let people = bed.people(12).await;
    bed.until_linked(people.len()).await;
    let begin = |limits: &[&str]| {
        let (code, begun) =
            bed.cutover(&[&["batch", "--percent", "100", "--concurrency", "1", "--no-wait"], limits].concat());
        assert_eq!(code, 0, "{begun}");
        begun["batch"].to_string()
    };

    // what is written to this row waits, and so the way there is behind
    let mut held = bed.pool.begin().await.unwrap();
    let lock = sqlx::query("SELECT id FROM users WHERE old_user_id = $1 FOR UPDATE").bind(people[11].to_hex());
    lock.execute(&mut *held).await.unwrap();
    bed.set(people[11], "name", "Held back").await;
    let started = Instant::now();
    loop {
        let status = daemon.status().await.unwrap_or_default();
        if status["directions"]["legacy_to_renaissance"]["lag_seconds"].as_f64().is_some_and(|lag| lag > 1.0) {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "no lag: {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let batch = begin(&["--max-lag", "1s"]);
    let why = bed.until_paused(&batch).await;
    assert!(why.contains("legacy_to_renaissance is") && why.contains("more than 1 s"), "{why}");
    held.rollback().await.unwrap();
    let (code, stopped) = bed.cutover(&["batch", "--stop", &batch]);
    assert_eq!((code, &stopped["state"]), (0, &json!("stopped")), "{stopped}");
    let listed = bed.cutover(&["list", "--batch", &batch]).1["batches"][0].take();
    let count = |name: &str| listed[name].as_i64().unwrap();
    let whole: i64 = ["moved", "already", "failed", "left", "stopped"].map(count).iter().sum();
    assert!(count("stopped") > 0 && whole == 12, "everybody is told of: {listed}");
    let begun = "SELECT count(DISTINCT legacy_id) FROM biograph_bridge.cutover_history";
    let before = bed.count(begun).await;

    let batch = begin(&["--max-parked", "0", "--max-conflicts", "0"]);
    bed.spoil(people[11]).await;
    let why = bed.until_paused(&batch).await;
    assert!(why.contains("parked"), "{why}");
    let (_, status) = bed.cutover(&["list", "--batch", &batch]);
    assert!(status["batches"][0]["left"].as_i64().unwrap() > 0, "it has not ended: {status}");
    sqlx::query("DELETE FROM biograph_bridge.parked").execute(&bed.pool).await.unwrap();
    assert_eq!(bed.cutover(&["batch", "--resume", &batch, "--no-wait"]).0, 0);
    sqlx::query(
        "INSERT INTO biograph_bridge.conflict (entity, legacy_id, kind, field, policy, winner, owner, epoch) \
         VALUES ('user', $1, 'update_update', 'name', 'owner', 'legacy', 'legacy', 0)",
    )
    .bind(people[11].to_hex())
    .execute(&bed.pool)
    .await
    .unwrap();
    let why = bed.until_paused(&batch).await;
    assert!(why.contains("conflicts"), "{why}");
    assert_eq!(bed.cutover(&["batch", "--stop", &batch]).0, 0);
    bed.until_count("SELECT count(*) FROM biograph_bridge.cutover WHERE state = 'draining'", 0).await;
    let after = bed.count(begun).await;
    assert!(before <= after && after < 12, "some have begun, and the others never do: {before}, {after}");
    daemon.stop().await;
}
