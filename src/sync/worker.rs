//! Taking batches from the queue to the reconciler and their outcome to the queue and to people.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    pin::{Pin, pin},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    plan::Effect,
    ports::{LegacyStore, RenaissanceStore},
    queue::HintQueue,
    reconcile::{Ahead, BatchReport, Crossing, Footprint, Reconciler},
    room::Size,
    status::{self, Status},
    stops::Stop,
    tracker::{Lane, Taken},
    trail::{Step, legacy_key},
};
use crate::{
    error::{Disposition, Error, Result},
    model::{
        fact::{Reconciled, RetryClass},
        hint::{Freshness, Hint},
        key::{EntityIndex, Key, SideId},
        mapping::Entity,
        side::{Direction, Side},
    },
    retry::{Backoff, Failures, Policy},
};

/// How soon a key that lost a race is tried again, times the attempts so far.
const AFTER_LOST_RACE: Duration = Duration::from_millis(10);
/// How soon a change that was not visible yet is looked for again, times the attempts so far.
const UNTIL_VISIBLE: Duration = Duration::from_millis(2);
/// The longest any of them waits.
const LONGEST: Duration = Duration::from_secs(1);
/// Woken keys held back at most while the queue is full.
const MOST_WOKEN: usize = 50_000;
/// The name under which the loop reports.
pub const NAME: &str = "reconciling";

/// The loop that reconciles.
pub struct Worker<'a, L, R, Q> {
    /// What it drives.
    pub reconciler: &'a Reconciler<L, R>,
    /// Where keys come from.
    pub queue: &'a Q,
    /// What people see.
    pub status: &'a Status,
    /// The mapped entities.
    pub entities: &'a [Entity],
    /// Keys per batch at most.
    pub batch: usize,
}

