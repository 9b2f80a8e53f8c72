//! Trying again: exponential backoff with full jitter. The only file that names `backoff`.

use std::{future::Future, time::Duration};

use backoff::{ExponentialBackoff, backoff::Backoff as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    error::{Disposition, Error, Result},
    model::fact::RetryClass,
};

/// How long to wait between attempts: a random time between zero and a ceiling that doubles each time (full jitter:
/// daemons that failed together do not come back together).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The ceiling of the first wait.
    pub first: Duration,
    /// The ceiling that is never exceeded.
    pub longest: Duration,
    /// Whether to wait as well for what a person has to see to ([`RetryClass::Blocked`]).
    pub patient: bool,
}

/// A connection that stood for this long counts as progress: the next failure starts a new series. One that is cut sooner does
/// not, or a network that accepts and cuts at once would be asked many times a second.
pub const STEADY: Duration = Duration::from_secs(5);

impl Policy {
    /// For connections to a database.
    pub const CONNECTION: Self = Self::new(200, 15_000);
    /// The same of a running bridge, which does not end for a right that was revoked.
    pub const RUNNING: Self = Self { patient: true, ..Self::CONNECTION };
    /// For a statement or transaction that met a deadlock or another transaction.
    pub const STATEMENT: Self = Self::new(20, 2_000);
    /// For a server that is short of something: it gets time to recover.
    pub const OVERLOAD: Self = Self::new(1_000, 60_000);
    /// For what a person has to see to first.
    pub const BLOCKED: Self = Self::new(1_000, 30_000);
    /// For a refused login: servers lock out who asks too often.
    pub const LOGIN: Self = Self::new(10_000, 300_000);

    const fn new(first: u64, longest: u64) -> Self {
        Self { first: Duration::from_millis(first), longest: Duration::from_millis(longest), patient: false }
    }

    /// What is right after a failure of this class: this policy, unless the class calls for another.
    pub const fn after(self, class: RetryClass) -> Self {
        match class {
            RetryClass::Overload => Self::OVERLOAD,
            RetryClass::Login => Self::LOGIN,
            RetryClass::Contention => Self::STATEMENT,
            RetryClass::Blocked => Self::BLOCKED,
            RetryClass::Error
            | RetryClass::Connection
            | RetryClass::Election
            | RetryClass::LostRace
            | RetryClass::NotVisible => self,
        }
    }

    /// A fresh sequence of waits.
    pub fn backoff(self) -> Backoff {
        Backoff::new(self)
    }
}

/// The waits of one loop, for callers that do their own looping.
#[derive(Debug)]
pub struct Backoff {
    policy: Policy,
    inner: ExponentialBackoff,
    /// Whether there was no failure since the last success.
    fresh: bool,
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
        Self { policy, inner, fresh: true }
    }

    /// How long to wait after this failure. A failure of another class goes on from where the series is, within what its class
    /// calls for.
    pub fn after(&mut self, failure: &Error) -> Duration {
        let policy = self.policy.after(failure.class());
        let inner = &mut self.inner;
        (inner.initial_interval, inner.max_interval) = (policy.first / 2, policy.longest / 2);
        inner.current_interval = match self.fresh {
            true => inner.initial_interval,
            false => inner.current_interval.clamp(inner.initial_interval, inner.max_interval),
        };
        self.next_delay()
    }

    /// How long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        self.fresh = false;
        self.inner.next_backoff().unwrap_or(self.inner.max_interval)
    }

    /// Starts over; call it after a success.
    pub fn reset(&mut self) {
        self.inner.initial_interval = self.policy.first / 2;
        self.inner.reset();
        self.fresh = true;
    }
}

/// Logs the first failure of a series, then one in a while, then the recovery.
#[derive(Debug, Default)]
pub struct Failures {
    count: u64,
    began: Option<Instant>,
    logged_at: Option<Instant>,
    /// A series is not mentioned before it has lasted this long.
    quiet: Duration,
}

impl Failures {
    /// How often a series of failures is mentioned.
    const EVERY: Duration = Duration::from_secs(30);

    /// For what fails whenever a database does: others say that at once, and this only if it goes on.
    pub fn that_follow() -> Self {
        Self { quiet: Duration::from_secs(5), ..Self::default() }
    }

