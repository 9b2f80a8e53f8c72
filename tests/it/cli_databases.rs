//! The commands on real databases: look, set up, list, tear down.

use biograph_bridge::sandbox::{MongodOptions, PostgresOptions, PostgresServer, ReplicaSet};
use mongodb::bson::{Document, doc};

use crate::cli_harness::{Bridge, USER_MAPPING};

struct World {
    set: ReplicaSet,
    server: PostgresServer,
    bridge: Bridge,
}

impl World {
    async fn new() -> Self {
        let set = ReplicaSet::start(1, MongodOptions::default()).await.unwrap();
        let server = PostgresServer::start(PostgresOptions::default()).await.unwrap();
        let url = server.create_renaissance("renaissance").await.unwrap();
        let bridge = Bridge::new()
            .file("mappings/user.toml", USER_MAPPING)
            .with("BRIDGE_LEGACY_URI", &set.uri("BioGraphDemo"))
            .with("BRIDGE_RENAISSANCE_URL", &url);
        let world = Self { set, server, bridge };
        world
            .legacy()
            .await
            .collection::<Document>("authapp_usermodel")
            .insert_one(doc! { "name": "Ada" })
            .await
            .unwrap();
        world
    }

    async fn legacy(&self) -> mongodb::Database {
        let client = mongodb::Client::with_uri_str(self.set.uri("BioGraphDemo")).await.unwrap();
        client.default_database().unwrap()
    }
}

/// The subjects of the findings that block, of all groups.
fn blocking(document: &serde_json::Value) -> Vec<String> {
    let groups = document["groups"].as_array().unwrap().iter();
    let findings = groups.flat_map(|group| group["findings"].as_array().unwrap());
    findings.filter(|finding| finding["blocks"] == true).map(|finding| finding["subject"].to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_untouched_pair_of_databases_and_back() {
    let world = World::new().await;
    let bridge = &world.bridge;

    let check = bridge.run("check --json");
    assert_eq!((check.code, blocking(&check.json())), (Some(0), Vec::new()), "{}", check.out);

    let planned = bridge.run("init --dry-run");
    assert!(planned.code == Some(0) && planned.out.contains("CREATE PUBLICATION"), "{}{}", planned.out, planned.err);
    assert!(bridge.run("parked list").code == Some(1), "a dry run makes nothing");

    let made = bridge.run("init --json").json();
    assert!(made["steps"].as_array().unwrap().iter().any(|step| step["state"] == "done"), "{made}");
    let again = bridge.run("init --json").json();
    assert!(again["steps"].as_array().unwrap().iter().all(|step| step["state"] == "present"), "{again}");

    assert_eq!(bridge.run("parked list").out, "nothing is parked\n");
    assert_eq!(bridge.run("parked list --json").json(), serde_json::json!({ "parked": [], "more": false }));

    let gone = bridge.run("teardown --yes");
    assert!(gone.code == Some(0) && gone.out.contains("replication slot"), "{}{}", gone.out, gone.err);
    let collections = world.legacy().await.list_collection_names().await.unwrap();
    assert!(!collections.iter().any(|name| name.starts_with("biograph_bridge")), "{collections:?}");
    assert_eq!(bridge.run("teardown --yes").out, "there was nothing to remove\n");
    let nothing = serde_json::json!({ "removed": [], "remains": [] });
    assert_eq!(bridge.run("teardown --yes --json").json(), nothing);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_on_both_sides() {
    let world = World::new().await;
    world
        .server
        .execute("renaissance", "ALTER TABLE users DROP COLUMN bio; DROP TABLE user_profiles CASCADE")
        .await
        .unwrap();
    world.legacy().await.collection::<Document>("authapp_usermodel").drop().await.unwrap();
    world.legacy().await.create_collection("AuthApp_usermodel").await.unwrap();
    let check = world.bridge.run("check");
    assert_eq!(check.code, Some(1));
    let parked = world.bridge.run("parked list");
    assert_eq!((parked.code, parked.err.contains("never set up")), (Some(1), true), "{}", parked.err);
    for named in ["AuthApp_usermodel", "user_profiles", "users.bio", "The bridge cannot run yet."] {
        assert!(check.out.contains(named), "{named} is missing from\n{}", check.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_down_are_named_with_what_to_do() {
    let bridge = Bridge::new()
        .file("mappings/user.toml", USER_MAPPING)
        .with("BRIDGE_LEGACY_URI", "mongodb://ada:hunter2@127.0.0.1:9/BioGraphDemo")
        .with("BRIDGE_RENAISSANCE_URL", "postgres://ada:hunter2@127.0.0.1:9/renaissance");
    let check = bridge.run("check");
    assert_eq!((check.code, check.out.matches("✗").count() >= 2), (Some(1), true), "{}", check.out);
    assert!(!check.out.contains("hunter2"), "{}", check.out);
}
