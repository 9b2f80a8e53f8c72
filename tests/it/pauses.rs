//! Pauses: by command, by guards, and what becomes of records when they end.

use std::time::Instant;

use mongodb::bson::{Document, doc, oid::ObjectId};
use sqlx::Row;

use crate::{
    bed::{Bed, Daemon, PATIENCE, holds},
    cli_harness::Answer,
    observed::pause,
    toys::Toys,
};

fn ask(bed: &Bed, arguments: &str) -> Answer {
    Answer::from(bed.command(&arguments.split_whitespace().collect::<Vec<_>>()).output().unwrap())
}

fn must(bed: &Bed, arguments: &str) -> serde_json::Value {
    let answer = ask(bed, &format!("{arguments} --json"));
    assert_eq!(answer.code, Some(0), "{arguments}: {}{}", answer.out, answer.err);
    answer.json()
}

async fn until_state(daemon: &Daemon, bed: &Bed, wanted: &str) -> serde_json::Value {
    let started = Instant::now();
    loop {
        let status = daemon.status().await.unwrap_or_default();
        if status["state"] == wanted && status["sides"]["legacy"]["feed"] == "streaming" {
            return status;
        }
        assert!(started.elapsed() < PATIENCE, "{wanted}: {status} {}", bed.log_tail());
        pause().await;
    }
}

/// Waits until somebody has crossed each way who was made after everything else: what comes after was not overtaken.
async fn settled(bed: &Bed, id: ObjectId, row: i64, word: &str) {
    bed.sql(&format!("UPDATE users SET profile_picture = 'https://p.example/{word}' WHERE id = {row}")).await;
    bed.until_document(doc! { "_id": id }, |d| d.to_string().contains(word)).await;
}

const PARKED: &str = "SELECT count(*) FROM biograph_bridge.parked";
const JOURNAL: &str = "SELECT count(*) FROM biograph_bridge.conflict";