    /// Counts a failure and logs it if it is the first or the last mention is long ago.
    pub fn failed(&mut self, description: &str, error: &Error) {
        self.count += 1;
        if self.began.get_or_insert_with(Instant::now).elapsed() < self.quiet {
            return;
        }
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
        if self.logged_at.is_some() {
            info!(failures = self.count, "{description} works again");
        }
        *self = Self { quiet: self.quiet, ..Self::default() };
    }
}

/// Runs `operation` until it succeeds, fails for good or `cancel` is triggered. Only [`Disposition::Retry`] is tried
/// again, and what is blocked if the policy is patient; a cancelled retry returns the last failure, or a retry error if there was none.
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
        if error.disposition() != Disposition::Retry && !(policy.patient && error.is_blocked()) {
            return Err(error.during(description));
        }
        failures.failed(description, &error);
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(error.during(description)),
            () = tokio::time::sleep(backoff.after(&error)) => {}
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

    const POLICY: Policy = Policy::new(1_000, 60_000);

    #[test]
    fn what_follows_from_another_failure_is_mentioned_only_if_it_lasts() {
        let (mut failures, error) = (Failures::that_follow(), Error::retry("no answer"));
        failures.failed("listening", &error);
        assert_eq!((failures.count, failures.logged_at), (1, None));
        failures.began = Instant::now().checked_sub(failures.quiet);
        failures.failed("listening", &error);
        assert!(failures.logged_at.is_some(), "it goes on");
        failures.succeeded("listening");
        assert_eq!((failures.count, failures.began, failures.logged_at), (0, None, None));
    }

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
    fn a_failure_is_waited_out_as_its_class_calls_for() {
        let ceiling = |class: RetryClass, failures: u32| {
            let longest = (0..400).map(|_| {
                let (mut backoff, error) = (Policy::RUNNING.backoff(), Error::retry("x").with_class(class));
                (0..failures).map(|_| backoff.after(&error)).last().unwrap_or_default()
            });
            longest.max().unwrap_or_default()
        };
        for (class, first, longest) in [
            (RetryClass::Contention, 20, 2_000),
            (RetryClass::Connection, 200, 15_000),
            (RetryClass::Election, 200, 15_000),
            (RetryClass::Error, 200, 15_000),
            (RetryClass::Overload, 1_000, 60_000),
            (RetryClass::Blocked, 1_000, 30_000),
            (RetryClass::Login, 10_000, 300_000),
        ] {
            for (failures, expected) in [(1, first), (2, 2 * first), (20, longest)] {
                let (found, expected) = (ceiling(class, failures), Duration::from_millis(expected));
                assert!(found <= expected + Duration::from_micros(1) && found > expected * 4 / 5, "{class}: {found:?}");
            }
        }
    }

    #[test]
    fn a_series_goes_on_when_its_failures_change_class() {
        let (cut, full) = (RetryClass::Connection, RetryClass::Overload);
        let [cut, full] = [cut, full].map(|class| Error::retry("x").with_class(class));
        let mut backoff = Policy::CONNECTION.backoff();
        assert!((0..20).all(|_| backoff.after(&full) < Duration::from_secs(61)));
        let longest = (0..400).map(|_| backoff.after(&cut)).max().unwrap_or_default();
        assert!(longest > Duration::from_secs(12) && longest <= Duration::from_micros(15_000_001), "{longest:?}");
        backoff.reset();
        assert!(backoff.after(&cut) <= Duration::from_micros(200_001));
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_is_patient_waits_for_a_person() {
        for (policy, attempts_made) in [(Policy::RUNNING, 3), (Policy::CONNECTION, 1)] {
            let attempts = Cell::new(0);
            let result: Result<()> = retry("reading", policy, &CancellationToken::new(), || {
                attempts.set(attempts.get() + 1);
                let attempt = attempts.get();
                let denied = || Error::halt("a right is missing").with_class(RetryClass::Blocked);
                async move { if attempt < 3 { Err(denied()) } else { Ok(()) } }
            })
            .await;
            assert_eq!((attempts.get(), result.is_ok()), (attempts_made, attempts_made == 3));
        }
    }

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let first: Vec<_> = (0..400).map(|_| POLICY.backoff().next_delay()).collect();
        assert!(first.iter().any(|delay| *delay < Duration::from_millis(100)));
        assert!(first.iter().any(|delay| *delay > Duration::from_millis(900)));
    }
}
