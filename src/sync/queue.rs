//! The queue between captures and the reconciler. In-process today; a distributed log partitioned by key could take its
//! place, so nobody else may assume that both ends live in one process.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::tracker::{Lane, Taken, Tracker};
use crate::{
    drill::{self, Mechanism},
    model::{
        hint::{Hint, Position},
        key::Key,
    },
};

/// Dirty keys on their way to the reconciler, with the low watermark of each lane.
///
/// A key is handed out to one reconciler at a time. What is neither settled nor put back (a crash) is hinted again from
/// the checkpoint.
pub trait HintQueue: Send + Sync + 'static {
    /// Queues a hint, waiting while the queue is full; returns its number in the lane. Cancel safe.
    fn offer(&self, lane: Lane, hint: Hint) -> impl Future<Output = u64> + Send;
    /// Everything offered to the lane so far is at or before this position.
    fn position(&self, lane: Lane, position: Position);
    /// The lane begins anew at another position: earlier ones are forgotten. Its hints stay.
    fn restart(&self, lane: Lane);
    /// The position up to which every hint of the lane was offered.
    fn reached(&self, lane: Lane) -> Option<Position>;
    /// How often the lane began anew.
    fn restarts(&self, lane: Lane) -> u64;
    /// Whether a key is waiting or being reconciled.
    fn is_dirty(&self, key: Key) -> bool;
    /// Waits for dirty keys; up to `max` of one entity. Cancel safe.
    fn take(&self, max: usize) -> impl Future<Output = Vec<Taken>> + Send;
    /// Settles keys whose reconcile is durable.
    fn done(&self, keys: Vec<Key>);
    /// Puts keys back, to be handed out after `delay`.
    fn put_back(&self, keys: Vec<Key>, delay: Duration);
    /// Puts keys back that wait for a database to take what it refuses for everybody, to be handed out after `delay`.
    fn hold(&self, keys: &[Key], delay: Duration);
    /// Keys held that do not wait for that.
    fn moving(&self) -> usize;
    /// The position up to which every hint of the lane is durable.
    fn durable(&self, lane: Lane) -> Option<Position>;
    /// Waits until every hint of the lane up to this number is durable. Cancel safe.
    fn until_durable(&self, lane: Lane, seq: u64) -> impl Future<Output = ()> + Send;
    /// Unsettled keys of the lane and the commit time of the oldest; without any, that of the newest settled one.
    fn backlog(&self, lane: Lane) -> (usize, Option<i64>);
    /// Hints offered to the lane so far.
    fn offered(&self, lane: Lane) -> u64;
    /// Keys and bytes held.
    fn size(&self) -> (usize, usize);
}

/// A queue in this process's memory.
pub struct InProcess {
    tracker: Mutex<Tracker>,
    started: Instant,
    ready: Notify,
    settled: Notify,
}

impl InProcess {
    /// An empty queue that holds captures back beyond `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let limit = if drill::lacks(Mechanism::ByteBounds) { usize::MAX / 2 } else { limit };
        Self {
            tracker: Mutex::new(Tracker::new(limit)),
            started: Instant::now(),
            ready: Notify::new(),
            settled: Notify::new(),
        }
    }

    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn after(&self, delay: Duration) -> u64 {
        self.now().saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
    }

    /// Repeats `attempt` each time something was settled, until it gives a result.
    async fn when_settled<T>(&self, attempt: impl Fn(&mut Tracker) -> Option<T>) -> T {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if let Some(result) = attempt(&mut self.tracker()) {
                return result;
            }
            settled.await;
        }
    }
}

impl HintQueue for InProcess {
    async fn offer(&self, lane: Lane, hint: Hint) -> u64 {
        let seq = self.when_settled(|tracker| tracker.offer(lane, &hint).ok()).await;
        self.ready.notify_one();
        seq
    }

    fn position(&self, lane: Lane, position: Position) {
        self.tracker().position(lane, position);
    }

    fn restart(&self, lane: Lane) {
        self.tracker().restart(lane);
    }

    fn reached(&self, lane: Lane) -> Option<Position> {
        self.tracker().reached(lane).cloned()
    }

    fn restarts(&self, lane: Lane) -> u64 {
        self.tracker().restarts(lane)
    }

    fn is_dirty(&self, key: Key) -> bool {
        self.tracker().is_dirty(key)
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        loop {
            let (taken, due) = {
                let mut tracker = self.tracker();
                (tracker.take(max, self.now()), tracker.next_due())
            };
            if !taken.is_empty() {
                return taken;
            }
            let wait = due.map_or(Duration::from_secs(1), |due| Duration::from_millis(due.saturating_sub(self.now())));
            tokio::select! {
                () = self.ready.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn done(&self, keys: Vec<Key>) {
        self.tracker().done(keys);
        self.settled.notify_waiters();
        self.ready.notify_one();
    }

    fn put_back(&self, keys: Vec<Key>, delay: Duration) {
        self.tracker().put_back(keys, self.after(delay));
        self.ready.notify_one();
    }

    fn hold(&self, keys: &[Key], delay: Duration) {
        self.tracker().hold(keys, self.after(delay));
        self.ready.notify_one();
    }

    fn moving(&self) -> usize {
        self.tracker().moving()
    }

    fn durable(&self, lane: Lane) -> Option<Position> {
        self.tracker().durable(lane).cloned()
    }

    async fn until_durable(&self, lane: Lane, seq: u64) {
        self.when_settled(|tracker| tracker.is_durable(lane, seq).then_some(())).await;
    }

    fn backlog(&self, lane: Lane) -> (usize, Option<i64>) {
        self.tracker().backlog(lane)
    }

    fn offered(&self, lane: Lane) -> u64 {
        self.tracker().offered(lane)
    }

    fn size(&self) -> (usize, usize) {
        let tracker = self.tracker();
        (tracker.len(), tracker.bytes())
    }
}
