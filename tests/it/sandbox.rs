//! The sandbox: its traffic is what two real applications would do, and its servers and commands behave as promised.

use biograph_bridge::model::{key::SideId, side::Side};
use biograph_bridge::sandbox::{ChangeKind, Stage, Traffic, TrafficOptions, USERS};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection};
use sqlx::{Connection, PgConnection};

async fn legacy_users(stage: &Stage) -> Collection<Document> {
    Client::with_uri_str(stage.legacy_uri()).await.unwrap().default_database().unwrap().collection(USERS)
}

async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn traffic_alone_keeps_both_databases_valid() {
    let stage = Stage::start(300, |_| ()).await.unwrap();
    let (users, spared) = (legacy_users(&stage).await, stage.example());
    let id = mongodb::bson::oid::ObjectId::from_bytes(spared.bytes());
    let example = users.find_one(doc! { "_id": id }).await.unwrap().unwrap();

    let options = TrafficOptions { seed: 7, spared: Some(spared), clashes: true, only: None };
    let mut traffic = Traffic::new(&stage.legacy_uri(), &stage.renaissance_url(), options).await.unwrap();
    for _ in 0..1500 {
        traffic.step().await.unwrap();
    }

    let made = |side, kind| traffic.counts().get(&(side, kind)).copied().unwrap_or(0);
    for side in Side::ALL {
        for kind in [ChangeKind::Edit, ChangeKind::Replace, ChangeKind::Join, ChangeKind::Leave, ChangeKind::Delete] {
            assert!(made(side, kind) > 0, "{side} {kind}: {:?}", traffic.counts());
        }
        assert!(traffic.made(side) > 600);
    }
    let people = |side, first| first + made(side, ChangeKind::Join) - made(side, ChangeKind::Delete);
    assert_eq!(users.count_documents(doc! {}).await.unwrap(), people(Side::Legacy, 300));
    assert_eq!(users.find_one(doc! { "_id": id }).await.unwrap().unwrap(), example, "nobody writes to the example");

    let mut connection = PgConnection::connect(&stage.renaissance_url()).await.unwrap();
    let rows = number(&mut connection, "SELECT count(*) FROM users").await;
    assert_eq!(rows, i64::try_from(people(Side::Renaissance, 0)).unwrap());
    let with_profile = "SELECT count(*) FROM users u JOIN user_profiles p ON p.user_id = u.id";
    assert_eq!(number(&mut connection, with_profile).await, rows, "everybody has a profile");
    let touched = "SELECT count(*) FROM users WHERE updated_at > created_at";
    assert!(number(&mut connection, touched).await > 0, "a save moves updated_at and leaves created_at");
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn traffic_of_one_side_is_the_same_for_the_same_seed_and_outlives_its_server() {
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let stage = Stage::start(50, |_| ()).await.unwrap();
        let options = TrafficOptions { seed: 3, only: Some(Side::Legacy), ..TrafficOptions::default() };
        let mut traffic = Traffic::new(&stage.legacy_uri(), &stage.renaissance_url(), options).await.unwrap();
        let mut done = Vec::new();
        for _ in 0..100 {
            let change = traffic.step().await.unwrap();
            assert!(matches!(change.id, SideId::Legacy(_)));
            done.push(change.kind);
        }
        kinds.push(done);
        stage.stop().await.unwrap();
        if kinds.len() == 2 {
            assert!(traffic.step().await.is_err(), "a server that is gone is an error for the caller to judge");
        }
    }
    assert_eq!(kinds[0], kinds[1]);
}
