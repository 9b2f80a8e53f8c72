//! The legacy capture on a real replica set.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use biograph_bridge::error::Disposition;
use biograph_bridge::model::hint::{Captured, Freshness, Position, Stray};
use biograph_bridge::sync::ports::{Capture, LegacyChange, LegacyStore, LegacyWrite, Outcome, Source};
use mongodb::bson::doc;
use uuid::Uuid;

use crate::mongo_support::{PEOPLE, USER, World, bridge, hear, id, oid, slot, text};

#[tokio::test]
async fn insert_update_replace_and_delete_each_give_one_hint() {
    let world = World::new().await;
    let mut capture = world.follow().await;
    let people = world.people();
    people.insert_one(doc! { "_id": oid(1), "name": "Ada" }).await.unwrap();
    people.update_one(doc! { "_id": oid(1) }, doc! { "$set": { "name": "Ada L" } }).await.unwrap();
    people.replace_one(doc! { "_id": oid(1) }, doc! { "name": "Ada K" }).await.unwrap();
    people.delete_one(doc! { "_id": oid(1) }).await.unwrap();
    people.insert_one(doc! { "_id": "text" }).await.unwrap();
    let other = world.application.default_database().unwrap().collection("unmapped");
    other.insert_one(doc! { "_id": oid(2) }).await.unwrap();

    let heard = hear(&mut capture, 4, 0).await;
    assert_eq!(heard.ids(), [id(1); 4]);
    let stray = Stray { kind: "text", shown: "\"text\"".to_owned(), gone: false };
    assert_eq!(heard.others, [Captured::Unaddressable(USER, stray)]);
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    for hint in &heard.hints {
        assert!((now - hint.committed_at.unwrap()).abs() < 30_000_000, "{hint:?}");
        assert!(matches!(hint.freshness, Freshness::ClusterTime(..)), "{hint:?}");
        // the rule of every reconcile: a read with the hint's freshness works at once
        world.legacy.read(USER, &[id(1)], Some(hint.freshness)).await.unwrap();
    }
}

#[tokio::test]
async fn the_bridges_own_write_is_an_echo_and_an_applications_right_after_is_not() {
    let world = World::new().await;
    let mut capture = world.follow().await;
    let insert = |number| LegacyWrite {
        id: id(number),
        change: LegacyChange::Insert(vec![(slot("name"), text("Ada"))]),
        born: None,
    };
    let done = world.legacy.write(USER, Uuid::new_v4(), &[insert(1), insert(2)]).await.unwrap().outcomes;
    assert_eq!(done, [Outcome::Written, Outcome::Written]);
    world.people().update_one(doc! { "_id": oid(1) }, doc! { "$set": { "name": "Eve" } }).await.unwrap();
    let mut session = world.application.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let people = world.people();
    people.update_one(doc! { "_id": oid(2) }, doc! { "$set": { "name": "Eve" } }).session(&mut session).await.unwrap();
    session.commit_transaction().await.unwrap();

    let heard = hear(&mut capture, 2, 2).await;
    assert_eq!((heard.ids(), heard.echoes), (vec![id(1), id(2)], 2));
}

#[tokio::test]
async fn what_a_former_run_wrote_is_an_echo_to_the_next_one() {
    let world = World::new().await;
    let tip = world.legacy.tip().await.unwrap();
    let write = LegacyWrite { id: id(1), change: LegacyChange::Insert(vec![(slot("name"), text("Ada"))]), born: None };
    world.legacy.write(USER, Uuid::new_v4(), &[write]).await.unwrap();

    let (next, _) = bridge(&world.set).await;
    let heard = hear(&mut next.open(&tip).await.unwrap(), 1, 0).await;
    assert_eq!(heard.ids(), [id(1)], "not recognised, for its sessions are not known");
    next.know_sessions(&world.sessions);
    let heard = hear(&mut next.open(&tip).await.unwrap(), 0, 1).await;
    assert_eq!((heard.hints.len(), heard.echoes), (0, 1));
}

