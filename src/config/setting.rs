//! The list of settings and their three names: file key, flag, environment variable.

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// The legacy database.
    LegacyUri,
    /// The renaissance database.
    RenaissanceUrl,
    /// The directory of mapping files.
    Mappings,
    /// Where metrics, probes and status are served.
    Listen,
    /// The file with the token that readers of a non-loopback address present.
    TokenFile,
    /// How log lines are written.
    LogFormat,
    /// Records reconciled together.
    BatchSize,
    /// Memory for records reconciled together.
    BatchBytes,
    /// Memory for waiting keys.
    QueueBytes,
    /// How long a stopping daemon may finish.
    DrainTimeout,
    /// How often positions are saved.
    CheckpointInterval,
    /// How often heartbeats are left in both logs.
    HeartbeatInterval,
    /// How often parked keys are tried again.
    ParkedRetry,
    /// How long decided entries of the journal are kept.
    JournalRetention,
    /// How long is kept what deleted records held.
    TombstoneRetention,
    /// How long applications may take to notice that a person moves.
    CutoverDrain,
    /// Records a second that sweeps may walk.
    BackfillRate,
    /// Records per chunk of a sweep.
    SweepChunk,
    /// Records a second that a comparison may walk.
    VerifyRate,
    /// The same for one that nobody asked for.
    VerifyBackground,
    /// The share of an entity that may be deleted in a minute.
    DeleteGuardShare,
    /// How often the bridge may write a record that no application changes.
    LoopLimit,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 22] = [
        Self::LegacyUri,
        Self::RenaissanceUrl,
        Self::Mappings,
        Self::Listen,
        Self::TokenFile,
        Self::LogFormat,
        Self::BatchSize,
        Self::BatchBytes,
        Self::QueueBytes,
        Self::DrainTimeout,
        Self::CheckpointInterval,
        Self::HeartbeatInterval,
        Self::ParkedRetry,
        Self::JournalRetention,
        Self::TombstoneRetention,
        Self::CutoverDrain,
        Self::BackfillRate,
        Self::SweepChunk,
        Self::VerifyRate,
        Self::VerifyBackground,
        Self::DeleteGuardShare,
        Self::LoopLimit,
    ];

    /// Its key in the file.
    pub const fn key(self) -> &'static str {
        match self {
            Self::LegacyUri => "legacy_uri",
            Self::RenaissanceUrl => "renaissance_url",
            Self::Mappings => "mappings",
            Self::Listen => "listen",
            Self::TokenFile => "token_file",
            Self::LogFormat => "log_format",
            Self::BatchSize => "batch_size",
            Self::BatchBytes => "batch_bytes",
            Self::QueueBytes => "queue_bytes",
            Self::DrainTimeout => "drain_timeout",
            Self::CheckpointInterval => "checkpoint_interval",
            Self::HeartbeatInterval => "heartbeat_interval",
            Self::ParkedRetry => "parked_retry",
            Self::JournalRetention => "journal_retention",
            Self::TombstoneRetention => "tombstone_retention",
            Self::CutoverDrain => "cutover_drain",
            Self::BackfillRate => "backfill_rate",
            Self::SweepChunk => "sweep_chunk",
            Self::VerifyRate => "verify_rate",
            Self::VerifyBackground => "verify_background",
            Self::DeleteGuardShare => "delete_guard_share",
            Self::LoopLimit => "loop_limit",
        }
    }

    /// Its flag: `--legacy-uri`.
    pub fn flag(self) -> String {
        format!("--{}", self.key().replace('_', "-"))
    }

    /// Its environment variable: `BRIDGE_LEGACY_URI`.
    pub fn variable(self) -> String {
        format!("BRIDGE_{}", self.key().to_uppercase())
    }

    /// The setting with that key.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.key() == key)
    }

    /// Whether the file may give a bare number.
    pub(super) const fn accepts_number(self) -> bool {
        match self {
            Self::BatchSize
            | Self::BatchBytes
            | Self::QueueBytes
            | Self::DrainTimeout
            | Self::CheckpointInterval
            | Self::HeartbeatInterval
            | Self::ParkedRetry
            | Self::JournalRetention
            | Self::TombstoneRetention
            | Self::CutoverDrain
            | Self::BackfillRate
            | Self::SweepChunk
            | Self::VerifyRate
            | Self::VerifyBackground
            | Self::DeleteGuardShare
            | Self::LoopLimit => true,
            Self::LegacyUri
            | Self::RenaissanceUrl
            | Self::Mappings
            | Self::Listen
            | Self::TokenFile
            | Self::LogFormat => false,
        }
    }

    /// Whether that may have a fraction.
    pub(super) const fn accepts_fraction(self) -> bool {
        matches!(self, Self::DeleteGuardShare)
    }

    /// Whether it is a connection string.
    pub(super) const fn is_connection(self) -> bool {
        matches!(self, Self::LegacyUri | Self::RenaissanceUrl)
    }

    /// Whether it names a path; in the file, paths are relative to the file.
    pub(super) const fn is_path(self) -> bool {
        matches!(self, Self::Mappings | Self::TokenFile)
    }
}

/// A value as text, with the place to name when it is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced {
    /// The text.
    pub text: super::Secret<String>,
    /// `bridge.toml:3: listen`, `--listen`, `BRIDGE_LISTEN`.
    pub place: String,
}

impl Sourced {
    /// A value from a flag, the environment or the file.
    pub fn new(text: String, place: impl Into<String>) -> Self {
        Self { text: super::Secret::new(text), place: place.into() }
    }
}