impl<L: LegacyStore, R: RenaissanceStore, Q: HintQueue> Worker<'_, L, R, Q> {
    /// Reconciles until `stop`, which takes effect between batches.
    pub async fn run(&self, stop: &CancellationToken) -> Result<()> {
        let (mut backoff, mut failures) = (Backoff::new(Policy::CONNECTION), Failures::default());
        let (mut woken, mut next, mut former) = (Woken::default(), None, Footprint::default());
        let mut size = Size::new(self.batch);
        loop {
            self.status.turned(NAME);
            woken.offer(self.queue).await;
            if stop.is_cancelled() {
                break;
            }
            let Next { taken, ahead } = match next.take() {
                Some(next) => next,
                None => tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                    taken = self.queue.take(size.now()) => Next { taken, ahead: None },
                },
            };
            let Some(entity) = taken.first().map(|one| one.key.entity) else { continue };
            if let Some(wait) = self.reconciler.stops().holds(entity, Stop::Reconciling) {
                self.hold(&taken, wait);
                continue;
            }
            let started = Instant::now();
            let reconciling = self.reconciler.reconcile(entity, &taken, ahead.map(|ahead| (ahead, &former)));
            let reconciling = reconciling.instrument(self.span(entity, taken.len()));
            let (outcome, looking) = beside(self.turning(reconciling), self.look_ahead(taken.len(), size.now())).await;
            match outcome {
                Ok(mut report) => {
                    former = std::mem::take(&mut report.footprint);
                    woken.add(&mut report.woken);
                    // before the batch is done: a queue that looks empty may be closed
                    woken.offer(self.queue).await;
                    backoff.reset();
                    size.grow();
                    failures.succeeded(NAME);
                    self.status.recovered(NAME);
                    self.finish(entity, &taken, report, started.elapsed());
                    next = self.turning(looking.end()).await;
                }
                Err(error) => {
                    // what was read may rest on what now has to be settled first
                    let read = self.turning(looking.end()).await.map(|next| next.taken).unwrap_or_default();
                    self.put_back(read, Duration::ZERO);
                    if error.is_blocked() {
                        self.hold(&taken, self.stop(entity, Stop::Reconciling, &error));
                        continue;
                    }
                    let records = taken.len();
                    self.put_back(taken, Duration::ZERO);
                    if error.is_too_much() && records > 1 {
                        size.halve(records);
                        tracing::debug!(records = size.now(), "{error}");
                        continue;
                    }
                    self.status.failed(NAME, &error);
                    if error.disposition() == Disposition::Halt {
                        self.status.ended(NAME);
                        return Err(error.during(NAME));
                    }
                    failures.failed(NAME, &error);
                    self.status.retry_after(&error);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = self.turning(tokio::time::sleep(backoff.after(&error))) => {}
                    }
                }
            }
        }
        self.put_back(next.map(|next| next.taken).unwrap_or_default(), Duration::ZERO);
        self.status.ended(NAME);
        Ok(())
    }

    /// Takes and reads the next batch, if a full one is waiting: smaller ones are better left to grow.
    async fn look_ahead(&self, present: usize, most: usize) -> Option<Next> {
        if self.queue.size().0 < present + most {
            return None;
        }
        let taken = tokio::time::timeout(Duration::ZERO, self.queue.take(most)).await.ok()?;
        let entity = taken.first()?.key.entity;
        if self.reconciler.stops().holds(entity, Stop::Reconciling).is_some() {
            return Some(Next { taken, ahead: None });
        }
        Some(Next { ahead: self.reconciler.read_ahead(entity, &taken).await, taken })
    }

    fn put_back(&self, taken: Vec<Taken>, delay: Duration) {
        self.queue.put_back(taken.into_iter().map(|one| one.key).collect(), delay);
    }

    fn hold(&self, taken: &[Taken], delay: Duration) {
        self.queue.hold(&taken.iter().map(|one| one.key).collect::<Vec<_>>(), delay);
    }

    fn name(&self, entity: EntityIndex) -> &str {
        self.entities.get(usize::from(entity.0)).map_or("", |entity| entity.name.as_str())
    }

    /// Something is refused for everybody. How long what needs it has to wait.
    fn stop(&self, entity: EntityIndex, what: Stop, error: &Error) -> Duration {
        let name = self.name(entity);
        self.status.failed(what.place(name), error);
        self.status.retry_after(error);
        self.reconciler.stops().stop((entity, name), what, error)
    }

    fn go_on(&self, entity: EntityIndex, what: Stop) {
        let name = self.name(entity);
        if self.reconciler.stops().go_on((entity, name), what) {
            self.status.recovered(&what.place(name));
        }
    }

    /// Notes which sides take writes of an entity and which do not.
    fn see_blocked(&self, entity: EntityIndex, report: &BatchReport) {
        for side in Side::ALL {
            match report.blocked.iter().find(|(blocked, _)| *blocked == side) {
                Some((_, why)) => _ = self.stop(entity, Stop::WritingTo(side), why),
                None if report.effects.iter().any(|effect| effect.writes[side_index(side)]) => {
                    self.go_on(entity, Stop::WritingTo(side));
                }
                None => {}
            }
        }
    }

    /// Keys that need a side that takes no writes wait until it is tried again.
    fn put_held_back(&self, entity: EntityIndex, held: &[(Side, Key)]) {
        for side in Side::ALL {
            let keys: Vec<Key> = held.iter().filter(|(of, _)| *of == side).map(|(_, key)| *key).collect();
            if !keys.is_empty() {
                let wait = self.reconciler.stops().holds(entity, Stop::WritingTo(side)).unwrap_or_default();
                self.queue.hold(&keys, wait);
            }
        }
    }

    /// Awaits something long while still reporting that the loop turns: waiting for a database is not being stuck.
    async fn turning<T>(&self, future: impl Future<Output = T>) -> T {
        tokio::pin!(future);
        loop {
            tokio::select! {
                biased;
                result = &mut future => return result,
                () = tokio::time::sleep(Duration::from_secs(1)) => self.status.turned(NAME),
            }
        }
    }

    /// Around whatever is logged while a batch is reconciled.
    fn span(&self, entity: EntityIndex, records: usize) -> tracing::Span {
        let entity = self.entities.get(usize::from(entity.0)).map_or("", |entity| entity.name.as_str());
        tracing::info_span!("batch", entity, records)
    }

    fn finish(&self, entity: EntityIndex, taken: &[Taken], report: BatchReport, took: Duration) {
        self.go_on(entity, Stop::Reconciling);
        self.trace(entity, taken, &report);
        self.tell(entity, taken, &report, took);
        self.see_blocked(entity, &report);
        for (entity, first) in &report.pulled {
            self.trace(*entity, &[], first);
            self.tell(*entity, &[], first, took);
            self.see_blocked(*entity, first);
        }
        self.put_held_back(entity, &report.held);
        let attempts: HashMap<Key, u32> = taken.iter().map(|one| (one.key, one.attempts)).collect();
        let longest = |keys: &[Key]| keys.iter().filter_map(|key| attempts.get(key)).copied().max().unwrap_or(0) + 1;
        for (keys, step, class) in [
            (report.lost, AFTER_LOST_RACE, RetryClass::LostRace),
            (report.not_visible, UNTIL_VISIBLE, RetryClass::NotVisible),
        ] {
            if !keys.is_empty() {
                keys.iter().for_each(|key| self.status.retry(key.id.side(), class));
                let delay = (step * longest(&keys)).min(LONGEST);
                self.queue.put_back(keys, delay);
            }
        }
        self.queue.done(report.settled);
        let (keys, bytes) = self.queue.size();
        self.status.queue(keys, bytes);
    }

    /// Leaves in the trail what was done about each record. A sweep's visit that changes nothing leaves nothing.
    fn trace(&self, index: EntityIndex, taken: &[Taken], report: &BatchReport) {
        let hints = taken.iter().filter_map(|one| Some((one.key, Step::Hint(one.committed_at?))));
        let crossed = report.crossings.iter().map(|one| {
            (legacy_key(index, one.legacy_id), Step::Crossed(one.direction, one.fields.clone().into_boxed_slice()))
        });
        let lost = report.lost.iter().map(|key| (*key, Step::LostRace));
        let hidden = report.not_visible.iter().map(|key| (*key, Step::NotVisible));
        self.reconciler.trail().add(hints.chain(crossed).chain(lost).chain(hidden));
    }

    fn tell(&self, index: EntityIndex, taken: &[Taken], report: &BatchReport, took: Duration) {
        if let Some(entity) = self.entities.get(usize::from(index.0)) {
            self.status.directory().settled(index, &unlike_before(entity, report));
        }
        for effect in &report.effects {
            self.status.reconciled(index, outcome(*effect), 1);
        }
        for row in &report.conflicts {
            self.status.conflict(index, row.field.as_deref(), row.policy, row.winner);
        }
        let committed: HashMap<Key, Option<i64>> = taken.iter().map(|one| (one.key, one.committed_at)).collect();
        let Some(entity) = self.entities.get(usize::from(index.0)) else { return };
        for direction in Direction::ALL {
            let crossed: Vec<&Crossing> = report.crossings.iter().filter(|c| c.direction == direction).collect();
            if crossed.is_empty() {
                continue;
            }
            self.status.batch(direction, crossed.len(), took);
            let at = crossed.iter().map(|one| one.key.and_then(|key| committed.get(&key).copied().flatten()));
            let shown = crossed.iter().rev().take(10).rev().map(|one| shown(entity, one));
            self.status.applied(direction, at.collect::<Vec<_>>(), shown.collect::<Vec<_>>());
        }
    }
}

