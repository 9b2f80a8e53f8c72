//! The set of dirty keys and the low watermark: which hints are durable, hence which position may be checkpointed.
//!
//! A hint is done when a reconcile that *started after it was queued* has become durable. Hints of one key coalesce;
//! memory is bounded in bytes. Pure state: time is an argument.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::model::{
    hint::{Freshness, Hint, Position},
    key::{EntityIndex, Key},
    side::Side,
};

/// Where a hint came from. Each lane has its own order and low watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The change stream of a side.
    Stream(Side),
    /// The sweep of a side.
    Sweep(Side),
}

const LANES: usize = 4;
/// What one dirty key costs, roughly: the map entry with its spare room, the lane entry and the queue slot.
const KEY_BYTES: usize = 512;
/// How much of the limit, in quarters, the keys of one side may take: where those of one side cannot be settled at the moment, the
/// other's still find room.
const QUARTERS_OF_A_SIDE: usize = 3;
/// Sweeps may take every how-manieth turn while streams have keys waiting.
const SWEEPS_TURN: u32 = 4;
/// Older positions are merged beyond this many: a coarser checkpoint, not a lost one.
const POSITIONS: usize = 4096;

impl Lane {
    const fn index(self) -> usize {
        match self {
            Self::Stream(Side::Legacy) => 0,
            Self::Stream(Side::Renaissance) => 1,
            Self::Sweep(Side::Legacy) => 2,
            Self::Sweep(Side::Renaissance) => 3,
        }
    }
}

/// How new a read must be for every hint of a key so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Needs {
    /// The newest cluster time hinted.
    pub cluster_time: Option<(u32, u32)>,
    /// Every transaction hinted: rows of one record may change in several, each visible at its own time.
    pub xids: Vec<u32>,
}

impl Needs {
    fn add(&mut self, freshness: Freshness) {
        match freshness {
            Freshness::Any => {}
            Freshness::ClusterTime(seconds, increment) => {
                self.cluster_time = self.cluster_time.max(Some((seconds, increment)));
            }
            Freshness::Xid(xid) => {
                if !self.xids.contains(&xid) {
                    self.xids.push(xid);
                }
            }
        }
    }
}

/// A dirty key handed out for reconciling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taken {
    /// The key.
    pub key: Key,
    /// How new a read must be.
    pub needs: Needs,
    /// When the oldest of its hints was committed, on the source's clock.
    pub committed_at: Option<i64>,
    /// How often it came back without being settled.
    pub attempts: u32,
}

/// What is known about a key between its first hint and the reconcile that settles it.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(Hash))]
struct Dirty {
    /// Per lane, the sequence number of the oldest unsettled hint.
    first: [Option<u64>; LANES],
    needs: Needs,
    committed_at: Option<i64>,
    attempts: u32,
}

impl Dirty {
    /// Whether a stream hinted at it.
    fn is_streamed(&self) -> bool {
        [Side::Legacy, Side::Renaissance].iter().any(|side| self.first[Lane::Stream(*side).index()].is_some())
    }

    fn absorb(&mut self, later: Self) {
        for (mine, theirs) in self.first.iter_mut().zip(later.first) {
            *mine = mine.or(theirs);
        }
        self.needs.cluster_time = self.needs.cluster_time.max(later.needs.cluster_time);
        for xid in later.needs.xids {
            self.needs.add(Freshness::Xid(xid));
        }
        self.committed_at = self.committed_at.or(later.committed_at);
    }
}

#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone, Hash))]
struct Entry {
    waiting: Option<Dirty>,
    in_flight: Option<Dirty>,
    /// Whether it waits out a delay.
    delayed: bool,
}

/// Keys ready to be handed out; entities take turns, and the sides of an entity share: whoever has changed little does not wait
/// behind all that the other side has piled up.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone, Hash))]
struct Ready {
    queues: BTreeMap<EntityIndex, [VecDeque<Key>; 2]>,
    last: Option<EntityIndex>,
    /// Which side had the odd one last time.
    odd: usize,
}

