//! `USER` on the command line: who is meant, or a refusal that names everybody it could be.

use std::sync::Arc;

use super::{Failure, engine::bound};
use crate::{
    config::Databases,
    error::{Error, Result},
    model::{
        key::SideId,
        mapping::Entity,
        person::{By, Clue, clues},
    },
    mongo::Legacy,
    postgres::{catalog, connect, parked, store::Postgres, tombstones},
    sync::person::{Person, find},
};

/// The one person whom the text names. Reads both databases and writes nothing.
pub(super) async fn named(text: &str, databases: &Databases, entities: &[Entity]) -> Result<Person, Failure> {
    let clues = meant(text, entities)?;
    one(search(&clues, databases, entities).await?, &clues, entities)
}

/// The same for many texts, with one pair of connections.
pub(super) async fn each(
    texts: &[&str],
    databases: &Databases,
    entities: &[Entity],
) -> Result<Vec<Result<parked::Person, Failure>>, Failure> {
    let (legacy, store, bound) = stores(databases, entities).await?;
    let mut all = Vec::with_capacity(texts.len());
    for text in texts {
        all.push(match meant(text, entities) {
            Ok(clues) => one(find((&legacy, &store), &bound, &clues).await?, &clues, entities)
                .map(|person| as_filter(&person, entities)),
            Err(wrong) => Err(wrong),
        });
    }
    Ok(all)
}

fn meant(text: &str, entities: &[Entity]) -> Result<Vec<Clue>, Failure> {
    clues(text, entities).map_err(|what| Failure::Usage(Box::new(Error::halt(format!("USER: {what}")))))
}

fn one(mut found: Vec<Person>, clues: &[Clue], entities: &[Entity]) -> Result<Person, Failure> {
    match (found.pop(), found.is_empty()) {
        (Some(person), true) => Ok(person),
        (None, _) => {
            let mut words: Vec<&str> = Vec::new();
            for clue in clues {
                let word = clue.word(entities);
                if !words.contains(&word) {
                    words.push(word);
                }
            }
            let by_id = clues.iter().all(|clue| matches!(clue.by, By::Id(_)));
            let id = if by_id { " id" } else { "" };
            let error = Error::halt(format!("nobody has this {}{id} on either side", words.join(" or ")));
            let hint =
                "values are compared as the mappings read them: text as it is spelled, a telephone in any spelling";
            Err((if by_id { error } else { error.with_hint(hint) }).into())
        }
        (Some(last), false) => {
            found.push(last);
            let shown: Vec<String> = found.iter().map(|person| shown(person, entities)).collect();
            let error = Error::halt(format!("this names several persons:\n  {}", shown.join("\n  ")));
            Err(error.with_hint("name one of them by an id").into())
        }
    }
}

/// The same for commands that list what concerns a person. Who is a person is known from the mappings.
pub(super) async fn filter(text: &str, databases: &Databases, entities: &[Entity]) -> Result<parked::Person, Failure> {
    Ok(as_filter(&named(text, databases, entities).await?, entities))
}

/// The same for commands that list what is left of people: somebody who is gone on both sides is found by an id they had.
pub(super) async fn filter_or_gone(
    text: &str,
    databases: &Databases,
    entities: &[Entity],
) -> Result<parked::Person, Failure> {
    let clues = meant(text, entities)?;
    let found = search(&clues, databases, entities).await?;
    if found.is_empty() {
        let pool = connect::reading_pool(databases.renaissance_url.expose())?;
        for clue in &clues {
            let (legacy, renaissance) = match clue.by {
                By::Id(SideId::Legacy(id)) => (Some(id), None),
                By::Id(SideId::Renaissance(id)) => (None, Some(id)),
                By::Field(..) => continue,
            };
            let had = Person { entity: clue.entity, legacy, renaissance, by: Vec::new() };
            if let Some(gone) = tombstones::buried(&pool, &as_filter(&had, entities)).await? {
                return Ok(gone);
            }
        }
    }
    Ok(as_filter(&one(found, &clues, entities)?, entities))
}

fn as_filter(person: &Person, entities: &[Entity]) -> parked::Person {
    let entity = entities.get(usize::from(person.entity.0)).map(|entity| entity.name.clone());
    parked::Person {
        entity: entity.unwrap_or_default(),
        legacy_id: person.legacy.map(|id| id.to_string()),
        renaissance_id: person.renaissance,
    }
}

async fn search(clues: &[Clue], databases: &Databases, entities: &[Entity]) -> Result<Vec<Person>> {
    let (legacy, store, entities) = stores(databases, entities).await?;
    find((&legacy, &store), &entities, clues).await
}

/// Both stores, for reading, and the mappings tied to the tables.
pub(super) async fn stores(databases: &Databases, entities: &[Entity]) -> Result<(Legacy, Postgres, Arc<Vec<Entity>>)> {
    let pool = connect::reading_pool(databases.renaissance_url.expose())?;
    let tables: Vec<&str> = entities.iter().flat_map(Entity::table_names).collect();
    let catalog = catalog::load(&pool, &tables).await?;
    let entities = Arc::new(bound(entities, &catalog)?);
    let legacy = Legacy::connect(databases.legacy_uri.expose(), Arc::clone(&entities)).await?;
    let store = Postgres::open_for_reading(pool, Arc::clone(&entities), &catalog).await?;
    Ok((legacy, store, entities))
}

/// `user legacy:65f0… renaissance:12, by phone and username`.
fn shown(person: &Person, entities: &[Entity]) -> String {
    let entity = entities.get(usize::from(person.entity.0)).map_or("", |entity| entity.name.as_str());
    let legacy = person.legacy.map(|id| format!(" legacy:{id}")).unwrap_or_default();
    let renaissance = person.renaissance.map(|id| format!(" renaissance:{id}")).unwrap_or_default();
    format!("{entity}{legacy}{renaissance}, by {}", person.by.join(" and "))
}