#[tokio::test]
async fn resuming_from_any_delivered_position_misses_nothing() {
    let world = World::new().await;
    let tip = world.legacy.tip().await.unwrap();
    let documents = (0..1000_u32).map(|number| doc! { "_id": numbered(number), "name": "x" });
    world.people().insert_many(documents).await.unwrap();

    let mut capture = world.legacy.open(&tip).await.unwrap();
    let (mut before, mut positions) = (0_usize, vec![(0, tip.clone())]);
    loop {
        match capture.next().await.unwrap() {
            Captured::Hint(_) => before += 1,
            Captured::Position(position) => positions.push((before, position)),
            Captured::Idle(position) => {
                positions.push((before, position));
                if before == 1000 {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(positions.len() >= 4, "positions come within a run too: {}", positions.len());
    assert!(positions.windows(2).all(|pair| token(&pair[0].1) <= token(&pair[1].1)), "they never move back");
    for (before, position) in positions {
        let mut resumed = world.legacy.open(&position).await.unwrap();
        assert_eq!(hear(&mut resumed, 1000 - before, 0).await.hints.len(), 1000 - before);
    }
}

#[tokio::test]
async fn idle_time_advances_the_position() {
    let world = World::new().await;
    let tip = world.legacy.tip().await.unwrap();
    let mut capture = world.legacy.open(&tip).await.unwrap();
    let first = hear(&mut capture, 0, 0).await.position.unwrap();
    // a busy neighbour: without it the oplog itself stands still but for the server's own no-ops every ten seconds
    world.application.database("other").collection("c").insert_one(doc! {}).await.unwrap();
    hear(&mut capture, 0, 0).await;
    let later = hear(&mut capture, 0, 0).await.position.unwrap();
    assert!(token(&later) > token(&first) && token(&first) >= token(&tip));
    world.legacy.open(&later).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_wait_loses_nothing() {
    let world = World::new().await;
    let mut capture = world.follow().await;
    let people = world.people();
    let writing = tokio::spawn(async move {
        for number in 0..200_u32 {
            people.insert_one(doc! { "_id": numbered(number) }).await.unwrap();
        }
    });
    let mut hints = 0;
    while hints < 200 {
        match tokio::time::timeout(Duration::from_millis(1), capture.next()).await {
            Ok(Ok(Captured::Hint(_))) => hints += 1,
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => panic!("{error}"),
        }
    }
    writing.await.unwrap();
    assert_eq!(hear(&mut capture, 0, 0).await.hints.len(), 0, "and nothing comes twice");
}

#[tokio::test]
async fn dropping_and_renaming_a_mapped_collection_is_told() {
    let world = World::new().await;
    let mut capture = world.follow().await;
    let admin = world.application.database("admin");
    let database = world.application.default_database().unwrap();
    let rename = |from: &str, to: &str| {
        doc! { "renameCollection": format!("BioGraphDemo.{from}"), "to": format!("BioGraphDemo.{to}"), "dropTarget": true }
    };
    admin.run_command(rename(PEOPLE, "elsewhere")).await.unwrap();
    admin.run_command(rename("elsewhere", PEOPLE)).await.unwrap();
    world.people().drop().await.unwrap();
    database.collection::<mongodb::bson::Document>("unmapped").insert_one(doc! {}).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        told.extend(hear(&mut capture, 0, 0).await.others);
    }
    let told: Vec<String> = told.iter().map(|captured| format!("{captured:?}")).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|text| text.contains(PEOPLE)), "{told:?}");

    database.drop().await.unwrap();
    let mut last = None;
    let mut dropped = false;
    let error = loop {
        match capture.next().await {
            Ok(Captured::Position(position) | Captured::Idle(position)) => last = Some(position),
            Ok(Captured::Structure(seen)) => dropped |= seen.what.contains("database"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!((dropped, error.disposition()), (true, Disposition::Retry));
    let mut again = world.legacy.open(&last.unwrap()).await.unwrap();
    world.people().insert_one(doc! { "_id": oid(9) }).await.unwrap();
    assert_eq!(hear(&mut again, 1, 0).await.ids(), [id(9)]);
}

#[tokio::test]
async fn a_position_that_is_none_of_this_server_is_a_lost_position() {
    let (elsewhere, world) = (World::new().await, World::new().await);
    let mut capture = elsewhere.follow().await;
    elsewhere.people().insert_one(doc! { "_id": oid(1) }).await.unwrap();
    let mut hinted = false;
    let foreign = loop {
        // the position of the event itself, not the idle one after it: that would only be a time
        match capture.next().await.unwrap() {
            Captured::Hint(_) => hinted = true,
            Captured::Position(position) if hinted => break position,
            _ => {}
        }
    };
    for position in ["garbage", "", token(&foreign)].map(|data| Position::Token(data.to_owned())) {
        let error = match world.legacy.open(&position).await {
            Err(error) => error,
            Ok(mut capture) => {
                // the server misses the foreign event when the first mapped one comes after it, by its own cluster time
                tokio::time::sleep(Duration::from_millis(1500)).await;
                world.people().insert_one(doc! { "name": "Ada" }).await.unwrap();
                loop {
                    if let Err(error) = capture.next().await {
                        break error;
                    }
                }
            }
        };
        assert!(error.position_lost().is_some(), "{position}: {error}");
        assert_eq!(error.disposition(), Disposition::Halt);
    }
}

fn numbered(number: u32) -> mongodb::bson::oid::ObjectId {
    let mut bytes = [0; 12];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    mongodb::bson::oid::ObjectId::from_bytes(bytes)
}

fn token(position: &Position) -> &str {
    match position {
        Position::Token(data) => data,
        Position::Lsn(_) => panic!("a legacy position is a token"),
    }
}

#[tokio::test]
async fn a_mark_comes_after_what_was_written_before_it_and_an_idle_stream_passes_it() {
    let world = World::new().await;
    let mut capture = world.follow().await;
    world.people().insert_one(doc! { "_id": oid(1), "name": "Ada" }).await.unwrap();
    let (first, started) = (Source::mark(&world.legacy).await.unwrap(), std::time::Instant::now());
    let mut hints = 0;
    loop {
        match capture.next().await.unwrap() {
            Captured::Hint(_) => hints += 1,
            Captured::Position(position) | Captured::Idle(position) if position.has_passed(&first) => break,
            _ => {}
        }
    }
    assert_eq!(hints, 1, "before the mark");
    let second = Source::mark(&world.legacy).await.unwrap();
    assert!(second.has_passed(&first) && !first.has_passed(&second));
    loop {
        match capture.next().await.unwrap() {
            Captured::Position(position) | Captured::Idle(position) if position.has_passed(&second) => break,
            Captured::Position(_) | Captured::Idle(_) => {}
            other => panic!("a mark is no change: {other:?}"),
        }
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
