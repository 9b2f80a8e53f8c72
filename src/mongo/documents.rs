//! The legacy store: reading, finding and paging documents. Writing is in `write`, its ledger in `ledger`.
//!
//! Every read is from the primary, of what a majority holds, at least as new as the hint and as everything the bridge
//! has seen before.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    time::Duration,
};

use futures_util::StreamExt;
use mongodb::{
    ClientSession, SessionCursor,
    bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc, oid::ObjectId},
    options::ReadConcern,
};
use uuid::Uuid;

use super::{
    codec::{self, object_id},
    connect::Legacy,
    error::{Doing, translate},
    extjson,
    layout::Layout,
};
use crate::{
    error::{Error, Result},
    model::{
        fact::RetryClass,
        hint::Freshness,
        image::{Image, Patch},
        key::{EntityIndex, LegacyId},
        mapping::{Entity, Path},
        side::Side,
        value::Value,
    },
    sync::{
        ports::{LegacyStore, LegacyWrite, Listed, Page, Places, Probe, Restored, Strays, Stretch, Wrote},
        room::{Counter, Room},
    },
};

/// A read that takes longer is given up and tried again.
pub(super) const MAX_TIME: Duration = Duration::from_secs(30);
/// Work that takes longer than this has lost its connection without being told.
const HANGS: Duration = Duration::from_secs(120);
/// Records kept per probe and rank: two already mean that the key is ambiguous.
const ENOUGH: usize = 3;
/// Every BSON type an `_id` may have except ObjectId.
const OTHER_ID_TYPES: [&str; 13] = [
    "double",
    "string",
    "object",
    "binData",
    "bool",
    "date",
    "null",
    "int",
    "timestamp",
    "long",
    "decimal",
    "minKey",
    "maxKey",
];

impl LegacyStore for Legacy {
    async fn read(
        &self,
        entity: EntityIndex,
        ids: &[LegacyId],
        fresh: Option<Freshness>,
    ) -> Result<Vec<Option<Image>>> {
        let entity = self.entity(entity);
        let paths = &entity.legacy.paths;
        let found = self.by_id(entity, ids, fresh, codec::projection(paths)).await?;
        let mut layout = Layout::new(paths);
        Ok(ids.iter().map(|id| found.get(id).map(|document| layout.image(document))).collect())
    }

    async fn find(&self, entity: EntityIndex, probes: &[Probe]) -> Result<Vec<(usize, usize, LegacyId)>> {
        let entity = self.entity(entity);
        let paths = &entity.legacy.paths;
        let Some(filter) = any_of(probes, paths)? else { return Ok(Vec::new()) };
        let (mut hits, mut layout) = (Vec::new(), Layout::new(paths));
        let mut kept: HashMap<(usize, usize), usize> = HashMap::new();
        let counter = self.room.counter(probes.len());
        for document in self.documents(entity, filter, (None, counter), codec::projection(paths), None).await? {
            let Some(id) = codec::id_of(&document) else { continue };
            let image = layout.image(&document);
            for (probe, rank) in matches(probes, &image) {
                let count = kept.entry((probe, rank)).or_default();
                *count += 1;
                if *count <= ENOUGH {
                    hits.push((probe, rank, id));
                }
            }
        }
        Ok(hits)
    }

    async fn owned_by(&self, entity: EntityIndex, owners: &[LegacyId]) -> Result<Vec<LegacyId>> {
        let entity = self.entity(entity);
        let Some(owner) = entity.owner.and_then(|owner| entity.fields.get(owner)) else { return Ok(Vec::new()) };
        let forms = owners.iter().flat_map(|id| owner.forms(Side::Legacy, &Value::Id(id.bytes())));
        let probe = Probe { keys: vec![forms.collect()] };
        let Some(filter) = any_of(&[probe], &entity.legacy.paths)? else { return Ok(Vec::new()) };
        // ids only: they need no counting
        let reading = (None, Room::default().counter(0));
        let found = self.documents(entity, filter, reading, doc! { "_id": 1 }, None).await?;
        Ok(found.iter().filter_map(|document| codec::id_of(document)).collect())
    }

