//! What the daemon knows about itself: one call per fact feeds metrics, probes, status page and `status` alike.

mod history;
mod live;
mod report;

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

pub use history::{History, Moment};
use live::{Live, Running, direction_index, progress, rfc3339, side_index};
pub use report::{
    BatchStatus, Crossing, DirectionReport, EntryReport, ErrorReport, HeadroomReport, HealingReport, LoopReport,
    ParkedReport, PauseReport, QueueReport, SideReport, StatusReport, SweepReport, VerifyReport,
};

use super::{
    directory::Directory,
    ports::{Healing, Verified},
};
use crate::{
    error::Error,
    metrics::{EntityLabels, Metrics},
    model::{
        fact::{DaemonState, Feed, Lag, PersonState, PositionLoss, Reconciled, RetryClass, SlotRoom, SweepKind},
        hint::Position,
        key::EntityIndex,
        mapping::Entity,
        pause::Pauses,
        problem::Reason,
        side::{Direction, Side},
    },
};

/// A loop that has not turned for this long is stuck.
pub const STUCK: Duration = Duration::from_secs(10);
/// From so many keys on the bridge is behind: more than are under way at once when it keeps up.
const BEHIND: usize = 2000;
/// Changes kept for the status page and the sandbox.
const RECENT: usize = 50;

/// One chunk of a sweep, done.
#[derive(Clone, Copy, Debug)]
pub struct Swept {
    /// What is swept.
    pub entity: EntityIndex,
    /// On which side.
    pub side: Side,
    /// Why.
    pub kind: SweepKind,
    /// Records in this chunk.
    pub chunk: u64,
    /// Records so far, former runs included.
    pub records: u64,
    /// How many of them are parked, as no key can name them.
    pub parked: u64,
    /// Estimate of all records.
    pub total: Option<u64>,
    /// Whether it is complete.
    pub done: bool,
}

/// The daemon's live state. Updates are a few atomics or one short lock, never held across an await.
pub struct Status {
    metrics: Metrics,
    started: (Instant, SystemTime),
    hints: [AtomicU64; 2],
    echoes: [AtomicU64; 2],
    applied: [AtomicU64; 2],
    conflicts: AtomicU64,
    live: Mutex<Live>,
    directory: Directory,
}

impl Status {
    /// A daemon that is starting.
    pub fn new(entities: Vec<EntityLabels>) -> Self {
        Self {
            metrics: Metrics::new(entities),
            started: (Instant::now(), SystemTime::now()),
            hints: Default::default(),
            echoes: Default::default(),
            applied: Default::default(),
            conflicts: AtomicU64::new(0),
            live: Mutex::default(),
            directory: Directory::new(&[]),
        }
    }

    /// The same, which also knows the people of these entities once it is told of them.
    #[must_use]
    pub fn knowing(mut self, entities: &[Entity]) -> Self {
        self.directory = Directory::new(entities);
        self
    }

    /// Who is where.
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What the daemon is doing now.
    pub fn state(&self, state: DaemonState) {
        let mut live = self.live();
        let former = live.state.replace(state);
        if state == DaemonState::Standby {
            live.stand_by().iter().for_each(|(entity, reason, _)| self.metrics.parked(*entity, *reason, 0));
            self.metrics.stand_by();
        }
        self.metrics.state(live.shown_state());
        drop(live);
        if former != Some(state) {
            tracing::info!(state = state.as_str(), "the daemon's state has changed");
        }
    }

    /// Whether nothing but following changes is under way: no first copy, no healing.
    pub fn is_streaming(&self) -> bool {
        self.live().state == Some(DaemonState::Streaming)
    }

    /// Whether nothing was copied yet, or a first copy is under way.
    pub fn is_copying(&self) -> bool {
        matches!(self.live().state, None | Some(DaemonState::Starting | DaemonState::Backfilling))
    }

    /// What is paused.
    pub fn pauses(&self, pauses: &Arc<Pauses>) {
        let mut live = self.live();
        if !Arc::ptr_eq(&live.pauses, pauses) {
            live.pauses = Arc::clone(pauses);
            self.metrics.state(live.shown_state());
        }
    }

    /// Whether the daemon decides and journals and writes nothing.
    pub fn shadow(&self, shadow: bool) {
        self.live().shadow = shadow;
    }

