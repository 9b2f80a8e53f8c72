//! What tells a collection from another one of the same name.

use mongodb::bson::{Bson, doc};

use super::{
    connect::Legacy,
    error::{Doing, translate},
};
use crate::{error::Result, model::key::EntityIndex};

impl Legacy {
    /// The UUID that the server gave the collection of an entity when it was made; `None` if there is no such collection.
    pub(super) async fn collection_identity(&self, index: EntityIndex) -> Result<Option<String>> {
        let name = &self.entity(index).legacy.collection;
        let doing = Doing { what: "listing collections", on: self.database.name(), right: "listCollections" };
        let command = doc! { "listCollections": 1, "filter": { "name": name } };
        let answer = self.database.run_command(command).await.map_err(|error| translate(&error, doing))?;
        let batch = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let found = batch.ok().and_then(|batch| batch.first()).and_then(Bson::as_document);
        let uuid = found.and_then(|found| found.get_document("info").ok()?.get("uuid"));
        Ok(found.map(|_| match uuid {
            Some(Bson::Binary(binary)) => binary.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Some(_) | None => "without a UUID".to_owned(), // a view
        }))
    }

    /// Makes the collection of an entity, unless it is there.
    pub(super) async fn ensure_collection(&self, index: EntityIndex) -> Result<()> {
        match self.collection_identity(index).await? {
            Some(_) => Ok(()),
            None => self.make_collection(&self.entity(index).legacy.collection).await,
        }
    }
}
