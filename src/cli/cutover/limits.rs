//! How many move at once, and when a batch pauses by itself.

use std::time::Duration;

use clap::Args;

use crate::{cli::Failure, error::Error};

/// So many move at once unless it is said otherwise: about 1,000 people in a minute, where a move takes twice the usual drain.
const CONCURRENCY: u32 = 200;
const PARKED: i64 = 10;
const CONFLICTS: i64 = 100;
const LAG: Duration = Duration::from_secs(30);

/// The limits of a batch.
#[derive(Debug, Default, Args)]
pub(super) struct Limits {
    /// So many move at once [default: 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    concurrency: Option<u32>,
    /// Pause once more than this many did not move [default: 1 % of all, but at least 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    max_failures: Option<i64>,
    /// Pause once more than this many keys were parked meanwhile [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    max_parked: Option<i64>,
    /// Pause once more than this many conflicts came up meanwhile [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    max_conflicts: Option<i64>,
    /// Pause once a direction is further behind than this [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_duration)]
    max_lag: Option<Duration>,
}

impl Limits {
    /// Refuses limits where nothing begins that they could hold for; `why` says so.
    pub(super) fn refuse(&self, why: &str) -> Result<(), Failure> {
        let Self { concurrency, max_failures, max_parked, max_conflicts, max_lag } = self;
        let counts = [max_failures, max_parked, max_conflicts];
        if concurrency.is_none() && max_lag.is_none() && counts.iter().all(|count| count.is_none()) {
            return Ok(());
        }
        Err(Failure::Usage(Box::new(Error::halt(format!("--concurrency and the limits (--max-…) {why}")))))
    }

    pub(super) fn concurrency(&self) -> u32 {
        self.concurrency.unwrap_or(CONCURRENCY)
    }

    pub(super) const fn max_failures(&self) -> Option<i64> {
        self.max_failures
    }

    pub(super) fn max_parked(&self) -> i64 {
        self.max_parked.unwrap_or(PARKED)
    }

    pub(super) fn max_conflicts(&self) -> i64 {
        self.max_conflicts.unwrap_or(CONFLICTS)
    }

    pub(super) fn max_lag(&self) -> Duration {
        self.max_lag.unwrap_or(LAG)
    }
}
