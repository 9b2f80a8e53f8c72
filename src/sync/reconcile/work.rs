//! A record of a batch, and deciding what becomes of it.

use super::{breaker::By, outcome::refuse};
use crate::{
    model::{
        image::Image,
        key::Key,
        links::Links,
        mapping::Entity,
        problem::{Problem, Reason},
        side::Side,
    },
    sync::{
        plan::{self, Given, Planned, Record},
        ports::{LegacyChange, RenaissanceChange},
    },
};

/// A record in the batch with the keys that led to it.
pub(super) struct Work {
    pub(super) record: Record,
    pub(super) keys: Vec<Key>,
    /// The race was lost before to a row that is nobody it could be.
    pub(super) insists: bool,
    /// What made it dirty.
    pub(super) by: By,
    /// Whether its deletion was approved by a person.
    pub(super) approved: bool,
    /// Whether what becomes of it is decided.
    pub(super) decided: bool,
    /// What is to be done; nothing, if that is what was decided.
    pub(super) planned: Option<Planned>,
}

impl Work {
    pub(super) const fn new(record: Record, keys: Vec<Key>) -> Self {
        Self { record, keys, insists: false, by: By::Others, approved: false, decided: false, planned: None }
    }

    /// What it takes in memory as it was read, roughly.
    pub(super) fn weight(&self) -> usize {
        let images = [&self.record.legacy, &self.record.renaissance];
        images.into_iter().flatten().map(Image::weight).sum()
    }

    /// Decides what becomes of it, unless that was done ahead of its turn.
    pub(super) fn decide(&mut self, entity: &Entity, given: &Given<'_>) {
        if !self.decided {
            self.planned = planned(entity, &mut self.record, given);
            self.decided = true;
        }
    }
}

/// Plans a record and turns the references in its patches into what each side holds. A reference that turns out to have no id
/// there is kept out, like a value that a database refused.
pub(super) fn planned(entity: &Entity, record: &mut Record, given: &Given<'_>) -> Option<Planned> {
    plan::examine(entity, record);
    loop {
        let mut planned = plan::plan(entity, record, given)?;
        let Err((side, slot)) = lower(entity, given.links, &mut planned) else { return Some(planned) };
        let field = entity.fields.iter().position(|field| field.slots(side).contains(&slot));
        let detail = format!("refers to a record that is not in {side}");
        refuse(record, field, Problem::new(Reason::MissingReference, detail));
    }
}

/// Names the side and slot of a reference that cannot be written.
fn lower(entity: &Entity, links: &Links, planned: &mut Planned) -> std::result::Result<(), (Side, usize)> {
    if let Some(RenaissanceChange::Insert(patch) | RenaissanceChange::Update(_, patch)) = &mut planned.plan.rows {
        links.lower(entity, Side::Renaissance, patch).map_err(|slot| (Side::Renaissance, slot))?;
    }
    if let Some(LegacyChange::Insert(patch) | LegacyChange::Update(_, patch)) = &mut planned.document {
        links.lower(entity, Side::Legacy, patch).map_err(|slot| (Side::Legacy, slot))?;
    }
    Ok(())
}
