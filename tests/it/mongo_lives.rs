//! The legacy side when servers are unfit, step down or are replaced: what is said, and that nothing is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use biograph_bridge::error::{Disposition, Error};
use biograph_bridge::model::hint::{Captured, Position};
use biograph_bridge::model::key::{LegacyId, SideId};
use biograph_bridge::mongo::{LedgerPlan, Legacy};
use biograph_bridge::sandbox::{Mongod, MongodOptions, ReplicaSet};
use biograph_bridge::sync::ports::{Capture, LegacyChange, LegacyStore, LegacyWrite, Outcome, Source};
use mongodb::bson::{Document, doc, oid::ObjectId};
use mongodb::{Client, Collection};
use uuid::Uuid;

use crate::mongo_support::{PEOPLE, USER, World, failing_set, id, slot, text, user};

fn only_retry(error: &Error) {
    assert_eq!(error.disposition(), Disposition::Retry, "{error}");
}

#[tokio::test]
async fn a_standalone_server_is_refused_with_the_commands_that_fix_it() {
    let server = Mongod::standalone(MongodOptions::default()).await.unwrap();
    let uri = format!("mongodb://{}/BioGraphDemo", server.address());
    let legacy = Legacy::connect(&uri, Arc::new(vec![user()])).await.unwrap();
    let findings = legacy.check().await;
    let topology = findings.iter().find(|finding| finding.subject == "MongoDB topology").unwrap();
    assert!(topology.blocks && !topology.ok);
    assert!(
        topology.fix.as_ref().unwrap().contains("--replSet")
            && topology.fix.as_ref().unwrap().contains("rs.initiate()")
    );
    assert_eq!(legacy.tip().await.unwrap_err().disposition(), Disposition::Halt);
    legacy.use_sessions(legacy.open_sessions(1).await.unwrap());
    let write = LegacyWrite { id: id(1), change: LegacyChange::Insert(vec![(slot("name"), text("a"))]), born: None };
    let error = legacy.write(USER, Uuid::new_v4(), &[write]).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Halt);
    assert!(error.hint().unwrap().contains("replSet"), "{error}");
}

#[tokio::test]
async fn a_healthy_server_has_only_good_findings_and_a_collection_of_another_case_is_named() {
    let world = World::new().await;
    let blocking = |findings: Vec<biograph_bridge::sync::finding::Finding>| {
        findings.into_iter().filter(|finding| finding.blocks).collect::<Vec<_>>()
    };
    assert_eq!(blocking(world.legacy.check().await), []);
    let database = world.application.default_database().unwrap();
    world.people().drop().await.unwrap();
    database.create_collection("AuthApp_usermodel").await.unwrap();
    let found = blocking(world.legacy.check().await);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].detail, format!("collection {PEOPLE} is missing, but AuthApp_usermodel exists"));
    assert_eq!(found[0].fix.as_deref(), Some("set [legacy] collection = \"AuthApp_usermodel\" in mappings/user.toml"));
}

#[tokio::test]
async fn a_server_that_is_down_is_one_finding_and_a_retry() {
    let legacy =
        Legacy::connect("mongodb://127.0.0.1:1/BioGraphDemo?serverSelectionTimeoutMS=300", Arc::new(vec![user()]))
            .await;
    let legacy = legacy.unwrap();
    only_retry(&legacy.tip().await.unwrap_err());
    only_retry(&legacy.read(USER, &[id(1)], None).await.unwrap_err());
    let findings = legacy.check().await;
    assert_eq!((findings.len(), findings[0].blocks), (1, true));
}

#[tokio::test]
async fn setting_up_is_idempotent_and_taken_down_again() {
    let world = World::new().await;
    assert_eq!(world.legacy.init().await.unwrap(), [], "done before");
    let removed = world.legacy.teardown().await.unwrap();
    for collection in ["biograph_bridge_ledger", "biograph_bridge_cutover"] {
        assert!(removed.contains(&LedgerPlan::Collection(collection.to_owned())), "{removed:?}");
    }
    assert_eq!(removed.len(), 2 + user().natural_keys.len(), "{removed:?}");
    let planned = world.legacy.missing().await.unwrap();
    assert_eq!(planned.len(), removed.len() + 2, "the indexes of these collections went with them: {planned:?}");
    assert_eq!(world.people().list_index_names().await.unwrap(), ["_id_"]);
    assert_eq!(world.legacy.init().await.unwrap(), planned);
}

