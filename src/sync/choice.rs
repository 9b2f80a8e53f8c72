//! Choosing people by a condition on their canonical fields: everybody who rests on BioGraph is read there, so many at once.

use std::collections::VecDeque;

use super::ports::{CohortStore, LegacyStore};
use crate::{
    error::Result,
    model::{
        condition::Bound,
        key::{EntityIndex, LegacyId},
        mapping::Entity,
        side::Side,
    },
};

/// People read at once.
const CHUNK: u32 = 500;

/// A walk over everybody who may be chosen.
pub struct Choice<'a, L, R> {
    legacy: &'a L,
    store: &'a R,
    entities: &'a [Entity],
    /// The entities of people with what is asked of each.
    asked: VecDeque<(EntityIndex, Bound)>,
    after: Option<LegacyId>,
    /// How many were looked at.
    pub looked: u64,
    /// Of how many it cannot be told, as a field that matters cannot be read, or nobody is there any more. They are not chosen.
    pub untold: u64,
}

impl<'a, L: LegacyStore, R: CohortStore> Choice<'a, L, R> {
    /// Chooses among the people of these entities, each by its condition.
    pub fn new(legacy: &'a L, store: &'a R, entities: &'a [Entity], asked: Vec<(EntityIndex, Bound)>) -> Self {
        Self { legacy, store, entities, asked: asked.into(), after: None, looked: 0, untold: 0 }
    }

    /// The next ones who were chosen, perhaps nobody; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<LegacyId>>> {
        while let Some((index, condition)) = self.asked.front() {
            let people = self.store.people_on(*index, Side::Legacy, self.after, CHUNK).await?;
            let (Some(last), Some(entity)) = (people.last(), self.entities.get(usize::from(index.0))) else {
                self.asked.pop_front();
                self.after = None;
                continue;
            };
            self.after = Some(*last);
            let mut chosen = Vec::new();
            for (person, image) in people.iter().zip(self.legacy.read(*index, &people, None).await?) {
                match image.and_then(|image| condition.holds(entity, Side::Legacy, &image)) {
                    Some(true) => chosen.push(*person),
                    Some(false) => {}
                    None => self.untold += 1,
                }
            }
            self.looked += people.len() as u64;
            return Ok(Some(chosen));
        }
        Ok(None)
    }
}
