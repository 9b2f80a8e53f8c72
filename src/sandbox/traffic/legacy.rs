//! BioGraph at work: Django with djongo reads a document, changes it in memory and writes fields or all of it back.

mod content;

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Database};
use rand::RngExt;
use rand::rngs::StdRng;

use super::{ATTEMPTS, Change, ChangeKind, LOOK_AGAIN, Newcomers, ROSTER, SandboxError};
use crate::model::{
    key::{LegacyId, SideId},
    side::Side,
};
use crate::sandbox::{USERS, names, people::picture_path};

/// An application gives up on a server that is down, and its caller may come back.
const SELECTION_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct LegacyApp {
    database: Database,
    users: Collection<Document>,
    roster: Vec<ObjectId>,
    steps: u32,
    newcomers: Newcomers,
    spared: Option<ObjectId>,
}

impl LegacyApp {
    pub(super) async fn new(uri: &str, newcomers: Newcomers, spared: Option<LegacyId>) -> Result<Self, SandboxError> {
        let mut options = ClientOptions::parse(uri).await?;
        options.server_selection_timeout = Some(SELECTION_LIMIT);
        let database = Client::with_options(options)?.default_database();
        let database = database.ok_or_else(|| SandboxError::new("the legacy URI names no database", ""))?;
        let spared = spared.map(|id| ObjectId::from_bytes(id.bytes()));
        let users = database.collection(USERS);
        Ok(Self { database, users, roster: Vec::new(), steps: 0, newcomers, spared })
    }

    pub(super) async fn act(&mut self, rng: &mut StdRng, kind: ChangeKind) -> Result<Change, SandboxError> {
        if self.steps.is_multiple_of(LOOK_AGAIN) {
            self.look_around().await?;
        }
        self.steps += 1;
        for _ in 0..ATTEMPTS {
            if kind == ChangeKind::Join || self.roster.is_empty() {
                break;
            }
            let place = rng.random_range(0..self.roster.len());
            let id = self.roster[place];
            if self.write(rng, kind, id).await? {
                if kind == ChangeKind::Delete {
                    self.roster.swap_remove(place);
                }
                return Ok(change(kind, id));
            }
            self.roster.swap_remove(place);
        }
        let id = self.join(rng).await?;
        self.roster.push(id);
        Ok(change(ChangeKind::Join, id))
    }

    /// Sets the name alone.
    pub(super) async fn rename(&self, id: ObjectId, name: &str) -> Result<(), SandboxError> {
        self.set(id, doc! { "name": name }).await.map(|_| ())
    }

    async fn look_around(&mut self) -> Result<(), SandboxError> {
        let found = self.users.find(doc! {}).projection(doc! { "_id": 1 }).sort(doc! { "_id": -1 });
        let found: Vec<Document> = found.limit(i64::from(ROSTER)).await?.try_collect().await?;
        let ids = found.iter().filter_map(|document| document.get_object_id("_id").ok());
        self.roster = ids.filter(|id| Some(*id) != self.spared).collect();
        Ok(())
    }

    /// Whether the person was still there.
    async fn write(&self, rng: &mut StdRng, kind: ChangeKind, id: ObjectId) -> Result<bool, SandboxError> {
        if kind == ChangeKind::Delete {
            self.delete_content(id).await?;
            return Ok(self.users.delete_one(doc! { "_id": id }).await?.deleted_count == 1);
        }
        let Some(mut person) = self.users.find_one(doc! { "_id": id }).await? else { return Ok(false) };
        let changed = match kind {
            ChangeKind::Leave => leave_or_return(&person),
            ChangeKind::Publish => return self.publish(rng, id).await,
            ChangeKind::Revise => return self.revise(rng, id).await,
            ChangeKind::Withdraw => return self.withdraw(rng, id).await,
            ChangeKind::Befriend => return self.befriend(rng, id, &person).await,
            ChangeKind::Edit | ChangeKind::Replace | ChangeKind::Join | ChangeKind::Delete | ChangeKind::Clash => {
                edited(rng, &person)
            }
        };
        if kind != ChangeKind::Replace {
            return self.set(id, changed).await;
        }
        person.extend(changed);
        person.insert("updated_time", DateTime::now());
        Ok(self.users.replace_one(doc! { "_id": id }, person).await?.matched_count == 1)
    }

    async fn set(&self, id: ObjectId, mut changed: Document) -> Result<bool, SandboxError> {
        changed.insert("updated_time", DateTime::now());
        Ok(self.users.update_one(doc! { "_id": id }, doc! { "$set": changed }).await?.matched_count == 1)
    }

    async fn join(&mut self, rng: &mut StdRng) -> Result<ObjectId, SandboxError> {
        let newcomer = self.newcomers.next(rng, Side::Legacy);
        let (id, now) = (ObjectId::new(), DateTime::now());
        let person = doc! {
            "_id": id, "username": newcomer.username, "phone_number": newcomer.phone, "country_code": newcomer.country,
            "name": newcomer.name, "email": newcomer.email, "profile_pic_url": picture_path(rng),
            "profile_settings": "F", "email_notification": { "all": true, "likes": true },
            "push_notification": { "all": true, "messages": true }, "is_premium_member": false, "friends": [],
            "subscribers": [], "status_key": 1, "is_removed": false, "created_time": now, "updated_time": now,
        };
        self.users.insert_one(person).await?;
        Ok(id)
    }
}

fn change(kind: ChangeKind, id: ObjectId) -> Change {
    Change { kind, id: SideId::Legacy(LegacyId::new(id.bytes())) }
}

/// What a person changes on their settings page. An object is written as a whole, with its other keys as they were read.
fn edited(rng: &mut StdRng, person: &Document) -> Document {
    let switched = |rng: &mut StdRng, field: &str| {
        let mut switches = person.get_document(field).cloned().unwrap_or_default();
        let on = switches.get_bool("all").unwrap_or(true);
        switches.insert("all", !on);
        switches.insert("likes", rng.random_bool(0.5));
        switches
    };
    match rng.random_range(0..8) {
        0..3 => doc! { "name": names::random_name(rng) },
        3 => doc! { "profile_settings": (["P", "F", "O"][rng.random_range(0..3)]) },
        4 | 5 => doc! { "email_notification": switched(rng, "email_notification") },
        6 => doc! { "push_notification": switched(rng, "push_notification") },
        _ => doc! { "profile_pic_url": picture_path(rng) },
    }
}

/// Both applications of the time wrote both fields.
fn leave_or_return(person: &Document) -> Document {
    let gone = person.get("is_removed") == Some(&Bson::Boolean(true));
    doc! { "is_removed": !gone, "status_key": i32::from(gone) }
}
