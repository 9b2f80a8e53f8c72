//! The settings as flags: syntax only; meaning is given in `config`.

use std::{collections::BTreeMap, env, path::PathBuf};

use clap::Args;

use super::Failure;
use crate::{
    config::{self, Config, Databases, Given, Problems, Setting, Sourced},
    telemetry::{self, Audience},
};

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingFlags {
    /// File with settings [default: bridge.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "BRIDGE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// BioGraph, with the database: mongodb://USER:PASSWORD@HOST/BioGraphDemo
    #[arg(long, global = true, value_name = "URI", env = "BRIDGE_LEGACY_URI", hide_env_values = true)]
    legacy_uri: Option<String>,
    /// Renaissance: postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, global = true, value_name = "URL", env = "BRIDGE_RENAISSANCE_URL", hide_env_values = true)]
    renaissance_url: Option<String>,
    /// Directory of mapping files [default: mappings]
    #[arg(long, global = true, value_name = "DIR", env = "BRIDGE_MAPPINGS", hide_env_values = true)]
    mappings: Option<String>,
    /// Address of metrics, probes and status [default: 127.0.0.1:9464]
    #[arg(long, global = true, value_name = "ADDRESS", env = "BRIDGE_LISTEN", hide_env_values = true)]
    listen: Option<String>,
    /// File with the token that readers present; required if --listen is not loopback
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "BRIDGE_TOKEN_FILE",
        hide_env_values = true,
        hide_short_help = true
    )]
    token_file: Option<String>,
    /// text or json [default: text on a terminal, else json]
    #[arg(long, global = true, value_name = "FORMAT", env = "BRIDGE_LOG_FORMAT", hide_env_values = true)]
    log_format: Option<String>,
    /// Records reconciled together, at most [default: 1000]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "BRIDGE_BATCH_SIZE",
        hide_env_values = true,
        hide_short_help = true
    )]
    batch_size: Option<String>,
    /// Memory for the records of a batch and of the next one as they are read; larger batches are halved [default: 64MiB]
    #[arg(
        long,
        global = true,
        value_name = "SIZE",
        env = "BRIDGE_BATCH_BYTES",
        hide_env_values = true,
        hide_short_help = true
    )]
    batch_bytes: Option<String>,
    /// Memory for keys waiting to be reconciled; captures wait when it is full [default: 16MiB]
    #[arg(
        long,
        global = true,
        value_name = "SIZE",
        env = "BRIDGE_QUEUE_BYTES",
        hide_env_values = true,
        hide_short_help = true
    )]
    queue_bytes: Option<String>,
    /// How long a stopping daemon may finish what it has begun [default: 30s]
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "BRIDGE_DRAIN_TIMEOUT",
        hide_env_values = true,
        hide_short_help = true
    )]
    drain_timeout: Option<String>,
    /// How often positions are saved while streaming [default: 1s]
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "BRIDGE_CHECKPOINT_INTERVAL",
        hide_env_values = true,
        hide_short_help = true
    )]
    checkpoint_interval: Option<String>,
    /// How often a heartbeat is left in both logs, by which lag is known even when nothing changes [default: 10s]
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "BRIDGE_HEARTBEAT_INTERVAL",
        hide_env_values = true,
        hide_short_help = true
    )]
    heartbeat_interval: Option<String>,
    /// How often parked keys are tried again that wait for something else to change [default: 60s]
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "BRIDGE_PARKED_RETRY",
        hide_env_values = true,
        hide_short_help = true
    )]
    parked_retry: Option<String>,
    /// How long decided entries of the journal are kept; 0: for ever [default: 90d]
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "BRIDGE_JOURNAL_RETENTION",
        hide_env_values = true,
        hide_short_help = true
    )]
    journal_retention: Option<String>,
    /// How long is kept what deleted records held; 0: for ever [default: 90d]
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "BRIDGE_TOMBSTONE_RETENTION",
        hide_env_values = true,
        hide_short_help = true
    )]
    tombstone_retention: Option<String>,
    /// How long applications may take to notice that they are to hold the writes of a person who moves [default: 5s]
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "BRIDGE_CUTOVER_DRAIN",
        hide_env_values = true,
        hide_short_help = true
    )]
    cutover_drain: Option<String>,
    /// Records a second that a backfill may walk; 0: as many as it can [default: 0]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "BRIDGE_BACKFILL_RATE",
        hide_env_values = true,
        hide_short_help = true
    )]
    backfill_rate: Option<String>,
    /// Records per chunk of a sweep, after each of which its progress is saved [default: 1000]
    #[arg(long, global = true, value_name = "N", env = "BRIDGE_SWEEP_CHUNK", hide = true)]
    sweep_chunk: Option<String>,
    /// Records a second that `verify` may compare; 0: as many as it can [default: 2000]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "BRIDGE_VERIFY_RATE",
        hide_env_values = true,
        hide_short_help = true
    )]
    verify_rate: Option<String>,
    /// Records a second that the daemon compares by itself, over and over; 0: none [default: 0]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "BRIDGE_VERIFY_BACKGROUND",
        hide_env_values = true,
        hide_short_help = true
    )]
    verify_background: Option<String>,
    /// The share of an entity's records (0 to 1) that may be deleted within a minute; more pauses the entity [default: 0.05]
    #[arg(
        long,
        global = true,
        value_name = "SHARE",
        env = "BRIDGE_DELETE_GUARD_SHARE",
        hide_env_values = true,
        hide_short_help = true
    )]
    delete_guard_share: Option<String>,
    /// How often the bridge may write a record within a minute that no application changes [default: 10]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "BRIDGE_LOOP_LIMIT",
        hide_env_values = true,
        hide_short_help = true
    )]
    loop_limit: Option<String>,
}

