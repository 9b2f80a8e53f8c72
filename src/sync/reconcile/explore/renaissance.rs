//! The renaissance side of the small world, with the bridge's state.

use uuid::Uuid;

use super::{
    Without,
    shape::{Shape, document_id, document_of, version},
    state,
    stores::{Call, Databases, digest},
    world::{Row, World},
};
use crate::{
    error::{Error, Result},
    model::{
        digest::Base,
        fact::SweepKind,
        hint::Position,
        image::Version,
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
        links::Target,
        pause::{Deletions, Pause},
        side::Side,
        snapshot::Snapshot,
    },
    sync::ports::{
        By, Committed, JournalEntry, Link, Listed, NewPause, Outcome, Owner, Page, ParkedRow, PauseStore, Places,
        Probe, RecordPlan, RenaissanceChange, RenaissanceRead, RenaissanceStore, Resolution, Resolved, Restored,
        Returning, SweepState, Tombstone,
    },
};

/// Rows and the state.
pub(super) struct Rows(pub(super) Databases, pub(super) Shape, pub(super) Side);

/// The snapshot of a reader now; transactions are numbered by their place in the log.
fn snapshot(world: &World, without: Option<Without>) -> Snapshot {
    let text = match world.unseen {
        Some((.., xid)) if without != Some(Without::Freshness) => format!("{xid}:{}:{xid}", xid + 1),
        Some(_) | None => "1000:1000:".to_owned(),
    };
    text.parse().unwrap()
}

impl Rows {
    fn is_unchanged(&self, world: &World, plan: &RecordPlan) -> bool {
        let expected: &Version = match &plan.rows {
            None | Some(RenaissanceChange::Insert(_)) => return true,
            Some(RenaissanceChange::Update(version, _) | RenaissanceChange::Delete(version)) => version,
        };
        let row = plan.renaissance.and_then(|id| world.rows.get(&id));
        let locked = world.unseen.as_ref().is_some_and(|(id, ..)| Some(*id) == plan.renaissance);
        match self.0.without {
            Some(Without::ComparingRows) => row.is_some(),
            _ => !locked && row.is_some_and(|row| version(row.values) == *expected),
        }
    }

    /// Writes the rows of a plan; returns the id of its row.
    fn write(&self, world: &mut World, plan: &RecordPlan) -> Option<RenaissanceId> {
        let id = match plan.rows {
            Some(RenaissanceChange::Insert(_)) => world.unused_row(),
            Some(_) | None => plan.renaissance?,
        };
        let before = world.rows.get(&id).copied();
        let after = match &plan.rows {
            None => before,
            Some(RenaissanceChange::Insert(patch)) => {
                Some(Row { values: self.1.patched(1, [0, 0], patch), names: plan.legacy.map(document_of) })
            }
            Some(RenaissanceChange::Update(_, patch)) => before.map(|row| Row {
                values: self.1.patched(1, row.values, patch),
                names: if plan.back_reference { plan.legacy.map(document_of) } else { row.names },
            }),
            Some(RenaissanceChange::Delete(_)) => None,
        };
        match after {
            Some(row) => _ = world.rows.insert(id, row),
            None => _ = world.rows.remove(&id),
        }
        if let (Some(RenaissanceChange::Delete(_)), Some(row)) = (&plan.rows, before) {
            state::bury(world, plan, row.values, None);
        }
        let number = u8::try_from(id).unwrap_or(u8::MAX);
        world.bridge_wrote(Side::Renaissance, number, before.map(|row| row.values), after.map(|row| row.values));
        Some(id)
    }
}

fn foreign<T>() -> Result<T> {
    Err(Error::halt("this is not part of what is explored"))
}

/// Nothing is paused in the small world.
impl PauseStore for Rows {
    async fn pauses(&self) -> Result<Vec<Pause>> {
        Ok(Vec::new())
    }

    async fn pause(&self, _: &NewPause) -> Result<bool> {
        foreign()
    }

    async fn answer_pauses(&self, _: &[i64], _: Deletions, _: &By) -> Result<()> {
        foreign()
    }

    async fn end_pauses(&self, _: &[i64], _: &By, _: &[EntityIndex]) -> Result<()> {
        foreign()
    }

