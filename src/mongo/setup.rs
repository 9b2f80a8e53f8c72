//! What the bridge needs in the legacy database: its ledger, the mirror of who is where, and indexes by which unlinked people, and
//! what belongs to somebody, are found.
//! Idempotent; teardown removes exactly what this made, recognised by name.

use std::{collections::HashSet, fmt};

use mongodb::bson::{Bson, Document, doc};

use super::{
    connect::{Legacy, durable},
    cutover::CUTOVER,
    error::{Doing, code_of, translate},
    ledger::LEDGER,
};
use crate::{
    error::Result,
    model::{mapping::Entity, side::Side},
};

/// Every index the bridge makes starts with this.
const INDEX_PREFIX: &str = "biograph_bridge_";
/// Ledger documents that nobody forgot go after this: seven days.
const LEDGER_TTL_SECONDS: i32 = 7 * 24 * 60 * 60;
/// The bridge's own collections.
const OWN: [&str; 2] = [LEDGER, CUTOVER];
const NAMESPACE_NOT_FOUND: i32 = 26;
const NAMESPACE_EXISTS: i32 = 48;

/// One thing that is to be made, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerPlan {
    /// A collection of the bridge's own.
    Collection(String),
    /// An index.
    Index {
        /// On which collection.
        collection: String,
        /// Its name.
        name: String,
        /// The indexed paths.
        keys: Vec<String>,
    },
}

impl fmt::Display for LedgerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collection(name) => write!(f, "MongoDB collection {name}"),
            Self::Index { collection, name, keys } => {
                write!(f, "MongoDB index {name} on {collection} ({})", keys.join(", "))
            }
        }
    }
}

impl Legacy {
    /// What [`Legacy::init`] would make.
    pub async fn missing(&self) -> Result<Vec<LedgerPlan>> {
        let collections = self.collection_names().await?;
        let mut missing = Vec::new();
        let own = OWN.into_iter().filter(|name| !collections.contains(*name));
        missing.extend(own.map(|name| LedgerPlan::Collection(name.to_owned())));
        let mapped = self.entities.iter().filter(|entity| collections.contains(&entity.legacy.collection));
        let wanted = [ttl_index(), mirror_index()].into_iter().chain(mapped.flat_map(key_indexes));
        for plan in wanted {
            if let LedgerPlan::Index { collection, keys, .. } = &plan
                && !self.indexed(collection, keys).await?
                && !missing.contains(&plan)
            {
                missing.push(plan);
            }
        }
        Ok(missing)
    }

    /// Makes what is missing and says what that was.
    pub async fn init(&self) -> Result<Vec<LedgerPlan>> {
        let missing = self.missing().await?;
        for plan in &missing {
            self.make(plan).await?;
        }
        Ok(missing)
    }

    /// In mongosh's words: what a role of an application needs so as to read who is where.
    pub fn application_right(&self) -> String {
        let database = self.database.name();
        format!(
            "db.getSiblingDB({database:?}).grantPrivilegesToRole(\"biograph_app\", [{{ resource: {{ db: {database:?}, \
             collection: \"{CUTOVER}\" }}, actions: [\"find\"] }}])"
        )
    }

    /// Removes what [`Legacy::init`] made and says what that was.
    pub async fn teardown(&self) -> Result<Vec<LedgerPlan>> {
        let mut removed = Vec::new();
        let collections = self.collection_names().await?;
        for name in OWN.into_iter().filter(|name| collections.contains(*name)) {
            self.setting_up(name, doc! { "drop": name, "writeConcern": majority() }).await?;
            removed.push(LedgerPlan::Collection(name.to_owned()));
        }
        let mapped: HashSet<&String> = self.entities.iter().map(|entity| &entity.legacy.collection).collect();
        for collection in mapped.into_iter().filter(|name| collections.contains(*name)) {
            for (name, keys) in self.indexes(collection).await? {
                if name.starts_with(INDEX_PREFIX) {
                    self.setting_up(collection, doc! { "dropIndexes": collection, "index": &name }).await?;
                    removed.push(LedgerPlan::Index { collection: collection.clone(), name, keys });
                }
            }
        }
        Ok(removed)
    }

    /// The collections and views of the database that the bridge's user may see.
    pub(super) async fn collection_names(&self) -> Result<HashSet<String>> {
        let doing = Doing { what: "listing collections", on: self.database.name(), right: "listCollections" };
        let names = self.database.list_collection_names().await.map_err(|error| translate(&error, doing))?;
        Ok(names.into_iter().collect())
    }

