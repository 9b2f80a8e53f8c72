//! Compares everything in both databases by [`crate::whole_oracle`]: what differs, what is on one side only, and what is parked
//! without a reason that can be seen in the data.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use serde_json::{Value as Json, json};
use sqlx::AssertSqlSafe;

use crate::{
    bed::Bed,
    whole_oracle::{Field, Holds, Kind, Numbers, Said, kinds, normal, of_row},
};

/// Everything in both databases.
struct Everything {
    documents: BTreeMap<&'static str, Vec<Document>>,
    /// By table: legacy id, or the row's number in brackets for a row that has none → the row.
    rows: BTreeMap<&'static str, BTreeMap<String, Json>>,
    numbers: Numbers,
    /// Entity, id as above, field or nothing → reason.
    parked: BTreeMap<(String, String, Option<String>), String>,
    /// Parked so, and it can be seen why.
    explained: BTreeSet<(String, String, Option<String>)>,
    differences: Vec<String>,
}

/// What was compared and what is wrong.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) documents: usize,
    pub(crate) rows: usize,
    pub(crate) fields: usize,
    pub(crate) parked: BTreeMap<String, usize>,
    pub(crate) differences: Vec<String>,
}

async fn rows(bed: &Bed, sql: String) -> Vec<Json> {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&bed.pool).await.unwrap()
}

fn row_sql(kind: &Kind) -> String {
    match kind.entity {
        "user" => "SELECT to_jsonb(u) || (SELECT to_jsonb(p) - 'id' - 'created_at' - 'updated_at' FROM user_profiles p
                     WHERE p.user_id = u.id) || jsonb_build_object(
                     'friendships', (SELECT coalesce(jsonb_agg(friend_id), '[]') FROM friendships WHERE user_id = u.id),
                     'subscribers', (SELECT coalesce(jsonb_agg(subscriber_id), '[]') FROM subscribers WHERE user_id = u.id))
                   FROM users u WHERE EXISTS (SELECT FROM user_profiles p WHERE p.user_id = u.id)"
            .to_owned(),
        _ => format!("SELECT to_jsonb(t) FROM {} t", kind.table),
    }
}

impl Everything {
    async fn read(bed: &Bed) -> Self {
        let (mut documents, mut tables, mut numbers) = (BTreeMap::new(), BTreeMap::new(), Numbers::new());
        for kind in kinds() {
            let found = bed.legacy.collection::<Document>(kind.collection).find(doc! {}).await.unwrap();
            documents.insert(kind.entity, found.try_collect().await.unwrap());
            let (mut by_id, mut by_number) = (BTreeMap::new(), BTreeMap::new());
            for row in rows(bed, row_sql(&kind)).await {
                let number = row["id"].as_i64().unwrap();
                let id = row[kind.legacy_id].as_str().map_or_else(|| format!("[{number}]"), str::to_owned);
                by_number.insert(number, id.clone());
                assert!(by_id.insert(id.clone(), row).is_none(), "{} {id} is there twice", kind.table);
            }
            tables.insert(kind.table, by_id);
            numbers.insert(kind.table, by_number);
        }
        let parked = rows(bed, "SELECT to_jsonb(p) FROM biograph_bridge.parked p".to_owned()).await;
        let parked = parked.into_iter().map(|row| {
            let text = |column: &str| row[column].as_str().map(str::to_owned);
            let id = text("legacy_id").unwrap_or_else(|| format!("[{}]", row["renaissance_id"]));
            ((text("entity").unwrap(), id, text("field")), text("reason").unwrap())
        });
        let parked = parked.collect();
        Self { documents, rows: tables, numbers, parked, explained: BTreeSet::new(), differences: Vec::new() }
    }

    fn reason(&mut self, kind: &Kind, id: &str, field: Option<&str>) -> Option<String> {
        let key = (kind.entity.to_owned(), id.to_owned(), field.map(str::to_owned));
        let reason = self.parked.get(&key).cloned();
        if reason.is_some() {
            self.explained.insert(key);
        }
        reason
    }

    fn differs(&mut self, kind: &Kind, id: &str, what: &str) {
        self.differences.push(format!("{} {id}: {what}", kind.entity));
    }

