//! Taking batches from the queue to the reconciler and their outcome to the queue and to people.

mod changed;
mod flight;
mod parked;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::OptionFuture, stream::FuturesUnordered};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::{
    changed::unlike_before,
    flight::{Flight, Next},
    parked::ToldParked,
};
use super::{
    plan::Effect,
    ports::{LegacyStore, RenaissanceStore},
    queue::HintQueue,
    reconcile::{Ahead, BatchReport, Crossing, Door, Footprint, Reconciler},
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
        key::{EntityIndex, Key},
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
    /// Reconciles until `stop`; what is under way then is finished.
    pub async fn run(&self, stop: &CancellationToken) -> Result<()> {
        let mut pacing = Pacing {
            backoff: Backoff::new(Policy::CONNECTION),
            failures: Failures::default(),
            size: Size::new(self.batch),
            woken: Woken::default(),
            parked: ToldParked::default(),
        };
        let mut flight = Flight::default();
        let (mut running, mut reading) = (FuturesUnordered::new(), None);
        while !stop.is_cancelled() {
            self.status.turned(NAME);
            pacing.woken.offer(self.queue).await;
            if let Some(next) = flight.ready(|taken, ahead, beside| self.stands(taken, ahead, beside)) {
                if let Some(next) = self.unless_stopped(next) {
                    running.push(self.batch(flight.begin(next.taken.len()), next));
                }
                continue;
            }
            let takes = reading.is_none() && flight.takes(self.queue.size().0, pacing.size.now());
            let failed = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = running.next() => self.end(ended, &mut flight, &mut pacing).await,
                () = flight.opened() => None,
                next = get_on(&mut reading) => {
                    flight.queue(next);
                    None
                }
                taken = self.queue.take(pacing.size.now()), if takes => {
                    if flight.is_empty() {
                        flight.queue(Next { taken, ahead: None });
                    } else {
                        flight.reads();
                        reading = Some(Box::pin(self.read_ahead(taken)));
                    }
                    None
                }
                () = tokio::time::sleep(Duration::from_secs(1)) => None,
            };
            if let Some(failed) = failed {
                let others = self.finish_all(&mut running, reading.take(), (&mut flight, &mut pacing));
                let others = self.turning(others).await;
                self.take_back(std::iter::once(failed).chain(others), &mut pacing, stop).await?;
            }
        }
        let failed = self.turning(self.finish_all(&mut running, reading, (&mut flight, &mut pacing))).await;
        failed.into_iter().for_each(|failed| self.put_back(failed.taken, Duration::ZERO));
        self.status.ended(NAME);
        Ok(())
    }

    /// The batch, unless its entity is not to be reconciled now.
    fn unless_stopped(&self, next: Next) -> Option<Next> {
        let entity = next.taken.first()?.key.entity;
        let wait = self.reconciler.stops().holds(entity, Stop::Reconciling);
        wait.iter().for_each(|wait| self.hold(&next.taken, *wait));
        wait.is_none().then_some(next)
    }

    async fn batch(&self, (number, door): (u64, Door), Next { taken, ahead }: Next) -> Ended {
        let entity = taken.first().map_or(EntityIndex(0), |one| one.key.entity);
        let (began, span) = (Instant::now(), self.span(entity, taken.len()));
        let outcome = self.reconciler.reconcile(entity, &taken, ahead, &door).instrument(span).await;
        Ended { number, entity, taken, outcome, took: began.elapsed() }
    }

    fn stands(&self, taken: &[Taken], ahead: &Ahead, beside: &Footprint) -> bool {
        taken.first().is_some_and(|one| self.reconciler.stands(one.key.entity, ahead, beside))
    }

    /// Reads a batch while others are written.
    async fn read_ahead(&self, taken: Vec<Taken>) -> Next {
        let entity = taken.first().map(|one| one.key.entity);
        let entity = entity.filter(|entity| self.reconciler.stops().holds(*entity, Stop::Reconciling).is_none());
        let ahead = match entity {
            Some(entity) => self.reconciler.read_ahead(entity, &taken).await,
            None => None,
        };
        Next { taken, ahead }
    }

    /// Takes note of a batch that has ended; gives back one that has failed.
    async fn end(&self, ended: Ended, flight: &mut Flight, pacing: &mut Pacing) -> Option<Failed> {
        let Ended { number, entity, taken, outcome, took } = ended;
        match outcome {
            Ok(mut report) => {
                flight.ended(number, Some(Arc::clone(&report.footprint)));
                pacing.woken.add(&mut report.woken);
                // before the batch is done: a queue that looks empty may be closed
                pacing.woken.offer(self.queue).await;
                pacing.backoff.reset();
                pacing.size.grow();
                pacing.failures.succeeded(NAME);
                self.status.recovered(NAME);
                for (entity, report) in
                    std::iter::once((entity, &report)).chain(report.pulled.iter().map(|(e, r)| (*e, r)))
                {
                    pacing.parked.tell(self.name(entity), &report.parked);
                }
                self.finish(entity, &taken, report, took);
                None
            }
            Err(error) => {
                flight.ended(number, None);
                Some(Failed { entity, taken, error })
            }
        }
    }

    /// Waits for everything that is under way; what has failed of it. What was only read is put back: it may rest on what now has
    /// to be settled first.
    async fn finish_all(
        &self,
        running: &mut FuturesUnordered<impl Future<Output = Ended>>,
        reading: Option<impl Future<Output = Next>>,
        (flight, pacing): (&mut Flight, &mut Pacing),
    ) -> Vec<Failed> {
        let mut failed = Vec::new();
        let ending = async {
            while let Some(ended) = running.next().await {
                failed.extend(self.end(ended, flight, pacing).await);
            }
            flight.take_next()
        };
        let (waiting, read) = tokio::join!(ending, OptionFuture::from(reading));
        for next in waiting.into_iter().chain(read) {
            self.put_back(next.taken, Duration::ZERO);
        }
        failed
    }

    /// Puts keys back whose batches have failed, and waits where that is of use. An error ends the loop.
    async fn take_back(
        &self,
        failed: impl Iterator<Item = Failed>,
        pacing: &mut Pacing,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut errors = Vec::new();
        for Failed { entity, taken, error } in failed {
            let records = taken.len();
            if error.is_blocked() {
                self.hold(&taken, self.stop(entity, Stop::Reconciling, &error));
                continue;
            }
            self.put_back(taken, Duration::ZERO);
            if error.is_too_much() && records > 1 {
                pacing.size.halve(records);
                tracing::debug!(records = pacing.size.now(), "{error}");
            } else {
                errors.push(error);
            }
        }
        let is_final = |error: &Error| error.disposition() == Disposition::Halt;
        let Some(error) = errors.into_iter().max_by_key(is_final) else { return Ok(()) };
        self.status.failed(NAME, &error);
        if is_final(&error) {
            self.status.ended(NAME);
            return Err(error.during(NAME));
        }
        pacing.failures.failed(NAME, &error);
        self.status.retry_after(&error);
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.turning(tokio::time::sleep(pacing.backoff.after(&error))) => {}
        }
        Ok(())
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
            let (keys, doors) = unlike_before(entity, report);
            self.status.directory().settled(index, &keys, &doors);
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

const fn side_index(side: Side) -> usize {
    match side {
        Side::Legacy => 0,
        Side::Renaissance => 1,
    }
}

/// What the loop learns from how batches end.
struct Pacing {
    backoff: Backoff,
    failures: Failures,
    size: Size,
    woken: Woken,
    parked: ToldParked,
}

/// A batch with what became of it.
struct Ended {
    number: u64,
    entity: EntityIndex,
    taken: Vec<Taken>,
    outcome: Result<BatchReport>,
    took: Duration,
}

/// A batch of which nothing is settled.
struct Failed {
    entity: EntityIndex,
    taken: Vec<Taken>,
    error: Error,
}

/// Gets on with something that may have begun, to its end. Cancel safe.
async fn get_on<F: Future + Unpin>(begun: &mut Option<F>) -> F::Output {
    let Some(rest) = begun else { return std::future::pending().await };
    let output = rest.await;
    *begun = None;
    output
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
