//! Reading, finding, paging and writing documents on a real replica set.

use biograph_bridge::error::Disposition;
use biograph_bridge::model::key::LegacyId;
use biograph_bridge::model::value::Value;
use biograph_bridge::sync::ports::{LegacyChange, LegacyStore, LegacyWrite, Listed, Outcome, Probe};
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use uuid::Uuid;

use crate::mongo_support::{PEOPLE, USER, World, bridge, id, oid, slot, text};

async fn update(world: &World, number: u8, path: &str, value: Option<Value>) -> LegacyWrite {
    let read = world.legacy.read(USER, &[id(number)], None).await.unwrap();
    let version = read[0].as_ref().expect("the document exists").version.clone();
    LegacyWrite { id: id(number), change: LegacyChange::Update(version, vec![(slot(path), value)]), born: None }
}

fn insert(number: u8, name: &str) -> LegacyWrite {
    LegacyWrite { id: id(number), change: LegacyChange::Insert(vec![(slot("name"), text(name))]), born: None }
}

async fn write(world: &World, writes: &[LegacyWrite]) -> Vec<Outcome> {
    world.legacy.write(USER, Uuid::new_v4(), writes).await.unwrap().outcomes
}

fn refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(..))
}

#[tokio::test]
async fn a_document_is_read_at_its_mapped_paths() {
    let world = World::new().await;
    let ada = doc! { "_id": oid(1), "name": "Ada", "email_notification": { "all": false, "x": 1 }, "status_key": 1.0, "unmapped": "u" };
    world.people().insert_one(ada).await.unwrap();
    let read = world.legacy.read(USER, &[id(2), id(1)], None).await.unwrap();
    assert!(read[0].is_none());
    let slots = &read[1].as_ref().unwrap().slots;
    assert!(slots[0] == Some(Value::Id([1; 12])));
    assert!(slots[slot("name")] == text("Ada"));
    assert!(slots[slot("email_notification.all")] == Some(Value::Bool(false)));
    assert!(slots[slot("status_key")] == Some(Value::Float(1.0)));
    assert!(slots[slot("email")].is_none());
}

#[tokio::test]
async fn sibling_keys_of_a_nested_path_survive_and_a_null_parent_gives_way() {
    let world = World::new().await;
    let people = world.people();
    people
        .insert_one(doc! { "_id": oid(1), "email_notification": { "all": true, "sms": "keep" }, "other": 5 })
        .await
        .unwrap();
    for (number, parent) in [(2, Bson::Null), (3, Bson::String("yes".into())), (4, Bson::Array(vec![]))] {
        people.insert_one(doc! { "_id": oid(number), "email_notification": parent }).await.unwrap();
    }
    people.insert_one(doc! { "_id": oid(5) }).await.unwrap();
    let mut writes = Vec::new();
    for number in 1..=5 {
        writes.push(update(&world, number, "email_notification.all", Some(Value::Bool(false))).await);
    }
    assert_eq!(write(&world, &writes).await, vec![Outcome::Written; 5]);
    let first = doc! { "_id": oid(1), "email_notification": { "all": false, "sms": "keep" }, "other": 5 };
    assert_eq!(world.person(1).await, Some(first));
    for number in 2..=5 {
        assert_eq!(
            world.person(number).await.unwrap().get_document("email_notification").ok(),
            Some(&doc! { "all": false })
        );
    }
    let removal = update(&world, 1, "email_notification.all", None).await;
    assert_eq!(write(&world, &[removal]).await, [Outcome::Written]);
    assert_eq!(world.person(1).await.unwrap().get_document("email_notification").ok(), Some(&doc! { "sms": "keep" }));
}

