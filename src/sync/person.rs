//! Finding a person by what people call them. Looks at both sides as they are now, so that somebody who is not linked, or on one
//! side only, is found too.

use super::ports::{LegacyStore, Probe, RenaissanceStore};
use crate::{
    error::Result,
    model::{
        key::{EntityIndex, LegacyId, RenaissanceId, SideId},
        mapping::{Entity, Field},
        person::{By, Clue},
        side::Side,
        value::Value,
    },
};

/// A person who was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The entity whose record they are.
    pub entity: EntityIndex,
    /// Their legacy id, as far as they are linked or were found there.
    pub legacy: Option<LegacyId>,
    /// Their renaissance id, likewise.
    pub renaissance: Option<RenaissanceId>,
    /// The words by which they were found: `phone`, `legacy`.
    pub by: Vec<String>,
}

/// Everybody whom the clues lead to, each once: one if the name is unambiguous, nobody if there is no such person. Links are
/// taken from the state, if there is one; the others are read from the databases. `entities`: bound, as the stores have them.
pub async fn find<L: LegacyStore, R: RenaissanceStore>(
    (legacy, renaissance): (&L, &R),
    entities: &[Entity],
    clues: &[Clue],
) -> Result<Vec<Person>> {
    let mut found: Vec<Person> = Vec::new();
    for clue in clues {
        let Some(entity) = entities.get(usize::from(clue.entity.0)) else { continue };
        let ids = match &clue.by {
            By::Id(id) => vec![*id],
            By::Field(field, values) => match entity.fields.get(*field) {
                Some(field) => holders((legacy, renaissance), clue.entity, field, values).await?,
                None => Vec::new(),
            },
        };
        for id in ids {
            if let Some(person) = person((legacy, renaissance), clue.entity, id).await? {
                add(&mut found, person, clue.word(entities));
            }
        }
    }
    Ok(found)
}

/// Who holds one of these values in a field, on either side.
async fn holders<L: LegacyStore, R: RenaissanceStore>(
    (legacy, renaissance): (&L, &R),
    entity: EntityIndex,
    field: &Field,
    values: &[Value],
) -> Result<Vec<SideId>> {
    let probe = |side: Side| {
        let forms = values.iter().flat_map(|value| field.forms(side, value)).collect();
        [Probe { keys: vec![forms] }]
    };
    let (documents, rows) = (probe(Side::Legacy), probe(Side::Renaissance));
    let (documents, rows) = tokio::try_join!(legacy.find(entity, &documents), renaissance.find(entity, &rows))?;
    let documents = documents.into_iter().map(|(.., id)| SideId::Legacy(id));
    Ok(documents.chain(rows.into_iter().map(|(.., id)| SideId::Renaissance(id))).collect())
}

/// The person with this id: by their link, else as they are on that side.
async fn person<L: LegacyStore, R: RenaissanceStore>(
    (legacy, renaissance): (&L, &R),
    entity: EntityIndex,
    id: SideId,
) -> Result<Option<Person>> {
    let links = match id {
        SideId::Legacy(id) => renaissance.resolve(entity, &[id], &[]).await?,
        SideId::Renaissance(id) => renaissance.resolve(entity, &[], &[id]).await?,
    };
    let someone = |legacy, renaissance| Person { entity, legacy, renaissance, by: Vec::new() };
    if let Some(resolved) = links.first() {
        return Ok(Some(someone(Some(resolved.link.legacy), Some(resolved.link.renaissance))));
    }
    Ok(match id {
        SideId::Legacy(id) => {
            let there = legacy.read(entity, &[id], None).await?.into_iter().any(|image| image.is_some());
            there.then(|| someone(Some(id), None))
        }
        SideId::Renaissance(id) => {
            let there = renaissance.read(entity, &[id]).await?.images.into_iter().any(|image| image.is_some());
            there.then(|| someone(None, Some(id)))
        }
    })
}

fn add(found: &mut Vec<Person>, person: Person, word: &str) {
    let same = |known: &Person| {
        (known.entity, known.legacy, known.renaissance) == (person.entity, person.legacy, person.renaissance)
    };
    let place = found.iter().position(same).unwrap_or_else(|| {
        found.push(person);
        found.len() - 1
    });
    if let Some(known) = found.get_mut(place).filter(|known| !known.by.iter().any(|known| known == word)) {
        known.by.push(word.to_owned());
    }
}