    async fn returning(&self, _: i64, _: u32) -> Result<Vec<Returning>> {
        foreign()
    }

    async fn links_to_walk(&self, _: i64, _: EntityIndex, _: u32) -> Result<Vec<(LegacyId, RenaissanceId)>> {
        foreign()
    }

    async fn park_missing(&self, _: i64, _: EntityIndex, _: &[LegacyId], _: Deletions, _: LegacyId) -> Result<()> {
        foreign()
    }

    async fn park_thinned(&self, _: i64, _: EntityIndex, _: &[(LegacyId, Vec<(usize, usize)>)]) -> Result<()> {
        foreign()
    }

    async fn links(&self, _: EntityIndex) -> Result<u64> {
        foreign()
    }

    async fn tables(&self, _: EntityIndex) -> Result<Places> {
        Ok(Vec::new())
    }

    async fn is_empty(&self, _: EntityIndex, _: &str) -> Result<bool> {
        foreign()
    }

    async fn mark(&self) -> Result<Position> {
        foreign()
    }

    async fn known_structure(&self, _: EntityIndex, _: Side) -> Result<Option<String>> {
        Ok(None)
    }

    async fn know_structure(&self, _: EntityIndex, _: Side, _: &str) -> Result<()> {
        foreign()
    }
}

impl RenaissanceStore for Rows {
    async fn read(&self, _: EntityIndex, ids: &[RenaissanceId]) -> Result<RenaissanceRead> {
        self.0
            .call(Call::Reads, |world, _, _| {
                let held: Vec<Option<Row>> = ids.iter().map(|id| world.visible(*id)).collect();
                let hidden = world.unseen.as_ref().map(|(.., xid)| *xid);
                let images = held.iter().map(|row| row.map(|row| self.1.image(1, 0, row.values))).collect();
                let name = |row: &Option<Row>| Some(document_id(row.as_ref()?.names?).to_string());
                let legacy_ids = held.iter().map(name).collect();
                let read = RenaissanceRead { images, legacy_ids, snapshot: snapshot(world, self.0.without) };
                Ok((read, digest(&(held, hidden))))
            })
            .await
    }

    async fn resolve(&self, _: EntityIndex, legacy: &[LegacyId], rows: &[RenaissanceId]) -> Result<Vec<Resolved>> {
        Ok(self.0.at_once(|world, _| {
            let wanted = |document: u8, row| legacy.contains(&document_id(document)) || rows.contains(&row);
            let ties: Vec<_> = world.ties.iter().filter(|(document, tie)| wanted(**document, tie.row)).collect();
            let answer = digest(&ties);
            let resolved = |(document, tie): (&u8, &super::world::Tie)| Resolved {
                link: Link {
                    legacy: document_id(*document),
                    renaissance: tie.row,
                    base: tie.base.as_ref().map(|bytes| Base::from_bytes(bytes, &[Some(0), Some(1)], 2)),
                },
                owner: self.2,
                epoch: 0,
                former: None,
                parked: false,
                looping: false,
                person: None,
                awaits: Vec::new(),
            };
            (ties.into_iter().map(resolved).collect(), answer)
        }))
    }

    async fn targets(&self, _: &[(EntityIndex, SideId)]) -> Result<Vec<(EntityIndex, Target)>> {
        foreign()
    }

    async fn deleted(&self, _: &[(EntityIndex, LegacyId)]) -> Result<Vec<(EntityIndex, LegacyId)>> {
        foreign()
    }

    async fn owners(&self, persons: &[LegacyId]) -> Result<Vec<Owner>> {
        Ok(persons.iter().map(|person| Owner { person: *person, side: self.2, epoch: 0, former: None }).collect())
    }

    async fn find_by_legacy_id(&self, _: EntityIndex, ids: &[LegacyId]) -> Result<Vec<(LegacyId, RenaissanceId)>> {
        self.0
            .call(Call::Reads, |world, _, _| {
                let rows = world.rows.keys().filter_map(|id| Some((document_id(world.visible(*id)?.names?), *id)));
                let found: Vec<(LegacyId, RenaissanceId)> = rows.filter(|(id, _)| ids.contains(id)).collect();
                let answer = digest(&found);
                Ok((found, answer))
            })
            .await
    }