    async fn whole(&self, entity: EntityIndex, ids: &[LegacyId]) -> Result<Vec<Option<serde_json::Value>>> {
        let found = self.by_id(self.entity(entity), ids, None, Document::new()).await?;
        Ok(ids.iter().map(|id| found.get(id).map(|document| extjson::document(document))).collect())
    }

    async fn restore(&self, entity: EntityIndex, id: LegacyId, record: &serde_json::Value) -> Result<Restored> {
        in_time("putting a document back", self.put_back(entity, id, record)).await
    }

    async fn write(&self, entity: EntityIndex, intent: Uuid, writes: &[LegacyWrite]) -> Result<Wrote> {
        in_time("writing documents", self.write_all(self.entity(entity), intent, writes)).await
    }

    async fn collection(&self, entity: EntityIndex) -> Result<Places> {
        Ok(vec![(self.entity(entity).legacy.collection.clone(), self.collection_identity(entity).await?)])
    }

    async fn ensure(&self, entity: EntityIndex) -> Result<()> {
        self.ensure_collection(entity).await
    }

    async fn settle(&self, intent: Uuid) -> Result<Option<Vec<LegacyId>>> {
        in_time("settling an intent", self.close_intent(intent)).await
    }

    async fn forget(&self, intents: &[Uuid]) -> Result<()> {
        in_time("forgetting intents", self.forget_intents(intents)).await
    }

    async fn page(
        &self,
        entity: EntityIndex,
        after: Option<LegacyId>,
        limit: u32,
        listed: Listed,
    ) -> Result<Page<LegacyId>> {
        self.page_after(entity, after, limit, listed).await
    }

    async fn stretch(
        &self,
        entity: EntityIndex,
        after: Option<LegacyId>,
        limit: u32,
    ) -> Result<Stretch<(LegacyId, Image)>> {
        // on its own: what is read elsewhere meanwhile is decoded beside it
        let legacy = self.clone();
        let read = tokio::spawn(async move { legacy.stretch_after(legacy.entity(entity), after, limit).await });
        read.await.map_err(|_| Error::retry("the bridge is stopping"))?
    }

    async fn present(&self, entity: EntityIndex, ids: &[LegacyId]) -> Result<HashSet<LegacyId>> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        // ids only: they need no counting
        let reading = (None, Room::default().counter(0));
        let found = self.documents(self.entity(entity), with_ids(ids), reading, doc! { "_id": 1 }, None).await?;
        Ok(found.iter().filter_map(|document| codec::id_of(document)).collect())
    }

    async fn strays(&self, entity: EntityIndex, after: Option<&str>, limit: u32) -> Result<Strays> {
        self.strays_after(entity, after, limit).await
    }

    async fn count(&self, entity: EntityIndex) -> Result<u64> {
        let entity = self.entity(entity);
        let counted = self.collection(entity).estimated_document_count().max_time(MAX_TIME).await;
        counted.map_err(|error| translate(&error, reading(entity)))
    }

    fn new_id(&self) -> LegacyId {
        LegacyId::new(ObjectId::new().bytes())
    }
}

impl Legacy {
    /// How many documents have an `_id` that is not an ObjectId: a sweep does not meet them.
    pub async fn unaddressable(&self, entity: EntityIndex) -> Result<u64> {
        let entity = self.entity(entity);
        let mut session = self.reading_session(None).await?;
        let counted = self
            .collection(entity)
            .count_documents(doc! { "_id": { "$type": &OTHER_ID_TYPES[..] } })
            .max_time(MAX_TIME)
            .session(&mut session)
            .await;
        let counted = counted.map_err(|error| translate(&error, reading(entity)))?;
        self.seen.advance(session.operation_time());
        Ok(counted)
    }

