//! What may come between the steps of a move: another daemon, a write on its way, an end of the daemon; and what was left then.

use std::time::{Duration, Instant};

use biograph_bridge::sandbox::{BIOGRAPHS, CO_AUTHORS};
use mongodb::bson::{Document, doc, oid::ObjectId};
use serde_json::json;

use crate::{
    bed::{Bed, PATIENCE, holds},
    cutover::{on, user},
};

impl Bed {
    async fn until_whereabouts(&self, id: ObjectId, wanted: &[Option<(String, i64)>; 2]) {
        let started = Instant::now();
        while self.whereabouts(id).await != *wanted {
            let found = self.whereabouts(id).await;
            assert!(started.elapsed() < PATIENCE, "{found:?}, not {wanted:?}: {}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Begins a move and waits until its person is on the way.
    async fn begin_move(&self, id: ObjectId) {
        let begun = self.cutover_output(&["start", &user(id), "--no-wait"]);
        assert_eq!(begun.status.code(), Some(0), "{begun:?}");
        self.until_whereabouts(id, &on("draining", 1)).await;
    }

    async fn outcome(&self, id: ObjectId) -> Option<String> {
        let sql = "SELECT max(outcome) FROM biograph_bridge.cutover_history WHERE legacy_id = $1 AND step IN ('moved', 'cancelled')";
        let last: Option<String> = sqlx::query_scalar(sql).bind(id.to_hex()).fetch_one(&self.pool).await.unwrap();
        last
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_between_the_steps_of_a_move_moves_nobody_by_halves() {
    let mut bed = Bed::for_moves().await;
    let daemon = bed.start().await;
    let mut people = Vec::new();
    for _ in 0..4 {
        let id = bed.insert_person("Ada", doc! {}).await;
        bed.until_name(id, "Ada").await;
        people.push(id);
    }
    let [taken, written, stopped, late] = people[..] else { panic!() };

    // another daemon has changed the row meanwhile
    bed.begin_move(taken).await;
    let theirs = format!("UPDATE biograph_bridge.cutover SET epoch = 7 WHERE legacy_id = '{taken}'");
    bed.sql(&theirs).await;
    bed.until("the move is given up", async || bed.log_all().contains("overtaken")).await;
    let [row, _] = bed.whereabouts(taken).await;
    assert_eq!(row, Some(("draining".to_owned(), 7)), "nothing of theirs is changed");

    // a document of the person is on its way to legacy
    let intent = format!(
        "INSERT INTO biograph_bridge.open_intent (id, entity, shape, legacy_ids, renaissance_ids, kinds, bases) \
         VALUES (gen_random_uuid(), 'user', 1, '{{{written}}}', '{{1}}', '{{update}}', '{{\\\\x00}}')"
    );
    bed.sql(&intent).await;
    bed.begin_move(written).await;
    bed.until("all is compared", async || bed.steps(written).await.contains(&"compared".to_owned())).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bed.whereabouts(written).await, on("draining", 1), "it may still land");
    bed.sql("DELETE FROM biograph_bridge.open_intent").await;
    bed.until_whereabouts(written, &on("renaissance", 2)).await;
    assert_eq!(daemon.stop().await, Some(0));

    // the daemon stops in the middle: whoever is on the way goes back, and hears it
    bed.settings.retain(|(name, _)| *name != "BRIDGE_CUTOVER_DRAIN");
    let daemon = bed.start().await;
    bed.begin_move(stopped).await;
    assert_eq!(daemon.stop().await, Some(0));
    assert_eq!(bed.whereabouts(stopped).await, on("legacy", 2));
    assert_eq!(bed.outcome(stopped).await.as_deref(), Some("timed_out"));

    // mirrors that somebody lost, put back, or that say what the state has forgotten
    let mirror = bed.legacy.collection::<Document>("biograph_bridge_cutover");
    mirror.delete_one(doc! { "_id": written }).await.unwrap();
    let older = doc! { "$set": { "state": "draining", "epoch": 1_i64 } };
    mirror.update_one(doc! { "_id": stopped }, older).await.unwrap();
    mirror.insert_one(doc! { "_id": late, "state": "renaissance", "epoch": 9_i64 }).await.unwrap();
    let known = format!("INSERT INTO biograph_bridge.cutover (legacy_id, state, epoch) VALUES ('{late}', 'legacy', 2)");
    bed.sql(&known).await;
    bed.settings.push(("BRIDGE_CUTOVER_DRAIN", "300ms".to_owned()));
    bed.settings.push(("BRIDGE_CRASH_AT", "cutover after the fence".to_owned()));
    let daemon = bed.start().await;
    bed.until_whereabouts(written, &on("renaissance", 2)).await;
    bed.until_whereabouts(stopped, &on("legacy", 2)).await;
    bed.until("it is said", async || bed.log_all().contains("are ahead of their cutover rows")).await;
    let (code, told) = bed.cutover(&["start", &user(late)]);
    assert_eq!((code, &told["people"][0]["findings"][0]["check"]), (3, &json!("mirror")), "{told}");
    bed.sql(&format!("DELETE FROM biograph_bridge.cutover WHERE legacy_id = '{late}'")).await;
    mirror.delete_one(doc! { "_id": late }).await.unwrap();

    // whoever goes on with a move keeps to the time that was asked for
    let begun = bed.cutover_output(&["start", &user(late), "--no-wait", "--timeout", "1ms"]);
    assert_eq!(begun.status.code(), Some(0), "{begun:?}");
    assert_eq!(daemon.end().await, Some(6), "{}", bed.log_tail());
    bed.settings.retain(|(name, _)| *name != "BRIDGE_CRASH_AT");
    let _daemon = bed.start().await;
    bed.until_whereabouts(late, &on("legacy", 2)).await;
    assert_eq!(bed.outcome(late).await.as_deref(), Some("timed_out"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_somebody_and_was_missed_is_found_and_stops_their_move() {
    let bed = Bed::for_moves().await;
    let daemon = bed.start().await;
    let (ada, row) = bed.shared_person("Ada").await;
    let told: serde_json::Value =
        serde_json::from_slice(&bed.command(&["check", "--json"]).output().unwrap().stdout).unwrap();
    let without_index =
        |told: &serde_json::Value| told["groups"].to_string().matches("CREATE INDEX CONCURRENTLY ON").count();
    assert_eq!(without_index(&told), 0, "{told}");
    assert_eq!(daemon.stop().await, Some(0));
    // a biograph, and in the digits of its id what belongs to that; a row
    let (biograph, co_author) = (ObjectId::new(), ObjectId::new());
    let theirs = doc! { "_id": biograph, "user_id": ada, "title": "Mine" };
    bed.legacy.collection::<Document>(BIOGRAPHS).insert_one(theirs).await.unwrap();
    let theirs = doc! { "_id": co_author, "biograph_id": biograph.to_hex(), "co_author_id": ada };
    bed.legacy.collection::<Document>(CO_AUTHORS).insert_one(theirs).await.unwrap();
    bed.sql(&format!(
        "INSERT INTO books (id, user_id, title, biographs, is_published, is_removed, status_key, created_date, updated_date, \
         migrated_from_old_system) VALUES (920, {row}, 'Nanoseconds', '[]', false, false, 1, now(), now(), false); \
         DROP INDEX books_user_id_6b59a0db"
    ))
    .await;
    bed.skip_to_now().await;
    let _daemon = bed.start().await;
    let told: serde_json::Value =
        serde_json::from_slice(&bed.command(&["check", "--json"]).output().unwrap().stdout).unwrap();
    assert_eq!(without_index(&told), 1, "{told}");

    let (code, told) = bed.cutover(&["start", &user(ada)]);
    assert_eq!((code, bed.whereabouts(ada).await), (3, on("legacy", 2)), "{told}");
    let said = told["people"][0]["findings"].to_string();
    for missing in [
        format!("legacy:{biograph} is missing in renaissance"),
        format!("legacy:{co_author}"),
        "renaissance:920 is missing in legacy".into(),
    ] {
        assert!(said.contains(&missing), "{missing}: {said}");
    }
    let verify = |arguments: &[&str]| {
        let user = user(ada);
        let found = bed.command(&[&["verify", "--json", "--user", &user], arguments].concat()).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
        (found.status.code().unwrap(), told["findings"].as_array().unwrap().len(), told)
    };
    let (code, found, told) = verify(&[]);
    assert_eq!((code, found), (3, 3), "{told}");
    let (code, _, told) = verify(&["--repair"]);
    assert_eq!(code, 0, "{told}");
    let (code, told) = bed.cutover(&["start", &user(ada)]);
    assert_eq!((code, &told["people"][0]["outcome"]), (0, &json!("moved")), "{told}");
    let compared =
        "SELECT count(*) FROM biograph_bridge.cutover_history WHERE step = 'compared' AND detail = '4 records agree'";
    assert_eq!(bed.count(compared).await, 1, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_born_in_renaissance_is_there_from_the_start_and_can_be_taken_to_biograph() {
    let bed = Bed::for_moves().await;
    let daemon = bed.start().await;
    let (grace_row, before_row) = (bed.register("grace", "Grace").await, bed.register("before", "Before").await);
    let grace = bed.until_document(doc! { "username": "grace" }, |_| true).await.get_object_id("_id").unwrap();
    assert_eq!(bed.whereabouts(grace).await, on("renaissance", 1), "with their document");
    let before = bed.until_document(doc! { "username": "before" }, |_| true).await.get_object_id("_id").unwrap();
    let mirror = bed.legacy.collection::<Document>("biograph_bridge_cutover");
    let mirrored = mirror.find_one(doc! { "_id": grace }).await.unwrap().unwrap();
    assert_eq!(mirrored.get_i64("renaissance_id").unwrap(), grace_row);
    bed.until("the document is known to be there", async || {
        bed.count("SELECT count(*) FROM biograph_bridge.link WHERE base IS NULL").await == 0
    })
    .await;
    let (_, shown) = bed.cutover(&["show", &user(grace)]);
    assert_eq!((&shown["state"], &shown["owner"]), (&json!("renaissance"), &json!("renaissance")), "{shown}");
    assert_eq!(
        (&shown["history"][0]["step"], &shown["history"][0]["detail"]),
        (&json!("born"), &json!("born in Renaissance"))
    );
    let (code, told) = bed.cutover(&["start", &user(grace)]);
    assert_eq!((code, &told["people"][0]["outcome"]), (3, &json!("already")), "{told}");

    // both applications change one field: Renaissance has the say
    daemon.hold();
    bed.set(grace, "name", "In BioGraph").await;
    bed.sql(&format!("UPDATE users SET first_name = 'In Renaissance' WHERE id = {grace_row}")).await;
    daemon.go_on();
    bed.until_document(doc! { "_id": grace }, |document| holds(document, "name", "In Renaissance")).await;
    bed.until_settled(&daemon).await;

    let (code, told) = bed.cutover(&["rollback", &user(grace), "--yes"]);
    assert_eq!((code, &told["people"][0]["outcome"]), (0, &json!("moved")), "{told}");
    assert_eq!(bed.whereabouts(grace).await, on("legacy", 3));
    assert_eq!(daemon.stop().await, Some(0));

    // a link from before such people had a row
    bed.sql(&format!("DELETE FROM biograph_bridge.cutover WHERE legacy_id = '{before}'")).await;
    mirror.delete_one(doc! { "_id": before }).await.unwrap();
    let _daemon = bed.start().await;
    bed.until_whereabouts(before, &on("renaissance", 1)).await;
    assert_eq!(bed.steps(before).await, ["born", "born"]);
    assert_eq!(bed.whereabouts(grace).await, on("legacy", 3), "who was moved stays where they are");
    assert_ne!(before_row, grace_row);
}