    /// How far the connection to a side has come. Coming back after a loss counts as a reconnect.
    pub fn feed(&self, side: Side, feed: Feed) {
        let former = self.live().feeds[side_index(side)].replace(feed);
        if former == Some(Feed::Down) && feed != Feed::Down {
            self.metrics.reconnect(side);
        }
    }

    /// How far a direction is behind. Ages by itself until the next call.
    pub fn lag(&self, direction: Direction, lag: Lag) {
        self.live().lags[direction_index(direction)] = lag;
    }

    /// What the source committed up to then is durable at the other side, and more may be under way. Who has caught up
    /// stays so.
    pub fn durable_up_to(&self, direction: Direction, committed_at: i64) {
        let lag = &mut self.live().lags[direction_index(direction)];
        match lag {
            Lag::CaughtUp => {}
            Lag::Unknown | Lag::Since(_) => *lag = Lag::Since(committed_at),
        }
    }

    /// How far a side's clock is ahead of ours, in microseconds.
    pub fn clock(&self, side: Side, ahead: i64) {
        self.live().clocks[side_index(side)] = Some(ahead);
        self.metrics.clock_skew(side, ahead as f64 / 1e6);
    }

    /// A heartbeat that was left then has just come through; the next one follows after `every`.
    pub fn beat(&self, direction: Direction, left: Instant, every: Duration) {
        self.live().beats[direction_index(direction)] = Some((left, every));
        self.metrics.heartbeat(direction, left.elapsed());
    }

    /// A change was received.
    pub fn hint(&self, side: Side, entity: EntityIndex) {
        self.hints[side_index(side)].fetch_add(1, Ordering::Relaxed);
        self.metrics.hint(side, entity);
    }

    /// The bridge's own writes came back and were dropped.
    pub fn echoes(&self, side: Side, count: u64) {
        self.echoes[side_index(side)].fetch_add(count, Ordering::Relaxed);
        self.metrics.echoes(side, count);
    }

    /// Records were reconciled.
    pub fn reconciled(&self, entity: EntityIndex, outcome: Reconciled, count: u64) {
        self.metrics.reconciled(entity, outcome, count);
    }

    /// A batch is durable.
    pub fn batch(&self, direction: Direction, records: usize, duration: Duration) {
        tracing::debug!(%direction, records, ?duration, "a batch is durable");
        self.metrics.batch(direction, records, duration);
    }

    /// Writes became durable at the other side: when each was committed at its source (microseconds since the epoch;
    /// `None` for sweeps), and some of them to show.
    pub fn applied(
        &self,
        direction: Direction,
        committed: impl IntoIterator<Item = Option<i64>>,
        shown: impl IntoIterator<Item = Crossing>,
    ) {
        let now = SystemTime::now();
        let mut count = 0;
        let mut live = self.live();
        for committed_at in committed {
            count += 1;
            if let Some(at) = committed_at {
                self.metrics.latency(direction, live.age(direction.source(), at, now));
            }
        }
        self.applied[direction_index(direction)].fetch_add(count, Ordering::Relaxed);
        for mut crossing in shown {
            if crossing.at.is_empty() {
                crossing.at = rfc3339(now);
            }
            live.recent.truncate(RECENT - 1);
            live.recent.push_front(crossing);
        }
    }