/// The keys of a batch without those whose records have only exchanged fields that nobody is known by.
fn unlike_before(entity: &Entity, report: &BatchReport) -> Vec<Key> {
    if report.effects.iter().any(|effect| effect.parks) {
        return report.settled.clone();
    }
    let logins = entity.logins.iter().map(|login| login.field);
    // what a way to log in needs is no field: it may have changed along with one
    let beside = entity.logins.iter().any(|login| login.needs.is_some());
    let names: HashSet<usize> = entity.natural_keys.iter().flatten().copied().chain(logins).collect();
    let (mut alike, mut unlike, mut keys) = (HashSet::new(), HashSet::new(), HashSet::new());
    for crossing in &report.crossings {
        let any = beside && crossing.direction == Direction::RenaissanceToLegacy;
        if any || crossing.fields.is_empty() || crossing.fields.iter().any(|field| names.contains(field)) {
            unlike.insert(crossing.legacy_id);
        } else {
            alike.insert(crossing.legacy_id);
        }
    }
    let same = |crossing: &&Crossing| !unlike.contains(&crossing.legacy_id);
    keys.extend(report.crossings.iter().filter(same).filter_map(|crossing| crossing.key));
    let is_alike = |key: &Key| match key.id {
        SideId::Legacy(id) => alike.contains(&id) && !unlike.contains(&id),
        SideId::Renaissance(_) => keys.contains(key),
    };
    report.settled.iter().filter(|key| !is_alike(key)).copied().collect()
}