impl Ready {
    fn push(&mut self, key: Key) {
        self.queues.entry(key.entity).or_default()[side_index(key)].push_back(key);
    }

    fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Up to `max` keys of the entity whose turn it is: half of them of each side, or more where the other has fewer.
    fn take(&mut self, max: usize) -> Vec<Key> {
        let turns = || self.queues.keys().copied();
        let Some(entity) = turns().find(|entity| Some(*entity) > self.last).or_else(|| turns().next()) else {
            return Vec::new();
        };
        self.last = Some(entity);
        let Some([legacy, renaissance]) = self.queues.get_mut(&entity) else { return Vec::new() };
        let mut of_legacy = legacy.len();
        if legacy.len() + renaissance.len() > max {
            self.odd = 1 - self.odd;
            let half = (max + self.odd) / 2;
            of_legacy = legacy.len().min(half.max(max.saturating_sub(renaissance.len())));
        }
        let rest = renaissance.len().min(max.saturating_sub(of_legacy));
        let keys = legacy.drain(..of_legacy).chain(renaissance.drain(..rest)).collect();
        if legacy.is_empty() && renaissance.is_empty() {
            self.queues.remove(&entity);
        }
        keys
    }
}

const fn side_index(key: Key) -> usize {
    match key.id.side() {
        Side::Legacy => 0,
        Side::Renaissance => 1,
    }
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Hash))]
struct LaneLog {
    next: u64,
    /// Sequence number → commit time of every oldest unsettled hint of a key.
    open: BTreeMap<u64, Option<i64>>,
    /// When the newest hint of all was committed.
    newest: Option<i64>,
    /// (the last sequence number it covers, position).
    positions: VecDeque<(u64, Position)>,
    durable: Option<Position>,
    /// How often it began anew.
    restarts: u64,
}

impl LaneLog {
    fn new() -> Self {
        Self { next: 1, open: BTreeMap::new(), newest: None, positions: VecDeque::new(), durable: None, restarts: 0 }
    }

    fn settle(&mut self) {
        let low = self.open.first_key_value().map_or(self.next, |(seq, _)| *seq);
        while self.positions.front().is_some_and(|(covers, _)| *covers < low) {
            self.durable = self.positions.pop_front().map(|(_, position)| position);
        }
    }
}

/// The dirty keys of all entities.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Tracker {
    entries: HashMap<Key, Entry>,
    /// Keys that a stream hinted at, and keys that only sweeps want.
    ready: [Ready; 2],
    /// Turns that streams had while sweeps waited.
    turns: u32,
    /// (due in ms, tiebreak) → key waiting out a delay.
    delayed: BTreeMap<(u64, u64), Key>,
    lanes: [LaneLog; LANES],
    limit: usize,
    bytes: usize,
    /// Keys of each side: legacy, renaissance.
    keys: [usize; 2],
    /// Those that wait for a database to take what it refuses for everybody.
    held: HashSet<Key>,
    tiebreak: u64,
}