#[tokio::test]
async fn what_changed_since_it_was_read_is_not_overwritten() {
    let world = World::new().await;
    let people = world.people();
    for number in 1..=3 {
        people.insert_one(doc! { "_id": oid(number), "name": "old" }).await.unwrap();
    }
    let mut writes =
        vec![update(&world, 1, "name", text("bridge")).await, update(&world, 2, "name", text("bridge")).await];
    let delete = match update(&world, 3, "name", None).await.change {
        LegacyChange::Update(version, _) => {
            LegacyWrite { id: id(3), change: LegacyChange::Delete(version), born: None }
        }
        LegacyChange::Insert(_) | LegacyChange::Delete(_) => panic!("an update"),
    };
    writes.extend([delete, insert(2, "bridge"), insert(4, "bridge")]);
    people.update_one(doc! { "_id": oid(1) }, doc! { "$set": { "email": "application" } }).await.unwrap();
    people.update_one(doc! { "_id": oid(3) }, doc! { "$set": { "name": "application" } }).await.unwrap();

    use Outcome::{LostRace, Written};
    assert_eq!(write(&world, &writes).await, [LostRace, Written, LostRace, LostRace, Written]);
    let name = async |number| world.person(number).await.unwrap().get_str("name").unwrap().to_owned();
    assert_eq!(name(1).await, "old");
    assert_eq!(name(2).await, "bridge");
    assert_eq!(name(3).await, "application");
}

#[tokio::test]
async fn a_document_in_an_open_application_transaction_is_a_lost_race_and_the_others_are_written() {
    let world = World::new().await;
    let people = world.people();
    for number in 1..=9 {
        people.insert_one(doc! { "_id": oid(number), "name": "old" }).await.unwrap();
    }
    let mut writes = Vec::new();
    for number in 1..=9 {
        writes.push(update(&world, number, "name", text("bridge")).await);
    }
    let mut session = world.application.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let theirs = doc! { "$set": { "name": "application" } };
    people.update_one(doc! { "_id": oid(5) }, theirs).session(&mut session).await.unwrap();

    let outcomes = write(&world, &writes).await;
    let lost: Vec<usize> = (0..9).filter(|at| outcomes[*at] == Outcome::LostRace).collect();
    assert_eq!((lost, outcomes.iter().filter(|o| **o == Outcome::Written).count()), (vec![4], 8));
    session.commit_transaction().await.unwrap();
    assert_eq!(world.person(5).await.unwrap().get_str("name").ok(), Some("application"));
    assert_eq!(write(&world, &writes[4..5]).await, [Outcome::LostRace], "its version is another one now");
}

#[tokio::test]
async fn one_document_the_database_refuses_does_not_hold_the_others() {
    let world = World::new().await;
    let database = world.application.default_database().unwrap();
    let validator = doc! { "collMod": PEOPLE, "validator": { "name": { "$ne": "forbidden" } } };
    database.run_command(validator).await.unwrap();
    let unique = doc! { "createIndexes": PEOPLE, "indexes": [{ "key": { "email": 1 }, "name": "u", "unique": true, "sparse": true }] };
    database.run_command(unique).await.unwrap();
    world.people().insert_one(doc! { "_id": oid(200), "email": "ada@example.org" }).await.unwrap();

    let mut writes: Vec<LegacyWrite> =
        (1..=60).map(|n| insert(n, if n % 7 == 0 { "forbidden" } else { "fine" })).collect();
    writes.push(LegacyWrite {
        id: id(61),
        change: LegacyChange::Insert(vec![(slot("email"), text("ada@example.org"))]),
        born: None,
    });
    writes.push(LegacyWrite {
        born: None,
        id: id(62),
        change: LegacyChange::Insert(vec![(slot("name"), Some(Value::Opaque("regex")))]),
    });
    let intent = Uuid::new_v4();
    let outcomes = world.legacy.write(USER, intent, &writes).await.unwrap().outcomes;
    let bad: Vec<u8> = (1..=62).filter(|n| refused(&outcomes[usize::from(*n) - 1])).collect();
    assert_eq!(bad, [7, 14, 21, 28, 35, 42, 49, 56, 61, 62]);
    assert!(!format!("{outcomes:?}").contains("ada@"), "no values in outcomes");
    let Outcome::Refused(Some(email), problem) = &outcomes[60] else { panic!("{:?}", outcomes[60]) };
    assert_eq!(crate::mongo_support::user().fields[*email].name, "email");
    assert_eq!(problem.reason.as_str(), "unique_taken");

    let mut landed = world.legacy.settle(intent).await.unwrap().unwrap();
    landed.sort();
    let expected: Vec<LegacyId> = (1..=60).filter(|n| n % 7 != 0).map(id).collect();
    assert_eq!(landed, expected, "over several transactions the ledger tells exactly what landed");
    assert_eq!(world.people().count_documents(doc! {}).await.unwrap(), 1 + 52);
}