    /// Makes a collection; one that is there is fine.
    pub(super) async fn make_collection(&self, name: &str) -> Result<()> {
        self.make(&LedgerPlan::Collection(name.to_owned())).await
    }

    async fn make(&self, plan: &LedgerPlan) -> Result<()> {
        match plan {
            LedgerPlan::Collection(name) => {
                self.setting_up(name, doc! { "create": name, "writeConcern": majority() }).await
            }
            LedgerPlan::Index { collection, name, keys } => {
                let key: Document = keys.iter().map(|path| (path.clone(), Bson::Int32(1))).collect();
                let mut index = doc! { "key": key, "name": name };
                if collection == LEDGER {
                    index.insert("expireAfterSeconds", LEDGER_TTL_SECONDS);
                }
                let command = doc! { "createIndexes": collection, "indexes": [index], "writeConcern": majority() };
                self.setting_up(collection, command).await
            }
        }
    }

    async fn setting_up(&self, collection: &str, command: Document) -> Result<()> {
        let doing = Doing { what: "setting up", on: collection, right: "createCollection, createIndex and dropIndex" };
        match self.database.run_command(command).await {
            Ok(_) => Ok(()),
            // another daemon was quicker
            Err(error) if matches!(code_of(&error), Some(NAMESPACE_EXISTS | NAMESPACE_NOT_FOUND)) => Ok(()),
            Err(error) => Err(translate(&error, doing)),
        }
    }

    /// Whether an index, ours or the application's, starts with these paths.
    async fn indexed(&self, collection: &str, keys: &[String]) -> Result<bool> {
        let indexes = self.indexes(collection).await?;
        Ok(indexes.iter().any(|(_, existing)| existing.starts_with(keys)))
    }

    async fn indexes(&self, collection: &str) -> Result<Vec<(String, Vec<String>)>> {
        let doing = Doing { what: "listing indexes", on: collection, right: "listIndexes" };
        let listed =
            self.database.run_command(doc! { "listIndexes": collection, "cursor": { "batchSize": 1000 } }).await;
        let answer = match listed {
            Ok(answer) => answer,
            Err(error) if code_of(&error) == Some(NAMESPACE_NOT_FOUND) => return Ok(Vec::new()),
            Err(error) => return Err(translate(&error, doing)),
        };
        let batch = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let indexes = batch.into_iter().flatten().filter_map(Bson::as_document);
        let described = indexes.filter_map(|index| {
            let keys = index.get_document("key").ok()?.keys().cloned().collect();
            Some((index.get_str("name").ok()?.to_owned(), keys))
        });
        Ok(described.collect())
    }
}

fn majority() -> Document {
    let concern = mongodb::bson::serialize_to_document(&durable());
    concern.unwrap_or_else(|_| doc! { "w": "majority" })
}

fn ttl_index() -> LedgerPlan {
    LedgerPlan::Index { collection: LEDGER.to_owned(), name: format!("{INDEX_PREFIX}ttl"), keys: vec!["at".to_owned()] }
}

/// Applications may know somebody by their row only.
fn mirror_index() -> LedgerPlan {
    let (name, keys) = (format!("{INDEX_PREFIX}renaissance_id"), vec!["renaissance_id".to_owned()]);
    LedgerPlan::Index { collection: CUTOVER.to_owned(), name, keys }
}

/// One index for each field of a natural key, and one for the owner.
fn key_indexes(entity: &Entity) -> Vec<LedgerPlan> {
    let looked_for = entity.natural_keys.iter().flatten().chain(&entity.owner);
    let slots = looked_for.filter_map(|field| entity.fields.get(*field));
    let keys = slots.map(|field| {
        let paths = field.slots(Side::Legacy).iter().filter_map(|slot| entity.legacy.paths.get(*slot));
        (field.name.clone(), paths.map(|path| path.0.join(".")).collect::<Vec<_>>())
    });
    let useful = keys.filter(|(_, paths)| !paths.is_empty());
    useful
        .map(|(field, keys)| LedgerPlan::Index {
            collection: entity.legacy.collection.clone(),
            name: format!("{INDEX_PREFIX}{}_{field}", entity.name),
            keys,
        })
        .collect()
}
