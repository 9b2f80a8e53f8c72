//! Trying again: exponential backoff with full jitter. The only file that names `backoff`.

use std::{future::Future, time::Duration};

use backoff::{ExponentialBackoff, backoff::Backoff as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::{Disposition, Error, Result};

/// How long to wait between attempts: a random time between zero and a ceiling that doubles each time (full jitter:
/// daemons that failed together do not come back together).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The ceiling of the first wait.
    pub first: Duration,
    /// The ceiling that is never exceeded.
    pub longest: Duration,
}

impl Policy {
    /// For connections to a database.
    pub const CONNECTION: Self = Self { first: Duration::from_millis(200), longest: Duration::from_secs(15) };
    /// For a statement or transaction that met a deadlock, an election or a lost race.
    pub const STATEMENT: Self = Self { first: Duration::from_millis(20), longest: Duration::from_secs(2) };

    /// A fresh sequence of waits.
    pub fn backoff(self) -> Backoff {
        Backoff::new(self)
    }
}

/// The waits of one loop, for callers that do their own looping.
#[derive(Debug)]
pub struct Backoff {
    inner: ExponentialBackoff,
}

impl Backoff {
    /// Starts at the policy's first wait.
    pub fn new(policy: Policy) -> Self {
        // The crate draws from interval ± factor × interval: with factor 1, from zero to twice the interval.
        let mut inner = ExponentialBackoff {
            initial_interval: policy.first / 2,
            max_interval: policy.longest / 2,
            randomization_factor: 1.0,
            multiplier: 2.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        inner.reset();
        Self { inner }
    }

    /// How long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        self.inner.next_backoff().unwrap_or(self.inner.max_interval)
    }

    /// Starts over; call it after a success.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}

/// Logs the first failure of a series, then one in a while, then the recovery.
#[derive(Debug, Default)]
pub struct Failures {
    count: u64,
    logged_at: Option<Instant>,
}

impl Failures {
    /// How often a series of failures is mentioned.
    const EVERY: Duration = Duration::from_secs(30);

    /// Counts a failure and logs it if it is the first or the last mention is long ago.
    pub fn failed(&mut self, description: &str, error: &Error) {
        self.count += 1;
        if self.logged_at.is_none_or(|at| at.elapsed() >= Self::EVERY) {
            self.logged_at = Some(Instant::now());
            match error.hint() {
                Some(hint) => warn!(failures = self.count, hint, "{description} failed, trying again: {error}"),
                None => warn!(failures = self.count, "{description} failed, trying again: {error}"),
            }
        }
    }

    /// Ends the series; logs the recovery if there was anything to recover from.
    pub fn succeeded(&mut self, description: &str) {
        if self.count > 0 {
            info!(failures = self.count, "{description} works again");
        }
        *self = Self::default();
    }
}

/// Runs `operation` until it succeeds, fails for good or `cancel` is triggered. Only [`Disposition::Retry`] is tried
/// again; a cancelled retry returns the last failure, or a retry error if there was none.
pub async fn retry<T, F, Fut>(
    description: &str,
    policy: Policy,
    cancel: &CancellationToken,
    mut operation: F,
) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut backoff = policy.backoff();
    let mut failures = Failures::default();
    loop {
        let attempt = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(cancelled(description)),
            attempt = operation() => attempt,
        };
        let error = match attempt {
            Ok(value) => {
                failures.succeeded(description);
                return Ok(value);
            }
            Err(error) => error,
        };
        match error.disposition() {
            Disposition::Retry => failures.failed(description, &error),
            Disposition::Park | Disposition::Halt => return Err(error.during(description)),
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(error.during(description)),
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
}

fn cancelled(description: &str) -> Error {
    Error::retry(format!("{description}: stopped before it was done"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const POLICY: Policy = Policy { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

    #[tokio::test(start_paused = true)]
    async fn a_passing_failure_is_tried_again_until_it_works() {
        let attempts = Cell::new(0);
        let result = retry("connecting", POLICY, &CancellationToken::new(), || {
            attempts.set(attempts.get() + 1);
            let attempt = attempts.get();
            async move { if attempt < 5 { Err(Error::retry("refused")) } else { Ok(attempt) } }
        })
        .await;
        assert_eq!(result.unwrap(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_person_must_fix_is_not_tried_again() {
        let attempts = Cell::new(0);
        let result: Result<()> = retry("connecting", POLICY, &CancellationToken::new(), || {
            attempts.set(attempts.get() + 1);
            async { Err(Error::halt("wrong password").with_hint("set it")) }
        })
        .await;
        let error = result.unwrap_err();
        assert_eq!((attempts.get(), error.to_string().as_str()), (1, "connecting: wrong password"));
        assert_eq!(error.hint(), Some("set it"));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_the_wait_with_the_last_failure() {
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(90)).await;
            stop.cancel();
        });
        let started = Instant::now();
        let result: Result<()> = retry("connecting", POLICY, &cancel, || async { Err(Error::retry("refused")) }).await;
        assert_eq!(result.unwrap_err().to_string(), "connecting: refused");
        assert_eq!(started.elapsed(), Duration::from_secs(90));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_an_attempt_that_hangs() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let result: Result<()> = retry("connecting", POLICY, &cancel, std::future::pending).await;
        assert_eq!(result.unwrap_err().disposition(), Disposition::Retry);
    }

    #[test]
    fn a_wait_is_anywhere_below_a_ceiling_that_doubles_to_the_longest() {
        for _ in 0..200 {
            let mut backoff = POLICY.backoff();
            for ceiling in [1, 2, 4, 8, 16, 32, 60, 60] {
                let delay = backoff.next_delay();
                assert!(delay <= Duration::from_secs(ceiling) + Duration::from_micros(1), "{delay:?} over {ceiling} s");
            }
            backoff.reset();
            assert!(backoff.next_delay() <= Duration::from_secs(1) + Duration::from_micros(1));
        }
    }

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let first: Vec<_> = (0..400).map(|_| POLICY.backoff().next_delay()).collect();
        assert!(first.iter().any(|delay| *delay < Duration::from_millis(100)));
        assert!(first.iter().any(|delay| *delay > Duration::from_millis(900)));
    }
}