    /// A conflict was journalled; no field means the whole record, no winner that it waits for a person.
    pub fn conflict(&self, entity: EntityIndex, field: Option<&str>, policy: &str, winner: Option<Side>) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
        self.metrics.conflict(entity, field, policy, winner);
    }

    /// The complete list of what is parked; what is not listed is zero.
    pub fn parked(&self, counts: &[(EntityIndex, Reason, i64)]) {
        let former = std::mem::replace(&mut self.live().parked, counts.to_vec());
        former.iter().for_each(|(entity, reason, _)| self.metrics.parked(*entity, *reason, 0));
        counts.iter().for_each(|(entity, reason, count)| self.metrics.parked(*entity, *reason, *count));
    }

    /// What waits to be reconciled.
    pub fn queue(&self, keys: usize, bytes: usize) {
        self.live().queue = (keys, bytes);
        self.metrics.queue(keys, bytes);
    }

    /// Whether so much waits to be reconciled that nothing else should keep the databases busy.
    pub fn is_behind(&self) -> bool {
        self.live().queue.0 >= BEHIND
    }

    /// A side's position was saved.
    pub fn checkpoint(&self, side: Side, position: &Position) {
        self.live().checkpoints[side_index(side)] = Some((position.to_string(), Instant::now()));
    }

    /// Something is tried again.
    pub fn retry(&self, side: Side, class: RetryClass) {
        self.metrics.retry(side, class);
    }

    /// Something is tried again because of this; a failure whose side is not known counts for both.
    pub fn retry_after(&self, error: &Error) {
        let sides = Side::ALL.into_iter().filter(|side| error.side().is_none_or(|of| of == *side));
        sides.for_each(|side| self.retry(side, error.class()));
    }

    /// Something fails at the moment; shown until [`Status::recovered`].
    pub fn failed(&self, place: impl Into<Cow<'static, str>>, error: &Error) {
        let failure = (SystemTime::now(), error.to_string(), error.hint().map(str::to_owned));
        self.live().errors.insert(place.into(), failure);
    }

    /// It works again.
    pub fn recovered(&self, place: &str) {
        self.live().errors.remove(place);
    }

    /// WAL kept for the bridge, how much may still be written before the slot is lost, and how the slot is.
    pub fn slot(&self, slot: SlotRoom) {
        self.live().slot = (slot.retained_bytes, slot.safe_bytes);
        self.metrics.slot(slot);
    }

    /// Time span of the MongoDB oplog.
    pub fn oplog_window(&self, window: Option<Duration>) {
        self.live().oplog_window = window;
        self.metrics.oplog_window(window);
    }

    /// The newest entries of the journal and of what is parked, newest first.
    pub fn newest(&self, conflicts: Vec<EntryReport>, parked: Vec<EntryReport>) {
        self.live().newest = (conflicts, parked);
    }

    /// Notes how things are at `now`, for [`Status::history`]; to be called every few seconds.
    pub fn sample(&self, now: Instant) {
        let clock = SystemTime::now();
        let mut live = self.live();
        let lags = Direction::ALL.map(|direction| live.lag_seconds(direction, (clock, now)));
        let safe = live.slot.1;
        live.history.note(Moment { at: now, lags, safe });
    }

    /// The last hour.
    pub fn history(&self) -> History {
        self.live().history.clone()
    }

    /// A chunk of a sweep is done.
    pub fn swept(&self, swept: Swept) {
        let mut live = self.live();
        let running = Running::after(live.sweeps.get(&(swept.entity, swept.side, swept.kind)), swept, Instant::now());
        live.sweeps.insert((swept.entity, swept.side, swept.kind), running);
        let known = |side| live.sweeps.get(&(swept.entity, side, swept.kind)).map(|running| running.swept);
        let both = Side::ALL.map(known);
        drop(live);
        self.metrics.swept(swept.entity, swept.kind, swept.chunk, progress(both));
    }

    /// The sweeps of these entities start over: nothing of them is done.
    pub fn sweeps_forgotten(&self, entities: &[EntityIndex]) {
        self.live().sweeps.retain(|(entity, ..), _| !entities.contains(entity));
    }

    /// Records walked so far by a sweep that is under way.
    pub fn walked(&self, entity: EntityIndex, side: Side, kind: SweepKind) -> u64 {
        let live = self.live();
        let running = live.sweeps.get(&(entity, side, kind)).map(|running| running.swept);
        running.filter(|swept| !swept.done).map_or(0, |swept| swept.records)
    }

    /// How the last complete look at each entity ended.
    pub fn verified(&self, verified: &[Verified]) {
        self.live().verified = verified.to_vec();
        for one in verified {
            self.metrics.verify_differences(one.entity, one.counts.differing);
        }
    }

    /// A position was lost and is being healed.
    pub fn healing(&self, side: Side, cause: PositionLoss) {
        self.metrics.healing(side, cause);
    }

    /// The healings to show.
    pub fn healings(&self, healings: &[Healing]) {
        self.live().healings = healings.to_vec();
    }

    /// Records written so far at either side.
    pub fn written(&self) -> u64 {
        self.applied.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// How many people are in a state.
    pub fn people(&self, state: PersonState, count: i64) {
        self.live().people.insert(state, count);
        self.metrics.people(state, count);
    }

    /// The batches of people that have not ended.
    pub fn batches(&self, batches: Vec<BatchStatus>) {
        self.live().batches = batches;
    }

    /// A person is on the other side; so long their writes were held.
    pub fn moved(&self, took: Duration) {
        self.metrics.moved(took);
    }

    /// A loop turned. From its first turn on it must turn again within [`STUCK`].
    pub fn turned(&self, name: &'static str) {
        self.live().loops.insert(name, Instant::now());
    }

    /// A loop ended as intended.
    pub fn ended(&self, name: &'static str) {
        self.live().loops.remove(name);
    }

    /// The engine was dropped as it stood: no loop turns and no side is connected until it starts again.
    pub fn let_go(&self) {
        self.live().loops.clear();
        self.directory.rest();
        Side::ALL.into_iter().for_each(|side| self.feed(side, Feed::Down));
    }

    /// Loops that have not turned for [`STUCK`] at `now`.
    pub fn stuck(&self, now: Instant) -> Vec<&'static str> {
        let late = |turned: &Instant| now.saturating_duration_since(*turned) > STUCK;
        self.live().loops.iter().filter(|(_, turned)| late(turned)).map(|(name, _)| *name).collect()
    }

    /// Why the daemon is not ready; empty when both sides are connected and streaming.
    pub fn not_ready(&self) -> Vec<String> {
        let live = self.live();
        let reason = |side: Side| match live.feed(side) {
            Feed::Down => Some(format!("{side} is not connected")),
            Feed::Connected => Some(format!("{side} is connected but not streaming yet")),
            Feed::Streaming => None,
        };
        let standby = (live.state == Some(DaemonState::Standby)).then(|| "another daemon is active".to_owned());
        standby.into_iter().chain(Side::ALL.into_iter().filter_map(reason)).collect()
    }

    /// The metrics in the text format, with ages as of now.
    pub fn metrics_text(&self) -> String {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let live = self.live();
        for direction in Direction::ALL {
            self.metrics.lag(direction, live.lag_seconds(direction, (clock, now)));
        }
        for side in Side::ALL {
            self.metrics.checkpoint_age(side, live.checkpoint_age(side, now));
        }
        let room = live.headroom((clock, now));
        self.metrics.exhaustion(room.slot_seconds_left, room.oplog_seconds_left);
        drop(live);
        self.metrics.render()
    }

    /// The status document as of now.
    pub fn snapshot(&self) -> StatusReport {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let entities: Vec<&str> = self.metrics.entities().collect();
        let live = self.live();
        StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: live.shown_state().to_string(),
            started_at: rfc3339(self.started.1),
            uptime_seconds: now.saturating_duration_since(self.started.0).as_secs(),
            sides: Side::ALL.map(|side| (side.to_string(), self.side_report(side, &live, now))).into(),
            directions: Direction::ALL
                .map(|way| (way.to_string(), self.direction_report(way, &live, (clock, now))))
                .into(),
            queue: QueueReport { keys: live.queue.0 as u64, bytes: live.queue.1 as u64 },
            conflicts: self.conflicts.load(Ordering::Relaxed),
            headroom: live.headroom((clock, now)),
            ..live.report(&entities, now)
        }
    }

    fn side_report(&self, side: Side, live: &Live, now: Instant) -> SideReport {
        let index = side_index(side);
        SideReport {
            feed: live.feed(side).to_string(),
            hints: self.hints[index].load(Ordering::Relaxed),
            echoes: self.echoes[index].load(Ordering::Relaxed),
            checkpoint: live.checkpoints[index].as_ref().map(|(text, _)| text.clone()),
            checkpoint_age_seconds: live.checkpoint_age(side, now).map(|age| age.as_secs_f64()),
        }
    }

    fn direction_report(&self, direction: Direction, live: &Live, now: (SystemTime, Instant)) -> DirectionReport {
        DirectionReport {
            lag_seconds: live.lag_seconds(direction, now),
            applied: self.applied[direction_index(direction)].load(Ordering::Relaxed),
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