/// Listens as the bridge would: after an error, from the last position, until all `expected` ids were hinted.
async fn hear_all(legacy: Legacy, mut from: Position, expected: HashSet<LegacyId>) -> u32 {
    let (mut heard, mut errors) = (HashSet::new(), 0);
    while heard != expected {
        let mut capture = match legacy.open(&from).await {
            Ok(capture) => capture,
            Err(error) => {
                only_retry(&error);
                errors += 1;
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        while heard != expected {
            match capture.next().await {
                Ok(Captured::Hint(hint)) => match hint.key.id {
                    SideId::Legacy(id) => drop(heard.insert(id)),
                    SideId::Renaissance(_) => panic!("a legacy id"),
                },
                Ok(Captured::Position(position) | Captured::Idle(position)) => from = position,
                Ok(_) => {}
                Err(error) => {
                    only_retry(&error);
                    errors += 1;
                    break;
                }
            }
        }
    }
    errors
}

#[tokio::test]
async fn a_step_down_under_load_loses_nothing_and_gives_retries_only() {
    let world = World::of(3).await;
    let tip = world.legacy.tip().await.unwrap();
    let theirs: Vec<LegacyId> = (0..200).map(|_| LegacyId::new(ObjectId::new().bytes())).collect();
    let hearing = tokio::spawn(hear_all(world.legacy.clone(), tip, theirs.iter().copied().collect()));
    let people = world.people();
    let application = tokio::spawn(async move {
        for id in theirs {
            let document: Document = doc! { "_id": ObjectId::from_bytes(id.bytes()), "name": "x" };
            while let Err(error) = people.insert_one(&document).await {
                if error.to_string().contains("E11000") {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let legacy = world.legacy.clone();
    let bridge = tokio::spawn(async move {
        for number in 1..=60_u8 {
            let (mut settled, mut tries) = (false, 0);
            while !settled {
                tries += 1;
                let intent = Uuid::new_v4();
                let write = LegacyWrite {
                    id: id(number),
                    change: LegacyChange::Insert(vec![(slot("name"), text("b"))]),
                    born: None,
                };
                settled = match legacy.write(USER, intent, &[write]).await {
                    Ok(wrote) => wrote.outcomes == [Outcome::Written],
                    Err(error) => {
                        only_retry(&error);
                        let landed = loop {
                            match legacy.settle(intent).await {
                                Ok(landed) => break landed,
                                Err(error) => only_retry(&error),
                            }
                        };
                        let there = legacy.read(USER, &[id(number)], None).await;
                        there.map_or_else(
                            |error| {
                                only_retry(&error);
                                landed.is_some()
                            },
                            |there| {
                                assert_eq!(landed.is_some(), there[0].is_some(), "the ledger tells the truth");
                                landed.is_some()
                            },
                        )
                    }
                };
                assert!(tries < 50);
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(600)).await;
    world.set.step_down().await.unwrap();
    let all = async { (application.await.unwrap(), bridge.await.unwrap(), hearing.await.unwrap()) };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("everybody gets through");
    assert_eq!(world.people().count_documents(doc! {}).await.unwrap(), 260);
}

#[tokio::test]
async fn what_a_new_primary_does_not_know_to_be_committed_is_waited_for() {
    // GIVEN a set whose secondaries do not follow: as a primary just elected, this one cannot tell what a majority has
    let set = failing_set(3).await;
    let legacy = Legacy::connect(&set.uri("BioGraphDemo"), Arc::new(vec![user()])).await.unwrap();
    legacy.identify(None).await.unwrap();
    let primary = set.primary().await.unwrap();
    let follow = async |mode: &str| {
        for (number, member) in set.members().iter().enumerate().filter(|(number, _)| *number != primary) {
            let client = Client::with_uri_str(member.uri("admin")).await.unwrap();
            let command = doc! { "configureFailPoint": "stopReplProducer", "mode": mode };
            assert!(client.database("admin").run_command(command).await.is_ok(), "member {number}");
        }
    };
    follow("alwaysOn").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let identities = legacy_ledger(&set).await;
    identities.update_one(doc! { "_id": "identity" }, doc! { "$set": { "mark": 7_i64 } }).await.unwrap();
    // WHEN the identity is read, and the secondaries go on a while later
    let (identity, ()) = tokio::join!(legacy.identity(), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        follow("off").await;
    });
    // THEN it is as it was left, not as it was before
    assert_eq!(identity.unwrap().unwrap().mark, 7);
}

/// The ledger's collection, to which one member's word is enough.
async fn legacy_ledger(set: &ReplicaSet) -> Collection<Document> {
    let client = Client::with_uri_str(format!("{}&w=1", set.uri("BioGraphDemo"))).await.unwrap();
    client.database("BioGraphDemo").collection("biograph_bridge_ledger")
}

#[tokio::test]
async fn a_transaction_whose_end_got_lost_on_the_way_holds_up_nobody() {
    // GIVEN a line that is cut in the middle of a transaction, and when the bridge ends it, and ends it again
    let world = World::on(failing_set(1).await).await;
    let cut = doc! { "failCommands": ["insert", "abortTransaction"], "closeConnection": true };
    let cut = doc! { "configureFailPoint": "failCommand", "mode": { "times": 3 }, "data": cut };
    world.application.database("admin").run_command(cut).await.unwrap();
    let write = LegacyWrite { id: id(1), change: LegacyChange::Insert(vec![(slot("name"), text("a"))]), born: None };
    let writes = [write];
    // WHEN it is written, and the intent is settled
    let intent = Uuid::new_v4();
    only_retry(&world.legacy.write(USER, intent, &writes).await.unwrap_err());
    let limit = Duration::from_secs(20);
    let settled = tokio::time::timeout(limit, world.legacy.settle(intent)).await;
    // THEN neither that nor the next write waits until the server ends the transaction by itself
    assert_eq!(settled.expect("the ledger's document is free").unwrap(), None);
    let wrote = tokio::time::timeout(limit, world.legacy.write(USER, Uuid::new_v4(), &writes)).await;
    assert!(matches!(wrote.expect("the document is free").unwrap().outcomes[..], [Outcome::Written]));
}
