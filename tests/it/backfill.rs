//! The first copy: interrupted anywhere, beside traffic, onto a side that holds something else already.

use std::time::{Duration, Instant};

use mongodb::bson::{Bson, doc, oid::ObjectId};
use sqlx::Row;

use crate::{
    bed::{Bed, PATIENCE, holds},
    observed::pause,
};

/// Progress of one sweep: records, parked, done.
type Progress = (i64, i64, bool);

impl Bed {
    /// Small chunks, slowly: there is time to do something in between.
    fn in_chunks(&mut self, chunk: u32, rate: u32) {
        self.settings.push(("BRIDGE_SWEEP_CHUNK", chunk.to_string()));
        self.settings.push(("BRIDGE_BACKFILL_RATE", rate.to_string()));
    }

    async fn progress(&self, side: &str) -> Progress {
        let row = sqlx::query_as(
            "SELECT records, parked, done FROM biograph_bridge.sweep \
             WHERE entity = 'user' AND kind = 'backfill' AND side = $1",
        );
        // before and while the state is made there is none
        row.bind(side).fetch_optional(&self.pool).await.ok().flatten().unwrap_or_default()
    }

    async fn until_progress(&self, side: &str, wanted: impl Fn(Progress) -> bool) -> Progress {
        let started = Instant::now();
        loop {
            let progress = self.progress(side).await;
            if wanted(progress) {
                return progress;
            }
            assert!(started.elapsed() < PATIENCE, "the sweep of {side} is at {progress:?}: {}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    async fn people_with_numbers(&self, count: usize) -> Vec<ObjectId> {
        let mut ids = Vec::new();
        for number in 0..count {
            ids.push(self.insert_person(&format!("Person {number}"), doc! {}).await);
        }
        ids
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_chunk_boundary_it_redoes_and_misses_nothing() {
    let mut bed = Bed::new().await;
    // slow enough to be watched on a busy machine
    bed.in_chunks(10, 30);
    let ids = bed.people_with_numbers(25).await;
    for number in 0..5 {
        bed.register(&format!("registered-{number}"), "Somebody").await;
    }
    let (mut kills, mut last) = (0, [(0, 0, false); 2]);
    while !last[1].2 {
        let daemon = bed.spawn();
        let started = Instant::now();
        loop {
            let now = [bed.progress("renaissance").await, bed.progress("legacy").await];
            for (former, present) in last.iter().zip(&now) {
                assert!(present.0 >= former.0, "progress never goes back: {last:?} {now:?}");
            }
            if now.map(|side| (side.0, side.2)) != last.map(|side| (side.0, side.2)) {
                last = now;
                break;
            }
            assert!(started.elapsed() < PATIENCE, "nothing moves after {last:?}: {}", bed.log_tail());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        daemon.kill();
        kills += 1;
    }
    assert!(kills >= 4, "killed at {kills} boundaries only");
    assert_eq!(last[0].0, 5, "no row was counted twice");
    // what the bridge made meanwhile from rows may or may not be walked as well
    assert!((25..=30).contains(&last[1].0), "{last:?}");
    let _daemon = bed.start().await;
    bed.until_count("SELECT count(*) FROM users WHERE old_user_id IS NOT NULL", 30).await;
    bed.until_count("SELECT count(*) FROM users", 30).await;
    assert_eq!(bed.users().count_documents(doc! {}).await.unwrap(), 30);
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(bed.row(*id).await.unwrap().get::<String, _>("first_name"), format!("Person {number}"));
    }
    assert_eq!(bed.parked().await, []);
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.intent").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_or_inserted_while_chunks_are_under_way_stays_so() {
    let mut bed = Bed::new().await;
    bed.in_chunks(10, 60);
    let ids = bed.people_with_numbers(60).await;
    let daemon = bed.spawn();
    let (mut deleted, mut inserted) = (Vec::new(), Vec::new());
    for step in 0..5 {
        bed.until_progress("legacy", |(records, ..)| records >= step * 10).await;
        let at = usize::try_from(step * 10).unwrap();
        // in a chunk that is through, in those on their way, and in one to come
        for victim in [at.checked_sub(5), Some(at + 5), Some(at + 12), Some(59 - at / 10)].into_iter().flatten() {
            if bed.users().delete_one(doc! { "_id": ids[victim] }).await.unwrap().deleted_count == 1 {
                deleted.push(ids[victim]);
            }
        }
        // before every id that was there, and after
        let mut low = [0; 12];
        low[11] = u8::try_from(step).unwrap() + 1;
        let low = ObjectId::from_bytes(low);
        let late = doc! { "_id": low, "username": format!("low-{step}"), "phone_number": format!("847555010{step}") };
        bed.insert_person("Late", late).await;
        inserted.push(low);
        inserted.push(bed.insert_person("Late", doc! {}).await);
    }
    bed.until_progress("legacy", |(.., done)| done).await;
    for id in &inserted {
        bed.until_name(*id, "Late").await;
    }
    bed.until_settled(&daemon).await;
    for id in &deleted {
        assert!(bed.row(*id).await.is_none(), "a deleted person came back in Renaissance");
        assert!(bed.document(*id).await.is_none(), "a deleted person came back in BioGraph");
    }
    let documents = i64::try_from(bed.users().count_documents(doc! {}).await.unwrap()).unwrap();
    bed.until_count("SELECT count(*) FROM users", documents).await;
    assert!(deleted.len() >= 12, "{}", deleted.len());
    assert_eq!(documents, 60 - i64::try_from(deleted.len()).unwrap() + i64::try_from(inserted.len()).unwrap() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_holds_something_else_is_adopted_by_the_owners_policy_and_journalled() {
    let bed = Bed::new().await;
    let id = bed.insert_person("Ada Lovelace", doc! { "profile_settings": "P" }).await;
    let row = bed.register("copied-long-ago", "Ada Byron").await;
    bed.sql(&format!("UPDATE users SET old_user_id = '{id}' WHERE id = {row}")).await;
    let equal = bed.insert_person("Grace", doc! {}).await;
    let _daemon = bed.start().await;
    let adopted = bed.until_name(id, "Ada Lovelace").await;
    assert_eq!(adopted.get::<i64, _>("id"), row, "adopted, not duplicated");
    bed.until_name(equal, "Grace").await;
    assert_eq!(bed.count("SELECT count(*) FROM users").await, 2);
    let journal = bed.conflicts(id).await;
    assert!(
        journal.iter().all(|entry| entry.kind == "adopted" && entry.winner.as_deref() == Some("legacy")),
        "{journal:?}"
    );
    let name = journal.iter().find(|entry| entry.field.as_deref() == Some("name")).expect("the loser is kept");
    assert_eq!((name.legacy.as_str(), name.renaissance.as_str()), (Some("Ada Lovelace"), Some("Ada Byron")));
    assert_eq!(bed.conflicts(equal).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_with_other_ids_are_parked_under_their_own_and_counted() {
    let mut bed = Bed::new().await;
    bed.in_chunks(2, 1000);
    bed.people_with_numbers(5).await;
    let odd: [Bson; 4] = ["imported-1".into(), Bson::Int64(17), "+18475550100".into(), Bson::Boolean(true)];
    for (number, id) in odd.into_iter().enumerate() {
        bed.users().insert_one(doc! { "_id": id, "username": format!("odd-{number}") }).await.unwrap();
    }
    let _daemon = bed.start().await;
    assert_eq!(bed.until_progress("legacy", |(.., done)| done).await, (5, 4, true));
    assert_eq!(bed.until_progress("renaissance", |(.., done)| done).await, (0, 0, true), "an empty side");
    let shown = async || {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT legacy_id, reason FROM biograph_bridge.parked ORDER BY legacy_id COLLATE \"C\"")
                .fetch_all(&bed.pool)
                .await
                .unwrap();
        assert!(rows.iter().all(|(_, reason)| reason == "unsupported_id"), "{rows:?}");
        rows.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    let first = shown().await;
    assert_eq!(first[..3], ["\"imported-1\"", "17", "true"]);
    assert!(first.len() == 4 && first[3].starts_with('•') && !first[3].contains("8475"), "{first:?}");

    let again = bed.command(&["backfill", "--restart", "--json"]).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(bed.progress("legacy").await, (5, 4, true));
    assert_eq!(shown().await, first, "again is once");

    bed.users().insert_one(doc! { "_id": "streamed" }).await.unwrap();
    bed.until_count("SELECT count(*) FROM biograph_bridge.parked", 5).await;
    bed.users().delete_one(doc! { "_id": "streamed" }).await.unwrap();
    bed.users().delete_one(doc! { "_id": 17 }).await.unwrap();
    bed.until_count("SELECT count(*) FROM biograph_bridge.parked", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_cross_quickly_while_everybody_is_copied() {
    let mut bed = Bed::new().await;
    let watched = bed.insert_person("Watched", doc! {}).await;
    bed.start().await.stop().await;
    biograph_bridge::sandbox::load_people(&bed.legacy, 7, 4000).await.unwrap();
    bed.sql("DELETE FROM biograph_bridge.sweep").await;
    // a chunk as large as a batch, at full speed: sweeps want all there is
    bed.settings.push(("BRIDGE_BATCH_SIZE", "500".to_owned()));
    let daemon = bed.spawn();
    bed.until_progress("legacy", |(records, ..)| records > 0).await;
    let mut slowest = Duration::ZERO;
    let mut changes = 0;
    while !bed.progress("legacy").await.2 {
        let name = format!("Watched {changes}");
        let changed = Instant::now();
        bed.set(watched, "name", name.as_str()).await;
        bed.until_name(watched, &name).await;
        slowest = slowest.max(changed.elapsed());
        changes += 1;
    }
    println!("{changes} changes crossed during the copy of 4000, the slowest in {slowest:?}");
    assert!(changes > 0 && slowest < Duration::from_secs(5), "{changes} changes, the slowest took {slowest:?}");
    drop(daemon);
}

const TOY: &str = r#"
entity = "toy"
label = "title"
natural_keys = ["title"]
[legacy]
collection = "toys"
[renaissance]
table = "toys"
legacy_id = "old_toy_id"
[[field]]
name = "title"
legacy = "title"
renaissance = "title"
[[field]]
name = "giver"
as = "reference"
to = "user"
legacy = "giver_id"
renaissance = "giver_id"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_added_by_a_file_alone_is_copied_beside_the_others_and_syncs_both_ways() {
    let mut bed = Bed::new().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("user.toml"), crate::cli_harness::USER_MAPPING).unwrap();
    bed.settings.push(("BRIDGE_MAPPINGS", folder.path().to_str().unwrap().to_owned()));
    let person = bed.insert_person("Ada", doc! {}).await;
    bed.sql(
        "CREATE TABLE toys (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, title varchar(50) NOT NULL, \
             giver_id bigint REFERENCES users DEFERRABLE INITIALLY DEFERRED, old_toy_id varchar(100)); CREATE INDEX ON toys (title)",
    )
    .await;
    let toys = bed.legacy.collection::<mongodb::bson::Document>("toys");
    let bear = ObjectId::new();
    toys.insert_one(doc! { "_id": bear, "title": "bear", "extra": 1, "giver_id": person }).await.unwrap();
    bed.sql("INSERT INTO toys (title) VALUES ('train')").await;
    let daemon = bed.start().await;
    bed.until_name(person, "Ada").await;
    assert_eq!(daemon.stop().await, Some(0));

    std::fs::write(folder.path().join("toy.toml"), TOY).unwrap();
    let _daemon = bed.start().await;
    bed.set(person, "name", "Ada King").await;
    bed.until_name(person, "Ada King").await;
    bed.until_count("SELECT count(*) FROM toys WHERE old_toy_id IS NOT NULL", 2).await;
    bed.until_count("SELECT count(*) FROM toys t JOIN users u ON u.id = t.giver_id WHERE u.old_user_id IS NOT NULL", 1)
        .await;
    let train = toys.find_one(doc! { "title": "train" }).await.unwrap().expect("the row is a document");
    toys.update_one(doc! { "_id": train.get_object_id("_id").unwrap() }, doc! { "$set": { "title": "fast train" } })
        .await
        .unwrap();
    bed.until_count("SELECT count(*) FROM toys WHERE title = 'fast train'", 1).await;
    bed.sql(&format!(
        "UPDATE toys SET title = 'brown bear' WHERE title = 'bear'; \
         UPDATE toys SET giver_id = (SELECT id FROM users WHERE old_user_id = '{person}') WHERE title = 'fast train'"
    ))
    .await;
    bed.until("the toy crosses back", async || {
        let found = toys.find_one(doc! { "_id": bear }).await.unwrap().unwrap();
        holds(&found, "title", "brown bear") && holds(&found, "extra", 1)
    })
    .await;
    bed.until("the train's giver crosses back", async || {
        toys.count_documents(doc! { "title": "fast train", "giver_id": person }).await.unwrap() == 1
    })
    .await;
    toys.delete_one(doc! { "_id": bear }).await.unwrap();
    bed.until_count("SELECT count(*) FROM toys", 1).await;
    bed.sql("DELETE FROM toys WHERE title = 'fast train'").await;
    bed.until("the train is gone from legacy too", async || toys.count_documents(doc! {}).await.unwrap() == 0).await;
    pause().await;
    assert_eq!(bed.parked().await, []);
}

const MEMBER: &str = r#"
entity = "member"
label = "name"
natural_keys = ["name"]
[legacy]
collection = "members"
[renaissance]
table = "toy_members"
legacy_id = "old_id"
[[field]]
name = "name"
legacy = "name"
renaissance = "name"
[[field]]
name = "follows"
as = "references"
to = "member"
policy = "union"
missing = []
legacy = "follows"
renaissance = { table = "toy_follows", parent = "member_id", column = "other_id" }
"#;

const MEMBERS: &str = "
CREATE TABLE toy_members (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name varchar(50) NOT NULL,
  old_id varchar(100));
CREATE INDEX ON toy_members (name);
CREATE TABLE toy_follows (member_id bigint NOT NULL REFERENCES toy_members DEFERRABLE INITIALLY DEFERRED,
  other_id bigint NOT NULL REFERENCES toy_members DEFERRABLE INITIALLY DEFERRED, PRIMARY KEY (member_id, other_id));
CREATE INDEX ON toy_follows (other_id);
INSERT INTO toy_members (name) VALUES ('row 1'), ('row 2'), ('row 3');
INSERT INTO toy_follows SELECT a.id, b.id FROM toy_members a, toy_members b WHERE a.name = 'row 1' AND b.name = 'row 3';";

#[tokio::test(flavor = "multi_thread")]
async fn sets_are_filled_in_a_second_pass_whoever_came_first() {
    let mut bed = Bed::new().await;
    bed.in_chunks(1, 1000);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("member.toml"), MEMBER).unwrap();
    bed.settings.push(("BRIDGE_MAPPINGS", folder.path().to_str().unwrap().to_owned()));
    // nothing that is parked comes back by itself
    bed.settings.push(("BRIDGE_PARKED_RETRY", "1h".to_owned()));
    bed.sql(MEMBERS).await;
    let members = bed.legacy.collection::<mongodb::bson::Document>("members");
    let ids: [ObjectId; 4] = std::array::from_fn(|_| ObjectId::new());
    let follows = |others: &[ObjectId]| others.iter().copied().map(Bson::from).collect::<Vec<_>>();
    for (number, others) in
        [follows(&ids[1..3]), follows(&[ids[0]]), follows(&[ids[3]]), follows(&[])].into_iter().enumerate()
    {
        // the last one does not exist
        if number < 3 {
            let member = doc! { "_id": ids[number], "name": format!("document {number}"), "follows": others };
            members.insert_one(member).await.unwrap();
        }
    }
    let _daemon = bed.start().await;
    bed.until_count("SELECT count(*) FROM biograph_bridge.sweep WHERE kind = 'references' AND done", 2).await;
    let pairs: Vec<(String, String)> = sqlx::query_as(
        "SELECT a.name, b.name FROM toy_follows f JOIN toy_members a ON a.id = f.member_id \
         JOIN toy_members b ON b.id = f.other_id ORDER BY 1, 2",
    )
    .fetch_all(&bed.pool)
    .await
    .unwrap();
    let expected =
        [("document 0", "document 1"), ("document 0", "document 2"), ("document 1", "document 0"), ("row 1", "row 3")];
    assert_eq!(pairs, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let third = members.find_one(doc! { "name": "row 3" }).await.unwrap().unwrap();
    let first = members.find_one(doc! { "name": "row 1" }).await.unwrap().unwrap();
    assert_eq!(first.get_array("follows").unwrap(), &follows(&[third.get_object_id("_id").unwrap()]));
    assert_eq!(bed.parked().await, [("follows".into(), "missing_reference".into())], "only the one that is not there");
}