#[tokio::test]
async fn a_document_too_large_is_refused_alone() {
    let world = World::new().await;
    let large = Value::Text("x".repeat(17 << 20).into());
    let writes = [
        insert(1, "a"),
        LegacyWrite { id: id(2), change: LegacyChange::Insert(vec![(slot("name"), Some(large))]), born: None },
        insert(3, "c"),
    ];
    let outcomes = write(&world, &writes).await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Written, &Outcome::Written));
    let Outcome::Refused(_, problem) = &outcomes[1] else { panic!("{:?}", outcomes[1]) };
    assert_eq!(problem.reason.as_str(), "too_large");
}

#[tokio::test]
async fn the_ledger_knows_what_landed_what_never_started_and_what_was_killed() {
    let world = World::new().await;
    let (landed, never, killed) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    world.legacy.write(USER, landed, &[insert(1, "a"), insert(2, "b")]).await.unwrap();
    assert_eq!(world.legacy.settle(landed).await.unwrap(), Some(vec![id(1), id(2)]));
    assert_eq!(world.legacy.settle(landed).await.unwrap(), Some(vec![id(1), id(2)]), "and says so again");

    assert_eq!(world.legacy.settle(never).await.unwrap(), None);
    let late = world.legacy.write(USER, never, &[insert(3, "late")]).await.unwrap_err();
    assert_eq!(late.disposition(), Disposition::Retry);
    assert_eq!(world.person(3).await, None, "after `None` it can never land");

    // a bridge that dies before its commit: the transaction stays open on the server
    let (former, sessions) = bridge(&world.set).await;
    let open = abandoned_transaction(&world, killed, sessions[0]).await;
    former.kill_sessions(&sessions).await.unwrap();
    let started = std::time::Instant::now();
    assert_eq!(world.legacy.settle(killed).await.unwrap(), None);
    assert!(started.elapsed().as_secs() < 5, "and does not wait for the server's 60 seconds");
    drop(open);
    world.legacy.forget(&[landed, never, killed]).await.unwrap();
    let ledger = world.application.default_database().unwrap().collection::<Document>("biograph_bridge_ledger");
    assert_eq!(ledger.count_documents(doc! { "_id": { "$type": "binData" } }).await.unwrap(), 0);
}

/// What a killed bridge leaves: a transaction of its session that holds the ledger document and a person.
async fn abandoned_transaction(world: &World, intent: Uuid, session: Uuid) -> mongodb::Client {
    let client = mongodb::Client::with_uri_str(world.set.uri("BioGraphDemo")).await.unwrap();
    let uuid = |id: Uuid| mongodb::bson::Binary {
        subtype: mongodb::bson::spec::BinarySubtype::Uuid,
        bytes: id.as_bytes().to_vec(),
    };
    let mut raw =
        doc! { "insert": "biograph_bridge_ledger", "documents": [{ "_id": uuid(intent), "landed": [oid(9)] }] };
    raw.extend(
        doc! { "lsid": { "id": uuid(session) }, "txnNumber": 1000_i64, "startTransaction": true, "autocommit": false },
    );
    client.database("BioGraphDemo").run_command(raw).await.ok();
    client
}

#[tokio::test]
async fn settling_waits_for_a_transaction_that_is_still_open() {
    let world = World::new().await;
    let intent = Uuid::new_v4();
    let ledger = world.application.default_database().unwrap().collection::<Document>("biograph_bridge_ledger");
    let mut session = world.application.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let uuid =
        mongodb::bson::Binary { subtype: mongodb::bson::spec::BinarySubtype::Uuid, bytes: intent.as_bytes().to_vec() };
    ledger.insert_one(doc! { "_id": uuid, "landed": [oid(7)] }).session(&mut session).await.unwrap();
    let legacy = world.legacy.clone();
    let settling = tokio::spawn(async move { legacy.settle(intent).await });
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert!(!settling.is_finished(), "whether it lands is not known yet");
    session.commit_transaction().await.unwrap();
    assert_eq!(settling.await.unwrap().unwrap(), Some(vec![id(7)]));
}