    async fn by_id(
        &self,
        entity: &Entity,
        ids: &[LegacyId],
        fresh: Option<Freshness>,
        projection: Document,
    ) -> Result<HashMap<LegacyId, RawDocumentBuf>> {
        let reading = (fresh, self.room.counter(ids.len()));
        let documents = self.documents(entity, with_ids(ids), reading, projection, None).await?;
        Ok(documents.into_iter().filter_map(|document| codec::id_of(&document).map(|id| (id, document))).collect())
    }

    /// Documents in `_id` order if a limit is given.
    pub(super) async fn documents(
        &self,
        entity: &Entity,
        filter: Document,
        (fresh, mut counter): (Option<Freshness>, Counter),
        projection: Document,
        limit: Option<u32>,
    ) -> Result<Vec<RawDocumentBuf>> {
        let mut documents = Vec::new();
        let keep = |document: &RawDocument| {
            counter.add(document.as_bytes().len())?;
            documents.push(document.to_owned());
            Ok(ControlFlow::Continue(()))
        };
        self.each(entity, filter, (fresh, projection, limit), keep).await?;
        Ok(documents)
    }

    /// Shows one document after the other, in `_id` order if a limit is given, until told to stop.
    pub(super) async fn each(
        &self,
        entity: &Entity,
        filter: Document,
        (fresh, projection, limit): (Option<Freshness>, Document, Option<u32>),
        mut seen: impl FnMut(&RawDocument) -> Result<ControlFlow<()>> + Send,
    ) -> Result<()> {
        let mut session = self.reading_session(fresh).await?;
        let collection = self.collection(entity);
        let doing = reading(entity);
        let mut query = collection.find(filter).projection(projection).max_time(MAX_TIME);
        query = query.read_concern(ReadConcern::majority());
        if let Some(limit) = limit {
            query = query.sort(doc! { "_id": 1 }).limit(i64::from(limit)).batch_size(limit);
        }
        let answer = async {
            let failed = |error: mongodb::error::Error| translate(&error, doing);
            let mut cursor = query.session(&mut session).batch().await.map_err(failed)?;
            let mut answers = cursor.stream(&mut session);
            // an answer of the server is 16 MiB at most, and the next is asked for only if there is room
            while let Some(answer) = answers.next().await {
                let answer = answer.map_err(failed)?;
                for document in answer.doc_slices().map_err(failed)? {
                    let RawBsonRef::Document(document) = document.map_err(|error| failed(error.into()))? else {
                        return Err(Error::halt("MongoDB answers with something that is not a document"));
                    };
                    if seen(document)?.is_break() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        };
        in_time(doing.what, answer).await?;
        self.make_sure().await?;
        self.seen.advance(session.operation_time());
        Ok(())
    }
}

/// The driver has no timeout of its own for an answer that never comes.
pub(super) async fn in_time<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || {
        let late = Error::retry(format!("{what}: MongoDB has not answered for {} s", HANGS.as_secs()));
        late.with_class(RetryClass::Connection).from_side(Side::Legacy)
    };
    tokio::time::timeout(HANGS, work).await.unwrap_or_else(|_| Err(late()))
}

/// All documents of a cursor.
pub(super) async fn drain(
    mut cursor: SessionCursor<RawDocumentBuf>,
    session: &mut ClientSession,
) -> mongodb::error::Result<Vec<RawDocumentBuf>> {
    let mut documents = Vec::new();
    while cursor.advance(session).await? {
        documents.push(cursor.current().to_owned());
    }
    Ok(documents)
}

/// The filter for these `_id`s.
pub(super) fn with_ids(ids: &[LegacyId]) -> Document {
    let ids: Vec<Bson> = ids.iter().map(|id| Bson::ObjectId(object_id(*id))).collect();
    doc! { "_id": { "$in": ids } }
}

pub(super) fn reading(entity: &Entity) -> Doing<'_> {
    Doing { what: "reading documents", on: &entity.legacy.collection, right: "find" }
}

