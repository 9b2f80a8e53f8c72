//! Finds a running sandbox from another terminal, shows one of its people on both sides and changes a document by hand.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId, serialize_to_bson};
use mongodb::{Client, Collection};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{Connection, PgConnection};

use super::{SandboxError, USERS};
use crate::model::key::{LegacyId, SideId};

const ARRIVAL_LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a sandbox leaves in its folder about itself.
#[derive(Serialize, Deserialize)]
pub(super) struct Notes {
    pub(super) legacy_uri: String,
    pub(super) renaissance_url: String,
}

impl Notes {
    pub(super) const FILE: &str = "sandbox.json";

    pub(super) fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// A sandbox that runs in another process of this user.
#[derive(Debug)]
pub struct Running {
    legacy: Collection<Document>,
    renaissance: PgConnection,
}

/// A person's row and profile in one object, as it was before and after an edit arrived.
#[derive(Debug)]
pub struct Arrival {
    /// How long it took.
    pub after: Duration,
    /// Column, value now.
    pub columns: Vec<(String, Value)>,
}

impl Running {
    /// The one started last.
    pub async fn find() -> Result<Self, SandboxError> {
        let none =
            || SandboxError::new("no sandbox is running", "start one in another terminal: biograph-bridge sandbox");
        let notes = notes_in(&std::env::temp_dir()).ok_or_else(none)?;
        let legacy = Client::with_uri_str(&notes.legacy_uri).await?.default_database().ok_or_else(none)?;
        let renaissance = PgConnection::connect(&notes.renaissance_url).await.map_err(|_| none())?;
        Ok(Self { legacy: legacy.collection(USERS), renaissance })
    }

    /// The document, and the row with its profile, field by field: what is there now on both sides.
    pub async fn show(&mut self, id: SideId) -> Result<[Option<Vec<(String, String)>>; 2], SandboxError> {
        let legacy = match id {
            SideId::Legacy(id) => Some(id),
            SideId::Renaissance(id) => {
                let hex: Option<Option<String>> = sqlx::query_scalar("SELECT old_user_id FROM users WHERE id = $1")
                    .bind(id)
                    .fetch_optional(&mut self.renaissance)
                    .await?;
                hex.flatten().and_then(|hex| hex.parse().ok())
            }
        };
        let document = match legacy {
            Some(id) => self.legacy.find_one(doc! { "_id": object_id(id) }).await?,
            None => None,
        };
        let row = self.row(id).await?;
        let document =
            document.map(|document| document.iter().map(|(name, value)| (name.clone(), value.to_string())).collect());
        let row = row.map(|row| row.into_iter().map(|(name, value)| (name, value.to_string())).collect());
        Ok([document, row])
    }