const fn side_index(side: Side) -> usize {
    match side {
        Side::Legacy => 0,
        Side::Renaissance => 1,
    }
}

/// The next batch, read while the present one is written.
struct Next {
    taken: Vec<Taken>,
    ahead: Option<Ahead>,
}

/// Something begun that may have come to its end.
enum Begun<F: Future> {
    Done(F::Output),
    Still(Pin<Box<F>>),
}

impl<F: Future> Begun<F> {
    async fn end(self) -> F::Output {
        match self {
            Self::Done(output) => output,
            Self::Still(rest) => rest.await,
        }
    }
}

/// Awaits `first` while `second` gets on as well.
async fn beside<A, F: Future>(first: impl Future<Output = A>, second: F) -> (A, Begun<F>) {
    let (mut first, mut second) = (pin!(first), Box::pin(second));
    tokio::select! {
        biased;
        outcome = &mut first => (outcome, Begun::Still(second)),
        output = &mut second => (first.await, Begun::Done(output)),
    }
}

/// Keys that are to be reconciled again, on their way to the queue. They must not wait for room there, because the worker is who
/// makes room; what finds none is offered again after the next batch.
#[derive(Default)]
struct Woken(BTreeSet<Key>);

impl Woken {
    /// Beyond the most there may be, keys are left to the slow retry of what is parked.
    fn add(&mut self, keys: &mut Vec<Key>) {
        let room = MOST_WOKEN.saturating_sub(self.0.len());
        self.0.extend(keys.drain(..).take(room));
    }

    async fn offer<Q: HintQueue>(&mut self, queue: &Q) {
        while let Some(key) = self.0.first().copied() {
            let hint = Hint { key, freshness: Freshness::Any, committed_at: None };
            let offered = queue.offer(Lane::Sweep(key.id.side()), hint);
            if tokio::time::timeout(Duration::ZERO, offered).await.is_err() {
                return;
            }
            self.0.remove(&key);
        }
    }
}

const fn outcome(effect: Effect) -> Reconciled {
    match effect {
        Effect { writes: [true, true], .. } => Reconciled::Both,
        Effect { writes: [true, false], .. } => Reconciled::ToLegacy,
        Effect { writes: [false, true], .. } => Reconciled::ToRenaissance,
        Effect { writes: [false, false], parks: true } => Reconciled::Parked,
        Effect { writes: [false, false], parks: false } => Reconciled::Unchanged,
    }
}

fn shown(entity: &Entity, crossing: &Crossing) -> status::Crossing {
    let name = |field: &usize| entity.fields.get(*field).map(|field| field.name.clone());
    status::Crossing {
        at: String::new(),
        direction: crossing.direction.to_string(),
        entity: entity.name.clone(),
        legacy_id: crossing.legacy_id.to_string(),
        fields: crossing.fields.iter().filter_map(name).collect(),
        label: crossing.label.clone(),
    }
}
