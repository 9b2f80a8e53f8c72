//! Following one side's change stream into the queue, reconnecting as needed.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{
    ports::{Capture, LegacyStore, RenaissanceStore, Source},
    queue::HintQueue,
    reconcile::Reconciler,
    status::Status,
    tracker::Lane,
    verify::Watch,
};
use crate::{
    drill,
    error::{Disposition, Error, Result},
    model::{
        fact::{Feed, Lag},
        hint::{Captured, Position, Stray},
        key::EntityIndex,
        side::Side,
    },
    retry::{Failures, Policy, STEADY},
};

/// A record that no hint can name.
pub type Unaddressable = (EntityIndex, Stray);

/// One side's stream on its way into the queue.
pub struct Follower<'a, S, Q, L, R> {
    /// Which side.
    pub side: Side,
    /// Where streams are opened.
    pub source: &'a S,
    /// Where hints go.
    pub queue: &'a Q,
    /// What people see.
    pub status: &'a Status,
    /// Who is told of changes of structure.
    pub reconciler: &'a Reconciler<L, R>,
    /// Who compares records meanwhile.
    pub watch: &'a Watch,
    /// Where records go that cannot be addressed.
    pub unaddressable: tokio::sync::mpsc::Sender<Unaddressable>,
}

impl<S: Source, Q: HintQueue, L: LegacyStore, R: RenaissanceStore> Follower<'_, S, Q, L, R> {
    /// Follows from a position until `stop`, and moves it along. Passing failures are retried for ever; others end it.
    pub async fn run(&self, from: &mut Position, stop: &CancellationToken) -> Result<()> {
        let name = self.loop_name();
        let (mut backoff, mut failures) = (Policy::RUNNING.backoff(), Failures::default());
        let outcome = loop {
            self.status.turned(name);
            let mut since = None;
            let failure = tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                failure = self.stream(from, &mut since, &mut failures) => failure,
            };
            if since.is_some_and(|since| since.elapsed() >= STEADY) {
                backoff.reset();
            }
            self.status.feed(self.side, Feed::Down);
            self.status.failed(name, &failure);
            if failure.disposition() != Disposition::Retry && !failure.is_blocked() {
                break Err(failure.during(name));
            }
            self.status.retry(self.side, failure.class());
            failures.failed(name, &failure);
            if !self.pause(backoff.after(&failure), name, stop).await {
                break Ok(());
            }
        };
        self.status.ended(name);
        outcome
    }

    const fn loop_name(&self) -> &'static str {
        match self.side {
            Side::Legacy => "the change stream of legacy",
            Side::Renaissance => "the change stream of renaissance",
        }
    }

    /// Waits, still turning. False if it is time to stop.
    async fn pause(&self, delay: Duration, name: &'static str, stop: &CancellationToken) -> bool {
        let end = tokio::time::Instant::now() + delay;
        loop {
            self.status.turned(name);
            let step = end.min(tokio::time::Instant::now() + Duration::from_secs(1));
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                () = tokio::time::sleep_until(step) => {}
            }
            if tokio::time::Instant::now() >= end {
                return true;
            }
        }
    }

    /// Streams until something fails; notes since when anything came.
    async fn stream(&self, from: &mut Position, since: &mut Option<Instant>, failures: &mut Failures) -> Error {
        let mut capture = match self.source.open(from).await {
            Ok(capture) => capture,
            Err(error) => return error,
        };
        self.status.feed(self.side, Feed::Connected);
        let name = self.loop_name();
        loop {
            let captured = match capture.next().await {
                Ok(captured) => captured,
                Err(error) => return error,
            };
            if since.is_none() {
                // The first answer of any kind: the connection works.
                *since = Some(Instant::now());
                failures.succeeded(name);
                self.status.recovered(name);
                self.status.feed(self.side, Feed::Streaming);
            }
            self.status.turned(name);
            if let Err(error) = self.deliver(captured, from).await {
                return error;
            }
        }
    }

    async fn deliver(&self, captured: Captured, from: &mut Position) -> Result<()> {
        let lane = Lane::Stream(self.side);
        match captured {
            Captured::Hint(hint) => {
                drill::crash_point("hint received");
                self.status.hint(self.side, hint.key.entity);
                self.watch.touch(hint.key);
                self.offer(lane, hint).await;
            }
            Captured::Position(position) => {
                self.reconciler.streamed(self.side, &position);
                self.queue.position(lane, position.clone());
                *from = position;
            }
            Captured::Idle(position) => {
                self.reconciler.streamed(self.side, &position);
                self.queue.position(lane, position.clone());
                *from = position;
                if self.queue.backlog(lane).0 == 0 {
                    self.status.lag(self.side.outbound(), Lag::CaughtUp);
                }
            }
            Captured::Echo(count) => {
                drill::crash_point("echo received");
                self.status.echoes(self.side, count);
            }
            Captured::Unaddressable(entity, stray) => {
                if self.unaddressable.send((entity, stray)).await.is_err() {
                    return Err(Error::retry("the bridge is stopping"));
                }
            }
            // durable before the position moves on
            Captured::Structure(seen) => self.reconciler.see_structure(self.side, &seen).await?,
        }
        Ok(())
    }

    /// Back-pressure: waits while the queue is full, still turning.
    async fn offer(&self, lane: Lane, hint: crate::model::hint::Hint) {
        let offered = self.queue.offer(lane, hint);
        tokio::pin!(offered);
        loop {
            tokio::select! {
                biased;
                _ = &mut offered => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => self.status.turned(self.loop_name()),
            }
        }
    }
}