    /// Sets fields of a document as an application would, and waits until the row on the other side has changed.
    pub async fn edit(&mut self, id: LegacyId, fields: &[(String, Value)]) -> Result<Arrival, SandboxError> {
        let before = self.row(SideId::Legacy(id)).await?.unwrap_or_default();
        let nobody = || SandboxError::new(format!("nobody in BioGraph has the id {id}"), "");
        let person = self.legacy.find_one(doc! { "_id": object_id(id) }).await?.ok_or_else(nobody)?;
        let mut set = doc! { "updated_time": DateTime::now() };
        for (path, value) in fields {
            let value = serialize_to_bson(value)
                .map_err(|error| SandboxError::new(format!("{path} cannot be stored: {error}"), ""))?;
            let (path, value) = settable(&person, path, value);
            set.insert(path, value);
        }
        let started = Instant::now();
        let edited = self.legacy.update_one(doc! { "_id": object_id(id) }, doc! { "$set": set }).await?;
        if edited.matched_count == 0 {
            return Err(nobody());
        }
        while started.elapsed() < ARRIVAL_LIMIT {
            let now = self.row(SideId::Legacy(id)).await?.unwrap_or_default();
            if now != before {
                let changed = now.into_iter().filter(|(column, value)| before.get(column) != Some(value));
                return Ok(Arrival { after: started.elapsed(), columns: changed.collect() });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let seconds = ARRIVAL_LIMIT.as_secs();
        Err(SandboxError::new(
            format!("it is in MongoDB, but nothing arrived in Postgres within {seconds} s"),
            "look at the sandbox's screen: is the bridge streaming, is something parked?",
        ))
    }

    async fn row(&mut self, id: SideId) -> Result<Option<Map<String, Value>>, SandboxError> {
        let sql =
            "SELECT to_jsonb(u) - 'password' || jsonb_build_object('user_profiles', to_jsonb(p) - 'id' - 'user_id')
                   FROM users u LEFT JOIN user_profiles p ON p.user_id = u.id WHERE u.id = $1 OR u.old_user_id = $2";
        let (number, hex) = match id {
            SideId::Legacy(id) => (None, Some(id.to_string())),
            SideId::Renaissance(id) => (Some(id), None),
        };
        let found: Option<Value> =
            sqlx::query_scalar(sql).bind(number).bind(hex).fetch_optional(&mut self.renaissance).await?;
        Ok(found.and_then(|row| row.as_object().cloned()))
    }
}

/// A field inside an object that the person does not have yet (or has as null) comes with its object.
fn settable(person: &Document, path: &str, value: Bson) -> (String, Bson) {
    match path.split_once('.') {
        Some((object, field)) if person.get_document(object).is_err() => {
            let (field, value) = settable(&Document::new(), field, value);
            (object.to_owned(), doc! { field: value }.into())
        }
        Some(_) | None => (path.to_owned(), value),
    }
}

fn object_id(id: LegacyId) -> ObjectId {
    ObjectId::from_bytes(id.bytes())
}

/// The newest notes in the folders of Postgres servers that are ours.
fn notes_in(temp: &Path) -> Option<Notes> {
    let written = |folder: &Path| -> Option<(SystemTime, Notes)> {
        let owner = fs::symlink_metadata(folder).ok()?.uid();
        // root's servers run as somebody else, and root may read that
        if owner != Uid::effective().as_raw() && !Uid::effective().is_root() {
            return None;
        }
        let file = folder.join(Notes::FILE);
        let notes = serde_json::from_str(&fs::read_to_string(&file).ok()?).ok()?;
        Some((fs::metadata(&file).ok()?.modified().ok()?, notes))
    };
    let folders = fs::read_dir(temp).ok()?.filter_map(Result::ok);
    let ours = folders.filter(|folder| folder.file_name().to_string_lossy().starts_with("biograph-bridge-postgres-"));
    ours.filter_map(|folder| written(&folder.path())).max_by_key(|(at, _)| *at).map(|(_, notes)| notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_comes_with_its_object_where_there_is_none() {
        let person = doc! { "there": { "all": true }, "empty": null };
        assert_eq!(settable(&person, "there.all", false.into()), ("there.all".into(), false.into()));
        assert_eq!(settable(&person, "empty.all", false.into()), ("empty".into(), doc! { "all": false }.into()));
        assert_eq!(settable(&person, "name", "x".into()), ("name".into(), "x".into()));
    }

    #[test]
    fn the_newest_sandbox_is_found_and_nothing_else_is_mistaken_for_one() {
        let temp = tempfile::tempdir().unwrap();
        assert!(notes_in(temp.path()).is_none());
        for (folder, minutes) in [("biograph-bridge-postgres-a", 2), ("biograph-bridge-postgres-b", 1), ("other", 0)] {
            let folder = temp.path().join(folder);
            fs::create_dir(&folder).unwrap();
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            let file = folder.join(Notes::FILE);
            fs::write(&file, Notes { legacy_uri: name, renaissance_url: String::new() }.to_json()).unwrap();
            let at = SystemTime::now() - Duration::from_secs(60 * minutes);
            fs::File::options().write(true).open(&file).unwrap().set_modified(at).unwrap();
        }
        assert_eq!(notes_in(temp.path()).unwrap().legacy_uri, "biograph-bridge-postgres-b");
    }
}