/// One filter for all probes: the values of a one-slot key in one `$in` per path, other keys as they are.
fn any_of(probes: &[Probe], paths: &[Path]) -> Result<Option<Document>> {
    let mut values: HashMap<String, Vec<Bson>> = HashMap::new();
    let mut clauses = Vec::new();
    for alternative in probes.iter().flat_map(|probe| probe.keys.iter().flatten()) {
        let mut clause = Document::new();
        for (slot, wanted) in alternative {
            let Some(path) = paths.get(*slot) else { continue };
            let wanted = wanted.as_ref().map(codec::to_bson).transpose();
            let wanted = wanted.map_err(|problem| Error::park(problem.to_string()))?;
            clause.insert(path.0.join("."), wanted.unwrap_or_else(|| Bson::Document(doc! { "$exists": false })));
        }
        match clause.iter().next() {
            None => {}
            Some((path, value)) if clause.len() == 1 && !matches!(value, Bson::Document(_)) => {
                values.entry(path.clone()).or_default().push(value.clone());
            }
            Some(_) => clauses.push(clause),
        }
    }
    clauses.extend(values.into_iter().map(|(path, values)| doc! { path: { "$in": values } }));
    Ok((!clauses.is_empty()).then(|| doc! { "$or": clauses }))
}

/// Which probes a found record answers, and by the how-manieth key. MongoDB's equality is wider than ours (it looks into
/// arrays and lets null match a missing field), so this decides.
fn matches(probes: &[Probe], image: &Image) -> Vec<(usize, usize)> {
    let holds = |alternative: &Patch| {
        !alternative.is_empty()
            && alternative
                .iter()
                .all(|(slot, wanted)| image.slots.get(*slot).is_some_and(|held| same(held.as_ref(), wanted.as_ref())))
    };
    let ranks = probes.iter().enumerate().flat_map(|(probe, wanted)| {
        wanted.keys.iter().enumerate().map(move |(rank, alternatives)| (probe, rank, alternatives))
    });
    ranks.filter(|(_, _, alternatives)| alternatives.iter().any(holds)).map(|(probe, rank, _)| (probe, rank)).collect()
}

fn same(held: Option<&Value>, wanted: Option<&Value>) -> bool {
    match (held, wanted) {
        // a number found as a double is the number looked for
        (Some(Value::Float(float)), Some(Value::Int(int))) | (Some(Value::Int(int)), Some(Value::Float(float))) => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "beyond 2^53 the server compares exactly and has already matched"
            )]
            let int = *int as f64;
            int.to_bits() == float.to_bits()
        }
        // in a probe null stands for a missing field too, as in MongoDB's own equality
        (None, Some(Value::Null)) => true,
        (held, wanted) => held == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::codec::tests::path, *};

    fn text(text: &str) -> Option<Value> {
        Some(Value::Text(text.into()))
    }

    #[test]
    fn one_slot_keys_share_one_in_list() {
        let probes = [
            Probe { keys: vec![vec![vec![(1, text("a"))], vec![(1, text("b"))]]] },
            Probe { keys: vec![vec![vec![(1, text("c"))]], vec![vec![(1, text("d")), (2, None)]]] },
        ];
        let filter = any_of(&probes, &[path("_id"), path("phone"), path("code")]).unwrap();
        assert_eq!(
            filter,
            Some(
                doc! { "$or": [ { "phone": "d", "code": { "$exists": false } }, { "phone": { "$in": ["a", "b", "c"] } } ] }
            )
        );
        assert_eq!(any_of(&[Probe { keys: vec![vec![vec![]]] }], &[path("_id")]).unwrap(), None);
    }

    #[test]
    fn a_record_answers_every_probe_it_matches_at_its_rank() {
        let probes = [
            Probe { keys: vec![vec![vec![(1, text("x"))]], vec![vec![(2, Some(Value::Int(1)))]]] },
            Probe { keys: vec![vec![vec![]]] },
        ];
        let image = Image {
            slots: vec![None, Some(Value::List(vec![Value::Text("x".into())])), Some(Value::Float(1.0))],
            version: crate::model::image::Version(vec![]),
        };
        assert_eq!(matches(&probes, &image), [(0, 1)]);
    }
}
