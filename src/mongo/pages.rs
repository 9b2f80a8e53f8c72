//! Walking documents in chunks.

use std::ops::ControlFlow;

use mongodb::bson::{Bson, Document, RawDocument, doc, oid::ObjectId};

use super::{
    codec::{self, object_id},
    connect::Legacy,
    layout::Layout,
};
use crate::{
    error::Result,
    model::{
        image::{Image, Version},
        key::{EntityIndex, LegacyId},
        mapping::Entity,
        side::Side,
    },
    sync::{
        ports::{Listed, Page, Stretch},
        room::{FEW, Room},
    },
};

/// Whether a document is listed, as the server finds.
const HOLDS: &str = "holds";

impl Legacy {
    pub(super) async fn page_after(
        &self,
        index: EntityIndex,
        after: Option<LegacyId>,
        limit: u32,
        listed: Listed,
    ) -> Result<Page<LegacyId>> {
        let entity = self.entity(index);
        let mut projection = doc! { "_id": 1 };
        if listed == Listed::WithMembers {
            projection.insert(HOLDS, holds_members(entity));
        }
        // ids only: they need no counting
        let reading = (None, Room::default().counter(0));
        let documents = self.documents(entity, following(after), reading, projection, Some(limit)).await?;
        let mut page = Page { listed: Vec::with_capacity(documents.len()), last: None, walked: 0 };
        for document in &documents {
            let Some(id) = codec::id_of(document) else { continue };
            page.walked += 1;
            page.last = Some(id);
            if listed == Listed::All || document.get_bool(HOLDS).unwrap_or(false) {
                page.listed.push(id);
            }
        }
        Ok(page)
    }

    pub(super) async fn stretch_after(
        &self,
        entity: &Entity,
        after: Option<LegacyId>,
        limit: u32,
    ) -> Result<Stretch<(LegacyId, Image)>> {
        // several stretches wait to be compared at a time
        let (paths, mut counter) = (&entity.legacy.paths, self.room.half().counter(FEW + 1));
        let (mut stretch, mut layout) = (Stretch { records: Vec::new(), more: false }, Layout::new(paths));
        let keep = |document: &RawDocument| {
            if let Some(id) = codec::id_of(document) {
                let image = Image { slots: layout.slots(document), version: Version(Vec::new()) };
                stretch.records.push((id, image));
            }
            stretch.more = counter.add(document.as_bytes().len()).is_err();
            Ok(if stretch.more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        let projection = codec::projection(paths);
        self.each(entity, following(after), (None, projection, Some(limit)), keep).await?;
        stretch.more |= stretch.records.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(stretch)
    }
}

/// Documents after this one. A comparison with an ObjectId matches ObjectIds only; documents with another type of `_id` are
/// strays.
fn following(after: Option<LegacyId>) -> Document {
    let range =
        after.map_or_else(|| doc! { "$gte": ObjectId::from_bytes([0; 12]) }, |after| doc! { "$gt": object_id(after) });
    doc! { "_id": range }
}

/// An expression: whether any set of references that goes through the links is an array with something in it. Asked per
/// document and not as a filter, so that a chunk stays a short read however rare they are.
fn holds_members(entity: &Entity) -> Document {
    let sets =
        entity.fields.iter().filter(|field| field.refers.as_ref().is_some_and(|refers| refers.linked && refers.many));
    let paths = sets.flat_map(|field| field.slots(Side::Legacy)).filter_map(|slot| entity.legacy.paths.get(*slot));
    let held = paths.map(|path| {
        let path = format!("${}", path.0.join("."));
        let array = doc! { "$cond": [{ "$isArray": &path }, &path, []] };
        Bson::Document(doc! { "$gt": [{ "$size": array }, 0] })
    });
    doc! { "$or": held.collect::<Vec<_>>() }
}