/// Reads anew how to reach both databases.
pub(super) type Reread = Box<dyn Fn() -> Result<Databases, Problems> + Send + Sync>;

impl SettingFlags {
    /// Validated settings for a command that does not touch the databases; logging is started.
    pub(super) fn local(self, audience: Audience) -> Result<Config, Failure> {
        let config = config::load(self.given(), &variable)?;
        telemetry::start(config.log_format, audience);
        Ok(config)
    }

    /// Validated settings for a command that needs both databases; logging is started.
    pub(super) fn with_databases(self, audience: Audience) -> Result<(Config, Databases), Failure> {
        let (config, databases, _) = self.rereading(audience)?;
        Ok((config, databases))
    }

    /// The same, with a way to read how to reach the databases again later.
    pub(super) fn rereading(self, audience: Audience) -> Result<(Config, Databases, Reread), Failure> {
        let given = self.given();
        let (config, databases) = config::load_with_databases(given.clone(), &variable)?;
        telemetry::start(config.log_format, audience);
        Ok((config, databases, Box::new(move || config::databases(given.clone(), &variable))))
    }

    fn given(self) -> Given {
        let named = [
            (Setting::LegacyUri, self.legacy_uri),
            (Setting::RenaissanceUrl, self.renaissance_url),
            (Setting::Mappings, self.mappings),
            (Setting::Listen, self.listen),
            (Setting::TokenFile, self.token_file),
            (Setting::LogFormat, self.log_format),
            (Setting::BatchSize, self.batch_size),
            (Setting::BatchBytes, self.batch_bytes),
            (Setting::QueueBytes, self.queue_bytes),
            (Setting::DrainTimeout, self.drain_timeout),
            (Setting::CheckpointInterval, self.checkpoint_interval),
            (Setting::HeartbeatInterval, self.heartbeat_interval),
            (Setting::ParkedRetry, self.parked_retry),
            (Setting::JournalRetention, self.journal_retention),
            (Setting::TombstoneRetention, self.tombstone_retention),
            (Setting::CutoverDrain, self.cutover_drain),
            (Setting::BackfillRate, self.backfill_rate),
            (Setting::SweepChunk, self.sweep_chunk),
            (Setting::VerifyRate, self.verify_rate),
            (Setting::VerifyBackground, self.verify_background),
            (Setting::DeleteGuardShare, self.delete_guard_share),
            (Setting::LoopLimit, self.loop_limit),
        ];
        let mut values = BTreeMap::new();
        for (setting, text) in named {
            let Some(text) = text else { continue };
            // clap does not say where a value came from; the same value in both places may be called either.
            let from_environment = variable(&setting.variable()).is_some_and(|value| value == text);
            match (from_environment, text.is_empty()) {
                // Compose files and unit files pass variables that nobody set as empty ones.
                (true, true) => {}
                (true, false) => drop(values.insert(setting, Sourced::new(text, setting.variable()))),
                (false, _) => drop(values.insert(setting, Sourced::new(text, setting.flag()))),
            }
        }
        Given { file: self.config.filter(|path| !path.as_os_str().is_empty()), values }
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