    /// A document that has no row has to be parked, for a reason that its fields show.
    fn without_row(&mut self, kind: &Kind, id: &str, said: &[Said]) {
        let mut possible = BTreeSet::new();
        for (field, said) in kind.fields.iter().zip(said) {
            match (said, field.required, field.holds) {
                (Ok(Json::Null), true, _) => _ = possible.insert("not_null"),
                (Err(reason), true, _) => _ = possible.insert(reason),
                (Ok(Json::String(to)), true, Holds::Row(table)) if !self.rows[table].contains_key(to) => {
                    possible.insert("missing_reference");
                }
                _ => {}
            }
        }
        if kind.entity == "co_author" || kind.entity == "user" {
            possible.insert("unique_taken");
        }
        match self.reason(kind, id, None) {
            Some(reason) if possible.contains(reason.as_str()) => {}
            Some(reason) => self.differs(kind, id, &format!("parked as {reason}; possible: {possible:?}")),
            None => self.differs(kind, id, &format!("has no row and is not parked; possible: {possible:?}")),
        }
    }

    /// One field of a record that is on both sides.
    fn field(&mut self, kind: &Kind, id: &str, field: &Field, said: &Said, row: &Json) {
        let held = of_row(field, row, &self.numbers);
        let (mut wanted, mut dangling) = (said.clone(), false);
        if let (Ok(Json::Array(all)), Holds::Members) = (&said, field.holds) {
            let linked = |id: &&Json| id.as_str().is_some_and(|id| self.rows["users"].contains_key(id));
            let known: Vec<&Json> = all.iter().filter(linked).collect();
            (wanted, dangling) = (Ok(json!(known)), known.len() < all.len());
        }
        if let (Ok(Json::String(to)), Holds::Row(table)) = (&said, field.holds) {
            dangling = !self.rows[table].contains_key(to);
        }
        let reason = self.reason(kind, id, Some(field.name));
        let what = |reason: Option<String>| {
            format!("{}: legacy says {wanted:?}, renaissance {held}, parked: {reason:?}", field.name)
        };
        let fine = match (&wanted, reason.as_deref()) {
            (Err(expected), Some(reason)) => *expected == reason,
            (Err(_), None) => false,
            (Ok(_), Some("missing_reference")) => dangling,
            (Ok(Json::Null), Some("not_null")) => field.required,
            (Ok(value), None) => normal(value) == normal(&held),
            (Ok(_), Some("unique_taken")) => ["phone", "username", "email"].contains(&field.name),
            (Ok(_), Some(_)) => false,
        };
        if !fine {
            self.differs(kind, id, &what(reason));
        }
    }

    fn kind(&mut self, kind: &Kind) -> usize {
        let mut fields = 0;
        let documents = self.documents.remove(kind.entity).unwrap_or_default();
        let mut left = self.rows[kind.table].clone();
        for document in &documents {
            let id = document.get_object_id("_id").unwrap().to_hex();
            let said: Vec<Said> = kind.fields.iter().map(|field| (field.legacy)(document)).collect();
            let Some(row) = left.remove(&id) else {
                self.without_row(kind, &id, &said);
                continue;
            };
            for (field, said) in kind.fields.iter().zip(&said) {
                self.field(kind, &id, field, said, &row);
                fields += 1;
            }
        }
        for (id, row) in &left {
            // deleted in BioGraph and held by what was made for it meanwhile; or what it needs was deleted
            let expected = if kind.entity == "user" { "still_referenced" } else { "missing_reference" };
            let number = format!("[{}]", row["id"]);
            let reason = self.reason(kind, id, None).or_else(|| self.reason(kind, &number, None));
            if reason.as_deref() != Some(expected) {
                self.differs(kind, id, &format!("has no document, parked: {reason:?}"));
            }
        }
        self.documents.insert(kind.entity, documents);
        fields
    }
}

/// Compares both databases as they are now.
pub(crate) async fn compare(bed: &Bed) -> Outcome {
    let mut all = Everything::read(bed).await;
    let fields = kinds().iter().map(|kind| all.kind(kind)).sum();
    let unexplained: Vec<_> = all.parked.iter().filter(|(key, _)| !all.explained.contains(*key)).collect();
    let unexplained: Vec<String> = unexplained
        .into_iter()
        .map(|(key, reason)| format!("{key:?}: parked as {reason}, and nothing is wrong"))
        .collect();
    all.differences.extend(unexplained);
    let halves = "SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT FROM user_profiles p WHERE p.user_id = u.id)";
    let halves = bed.count(halves).await;
    let intents = bed.count("SELECT count(*) FROM biograph_bridge.intent").await;
    if (halves, intents) != (0, 0) {
        all.differences.push(format!("half applied: {halves} people without a profile, {intents} open intents"));
    }
    let mut parked = BTreeMap::new();
    for ((entity, _, field), reason) in &all.parked {
        *parked.entry(format!("{entity} {} {reason}", field.as_deref().unwrap_or("-"))).or_default() += 1;
    }
    Outcome {
        documents: all.documents.values().map(Vec::len).sum(),
        rows: all.rows.values().map(BTreeMap::len).sum(),
        fields,
        parked,
        differences: all.differences,
    }
}
