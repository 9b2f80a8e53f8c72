//! Walking the records of an entity in chunks; progress is saved with what was found.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Verifier, rounds::Candidate};
use crate::{
    error::{Error, Result},
    model::{
        digest::Digest,
        fact::SweepKind,
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
        problem::Reason,
        side::Side,
        value::Value,
    },
    sync::{
        belongings::documents,
        ports::{
            CutoverStore, Found, HealingStore, LegacyStore, Listed, Part, Progress, RenaissanceStore, Run, Source,
            State, VerifyStore,
        },
        queue::HintQueue,
        reconcile::{Both, Compared, Difference, Moved, Standing},
        status::Swept,
    },
};

/// How many times more records are read at once where both sides are read from end to end: a chunk is made for looking each up.
const ALONG: u32 = 4;
/// The same where only ids are read.
const IDS_ALONG: u32 = 10;
/// Candidates that may wait to be looked at again while the walk goes on.
const WAITING: usize = 1000;
/// How often progress is saved, with what was found since.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Findings of one part that are kept one by one; beyond them there is only the count.
const KEPT: i64 = 10_000;

/// Some records to compare.
#[derive(Default)]
struct Chunk {
    keys: Vec<Key>,
    /// Records that are read from both sides.
    both: Option<Both>,
    /// The last record walked, as text; `None` at the end.
    last: Option<String>,
    walked: u64,
}

