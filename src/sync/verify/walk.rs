//! Walking the records of an entity in chunks; progress is saved with what was found.

use std::time::Duration;

use tokio::{
    sync::mpsc::{self, Receiver},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Verifier, rounds::Candidate, supply::Chunk};
use crate::{
    error::{Error, Result},
    model::{
        fact::SweepKind,
        key::{EntityIndex, Key, LegacyId, SideId},
        problem::Reason,
        side::Side,
    },
    sync::{
        belongings::documents,
        ports::{
            CutoverStore, Found, HealingStore, LegacyStore, Part, Progress, RenaissanceStore, Run, Source, State,
            VerifyStore,
        },
        queue::HintQueue,
        reconcile::{Both, Compared, Difference, Moved, Standing},
        status::Swept,
    },
};

/// Candidates that may wait to be looked at again while the walk goes on.
const WAITING: usize = 1000;
/// How often progress is saved, with what was found since.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Findings of one part that are kept one by one; beyond them there is only the count.
const KEPT: i64 = 10_000;

impl<L, R, SL, SR, Q> Verifier<'_, L, R, SL, SR, Q>
where
    L: LegacyStore,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore,
    SL: Source,
    SR: Source,
    Q: HintQueue,
{
    /// Compares one part of an entity, from where it was to its end. While some records are compared, the next ones are read.
    pub(super) async fn walk(
        &self,
        run: &Run,
        (entity, part): (EntityIndex, Part),
        stop: &CancellationToken,
    ) -> Result<()> {
        let progress = self.reconciler.renaissance().verified(run.id, entity, part).await?;
        if progress.done {
            return Ok(());
        }
        let (to, from) = mpsc::channel(1);
        let after = progress.after.clone();
        let supply = self.supply((run, entity, part), after, to);
        tokio::try_join!(supply, self.compare_chunks((run, entity, part), progress, from, stop))?;
        Ok(())
    }

    async fn compare_chunks(
        &self,
        (run, entity, part): (&Run, EntityIndex, Part),
        mut progress: Progress,
        mut chunks: Receiver<Chunk>,
        stop: &CancellationToken,
    ) -> Result<()> {
        let suspects = self.reconciler.renaissance().suspects(run.id, entity, part).await?;
        let mut waiting: Vec<Candidate> = suspects.iter().map(Candidate::known).collect();
        progress.total = self.total(entity, part).await?;
        let (mut found, mut saved) = (Vec::new(), Instant::now());
        while let Some(chunk) = chunks.recv().await {
            self.until_streaming(stop).await?;
            self.pace(run).spend(chunk.walked, stop).await;
            if stop.is_cancelled() {
                return Err(Error::retry("the bridge is stopping"));
            }
            let Chunk { keys, both, last, walked } = chunk;
            self.first_look((entity, part), (keys, both), (&mut progress, &mut waiting)).await?;
            found.extend(self.settle(run, entity, (&mut progress, &mut waiting), stop).await?);
            while !waiting.is_empty() && (last.is_none() || waiting.len() > WAITING) {
                let due = waiting.iter().map(Candidate::due).min().unwrap_or_else(Instant::now);
                sleep_until(due).await;
                self.until_streaming(stop).await?;
                found.extend(self.settle(run, entity, (&mut progress, &mut waiting), stop).await?);
            }
            progress.done = last.is_none();
            progress.after = last.or(progress.after);
            self.tell((entity, part), &progress, walked);
            if progress.done || saved.elapsed() >= SAVE_EVERY {
                let found = std::mem::take(&mut found);
                self.save((run, entity, part), (&progress, &waiting), found).await?;
                saved = Instant::now();
            }
        }
        Ok(())
    }

    /// How many records there are to be walked, where that is known.
    async fn total(&self, entity: EntityIndex, part: Part) -> Result<Option<i64>> {
        let total = match part {
            Part::Documents => self.reconciler.legacy().count(entity).await?,
            Part::Rows => self.reconciler.renaissance().count(entity).await?,
            Part::Links | Part::Person => return Ok(None),
        };
        Ok(i64::try_from(total).ok())
    }

    /// Everything that belongs to one person.
    pub(super) async fn compare_person(&self, run: &Run, stop: &CancellationToken) -> Result<()> {
        self.until_streaming(stop).await?;
        for (entity, keys) in self.possessions(run).await? {
            let part = Part::Person;
            let store = self.reconciler.renaissance();
            let mut progress = store.verified(run.id, entity, part).await?;
            if progress.done {
                continue;
            }
            let (mut waiting, mut found) = (Vec::new(), Vec::new());
            let known = i64::try_from(keys.len()).ok();
            self.first_look((entity, part), (keys, None), (&mut progress, &mut waiting)).await?;
            while !waiting.is_empty() {
                sleep_until(waiting.iter().map(Candidate::due).min().unwrap_or_else(Instant::now)).await;
                found.extend(self.settle(run, entity, (&mut progress, &mut waiting), stop).await?);
            }
            progress.done = true;
            progress.total = known;
            self.save((run, entity, part), (&progress, &waiting), found).await?;
        }
        Ok(())
    }

    /// Keys of what a person owns, by entity: the person first.
    async fn possessions(&self, run: &Run) -> Result<Vec<(EntityIndex, Vec<Key>)>> {
        let Some(person) = &run.asked.person else { return Ok(Vec::new()) };
        let index = |name: &str| {
            let found = (0..=u16::MAX).zip(self.entities).find(|(_, entity)| entity.name == name);
            found.map(|(index, _)| EntityIndex(index)).ok_or_else(|| Error::halt("the person's entity is not mapped"))
        };
        let own = index(&person.entity)?;
        let legacy: Option<LegacyId> = person.legacy_id.as_deref().and_then(|id| id.parse().ok());
        let first = legacy.map(SideId::Legacy).or(person.renaissance_id.map(SideId::Renaissance));
        let mut keys: Vec<(EntityIndex, Vec<Key>)> = vec![(own, Vec::new())];
        let mut add = |entity: EntityIndex, id: SideId| {
            let key = Key { entity, id };
            match keys.iter_mut().find(|(known, _)| *known == entity) {
                Some((_, keys)) if keys.contains(&key) => {}
                Some((_, keys)) => keys.push(key),
                None => keys.push((entity, vec![key])),
            }
        };
        first.into_iter().for_each(|id| add(own, id));
        if let (Some(legacy), Some(row)) = (legacy, person.renaissance_id) {
            let owned = self.reconciler.renaissance().possessions(legacy, row).await?;
            owned.linked.iter().for_each(|(entity, id, ..)| add(*entity, SideId::Legacy(*id)));
            owned.unlinked.iter().for_each(|(entity, id)| add(*entity, SideId::Renaissance(*id)));
        }
        if let Some(legacy) = legacy {
            let documents = documents(self.reconciler.legacy(), self.entities, &[legacy]).await?;
            documents.into_iter().for_each(|(entity, id)| add(entity, SideId::Legacy(id)));
        }
        Ok(keys)
    }

    /// Compares a chunk once; what differs has to be looked at again.
    async fn first_look(
        &self,
        (entity, part): (EntityIndex, Part),
        (mut keys, both): (Vec<Key>, Option<Both>),
        (progress, waiting): (&mut Progress, &mut Vec<Candidate>),
    ) -> Result<()> {
        if let Some(both) = both {
            let glance = self.reconciler.glance(entity, both).await?;
            let equal = i64::try_from(glance.equal).unwrap_or(i64::MAX);
            progress.counts.compared += equal;
            progress.counts.equal += equal;
            keys.extend(glance.others.into_iter().map(|id| Key { entity, id: SideId::Legacy(id) }));
        }
        // one half is decided about while the other is read
        let (some, others) = keys.split_at(keys.len() / 2);
        let compare = |keys| self.reconciler.compare(entity, keys);
        let (some, others) = tokio::try_join!(compare(some), compare(others))?;
        for seen in some.into_iter().chain(others) {
            if !belongs(part, &seen) {
                continue;
            }
            progress.counts.compared += 1;
            match seen.standing {
                Standing::Equal | Standing::Waiting => count(progress, &seen),
                Standing::Differs(_) | Standing::NotVisible => waiting.push(Candidate::new(seen)),
            }
        }
        Ok(())
    }

    /// One round over the candidates; what it settled.
    async fn settle(
        &self,
        run: &Run,
        entity: EntityIndex,
        (progress, waiting): (&mut Progress, &mut Vec<Candidate>),
        stop: &CancellationToken,
    ) -> Result<Vec<Found>> {
        let told = self.round(entity, waiting).await?;
        told.cleared.iter().for_each(|seen| count(progress, seen));
        let unsettled = told.unsettled.iter().map(|one| self.found(entity, one, State::Unsettled));
        let mut found: Vec<Found> = unsettled.collect();
        if run.asked.repair && !run.asked.dry_run && !told.differing.is_empty() {
            found.extend(self.repair(run, entity, &told.differing, stop).await?);
        } else {
            found.extend(told.differing.iter().map(|one| self.found(entity, one, State::Differs)));
        }
        self.know_parked(entity, &mut found).await?;
        for one in &found {
            let counts = &mut progress.counts;
            *match one.state {
                State::Candidate | State::Unsettled => &mut counts.unsettled,
                State::Differs => &mut counts.differing,
                State::Repaired => &mut counts.repaired,
                State::Parked => &mut counts.parked,
            } += 1;
        }
        Ok(found)
    }

    /// What a database refuses is parked: it would be written if it could be, and is listed already.
    async fn know_parked(&self, entity: EntityIndex, found: &mut [Found]) -> Result<()> {
        let mut differing: Vec<&mut Found> = found.iter_mut().filter(|one| one.state == State::Differs).collect();
        let records: Vec<_> = differing.iter().map(|one| (one.legacy, one.renaissance)).collect();
        for (place, field) in self.reconciler.renaissance().parked_of(entity, &records).await? {
            let Some(one) = differing.get_mut(place) else { continue };
            match field {
                None => one.state = State::Parked,
                Some(field) => {
                    let had = !one.fields.is_empty();
                    one.fields.retain(|(name, _)| *name != field);
                    if had && one.fields.is_empty() {
                        one.state = State::Parked;
                    }
                }
            }
        }
        Ok(())
    }

    async fn save(
        &self,
        (run, entity, part): (&Run, EntityIndex, Part),
        (progress, waiting): (&Progress, &[Candidate]),
        mut found: Vec<Found>,
    ) -> Result<()> {
        let counts = progress.counts;
        if counts.differing + counts.repaired + counts.unsettled > KEPT {
            found.clear();
        }
        found.extend(waiting.iter().map(|one| self.found(entity, one, State::Candidate)));
        self.reconciler.renaissance().save_verified(run.id, entity, part, progress, &found).await
    }

    /// Tells people how far it is.
    fn tell(&self, (entity, part): (EntityIndex, Part), progress: &Progress, walked: u64) {
        let side = match part {
            Part::Documents => Side::Legacy,
            Part::Rows => Side::Renaissance,
            Part::Links | Part::Person => return,
        };
        let (done, known) = (progress.done, |number: i64| u64::try_from(number).unwrap_or(0));
        let records = self.status.walked(entity, side, SweepKind::Verify) + walked;
        let total = progress.total.map(known);
        self.status.swept(Swept {
            entity,
            side,
            kind: SweepKind::Verify,
            chunk: walked,
            records,
            parked: 0,
            total,
            done,
        });
    }

    /// A candidate for the state.
    pub(super) fn found(&self, entity: EntityIndex, one: &Candidate, state: State) -> Found {
        let difference = one.seen.as_ref().and_then(|seen| match &seen.standing {
            Standing::Differs(difference) => Some(difference),
            Standing::Equal | Standing::Waiting | Standing::NotVisible => None,
        });
        let name = |n: usize| {
            let fields = self.entities.get(usize::from(entity.0)).map(|entity| &entity.fields);
            fields.and_then(|fields| fields.get(n)).map(|field| field.name.clone()).unwrap_or_default()
        };
        let (what, moved, fields) = match difference {
            Some(Difference::Fields(fields)) => {
                let first = fields.first().map(|(_, moved)| *moved);
                let all = first.filter(|first| fields.iter().all(|(_, moved)| moved == first));
                let named = fields.iter().map(|(n, moved)| (name(*n), moved.as_str())).collect();
                ("fields", Some(all.unwrap_or(Moved::Both)), named)
            }
            Some(Difference::MissingIn(Side::Legacy, moved)) => ("missing_in_legacy", Some(*moved), Vec::new()),
            Some(Difference::MissingIn(Side::Renaissance, moved)) => {
                ("missing_in_renaissance", Some(*moved), Vec::new())
            }
            Some(Difference::NotLinked) => ("not_linked", None, Vec::new()),
            Some(Difference::NotNamed) => ("not_named", None, Vec::new()),
            Some(Difference::Gone) => ("gone", None, Vec::new()),
            None => ("unknown", None, Vec::new()),
        };
        let writes = one.seen.as_ref().map_or([false; 2], |seen| seen.writes);
        let sides = Side::ALL.into_iter().zip(writes).filter(|(_, writes)| *writes);
        Found {
            legacy: one.legacy,
            renaissance: one.renaissance,
            state,
            rounds: one.rounds,
            what,
            moved: moved.map(Moved::as_str),
            fields,
            writes: sides.map(|(side, _)| side.as_str()).collect(),
        }
    }
}

/// Whether a part is about a record: each is met in one of them.
const fn belongs(part: Part, seen: &Compared) -> bool {
    match part {
        Part::Documents | Part::Person => true,
        Part::Rows => !matches!(
            seen.standing,
            Standing::Differs(
                Difference::Fields(_)
                    | Difference::NotLinked
                    | Difference::NotNamed
                    | Difference::MissingIn(Side::Renaissance, _)
            )
        ),
        Part::Links => matches!(seen.standing, Standing::Differs(Difference::Gone)),
    }
}

fn count(progress: &mut Progress, seen: &Compared) {
    let counts = &mut progress.counts;
    if seen.standing == Standing::Equal {
        counts.equal += 1;
    } else if seen.waiting.iter().all(|(_, reason)| *reason == Reason::Paused) {
        counts.paused += 1;
    } else {
        counts.parked += 1;
    }
}
