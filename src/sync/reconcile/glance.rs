//! Looking at many records as they come, to set those aside that are plainly equal.

use std::{cmp::Ordering, iter::Peekable, sync::Arc, vec::IntoIter};

use super::{
    Reconciler,
    references::{Pull, named},
};
use crate::{
    error::{Error, Result},
    model::{
        image::Image,
        key::{EntityIndex, LegacyId},
        links::Links,
        mapping::Entity,
        side::Side,
    },
    sync::{
        plan::is_plainly_equal,
        ports::{LegacyStore, LinkedRow, RenaissanceStore},
    },
};

/// Both sides of an entity between two legacy ids: all documents, and all links with their rows, in the order of the ids.
#[derive(Debug)]
pub struct Both {
    /// The documents.
    pub documents: Vec<(LegacyId, Image)>,
    /// The links with their rows.
    pub rows: Vec<LinkedRow>,
}

impl Both {
    /// How many records there are, at least.
    pub fn len(&self) -> usize {
        self.documents.len().max(self.rows.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a glance tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// How many records are plainly equal.
    pub equal: u64,
    /// The others, to be looked at properly.
    pub others: Vec<LegacyId>,
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// Sets the records aside that say the same on both sides in every field, for which [`Reconciler::compare`] would say equal.
    pub async fn glance(&self, index: EntityIndex, both: Both) -> Result<Glance> {
        let entity = self.entity(index)?;
        let Both { mut documents, mut rows } = both;
        let images = documents.iter().map(|(_, image)| (Side::Legacy, image));
        let images = images.chain(rows.iter().filter_map(|row| Some((Side::Renaissance, row.image.as_ref()?))));
        let mut links = Links::default();
        if entity.fields.iter().any(|field| field.refers.as_ref().is_some_and(|refers| refers.linked)) {
            let wanted = named(entity, images, |side, image| Links::wanted(entity, side, image));
            self.look_up(&mut links, wanted, &mut Pull::default()).await?;
            documents.iter_mut().for_each(|(_, image)| links.lift(entity, Side::Legacy, image));
            let images = rows.iter_mut().filter_map(|row| row.image.as_mut());
            images.for_each(|image| links.lift(entity, Side::Renaissance, image));
        }
        // milliseconds of work without a pause: others read on meanwhile
        let entities = Arc::clone(&self.entities);
        let work = move || entities.get(usize::from(index.0)).map(|entity| sift(entity, documents, rows));
        let glance = tokio::task::spawn_blocking(work).await.map_err(|_| Error::retry("the bridge is stopping"))?;
        glance.ok_or_else(|| Error::halt("an entity that is not mapped"))
    }
}

fn sift(entity: &Entity, documents: Vec<(LegacyId, Image)>, rows: Vec<LinkedRow>) -> Glance {
    let mut glance = Glance::default();
    for (id, document, row) in pairs(documents, rows) {
        let sides = document.zip(row.filter(|row| row.named).and_then(|row| row.image));
        if sides.is_some_and(|(legacy, renaissance)| is_plainly_equal(entity, &legacy, &renaissance)) {
            glance.equal += 1;
        } else {
            glance.others.push(id);
        }
    }
    glance
}

/// Documents and links in one order, those with the same legacy id together.
fn pairs(
    documents: Vec<(LegacyId, Image)>,
    rows: Vec<LinkedRow>,
) -> impl Iterator<Item = (LegacyId, Option<Image>, Option<LinkedRow>)> {
    let (mut documents, mut rows) = (documents.into_iter().peekable(), rows.into_iter().peekable());
    std::iter::from_fn(move || {
        let order = order(&mut documents, &mut rows)?;
        let document = if order.is_le() { documents.next() } else { None };
        let row = if order.is_ge() { rows.next() } else { None };
        let id = document.as_ref().map(|(id, _)| *id).or(row.as_ref().map(|row| row.legacy))?;
        Some((id, document.map(|(_, image)| image), row))
    })
}

/// Which of both is next; `None` at the end.
fn order(
    documents: &mut Peekable<IntoIter<(LegacyId, Image)>>,
    rows: &mut Peekable<IntoIter<LinkedRow>>,
) -> Option<Ordering> {
    match (documents.peek(), rows.peek()) {
        (Some((id, _)), Some(row)) => Some(id.cmp(&row.legacy)),
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::image::Version;

    fn id(n: u8) -> LegacyId {
        LegacyId::new([n; 12])
    }

    fn blank() -> Image {
        Image { slots: Vec::new(), version: Version(Vec::new()) }
    }

    fn rows(links: &[u8]) -> Vec<LinkedRow> {
        links.iter().map(|n| LinkedRow { legacy: id(*n), image: Some(blank()), named: true }).collect()
    }

    #[test]
    fn every_record_is_met_once_with_what_there_is_of_it() {
        let documents = [1, 2, 4].map(|n| (id(n), blank())).to_vec();
        let met: Vec<_> = pairs(documents, rows(&[2, 3, 4, 5]))
            .map(|(id, document, row)| (id, document.is_some(), row.is_some()))
            .collect();
        let expected = [(1, true, false), (2, true, true), (3, false, true), (4, true, true), (5, false, true)];
        assert_eq!(met, expected.map(|(n, document, row)| (id(n), document, row)));
    }
}