impl<L, R, SL, SR, Q> Verifier<'_, L, R, SL, SR, Q>
where
    L: LegacyStore,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore,
    SL: Source,
    SR: Source,
    Q: HintQueue,
{
    /// Compares one part of an entity, from where it was to its end.
    pub(super) async fn walk(
        &self,
        run: &Run,
        (entity, part): (EntityIndex, Part),
        stop: &CancellationToken,
    ) -> Result<()> {
        let store = self.reconciler.renaissance();
        let mut progress = store.verified(run.id, entity, part).await?;
        if progress.done {
            return Ok(());
        }
        let suspects = store.suspects(run.id, entity, part).await?;
        let mut waiting: Vec<Candidate> = suspects.iter().map(Candidate::known).collect();
        let (mut found, mut saved) = (Vec::new(), Instant::now());
        let (total, first) =
            tokio::try_join!(self.total(entity, part), self.chunk((run, entity, part), progress.after.as_deref()))?;
        progress.total = total;
        let mut next = Some(first);
        let mut chunk = self.whole(entity, &mut next).await?;
        next = self.following((run, entity, part), chunk.last.as_deref()).await?;
        loop {
            self.until_streaming(stop).await?;
            self.pace(run).spend(chunk.walked, stop).await;
            if stop.is_cancelled() {
                return Err(Error::retry("the bridge is stopping"));
            }
            // while these are compared, the rows of the next ones are read, and what comes after those
            let far = next.as_ref().and_then(|next| next.last.clone());
            let records = (std::mem::take(&mut chunk.keys), chunk.both.take());
            let look = self.first_look((entity, part), records, (&mut progress, &mut waiting));
            let ahead = self.following((run, entity, part), far.as_deref());
            let (mut ahead, whole, ()) = tokio::try_join!(ahead, self.whole(entity, &mut next), look)?;
            if whole.last != far {
                ahead = self.following((run, entity, part), whole.last.as_deref()).await?;
            }
            found.extend(self.settle(run, entity, (&mut progress, &mut waiting), stop).await?);
            while !waiting.is_empty() && (chunk.last.is_none() || waiting.len() > WAITING) {
                let due = waiting.iter().map(Candidate::due).min().unwrap_or_else(Instant::now);
                sleep_until(due).await;
                self.until_streaming(stop).await?;
                found.extend(self.settle(run, entity, (&mut progress, &mut waiting), stop).await?);
            }
            progress.done = chunk.last.is_none();
            progress.after = chunk.last.take().or(progress.after);
            self.tell((entity, part), &progress, chunk.walked);
            if progress.done || saved.elapsed() >= SAVE_EVERY {
                let found = std::mem::take(&mut found);
                self.save((run, entity, part), (&progress, &waiting), found).await?;
                saved = Instant::now();
            }
            if progress.done {
                return Ok(());
            }
            (chunk, next) = (whole, ahead);
        }
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

    /// The chunk after this record; `None` behind the last one.
    async fn following(&self, of: (&Run, EntityIndex, Part), last: Option<&str>) -> Result<Option<Chunk>> {
        match last {
            Some(last) => Ok(Some(self.chunk(of, Some(last)).await?)),
            None => Ok(None),
        }
    }

    /// A chunk with the rows of its links; it ends sooner where they take too much room.
    async fn whole(&self, entity: EntityIndex, chunk: &mut Option<Chunk>) -> Result<Chunk> {
        let Some(mut chunk) = chunk.take() else { return Ok(Chunk::default()) };
        if let Some(both) = &mut chunk.both {
            let links = both.take_links();
            let wanted = links.len();
            let rows = self.reconciler.renaissance().rows_along(entity, links).await?;
            let fewer = rows.len() < wanted;
            both.add_rows(rows, fewer);
            chunk.walked = both.len() as u64;
            chunk.last = both.last().map(|id| id.to_string());
        }
        Ok(chunk)
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

    async fn chunk(&self, (run, entity, part): (&Run, EntityIndex, Part), after: Option<&str>) -> Result<Chunk> {
        let (limit, store) = (self.pace(run).chunk(), self.reconciler.renaissance());
        let key = |id| Key { entity, id };
        let malformed = || Error::halt("the saved progress of a comparison is not an id");
        let is_whole = run.asked.percent.is_none();
        let paused = self.reconciler.pauses().now().entirely(entity).is_some();
        match part {
            Part::Documents | Part::Links => {
                let after = after.map(|id| id.parse::<LegacyId>().map_err(|_| malformed())).transpose()?;
                if is_whole && part == Part::Documents && !paused {
                    let limit = limit.saturating_mul(ALONG);
                    let documents = self.reconciler.legacy().stretch(entity, after, limit);
                    let (documents, links) = tokio::try_join!(documents, store.links_along(entity, after, limit))?;
                    let both = Both::new(documents, links);
                    let last = both.last().map(|id| id.to_string());
                    return Ok(Chunk { both: Some(both), last, ..Chunk::default() });
                }
                let page = match part {
                    Part::Links => store.lone_links(entity, after, limit).await?,
                    _ => self.reconciler.legacy().page(entity, after, limit, Listed::All).await?,
                };
                let listed = page.listed.into_iter().filter(|id| is_sampled(run, &Value::Id(id.bytes())));
                let keys = listed.map(|id| key(SideId::Legacy(id))).collect();
                Ok(Chunk { keys, last: page.last.map(|id| id.to_string()), walked: page.walked, both: None })
            }
            Part::Rows => {
                let after = after.map(|id| id.parse::<RenaissanceId>().map_err(|_| malformed())).transpose()?;
                if is_whole {
                    let page = store.unlinked_page(entity, after, limit.saturating_mul(IDS_ALONG)).await?;
                    let keys = page.listed.into_iter().map(|id| key(SideId::Renaissance(id))).collect();
                    return Ok(Chunk {
                        keys,
                        last: page.last.map(|id| id.to_string()),
                        walked: page.walked,
                        both: None,
                    });
                }
                let rows = store.linked_page(entity, after, limit).await?;
                let (last, walked) = (rows.last().map(|(id, _)| id.to_string()), rows.len() as u64);
                Ok(Chunk { keys: self.without_document(run, entity, rows).await?, last, walked, both: None })
            }
            Part::Person => Err(Error::halt("what a person owns is not walked")),
        }
    }

    /// Of these rows, those without a document: the others were compared with theirs.
    async fn without_document(
        &self,
        run: &Run,
        entity: EntityIndex,
        mut rows: Vec<(RenaissanceId, Option<LegacyId>)>,
    ) -> Result<Vec<Key>> {
        rows.retain(|(row, legacy)| {
            is_sampled(run, &legacy.map_or(Value::Int(*row), |legacy| Value::Id(legacy.bytes())))
        });
        let linked: Vec<LegacyId> = rows.iter().filter_map(|(_, legacy)| *legacy).collect();
        let there = self.reconciler.legacy().present(entity, &linked).await?;
        let wanted = rows.iter().filter(|(_, legacy)| legacy.is_none_or(|legacy| !there.contains(&legacy)));
        Ok(wanted.map(|(row, _)| Key { entity, id: SideId::Renaissance(*row) }).collect())
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

/// Whether a record is in the sample: the same ones each time, and a smaller share within a larger one.
fn is_sampled(run: &Run, id: &Value) -> bool {
    run.asked.percent.is_none_or(|percent| (Digest::of(id).to_bits() % 10_000) as f64 / 100.0 < percent)
}