#[tokio::test(flavor = "multi_thread")]
async fn one_direction_waits_durably_while_the_other_goes_on() {
    let (bed, daemon) = Bed::running().await;
    let (ada, row) = bed.shared_person("Ada").await;
    let (eve, _) = bed.shared_person("Eve").await;
    let begun = must(&bed, "pause --direction legacy_to_renaissance --reason maintenance");
    assert_eq!((&begun["begun"], &begun["pauses"][0]["detail"]), (&true.into(), &"maintenance".into()));
    assert_eq!(must(&bed, "pause --direction legacy_to_renaissance")["begun"], false, "again is once");
    until_state(&daemon, &bed, "paused").await;
    let metrics = daemon.get("/metrics").await.unwrap().1;
    assert!(metrics.contains("biograph_bridge_state{state=\"paused\"} 1"), "{metrics}");
    let shown = ask(&bed, "status").out;
    assert!(shown.contains("legacy → renaissance (asked)") && shown.contains("biograph-bridge resume"), "{shown}");

    bed.set(ada, "name", "Ada King").await;
    bed.sql(&format!("UPDATE users SET first_name = 'Countess' WHERE id = {row}")).await;
    bed.users().delete_one(doc! { "_id": eve }).await.unwrap();
    let new = bed.insert_person("Grace", doc! {}).await;
    // a name changed on both sides, a deletion, a new person
    bed.until_count(PARKED, 3).await;
    settled(&bed, ada, row, "first").await;
    let checkpoint = "SELECT count(*) FROM biograph_bridge.checkpoint WHERE at > now() - interval '3 seconds'";
    bed.until_count(checkpoint, 2).await;

    daemon.kill();
    let daemon = bed.spawn();
    until_state(&daemon, &bed, "paused").await;
    bed.set(ada, "is_premium_member", true).await;
    bed.until_count(PARKED, 4).await;
    settled(&bed, ada, row, "second").await;
    let held = bed.row(ada).await.unwrap();
    assert_eq!(held.get::<String, _>("first_name"), "Countess");
    assert!(bed.row(new).await.is_none() && bed.row(eve).await.is_some());
    assert_eq!(bed.count(JOURNAL).await, 0, "a conflict is journalled when it is carried out");

    let ended = must(&bed, "resume --direction legacy_to_renaissance");
    assert_eq!(ended["ended"].as_array().unwrap().len(), 1, "{ended}");
    bed.until_name(ada, "Ada King").await;
    bed.until_row(new, |_| true).await;
    bed.until("the deletion crosses", async || bed.row(eve).await.is_none()).await;
    bed.until_count(PARKED, 0).await;
    assert_eq!(bed.count(JOURNAL).await, 1);
    assert_eq!(must(&bed, "resume")["ended"], serde_json::json!([]));
    let audited = "SELECT count(*) FROM biograph_bridge.pause \
                   WHERE who IS NOT NULL AND reason = 'maintenance' AND ended_at IS NOT NULL AND ended_by IS NOT NULL";
    assert_eq!(bed.count(audited).await, 1);
    until_state(&daemon, &bed, "streaming").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_waits_with_all_they_own_and_kills_lose_nothing() {
    let (bed, daemon) = Bed::running().await;
    let (ada, row) = bed.shared_person("Ada").await;
    let (grace, other) = bed.shared_person("Grace").await;
    let refused = ask(&bed, "pause --user renaissance:4000000");
    assert!(refused.code == Some(1) && refused.err.contains("nobody has this renaissance"), "{}", refused.err);
    let refused = ask(&bed, "pause --entity zebra");
    assert!(refused.code != Some(0) && refused.err.contains("zebra"), "{}", refused.err);
    must(&bed, &format!("pause --user renaissance:{row}"));
    let theirs = doc! { "_id": ObjectId::new(), "user_id": ada, "title": "Mine" };
    bed.legacy.collection::<Document>("biographapp_biographmodel").insert_one(theirs).await.unwrap();
    bed.set(ada, "name", "Ada King").await;
    bed.sql(&format!("UPDATE user_profiles SET profile_visibility = 'friends' WHERE user_id = {row}")).await;
    bed.until_count(PARKED, 3).await;
    settled(&bed, grace, other, "others").await;
    assert_eq!(bed.count("SELECT count(*) FROM biographs").await, 0);
    assert_eq!(bed.row(ada).await.unwrap().get::<String, _>("first_name"), "Ada");
    let listed = must(&bed, &format!("parked list --user renaissance:{row}"));
    assert_eq!(listed["parked"].as_array().unwrap().len(), 3, "{listed}");

    // a daemon that dies as soon as the pause has ended leaves the rest to the next one
    bed.sql("UPDATE biograph_bridge.pause SET ended_at = now()").await;
    daemon.kill();
    let _daemon = bed.start().await;
    bed.until_count(PARKED, 0).await;
    bed.until_name(ada, "Ada King").await;
    bed.until_document(doc! { "_id": ada }, |d| holds(d, "profile_settings", "F")).await;
    bed.until_count("SELECT count(*) FROM biographs", 1).await;
}

#[test]
fn without_a_daemon_nothing_is_paused() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bed = runtime.block_on(Bed::new());
    for command in ["pause", "resume"] {
        let answer = ask(&bed, command);
        assert!(answer.code == Some(3) && answer.err.contains("no daemon is active"), "{}", answer.err);
    }
}

const TOYS: &str = "
CREATE TABLE bears (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL, old_id varchar(100));
CREATE TABLE dolls (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL, old_id varchar(100))";

fn toy(entity: &str) -> String {
    format!(
        "entity = \"{entity}\"\n[legacy]\ncollection = \"{entity}s\"\n[renaissance]\ntable = \"{entity}s\"\nlegacy_id = \"old_id\"\n\
         [[field]]\nname = \"name\"\nlegacy = \"name\"\nrenaissance = \"name\"\n"
    )
}

/// Bears and dolls.
async fn nursery() -> Toys {
    Toys::new(&[("bear", &toy("bear")), ("doll", &toy("doll"))], TOYS).await
}

