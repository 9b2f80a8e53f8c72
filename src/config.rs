//! Settings: flags, environment and `bridge.toml` become one validated [`Config`]; every problem is reported at once.

mod expand;
mod file;
mod parse;
mod problem;
mod secret;
mod setting;
mod uri;

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

pub use parse::parse_duration;
pub use problem::{Problem, Problems};
pub use secret::Secret;
pub use setting::{Setting, Sourced};
pub use uri::redacted_uri;

/// The file that is read when no other is named; it may be missing.
pub const DEFAULT_FILE: &str = "bridge.toml";
/// Where mapping files are looked for.
pub const DEFAULT_MAPPINGS: &str = "mappings";
/// Where metrics, probes and status are served.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9464";

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How the engine uses memory and time.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSettings {
    /// Records reconciled together, at most.
    pub batch_size: usize,
    /// Memory for the records of a batch as they are read, and of the next one, which is read meanwhile; a batch that would take
    /// more is halved.
    pub batch_bytes: usize,
    /// Memory for keys waiting to be reconciled; captures wait when it is full.
    pub queue_bytes: usize,
    /// How long a stopping daemon may finish what it has begun.
    pub drain_timeout: Duration,
    /// How often positions are saved while streaming.
    pub checkpoint_interval: Duration,
    /// How often heartbeats are left in both logs.
    pub heartbeat_interval: Duration,
    /// How often keys are tried again that wait for something outside of them, such as a unique value to become free.
    pub parked_retry: Duration,
    /// How long decided entries of the journal are kept; `None`: for ever.
    pub journal_retention: Option<Duration>,
    /// How long is kept what deleted records held; `None`: for ever.
    pub tombstone_retention: Option<Duration>,
    /// How long applications may take to notice that they are to hold the writes of a person who moves.
    pub cutover_drain: Duration,
    /// Records a second that sweeps may walk; `None`: as many as they can.
    pub backfill_rate: Option<NonZeroU32>,
    /// Records per chunk of a sweep, after each of which its progress is saved.
    pub sweep_chunk: u32,
    /// Records a second that a comparison may walk; `None`: as many as it can.
    pub verify_rate: Option<NonZeroU32>,
    /// The same for one that nobody asked for, again and again; `None`: there is none.
    pub verify_background: Option<NonZeroU32>,
    /// The share of an entity's records, from 0 to 1, that may be deleted in a minute without asking; a few may always.
    pub delete_guard_share: f64,
    /// How often the bridge may write a record within a minute that no application changes.
    pub loop_limit: u32,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            batch_size: 1000,
            batch_bytes: 64 << 20,
            queue_bytes: 16 << 20,
            drain_timeout: Duration::from_secs(30),
            checkpoint_interval: Duration::from_secs(1),
            heartbeat_interval: Duration::from_secs(10),
            parked_retry: Duration::from_secs(60),
            journal_retention: Some(Duration::from_hours(90 * 24)),
            tombstone_retention: Some(Duration::from_hours(90 * 24)),
            cutover_drain: Duration::from_secs(5),
            backfill_rate: None,
            sweep_chunk: 1000,
            // reads both sides at a tenth of what the bridge can, or less
            verify_rate: NonZeroU32::new(2000),
            // it reads both databases for ever: somebody has to want that
            verify_background: None,
            delete_guard_share: 0.05,
            loop_limit: 10,
        }
    }
}

/// Validated settings that every command understands.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory of mapping files.
    pub mappings: PathBuf,
    /// Where metrics, probes and status are served.
    pub listen: SocketAddr,
    /// What a reader of the status page must present when `listen` is not loopback.
    pub token: Option<Secret<String>>,
    /// How log lines are written; `None`: text on a terminal, else JSON.
    pub log_format: Option<LogFormat>,
    /// How the engine uses memory and time.
    pub engine: EngineSettings,
}

/// How to reach both databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Databases {
    /// `mongodb://…` or `mongodb+srv://…`, with the database in it.
    pub legacy_uri: Secret<String>,
    /// `postgres://…`.
    pub renaissance_url: Secret<String>,
}

/// What flags and environment said, before validation.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The file that was named, by flag or environment.
    pub file: Option<PathBuf>,
    /// Settings as text, with where each came from.
    pub values: BTreeMap<Setting, Sourced>,
}

/// Looks up an environment variable; tests bring their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Settings for commands that do not touch the databases.
pub fn load(given: Given, environment: Environment<'_>) -> Result<Config, Problems> {
    let mut problems = Problems::default();
    // A person who asks for the status need not hold the secrets that the connection strings refer to.
    let mut values = gather(given, |setting| !setting.is_connection(), environment, &mut problems);
    let config = parse::config(&mut values, &mut problems);
    finish(config, problems)
}

/// Settings for commands that need both databases.
pub fn load_with_databases(given: Given, environment: Environment<'_>) -> Result<(Config, Databases), Problems> {
    let mut problems = Problems::default();
    let mut values = gather(given, |_| true, environment, &mut problems);
    let config = parse::config(&mut values, &mut problems);
    let databases = parse::databases(&mut values, &mut problems);
    finish(config.zip(databases), problems)
}

/// How to reach both databases, read anew: files that the settings refer to may hold other secrets by now.
pub fn databases(given: Given, environment: Environment<'_>) -> Result<Databases, Problems> {
    let mut problems = Problems::default();
    let mut values = gather(given, Setting::is_connection, environment, &mut problems);
    let databases = parse::databases(&mut values, &mut problems);
    finish(databases, problems)
}

/// File values overlaid with what flags and environment gave.
fn gather(
    given: Given,
    wanted: fn(Setting) -> bool,
    environment: Environment<'_>,
    problems: &mut Problems,
) -> BTreeMap<Setting, Sourced> {
    let mut values = file::read(given.file.as_deref(), wanted, environment, problems);
    values.extend(given.values.into_iter().filter(|(setting, _)| wanted(*setting)));
    values
}

fn finish<T>(outcome: Option<T>, problems: Problems) -> Result<T, Problems> {
    match outcome {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(problems),
    }
}

#[cfg(test)]
mod tests;