#[tokio::test]
async fn people_are_found_by_natural_keys_and_not_by_lookalikes() {
    let world = World::new().await;
    let people = world.people();
    people.insert_one(doc! { "_id": oid(1), "phone_number": "8475550100", "country_code": 1 }).await.unwrap();
    people.insert_one(doc! { "_id": oid(2), "phone_number": "8475550100" }).await.unwrap();
    people.insert_one(doc! { "_id": oid(3), "phone_number": ["8475550100"], "country_code": 1.0 }).await.unwrap();
    people.insert_one(doc! { "_id": oid(4), "email": "ada@example.org" }).await.unwrap();
    people.insert_one(doc! { "_id": "odd", "email": "ada@example.org" }).await.unwrap();
    let phone = |code| vec![(slot("phone_number"), text("8475550100")), (slot("country_code"), Some(code))];
    let email = vec![(slot("email"), text("ada@example.org"))];
    let probes = [
        Probe { keys: vec![vec![phone(Value::Int(1))], vec![email.clone()]] },
        Probe { keys: vec![vec![email], vec![phone(Value::Null)]] },
        Probe { keys: vec![] },
    ];
    let mut hits = world.legacy.find(USER, &probes).await.unwrap();
    hits.sort();
    assert_eq!(hits, [(0, 0, id(1)), (0, 1, id(4)), (1, 0, id(4)), (1, 1, id(2))]);
    let indexes = people.list_index_names().await.unwrap();
    assert!(indexes.iter().any(|name| name.starts_with("biograph_bridge_user_phone")), "{indexes:?}");
}

#[tokio::test]
async fn a_sweep_pages_through_object_ids_and_counts_the_others() {
    let world = World::new().await;
    let numbered = (1..=25_u8).map(|n| doc! { "_id": oid(n) });
    let odd: [Bson; 4] = [Bson::from("text"), Bson::from(5), doc! { "a": 1 }.into(), Bson::Null];
    world.people().insert_many(numbered.chain(odd.into_iter().map(|id| doc! { "_id": id }))).await.unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = world.legacy.page(USER, after, 10, Listed::All).await.unwrap();
        let Some(last) = page.last else { break };
        after = Some(last);
        all.extend(page.listed);
    }
    assert_eq!(all, (1..=25).map(id).collect::<Vec<_>>());
    let (mut kinds, mut mark) = (Vec::new(), None);
    loop {
        let strays = world.legacy.strays(USER, mark.as_deref(), 3).await.unwrap();
        let Some(last) = strays.mark else { break };
        mark = Some(last);
        kinds.extend(strays.found.iter().map(|stray| stray.kind));
    }
    assert_eq!(kinds, ["null", "int", "text", "object"], "in the order of MongoDB's types");
    assert_eq!(world.legacy.unaddressable(USER).await.unwrap(), 4);
}

#[tokio::test]
async fn a_whole_document_goes_into_the_tombstone() {
    let world = World::new().await;
    world
        .people()
        .insert_one(doc! { "_id": oid(1), "x": { "y": [1.5, ObjectId::from_bytes([2; 12])] } })
        .await
        .unwrap();
    let whole = world.legacy.whole(USER, &[id(1), id(2)]).await.unwrap();
    let expected =
        serde_json::json!({ "_id": { "$oid": "01".repeat(12) }, "x": { "y": [1.5, { "$oid": "02".repeat(12) }] } });
    assert_eq!(whole, [Some(expected), None]);
}

#[tokio::test]
async fn a_bridge_without_registered_sessions_does_not_write() {
    let world = World::new().await;
    let bare = biograph_bridge::mongo::Legacy::connect(
        &world.set.uri("BioGraphDemo"),
        std::sync::Arc::new(vec![crate::mongo_support::user()]),
    )
    .await
    .unwrap();
    let error = bare.write(USER, Uuid::new_v4(), &[insert(1, "a")]).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Halt);
}