/// The tracker holds as many keys as its limit allows; wait until some are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Tracker {
    /// An empty tracker that refuses new keys beyond `limit` bytes, and those of one side beyond three quarters of it.
    pub fn new(limit: usize) -> Self {
        Self {
            entries: HashMap::new(),
            ready: Default::default(),
            turns: 0,
            delayed: BTreeMap::new(),
            lanes: std::array::from_fn(|_| LaneLog::new()),
            limit,
            bytes: 0,
            keys: [0; 2],
            held: HashSet::new(),
            tiebreak: 0,
        }
    }

    /// Queues a hint; returns its sequence number in the lane. A key that is already dirty is accepted a quarter beyond
    /// the limit: it costs little, and refusing it would hold back keys that could be settled.
    pub fn offer(&mut self, lane: Lane, hint: &Hint) -> Result<u64, Full> {
        let known = self.entries.contains_key(&hint.key);
        let of_side = &mut self.keys[side_index(hint.key)];
        let share = self.limit / 4 * QUARTERS_OF_A_SIDE;
        let full = if known {
            self.bytes > self.limit + self.limit / 4
        } else {
            self.bytes + KEY_BYTES > self.limit || (*of_side + 1) * KEY_BYTES > share
        };
        if full {
            return Err(Full);
        }
        *of_side += usize::from(!known);
        let log = &mut self.lanes[lane.index()];
        let seq = log.next;
        log.next += 1;
        let entry = self.entries.entry(hint.key).or_insert_with(|| {
            self.bytes += KEY_BYTES;
            Entry::default()
        });
        let streamed = matches!(lane, Lane::Stream(_));
        let promoted = streamed && entry.waiting.as_ref().is_some_and(|waiting| !waiting.is_streamed());
        if entry.in_flight.is_none() && (entry.waiting.is_none() || promoted && !entry.delayed) {
            self.ready[usize::from(!streamed)].push(hint.key);
        }
        let dirty = entry.waiting.get_or_insert_default();
        let grown = dirty.needs.xids.len();
        dirty.needs.add(hint.freshness);
        self.bytes += (dirty.needs.xids.len() - grown) * size_of::<u32>();
        dirty.committed_at = dirty.committed_at.or(hint.committed_at);
        if dirty.first[lane.index()].is_none() {
            dirty.first[lane.index()] = Some(seq);
            log.open.insert(seq, hint.committed_at);
        }
        log.newest = log.newest.max(hint.committed_at);
        Ok(seq)
    }

    /// Everything offered to the lane so far is at or before this position.
    pub fn position(&mut self, lane: Lane, position: Position) {
        let log = &mut self.lanes[lane.index()];
        let covers = log.next - 1;
        let replace = log.positions.back().is_some_and(|(last, _)| *last == covers) || log.positions.len() >= POSITIONS;
        if replace {
            log.positions.pop_back();
        }
        log.positions.push_back((covers, position));
        log.settle();
    }

    /// The lane begins anew at a position that nothing before leads to: what is known of earlier ones must not be saved.
    pub fn restart(&mut self, lane: Lane) {
        let log = &mut self.lanes[lane.index()];
        log.positions.clear();
        log.durable = None;
        log.restarts += 1;
    }

    /// The position up to which every hint of the lane was offered.
    pub fn reached(&self, lane: Lane) -> Option<&Position> {
        let log = &self.lanes[lane.index()];
        log.positions.back().map(|(_, position)| position).or(log.durable.as_ref())
    }

    /// How often the lane began anew.
    pub const fn restarts(&self, lane: Lane) -> u64 {
        self.lanes[lane.index()].restarts
    }

    /// Whether a key is waiting or being reconciled.
    pub fn is_dirty(&self, key: Key) -> bool {
        self.entries.contains_key(&key)
    }

    /// Hands out up to `max` dirty keys of one entity; entities take turns, and sweeps give way to streams but for a
    /// fair share. `now` in ms.
    pub fn take(&mut self, max: usize, now: u64) -> Vec<Taken> {
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            self.make_ready(key);
        }
        loop {
            let [streams, sweeps] = &mut self.ready;
            let swept = streams.is_empty() || !sweeps.is_empty() && self.turns >= SWEEPS_TURN;
            self.turns = if swept || sweeps.is_empty() { 0 } else { self.turns + 1 };
            let keys = if swept { sweeps.take(max) } else { streams.take(max) };
            let ended = keys.is_empty();
            let taken: Vec<Taken> = keys.into_iter().filter_map(|key| self.hand_out(key)).collect();
            if ended || !taken.is_empty() {
                return taken;
            }
        }
    }

    /// Settles keys whose reconcile has become durable.
    pub fn done(&mut self, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            self.held.remove(&key);
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if let Some(settled) = entry.in_flight.take() {
                self.bytes = self.bytes.saturating_sub(settled.needs.xids.len() * size_of::<u32>());
                for (log, seq) in self.lanes.iter_mut().zip(settled.first) {
                    if let Some(seq) = seq {
                        log.open.remove(&seq);
                    }
                }
            }
            if entry.waiting.is_some() {
                self.make_ready(key);
            } else {
                self.entries.remove(&key);
                self.bytes = self.bytes.saturating_sub(KEY_BYTES);
                self.keys[side_index(key)] -= 1;
            }
        }
        self.lanes.iter_mut().for_each(LaneLog::settle);
    }

    /// Puts keys back whose reconcile was not settled, not to be handed out before `due` (ms).
    pub fn put_back(&mut self, keys: impl IntoIterator<Item = Key>, due: u64) {
        for key in keys {
            self.held.remove(&key);
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            let Some(mut dirty) = entry.in_flight.take() else { continue };
            dirty.attempts = dirty.attempts.saturating_add(1);
            if let Some(later) = entry.waiting.take() {
                // The lane keeps only the older of two numbers for one key.
                for ((log, old), new) in self.lanes.iter_mut().zip(dirty.first).zip(later.first) {
                    if let (Some(_), Some(new)) = (old, new) {
                        log.open.remove(&new);
                    }
                }
                dirty.absorb(later);
            }
            entry.waiting = Some(dirty);
            entry.delayed = true;
            self.tiebreak += 1;
            self.delayed.insert((due, self.tiebreak), key);
        }
    }

    /// Puts keys back as [`Self::put_back`] does, and remembers that they wait for a database until they are settled.
    pub fn hold(&mut self, keys: &[Key], due: u64) {
        self.put_back(keys.iter().copied(), due);
        self.held.extend(keys.iter().filter(|key| self.entries.contains_key(key)));
    }

    /// Dirty keys that do not wait for a database to take what it refuses for everybody.
    pub fn moving(&self) -> usize {
        self.entries.len() - self.held.len()
    }

    /// When the next delayed key is due (ms), if nothing is ready now.
    pub fn next_due(&self) -> Option<u64> {
        self.delayed.first_key_value().map(|((due, _), _)| *due)
    }

    /// The position up to which every hint of the lane is durable.
    pub fn durable(&self, lane: Lane) -> Option<&Position> {
        self.lanes[lane.index()].durable.as_ref()
    }

    /// Whether every hint of the lane up to this sequence number is durable.
    pub fn is_durable(&self, lane: Lane, seq: u64) -> bool {
        self.lanes[lane.index()].open.first_key_value().is_none_or(|(first, _)| *first > seq)
    }

    /// Hints of the lane that are not durable yet (after coalescing) and the commit time of the oldest of them; without
    /// any, that of the newest hint there was: everything up to then is durable.
    pub fn backlog(&self, lane: Lane) -> (usize, Option<i64>) {
        let LaneLog { open, newest, .. } = &self.lanes[lane.index()];
        (open.len(), open.first_key_value().map_or(*newest, |(_, committed_at)| *committed_at))
    }

    /// Hints offered to the lane so far.
    pub const fn offered(&self, lane: Lane) -> u64 {
        self.lanes[lane.index()].next - 1
    }

    /// Dirty keys held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no key is dirty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes held, roughly.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn make_ready(&mut self, key: Key) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.delayed = false;
        let streamed = entry.waiting.as_ref().is_some_and(Dirty::is_streamed);
        self.ready[usize::from(!streamed)].push(key);
    }

    /// A key that a stream hinted at while it waited for a sweep is in both queues; the first one to come counts.
    fn hand_out(&mut self, key: Key) -> Option<Taken> {
        let entry = self.entries.get_mut(&key).filter(|entry| entry.in_flight.is_none() && !entry.delayed)?;
        let dirty = entry.waiting.take()?;
        let taken =
            Taken { key, needs: dirty.needs.clone(), committed_at: dirty.committed_at, attempts: dirty.attempts };
        entry.in_flight = Some(dirty);
        Some(taken)
    }
}

#[cfg(test)]
mod same;
#[cfg(test)]
mod tests;
