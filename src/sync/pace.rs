//! How fast sweeps go.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The size of chunks and how many records a second may be swept.
#[derive(Debug)]
pub struct Pace {
    chunk: u32,
    rate: Option<NonZeroU32>,
    /// When the next record may be swept.
    next: Mutex<Instant>,
}

impl Pace {
    /// Chunks of at most `chunk` records; at most `rate` records a second.
    pub fn new(chunk: u32, rate: Option<NonZeroU32>) -> Self {
        Self { chunk: chunk.max(1), rate, next: Mutex::new(Instant::now()) }
    }

    /// Records per chunk: not more than a second's worth, so that a low rate does not come in bursts.
    pub fn chunk(&self) -> u32 {
        self.rate.map_or(self.chunk, |rate| self.chunk.min(rate.get()))
    }

    /// Waits until these records may be swept, or `stop`.
    pub async fn spend(&self, records: u64, stop: &CancellationToken) {
        let Some(rate) = self.rate else { return };
        let cost = Duration::from_secs_f64(records as f64 / f64::from(rate.get()));
        let due = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let due = (*next).max(Instant::now());
            *next = due + cost;
            due
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep_until(due) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_over_many_chunks() {
        let pace = Pace::new(1000, NonZeroU32::new(100));
        let (started, stop) = (Instant::now(), CancellationToken::new());
        assert_eq!(pace.chunk(), 100);
        for _ in 0..5 {
            pace.spend(100, &stop).await;
        }
        let took = started.elapsed();
        assert!((4.0..4.1).contains(&took.as_secs_f64()), "the fifth chunk may start after four seconds: {took:?}");
        stop.cancel();
        pace.spend(100_000, &stop).await;
        assert!(started.elapsed() < took * 2, "a stop is not held up");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let pace = Pace::new(10, None);
        let started = Instant::now();
        pace.spend(1_000_000, &CancellationToken::new()).await;
        assert_eq!((pace.chunk(), started.elapsed()), (10, Duration::ZERO));
    }
}
