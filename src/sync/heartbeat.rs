//! Heartbeats: a mark left in a side's log now and then, and the time until everything before it is durable at the other side.
//! Taken on our own clock alone, so no clock of a server can make it wrong; and a log in which nothing else happens moves on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use super::{ports::Source, queue::HintQueue, status::Status, tracker::Lane};
use crate::{error::Result, model::side::Side};

/// How often it is looked whether a heartbeat has come through.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The heartbeats of one side.
pub struct Heartbeat<'a, S, Q> {
    /// Whose log.
    pub side: Side,
    /// Where marks are left.
    pub source: &'a S,
    /// Who knows what is durable.
    pub queue: &'a Q,
    /// Who is told.
    pub status: &'a Status,
    /// The time between two.
    pub every: Duration,
    /// Whether nothing may be written: then only the clock is looked at.
    pub shadow: bool,
}

impl<S: Source, Q: HintQueue> Heartbeat<'_, S, Q> {
    /// Beats until `stop`. That one fails is said by whatever else fails then; the next one is tried in its turn.
    pub async fn run(&self, stop: &CancellationToken) {
        let beating = async {
            loop {
                if let Err(error) = self.once().await {
                    tracing::debug!(side = %self.side, %error, "no heartbeat");
                }
                tokio::time::sleep(self.every).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = beating => {}
        }
    }

    async fn once(&self) -> Result<()> {
        self.look_at_clock().await?;
        if self.shadow {
            return Ok(());
        }
        let (direction, lane) = (self.side.outbound(), Lane::Stream(self.side));
        let (restarts, left) = (self.queue.restarts(lane), Instant::now());
        let mark = self.source.mark().await?;
        while !self.queue.durable(lane).is_some_and(|durable| durable.has_passed(&mark)) {
            if self.queue.restarts(lane) != restarts {
                // what the stream missed is found by a sweep: this one says nothing any more
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.status.beat(direction, left, self.every);
        Ok(())
    }

    /// How far the side's clock is ahead of ours. What the question took to travel is the most it may be wrong by, so a smaller
    /// difference is none.
    async fn look_at_clock(&self) -> Result<()> {
        let (asked, before) = (Instant::now(), micros());
        let theirs = self.source.clock().await?;
        let took = i64::try_from(asked.elapsed().as_micros()).unwrap_or(i64::MAX);
        let ahead = theirs.saturating_sub(before.saturating_add(took / 2));
        self.status.clock(self.side, if ahead.saturating_abs() > took { ahead } else { 0 });
        Ok(())
    }
}

fn micros() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