async fn fill(toys: &Toys, collection: &str, count: usize) -> Vec<ObjectId> {
    let ids: Vec<ObjectId> = (0..count).map(|_| ObjectId::new()).collect();
    let documents = ids.iter().map(|id| doc! { "_id": id, "name": format!("n{id}") });
    toys.bed.legacy.collection::<Document>(collection).insert_many(documents).await.unwrap();
    toys.until_cell(&format!("SELECT count(*) FROM {collection}"), &count.to_string()).await;
    ids
}

async fn count(toys: &Toys, collection: &str) -> u64 {
    toys.bed.legacy.collection::<Document>(collection).count_documents(doc! {}).await.unwrap()
}

async fn until_documents(toys: &Toys, collection: &str, wanted: u64) {
    toys.bed.until("the documents are as wanted", async || count(toys, collection).await == wanted).await;
}

/// Waits until a doll made in BioGraph has crossed: other entities go on.
async fn a_doll_crosses(toys: &Toys, word: &str) {
    toys.insert("dolls", doc! { "name": word }).await;
    toys.until_cell(&format!("SELECT name FROM dolls WHERE name = '{word}'"), word).await;
}

fn pauses(status: &serde_json::Value) -> Vec<String> {
    let text = |pause: &serde_json::Value, key: &str| pause[key].as_str().unwrap_or("-").to_owned();
    let shown = status["pauses"].as_array().unwrap().iter();
    shown
        .map(|pause| format!("{} {} {}", text(pause, "entity"), text(pause, "direction"), text(pause, "cause")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_or_renamed_collection_pauses_its_entity_and_asks() {
    let toys = nursery().await;
    let daemon = toys.bed.start().await;
    let ids = fill(&toys, "bears", 3).await;
    fill(&toys, "dolls", 1).await;
    let bears = toys.bed.legacy.collection::<Document>("bears");
    bears.drop().await.unwrap();
    let status = until_state(&daemon, &toys.bed, "paused").await;
    assert_eq!(pauses(&status), ["bear - dropped"]);
    assert!(toys.bed.log_tail().contains("collection bears was dropped"), "{}", toys.bed.log_tail());
    toys.bed.sql(&format!("UPDATE bears SET name = 'edited' WHERE old_id = '{}'", ids[0])).await;
    toys.bed.until_count(PARKED, 1).await;
    a_doll_crosses(&toys, "flows").await;
    let answer = ask(&toys.bed, "resume --entity bear");
    assert!(answer.code == Some(1) && answer.err.contains("--deletions"), "{}", answer.err);

    // gone while nobody was there: it starts all the same, and asks
    daemon.kill();
    let daemon = toys.bed.spawn();
    until_state(&daemon, &toys.bed, "paused").await;
    a_doll_crosses(&toys, "after").await;
    assert_eq!(toys.cell("SELECT count(*) FROM bears").await, "3");
    must(&toys.bed, "resume --entity bear --deletions restore");
    until_documents(&toys, "bears", 3).await;
    let first = doc! { "_id": ids[0] };
    toys.until_document("bears", first.clone(), |d| holds(d, "name", "edited")).await;
    toys.bed.until_count(PARKED, 0).await;
    toys.set("bears", ids[0], "name", "again").await;
    toys.until_cell("SELECT count(*) FROM bears WHERE name = 'again'", "1").await;

    // another collection takes the name: one of its documents is known, one is new, two are missing
    let other = toys.bed.legacy.collection::<Document>("others");
    other.insert_many([doc! { "_id": ids[1], "name": "kept" }, doc! { "name": "new" }]).await.unwrap();
    let rename = doc! { "renameCollection": "BioGraphDemo.others", "to": "BioGraphDemo.bears", "dropTarget": true };
    toys.bed.legacy.client().database("admin").run_command(rename).await.unwrap();
    assert_eq!(pauses(&until_state(&daemon, &toys.bed, "paused").await), ["bear - renamed"]);
    assert_eq!(toys.cell("SELECT count(*) FROM bears").await, "3");
    must(&toys.bed, "resume --entity bear --deletions apply");
    toys.until_cell("SELECT string_agg(name, ' ' ORDER BY name) FROM bears", "kept new").await;
    toys.bed.until_count("SELECT count(*) FROM biograph_bridge.tombstone", 2).await;
    until_state(&daemon, &toys.bed, "streaming").await;
    assert_eq!(count(&toys, "bears").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_or_replaced_table_pauses_its_entity_and_asks() {
    let toys = nursery().await;
    let daemon = toys.bed.start().await;
    let ids = fill(&toys, "bears", 3).await;
    toys.bed.sql("TRUNCATE bears").await;
    assert_eq!(pauses(&until_state(&daemon, &toys.bed, "paused").await), ["bear - truncated"]);
    toys.set("bears", ids[0], "name", "edited").await;
    toys.bed.until_count(PARKED, 1).await;
    a_doll_crosses(&toys, "flows").await;
    assert_eq!(count(&toys, "bears").await, 3, "nothing is deleted because of it");
    must(&toys.bed, "resume --entity bear --deletions restore");
    toys.until_cell("SELECT count(*) FROM bears", "3").await;
    toys.until_cell("SELECT count(*) FROM bears WHERE name = 'edited'", "1").await;
    toys.bed.until_count(PARKED, 0).await;
    until_state(&daemon, &toys.bed, "streaming").await;

    // without the table nothing of the entity can be read, and the others go on
    toys.bed.sql("DROP TABLE bears").await;
    toys.set("bears", ids[0], "name", "unread").await;
    assert_eq!(pauses(&until_state(&daemon, &toys.bed, "paused").await), ["bear - dropped"]);
    a_doll_crosses(&toys, "goes on").await;
    let answer = ask(&toys.bed, "resume --entity bear --deletions restore");
    assert!(answer.code == Some(1) && answer.err.contains("create it first"), "{}", answer.err);
    let create = TOYS.split(';').next().unwrap();
    toys.bed.sql(&format!("{create}; INSERT INTO bears (name, old_id) VALUES ('native', NULL)")).await;
    assert_eq!(count(&toys, "bears").await, 3);
    must(&toys.bed, "resume --entity bear --deletions restore");
    toys.until_cell("SELECT count(*) FROM bears", "4").await;
    until_documents(&toys, "bears", 4).await;
    toys.bed.sql(&format!("UPDATE bears SET name = 'heard' WHERE old_id = '{}'", ids[1])).await;
    toys.until_document("bears", doc! { "_id": ids[1] }, |d| holds(d, "name", "heard")).await;
    toys.bed.until_count(PARKED, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_that_was_not_heard_of_yet_deletes_nothing_and_other_rewrites_hold_nothing_up() {
    let toys = nursery().await;
    let daemon = toys.bed.start().await;
    let (bears, dolls) = (fill(&toys, "bears", 3).await, fill(&toys, "dolls", 3).await);
    toys.bed.sql("VACUUM FULL dolls").await;
    toys.bed.sql(&format!("DELETE FROM dolls WHERE old_id = '{}'", dolls[0])).await;
    until_documents(&toys, "dolls", 2).await;
    assert_eq!(daemon.stop().await, Some(0));

    // what happens to the documents is heard of long before the TRUNCATE, and the table is not even empty
    toys.bed.sql("CREATE TABLE filler AS SELECT n FROM generate_series(1, 500000) n").await;
    toys.bed.sql("TRUNCATE bears").await;
    toys.bed.sql("INSERT INTO bears (name) VALUES ('native')").await;
    let touched = doc! { "$set": { "unmapped": 1 } };
    toys.bed.legacy.collection::<Document>("bears").update_many(doc! {}, touched.clone()).await.unwrap();
    let daemon = toys.bed.spawn();
    assert_eq!(pauses(&until_state(&daemon, &toys.bed, "paused").await), ["bear - truncated"]);
    assert!(count(&toys, "bears").await >= 3);
    must(&toys.bed, "resume --entity bear --deletions restore");
    toys.until_cell("SELECT count(*) FROM bears", "4").await;
    until_documents(&toys, "bears", 4).await;
    until_state(&daemon, &toys.bed, "streaming").await;
    toys.bed.sql(&format!("DELETE FROM bears WHERE old_id = '{}'", bears[0])).await;
    until_documents(&toys, "bears", 3).await;
    assert_eq!(daemon.stop().await, Some(0));

    // one that is never heard of, as the position is lost with it
    toys.bed.sql("TRUNCATE dolls").await;
    toys.bed.sql("SELECT pg_drop_replication_slot('biograph_bridge')").await;
    toys.bed.legacy.collection::<Document>("dolls").update_many(doc! {}, touched).await.unwrap();
    let daemon = toys.bed.spawn();
    assert_eq!(pauses(&until_state(&daemon, &toys.bed, "paused").await), ["doll - truncated"]);
    assert_eq!(count(&toys, "dolls").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_table_whose_truncate_was_not_heard_of_yet_takes_nobodys_friends() {
    let bed = Bed::new().await;
    bed.sql(include_str!("../../deploy/renaissance/friendships.sql")).await;
    let daemon = bed.start().await;
    let mut people = Vec::new();
    for name in ["Ada", "Grace", "Alan"] {
        people.push(bed.shared_person(name).await.0);
    }
    let (ada, friends) = (people[0], people[1..].to_vec());
    bed.set(ada, "friends", friends.clone()).await;
    bed.until_count("SELECT count(*) FROM friendships", 2).await;
    bed.until_settled(&daemon).await;
    assert_eq!(daemon.stop().await, Some(0));

    // her document is looked at long before the TRUNCATE is heard of
    bed.sql("CREATE TABLE filler AS SELECT n FROM generate_series(1, 500000) n").await;
    bed.sql("TRUNCATE friendships").await;
    bed.set(ada, "name", "Ada King").await;
    let daemon = bed.spawn();
    assert_eq!(pauses(&until_state(&daemon, &bed, "paused").await), ["user - truncated"]);
    let hers = |document: &Document| holds(document, "friends", friends.clone());
    bed.until_document(doc! { "_id": ada }, hers).await;
    must(&bed, "resume --entity user --deletions restore");
    bed.until_count("SELECT count(*) FROM friendships", 2).await;
    bed.until_name(ada, "Ada King").await;
    bed.until_document(doc! { "_id": ada }, hers).await;
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_position_is_healed_for_all_but_what_is_paused_and_for_that_once_it_is_resumed() {
    let toys = nursery().await;
    let daemon = toys.bed.start().await;
    let (bears, dolls) = (fill(&toys, "bears", 1).await, fill(&toys, "dolls", 2).await);
    must(&toys.bed, "pause --entity bear");
    assert_eq!(daemon.stop().await, Some(0));
    toys.bed.sql("UPDATE bears SET name = 'unheard'; UPDATE dolls SET name = 'unheard'").await;
    toys.bed.sql(&format!("DELETE FROM dolls WHERE old_id = '{}'", dolls[1])).await;
    toys.bed.sql("SELECT pg_drop_replication_slot('biograph_bridge')").await;
    let daemon = toys.bed.spawn();
    toys.until_document("dolls", doc! { "_id": dolls[0] }, |d| holds(d, "name", "unheard")).await;
    until_documents(&toys, "dolls", 1).await;
    until_state(&daemon, &toys.bed, "streaming").await;
    // first copies that are wanted meanwhile do not wait for it either
    let again = ask(&toys.bed, "backfill --entity doll --restart");
    assert_eq!(again.code, Some(0), "{}", again.err);
    let open = "SELECT count(*) FROM biograph_bridge.healing WHERE ended_at IS NULL";
    assert_eq!(toys.bed.count(open).await, 1, "it has not ended");
    let paused = must(&toys.bed, "verify --entity bear")["entities"]["bear"].clone();
    assert!(paused["paused"] == 1 && paused["differing"] == 0, "{paused}");
    must(&toys.bed, "resume --entity bear");
    toys.until_document("bears", doc! { "_id": bears[0] }, |d| holds(d, "name", "unheard")).await;
    let equal = must(&toys.bed, "verify --entity bear")["entities"]["bear"].clone();
    assert!(equal["equal"] == 1 && equal["paused"] == 0, "{equal}");
    toys.bed.until_count(open, 0).await;
    until_state(&daemon, &toys.bed, "streaming").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_deletions_is_held_back_either_way() {
    let toys = nursery().await;
    let daemon = toys.bed.start().await;
    let ids = fill(&toys, "bears", 200).await;
    let bears = toys.bed.legacy.collection::<Document>("bears");
    bears.delete_many(doc! { "_id": { "$in": &ids[..100] } }).await.unwrap();
    let status = until_state(&daemon, &toys.bed, "paused").await;
    assert_eq!(pauses(&status), ["bear legacy_to_renaissance burst"]);
    let gone: i64 = 200 - toys.cell("SELECT count(*) FROM bears").await.parse::<i64>().unwrap();
    assert!(gone <= 50, "{gone} were deleted before the guard stepped in");
    a_doll_crosses(&toys, "flows").await;
    toys.bed.sql(&format!("UPDATE bears SET name = 'back' WHERE old_id = '{}'", ids[150])).await;
    toys.until_document("bears", doc! { "_id": ids[150] }, |d| holds(d, "name", "back")).await;
    must(&toys.bed, "resume --entity bear --deletions apply");
    toys.until_cell("SELECT count(*) FROM bears", "100").await;
    toys.bed.until_count(PARKED, 0).await;
    until_state(&daemon, &toys.bed, "streaming").await;

    toys.bed.sql("DELETE FROM bears WHERE id IN (SELECT id FROM bears ORDER BY id DESC LIMIT 80)").await;
    assert_eq!(pauses(&until_state(&daemon, &toys.bed, "paused").await), ["bear renaissance_to_legacy burst"]);
    let left = count(&toys, "bears").await;
    assert!(left >= 50, "{left}");
    must(&toys.bed, "resume --entity bear --deletions restore");
    toys.until_cell("SELECT count(*) FROM bears", &left.to_string()).await;
    toys.bed.until_count(PARKED, 0).await;
    assert_eq!(count(&toys, "bears").await, left, "what was held back is there again");
}

const STUBBORN: &str = "
CREATE TABLE clocks (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL, time text, old_id varchar(100));
CREATE FUNCTION stubborn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.name = 'stubborn' THEN NEW.time := 'noon'; END IF; RETURN NEW; END $$;
CREATE TRIGGER stubborn BEFORE INSERT OR UPDATE ON clocks FOR EACH ROW EXECUTE FUNCTION stubborn()";
const CLOCK: &str = "
entity = \"clock\"
[legacy]
collection = \"clocks\"
[renaissance]
table = \"clocks\"
legacy_id = \"old_id\"
[[field]]
name = \"name\"
legacy = \"name\"
renaissance = \"name\"
[[field]]
name = \"time\"
direction = \"to_renaissance\"
legacy = \"time\"
renaissance = \"time\"
";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_undoes_again_and_again_is_parked_with_both_forms() {
    let toys = Toys::new(&[("clock", CLOCK.trim_start())], STUBBORN).await;
    let daemon = toys.bed.start().await;
    let id = ObjectId::new();
    toys.insert("clocks", doc! { "_id": id, "name": "stubborn", "time": "six" }).await;
    toys.bed.until_parked(&[("time", "looping")]).await;
    let detail = toys.cell("SELECT detail FROM biograph_bridge.parked").await;
    assert!(detail.contains("legacy time (text), renaissance clocks.time (text)"), "{detail}");
    let written = toys.cell("SELECT count(*) FROM biograph_bridge.conflict").await;
    assert_eq!(written, "10", "so often it was tried");
    // it stays so, also for the next daemon and for a sweep
    assert_eq!(daemon.stop().await, Some(0));
    let _daemon = toys.bed.start().await;
    must(&toys.bed, "backfill --restart");
    assert_eq!(toys.cell("SELECT count(*) FROM biograph_bridge.conflict").await, written);
    // an application changes it: other fields go on, and it is tried again
    toys.set("clocks", id, "name", "mild").await;
    toys.until_cell("SELECT concat_ws(' ', name, time) FROM clocks", "mild six").await;
    toys.bed.until_parked(&[]).await;
}
