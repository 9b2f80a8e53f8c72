//! What the MongoDB tests share: a replica set, the bridge's connection to it, an application's connection beside it.

use std::sync::Arc;
use std::time::Duration;

use biograph_bridge::model::hint::{Captured, Hint, Position};
use biograph_bridge::model::key::{EntityIndex, LegacyId, SideId};
use biograph_bridge::model::mapping::{Entity, connect, parse};
use biograph_bridge::model::value::Value;
use biograph_bridge::mongo::{Legacy, LegacyCapture};
use biograph_bridge::sandbox::{MongodOptions, ReplicaSet};
use biograph_bridge::sync::ports::{Capture, Source};
use mongodb::bson::{Document, doc, oid::ObjectId};
use mongodb::{Client, Collection};
use uuid::Uuid;

pub(crate) const USER: EntityIndex = EntityIndex(0);
pub(crate) const PEOPLE: &str = "authapp_usermodel";
const LIMIT: Duration = Duration::from_secs(40);

pub(crate) struct World {
    pub(crate) set: ReplicaSet,
    pub(crate) legacy: Legacy,
    pub(crate) application: Client,
    pub(crate) sessions: Vec<Uuid>,
}

/// The shipped mapping.
pub(crate) fn user() -> Entity {
    let user = parse("mappings/user.toml", include_str!("../../mappings/user.toml"));
    let mut user = user.expect("the shipped mapping is valid");
    assert_eq!(connect(std::slice::from_mut(&mut user)), []);
    user
}

/// The slot of a path.
pub(crate) fn slot(path: &str) -> usize {
    user().legacy.paths.iter().position(|known| known.0.join(".") == path).expect("a mapped path")
}

pub(crate) fn text(text: &str) -> Option<Value> {
    Some(Value::Text(text.into()))
}

pub(crate) fn id(number: u8) -> LegacyId {
    LegacyId::new([number; 12])
}

pub(crate) fn oid(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 12])
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(1).await
    }

    pub(crate) async fn of(members: usize) -> Self {
        Self::on(ReplicaSet::start(members, MongodOptions::default()).await.unwrap()).await
    }

    pub(crate) async fn on(set: ReplicaSet) -> Self {
        let application = Client::with_uri_str(set.uri("BioGraphDemo")).await.unwrap();
        application.default_database().unwrap().create_collection(PEOPLE).await.unwrap();
        let (legacy, sessions) = bridge(&set).await;
        legacy.init().await.unwrap();
        Self { set, legacy, application, sessions }
    }

    pub(crate) fn people(&self) -> Collection<Document> {
        self.application.default_database().unwrap().collection(PEOPLE)
    }

    pub(crate) async fn person(&self, number: u8) -> Option<Document> {
        self.people().find_one(doc! { "_id": oid(number) }).await.unwrap()
    }

    pub(crate) async fn follow(&self) -> LegacyCapture {
        let tip = self.legacy.tip().await.unwrap();
        self.legacy.open(&tip).await.unwrap()
    }
}

/// A replica set that fails at what it is told to.
pub(crate) async fn failing_set(members: usize) -> ReplicaSet {
    let arguments = ["--setParameter", "enableTestCommands=1"].map(str::to_owned).into();
    ReplicaSet::start(members, MongodOptions { arguments, ..MongodOptions::default() }).await.unwrap()
}

/// A bridge of its own, as after a restart.
pub(crate) async fn bridge(set: &ReplicaSet) -> (Legacy, Vec<Uuid>) {
    let legacy = Legacy::connect(&set.uri("BioGraphDemo"), Arc::new(vec![user()])).await.unwrap();
    let sessions = legacy.open_sessions(2).await.unwrap();
    let ids = sessions.ids();
    legacy.raise_fence(1).await.unwrap();
    legacy.use_sessions(sessions);
    (legacy, ids)
}

/// What a capture delivers until it is idle.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) hints: Vec<Hint>,
    pub(crate) echoes: u64,
    pub(crate) others: Vec<Captured>,
    pub(crate) position: Option<Position>,
}

impl Heard {
    pub(crate) fn ids(&self) -> Vec<LegacyId> {
        let ids = self.hints.iter().map(|hint| match hint.key.id {
            SideId::Legacy(id) => id,
            SideId::Renaissance(_) => panic!("a legacy capture names legacy ids"),
        });
        ids.collect()
    }
}

/// Listens until the capture says it is idle after `hints` hints and `echoes` echoes.
pub(crate) async fn hear(capture: &mut LegacyCapture, hints: usize, echoes: u64) -> Heard {
    let mut heard = Heard::default();
    let listening = async {
        loop {
            match capture.next().await.unwrap() {
                Captured::Hint(hint) => heard.hints.push(hint),
                Captured::Echo(count) => heard.echoes += count,
                Captured::Position(position) => heard.position = Some(position),
                Captured::Idle(position) => {
                    heard.position = Some(position);
                    if heard.hints.len() >= hints && heard.echoes >= echoes {
                        break;
                    }
                }
                other => heard.others.push(other),
            }
        }
    };
    tokio::time::timeout(LIMIT, listening).await.expect("the capture says all that happened");
    heard
}
