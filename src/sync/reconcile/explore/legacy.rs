//! The legacy side of the small world.

use uuid::Uuid;

use super::{
    Without,
    shape::{Shape, document_id, document_of, version},
    stores::{Call, Databases, Fault, digest},
    world::{Change, Document, Values, World},
};
use crate::{
    error::{Error, Result},
    model::{
        hint::Freshness,
        image::Image,
        key::{EntityIndex, LegacyId},
    },
    sync::ports::{
        LegacyChange, LegacyStore, LegacyWrite, Listed, Outcome, Page, Places, Probe, Restored, Strays, Stretch, Wrote,
    },
};

/// Documents and the ledger.
pub(super) struct Documents(pub(super) Databases, pub(super) Shape);

impl Documents {
    /// What a write makes of a document; `None` if the race is lost.
    fn change(&self, world: &World, write: &LegacyWrite) -> Option<Change> {
        let document = document_of(write.id);
        let current = world.documents.get(&document).copied();
        let compared = self.0.without != Some(Without::ComparingDocuments);
        let same = |expected: &_| current.filter(|values| !compared || version(*values) == *expected);
        let after: Option<Values> = match &write.change {
            LegacyChange::Insert(_) if current.is_some() => return None,
            LegacyChange::Insert(patch) => Some(self.1.patched(0, [0, 0], patch)),
            LegacyChange::Update(expected, patch) => Some(self.1.patched(0, same(expected)?, patch)),
            LegacyChange::Delete(expected) => same(expected).map(|_| None)?,
        };
        Some(Change { document, after })
    }

    fn transact(&self, world: &mut World, number: u8, writes: &[LegacyWrite], fault: Fault) -> Result<Vec<Outcome>> {
        if world.ledgers.get(&number).is_some_and(|ledger| ledger.closed) {
            return Err(Error::retry("the intent was settled"));
        }
        let changes: Vec<Option<Change>> = writes.iter().map(|write| self.change(world, write)).collect();
        let outcomes = changes.iter().map(|change| match change {
            Some(_) => Outcome::Written,
            None => Outcome::LostRace,
        });
        let outcomes = outcomes.collect();
        let landing: Vec<Change> = changes.into_iter().flatten().collect();
        match fault {
            Fault::Late if !landing.is_empty() => world.late = Some((number, landing)),
            Fault::Late | Fault::None | Fault::Lost | Fault::Unanswered => world.land(number, &landing),
        }
        Ok(outcomes)
    }
}

fn foreign<T>() -> Result<T> {
    Err(Error::halt("this is not part of what is explored"))
}

impl LegacyStore for Documents {
    async fn read(&self, _: EntityIndex, ids: &[LegacyId], _: Option<Freshness>) -> Result<Vec<Option<Image>>> {
        self.0
            .call(Call::Reads, |world, _, _| {
                let held = |id: &LegacyId| world.documents.get(&document_of(*id)).copied();
                let held: Vec<Option<Values>> = ids.iter().map(held).collect();
                let answer = digest(&held);
                let image = |(id, values): (&LegacyId, Option<Values>)| {
                    values.map(|values| self.1.image(0, document_of(*id), values))
                };
                Ok((ids.iter().zip(held).map(image).collect(), answer))
            })
            .await
    }

    async fn find(&self, _: EntityIndex, _: &[Probe]) -> Result<Vec<(usize, usize, LegacyId)>> {
        Ok(Vec::new()) // there are no natural keys
    }

    async fn restore(&self, _: EntityIndex, _: LegacyId, _: &serde_json::Value) -> Result<Restored> {
        Ok(Restored::Taken)
    }

    async fn whole(&self, _: EntityIndex, ids: &[LegacyId]) -> Result<Vec<Option<serde_json::Value>>> {
        self.0
            .call(Call::Reads, |world, _, _| {
                let held = ids.iter().map(|id| world.documents.get(&document_of(*id)).copied());
                let held: Vec<Option<Values>> = held.collect();
                let answer = digest(&held);
                Ok((held.into_iter().map(|values| values.map(|values| serde_json::json!(values))).collect(), answer))
            })
            .await
    }

    async fn write(&self, _: EntityIndex, intent: Uuid, writes: &[LegacyWrite]) -> Result<Wrote> {
        self.0
            .call(Call::Writes, |world, intents, fault| {
                let number = intents.get(&intent).copied().ok_or_else(|| Error::halt("no intent was stored"))?;
                let outcomes = self.transact(world, number, writes, fault)?;
                let lost: Vec<bool> = outcomes.iter().map(|outcome| *outcome == Outcome::LostRace).collect();
                Ok((Wrote { outcomes, blocked: None }, digest(&lost)))
            })
            .await
    }

    async fn settle(&self, intent: Uuid) -> Result<Option<Vec<LegacyId>>> {
        let number = self.0.script().intents.get(&intent).copied().unwrap_or_default();
        self.0
            .call(Call::Asks(number), |world, _, _| {
                let closes = self.0.without != Some(Without::ClosingIntents);
                let before = world.ledgers.get(&number).cloned().filter(|ledger| !ledger.landed.is_empty());
                world.ledgers.entry(number).or_default().closed = closes;
                let landed: Option<Vec<Document>> =
                    before.map(|ledger| ledger.landed).filter(|_| self.0.without != Some(Without::Ledger));
                let answer = digest(&landed);
                Ok((landed.map(|landed| landed.into_iter().map(document_id).collect()), answer))
            })
            .await
    }

    async fn forget(&self, intents: &[Uuid]) -> Result<()> {
        if !intents.is_empty() {
            self.0.at_once(|world, numbers| {
                let forgotten: Vec<u8> = intents.iter().filter_map(|intent| numbers.get(intent).copied()).collect();
                world.ledgers.retain(|number, _| !forgotten.contains(number));
                ((), 0)
            });
        }
        Ok(())
    }

    async fn page(&self, _: EntityIndex, _: Option<LegacyId>, _: u32, _: Listed) -> Result<Page<LegacyId>> {
        foreign()
    }

    async fn stretch(&self, _: EntityIndex, _: Option<LegacyId>, _: u32) -> Result<Stretch<(LegacyId, Image)>> {
        foreign()
    }

    async fn present(&self, _: EntityIndex, _: &[LegacyId]) -> Result<std::collections::HashSet<LegacyId>> {
        foreign()
    }

    async fn strays(&self, _: EntityIndex, _: Option<&str>, _: u32) -> Result<Strays> {
        foreign()
    }

    async fn owned_by(&self, _: EntityIndex, _: &[LegacyId]) -> Result<Vec<LegacyId>> {
        foreign()
    }

    async fn collection(&self, _: EntityIndex) -> Result<Places> {
        Ok(Vec::new())
    }

    async fn ensure(&self, _: EntityIndex) -> Result<()> {
        foreign()
    }

    async fn count(&self, _: EntityIndex) -> Result<u64> {
        foreign()
    }

    fn new_id(&self) -> LegacyId {
        let mut script = self.0.script();
        script.unused_document += 1;
        document_id(script.unused_document - 1)
    }
}