    async fn find(&self, _: EntityIndex, _: &[Probe]) -> Result<Vec<(usize, usize, RenaissanceId)>> {
        Ok(Vec::new()) // there are no natural keys
    }

    async fn commit(&self, _: EntityIndex, intent: Uuid, plans: &[RecordPlan]) -> Result<Committed> {
        self.0
            .call(Call::Commits, |world, intents, _| {
                let number = *intents.entry(intent).or_insert_with(|| world.unused_intent());
                let written = plans.iter().map(|plan| {
                    if !self.is_unchanged(world, plan) {
                        return false;
                    }
                    state::conflicts(world, plan, number, self.0.without);
                    let row = self.write(world, plan);
                    state::record(world, plan, row, number, self.0.without);
                    true
                });
                let written: Vec<bool> = written.collect();
                let answer = digest(&written);
                let outcome = |written: bool| if written { Outcome::Written } else { Outcome::LostRace };
                let outcomes = written.into_iter().map(outcome).collect();
                Ok((Committed { outcomes, blocked: None, woken: Vec::new() }, answer))
            })
            .await
    }

    async fn settle(&self, intent: Uuid, landed: &[LegacyId]) -> Result<Vec<Key>> {
        self.0
            .call(Call::Commits, |world, intents, _| {
                let number = intents.get(&intent).copied().ok_or_else(|| Error::halt("no intent was stored"))?;
                let landed: Vec<u8> = landed.iter().map(|id| document_of(*id)).collect();
                state::settle(world, number, &landed);
                Ok((Vec::new(), 0))
            })
            .await
    }

    async fn open_intents(&self) -> Result<Vec<Uuid>> {
        Ok(self.0.at_once(|world, intents| {
            let mut open: Vec<u8> = world.intents.iter().map(|intent| intent.number).collect();
            open.dedup();
            let named = open.iter().map(|number| (Uuid::from_u128(u128::from(*number)), *number));
            intents.extend(named.clone());
            (named.map(|(id, _)| id).collect(), digest(&open))
        }))
    }

    async fn foresee(&self, _: EntityIndex, _: &[LegacyId], _: &[RecordPlan]) -> Result<()> {
        foreign()
    }

    async fn is_fresh(&self) -> Result<bool> {
        foreign()
    }

    async fn checkpoint(&self, _: Side) -> Result<Option<Position>> {
        foreign()
    }

    async fn save_checkpoint(&self, _: &[(Side, Position)]) -> Result<()> {
        foreign()
    }

    async fn sweep(&self, _: EntityIndex, _: Side, _: SweepKind) -> Result<SweepState> {
        foreign()
    }

    async fn save_sweep(&self, _: EntityIndex, _: Side, _: SweepKind, _: &SweepState) -> Result<()> {
        foreign()
    }

    async fn forget_sweeps(&self, _: &[EntityIndex]) -> Result<()> {
        foreign()
    }

    async fn page(&self, _: EntityIndex, _: Option<RenaissanceId>, _: u32, _: Listed) -> Result<Page<RenaissanceId>> {
        foreign()
    }

    async fn parked_for_others(&self) -> Result<Vec<Key>> {
        foreign()
    }

    async fn count(&self, _: EntityIndex) -> Result<u64> {
        foreign()
    }

    async fn park(&self, _: EntityIndex, _: &ParkedRow, _: &str) -> Result<()> {
        foreign()
    }

    async fn unpark(&self, _: EntityIndex, _: &str) -> Result<()> {
        foreign()
    }

    async fn parked_keys(&self, _: Option<&[i64]>) -> Result<Vec<(i64, Option<Key>)>> {
        foreign()
    }

    async fn tombstone(&self, _: i64, _: bool) -> Result<Option<Tombstone>> {
        foreign()
    }

    async fn restore(&self, _: EntityIndex, _: &serde_json::Value) -> Result<Restored> {
        foreign()
    }

    async fn restored(&self, _: i64, _: &str, _: Option<&Resolution>) -> Result<()> {
        foreign()
    }

    async fn journal_entry(&self, _: i64) -> Result<Vec<JournalEntry>> {
        foreign()
    }

    async fn drop_parked(&self, _: &[i64]) -> Result<Vec<i64>> {
        foreign()
    }
}
