//! Entities that nothing in the program knows: a bed with the mappings and tables that a test writes.

use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use sqlx::AssertSqlSafe;

use crate::{
    bed::{Bed, PATIENCE},
    observed::pause,
};

/// A bed with toys instead of people. What is parked stays so unless it is woken.
pub(crate) struct Toys {
    pub(crate) bed: Bed,
    _mappings: tempfile::TempDir,
}

impl Toys {
    /// With mappings (file name and text), their collections, and tables.
    pub(crate) async fn new(mappings: &[(&str, &str)], tables: &str) -> Self {
        let mut bed = Bed::new().await;
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in mappings {
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
            let collection = text.lines().find_map(|line| line.strip_prefix("collection = \"")?.strip_suffix('"'));
            bed.legacy.create_collection(collection.unwrap()).await.unwrap();
        }
        bed.settings.push(("BRIDGE_MAPPINGS", folder.path().to_str().unwrap().to_owned()));
        bed.settings.push(("BRIDGE_PARKED_RETRY", "10m".to_owned()));
        bed.sql(tables).await;
        Self { bed, _mappings: folder }
    }

    pub(crate) async fn insert(&self, collection: &str, document: Document) {
        self.bed.legacy.collection::<Document>(collection).insert_one(document).await.unwrap();
    }

    pub(crate) async fn set(&self, collection: &str, id: ObjectId, path: &str, value: impl Into<Bson>) {
        let change = doc! { "$set": { path: value.into() } };
        self.bed.legacy.collection::<Document>(collection).update_one(doc! { "_id": id }, change).await.unwrap();
    }

    pub(crate) async fn delete(&self, collection: &str, id: ObjectId) {
        self.bed.legacy.collection::<Document>(collection).delete_one(doc! { "_id": id }).await.unwrap();
    }

    pub(crate) async fn document(&self, collection: &str, filter: Document) -> Option<Document> {
        self.bed.legacy.collection::<Document>(collection).find_one(filter).await.unwrap()
    }

    /// Waits until the document is as wanted.
    pub(crate) async fn until_document(
        &self,
        collection: &str,
        filter: Document,
        wanted: impl Fn(&Document) -> bool,
    ) -> Document {
        let started = std::time::Instant::now();
        loop {
            let found = self.document(collection, filter.clone()).await;
            if let Some(document) = found.as_ref().filter(|document| wanted(document)) {
                return document.clone();
            }
            assert!(started.elapsed() < PATIENCE, "{filter} is {found:?}: {}", self.bed.log_tail());
            pause().await;
        }
    }

    /// The only column of the only row, as text; `-` for null or no row.
    pub(crate) async fn cell(&self, sql: &str) -> String {
        let sql = format!("SELECT x::text FROM ({sql}) AS q(x)");
        let cell: Option<Option<String>> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(&self.bed.pool).await.unwrap();
        cell.flatten().unwrap_or_else(|| "-".to_owned())
    }

    pub(crate) async fn until_cell(&self, sql: &str, wanted: &str) {
        let started = std::time::Instant::now();
        loop {
            let cell = self.cell(sql).await;
            if cell == wanted {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{sql}: {cell}, not {wanted}: {}", self.bed.log_tail());
            pause().await;
        }
    }

    /// Waits for this many new entries of the journal (kind, field, policy, winner) and takes them out, in the order of fields.
    pub(crate) async fn until_journal(&self, count: usize) -> Vec<String> {
        let wanted = count.to_string();
        self.until_cell("SELECT count(*) FROM biograph_bridge.conflict WHERE intent IS NULL", &wanted).await;
        let rows = sqlx::query_scalar(
            "WITH gone AS (DELETE FROM biograph_bridge.conflict RETURNING *) \
             SELECT concat_ws(' ', kind, field, policy, winner) FROM gone ORDER BY 1",
        );
        rows.fetch_all(&self.bed.pool).await.unwrap()
    }
}
