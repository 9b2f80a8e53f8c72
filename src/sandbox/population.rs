//! A whole BioGraph: people with all that belongs to them, and, if wanted, a share of documents that nothing can be done with.

use std::collections::BTreeMap;

use mongodb::Database;
use mongodb::bson::Document;
use mongodb::options::WriteConcern;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::content::{CONTENT, content};
use super::spoil::spoil;
use super::{SandboxError, USERS, people};

const BATCH: usize = 1000;

/// Which BioGraph: the same one for the same numbers.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    /// Decides everything about everybody.
    pub seed: u64,
    /// How many people; everybody has about five other documents.
    pub people: u32,
    /// The share of all documents in which one thing is broken beyond repair, from 0 to 1.
    pub broken: f64,
}

impl Population {
    /// The documents in the order in which they were made, as far as references go, each with its collection.
    pub fn documents(self) -> impl Iterator<Item = (&'static str, Document)> {
        let Self { seed, people: count, broken } = self;
        let mut rng = StdRng::seed_from_u64(seed ^ 0x0BAD);
        let everything = people(seed, count)
            .zip(0..)
            .flat_map(move |(person, index)| std::iter::once((USERS, person)).chain(content(seed, index, count)));
        everything.map(move |(collection, mut document)| {
            if broken > 0.0 && rng.random_bool(broken) {
                spoil(&mut rng, collection, &mut document, seed);
            }
            (collection, document)
        })
    }

    /// Makes the collections and inserts all documents; how many there are.
    pub async fn load(self, database: &Database) -> Result<u64, SandboxError> {
        make_collections(database).await?;
        let (mut waiting, mut loaded) = (BTreeMap::<&str, Vec<Document>>::new(), 0);
        for (collection, document) in self.documents() {
            loaded += 1;
            let batch = waiting.entry(collection).or_default();
            batch.push(document);
            if batch.len() == BATCH {
                insert(database, collection, std::mem::take(batch)).await?;
            }
        }
        for (collection, batch) in waiting {
            insert(database, collection, batch).await?;
        }
        Ok(loaded)
    }
}

/// Makes the collections of BioGraph that are not there yet.
pub async fn make_collections(database: &Database) -> Result<(), SandboxError> {
    let there = database.list_collection_names().await?;
    for collection in std::iter::once(USERS).chain(CONTENT) {
        if !there.iter().any(|name| name == collection) {
            database.create_collection(collection).await?;
        }
    }
    Ok(())
}

async fn insert(database: &Database, collection: &str, batch: Vec<Document>) -> Result<(), SandboxError> {
    if !batch.is_empty() {
        let collection = database.collection::<Document>(collection);
        collection.insert_many(batch).ordered(false).write_concern(WriteConcern::majority()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_documents_is_broken_and_the_others_are_as_without_it() {
        let whole: Vec<_> = Population { seed: 4, people: 400, broken: 0.0 }.documents().collect();
        let broken: Vec<_> = Population { seed: 4, people: 400, broken: 0.1 }.documents().collect();
        let differing = whole.iter().zip(&broken).filter(|(whole, broken)| whole != broken).count();
        assert_eq!(whole.len(), broken.len());
        assert!((whole.len() / 20..whole.len() / 8).contains(&differing), "{differing} of {}", whole.len());
    }
}
