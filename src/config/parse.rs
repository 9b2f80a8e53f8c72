//! From text to meaning, one setting at a time; nothing stops at the first problem.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Config, DEFAULT_LISTEN, DEFAULT_MAPPINGS, Databases, EngineSettings, LogFormat, Problems, Secret, Setting, Sourced,
    file::read_text, uri,
};

/// Ten years, in seconds.
const LONGEST_KEPT: u64 = 10 * 366 * 86_400;

type Values = BTreeMap<Setting, Sourced>;

/// Everything but the databases.
pub(super) fn config(values: &mut Values, problems: &mut Problems) -> Option<Config> {
    let mappings = take(values, Setting::Mappings, problems, path).or_default(|| PathBuf::from(DEFAULT_MAPPINGS));
    let listen = listen_address(values, problems);
    let token_place = values.get(&Setting::TokenFile).map(|value| value.place.clone());
    let token = take(values, Setting::TokenFile, problems, token);
    if let (Some((address, place)), Taken::Missing) = (&listen, &token)
        && !address.ip().is_loopback()
    {
        problems.push(
            token_place.unwrap_or_else(|| place.clone()),
            format!("{address} can be reached from other machines, so readers must present a token"),
            Some("set token_file to a file that only the bridge can read: openssl rand -hex 32 > token".to_owned()),
        );
    }
    let log_format = take(values, Setting::LogFormat, problems, log_format);
    let engine = engine(values, problems);
    Some(Config {
        mappings: mappings?,
        listen: listen?.0,
        token: token.optional()?,
        log_format: log_format.optional()?,
        engine: engine?,
    })
}

/// The two connection strings.
pub(super) fn databases(values: &mut Values, problems: &mut Problems) -> Option<Databases> {
    let mut connection = |setting: Setting, check: fn(&str) -> Option<(String, &'static str)>, example: &str| {
        let taken = take(values, setting, problems, |text| match check(text) {
            Some((what, fix)) => Err(Wrong { what, fix: Some(fix.to_owned()) }),
            None => Ok(Secret::new(text.to_owned())),
        });
        // the file has it, and what is wrong with it was said
        let said = problems.iter().any(|problem| problem.place.ends_with(&format!(": {}", setting.key())));
        if matches!(taken, Taken::Missing) && !said {
            let fix = format!(
                "set {} or {}, or in {}: {} = \"{example}\"",
                setting.flag(),
                setting.variable(),
                super::DEFAULT_FILE,
                setting.key()
            );
            problems.push(setting.flag(), "is not set", Some(fix));
        }
        taken.value()
    };
    let legacy = connection(Setting::LegacyUri, uri::legacy_problem, "mongodb://HOST/BioGraphDemo");
    let renaissance = connection(Setting::RenaissanceUrl, uri::renaissance_problem, "postgres://HOST/DATABASE");
    Some(Databases { legacy_uri: legacy?, renaissance_url: renaissance? })
}

fn listen_address(values: &mut Values, problems: &mut Problems) -> Option<(SocketAddr, String)> {
    let place = values.get(&Setting::Listen).map_or_else(|| Setting::Listen.flag(), |value| value.place.clone());
    let address = take(values, Setting::Listen, problems, address);
    address.or_default(|| SocketAddr::from(([127, 0, 0, 1], 9464))).map(|address| (address, place))
}

fn engine(values: &mut Values, problems: &mut Problems) -> Option<EngineSettings> {
    let default = EngineSettings::default();
    let batch_size = take(values, Setting::BatchSize, problems, |text| within(count(text)?, 1, 10_000));
    let batch_bytes = take(values, Setting::BatchBytes, problems, |text| within(size(text)?, 1 << 20, 1 << 40));
    let queue_bytes = take(values, Setting::QueueBytes, problems, |text| within(size(text)?, 1 << 20, 1 << 40));
    let drain_timeout = take(values, Setting::DrainTimeout, problems, |text| duration(text, 0, 3600));
    let checkpoint = take(values, Setting::CheckpointInterval, problems, |text| duration(text, 1, 60));
    let heartbeat = take(values, Setting::HeartbeatInterval, problems, |text| duration(text, 1, 3600));
    let parked = take(values, Setting::ParkedRetry, problems, |text| duration(text, 1, 86_400));
    let journal = take(values, Setting::JournalRetention, problems, |text| duration(text, 0, LONGEST_KEPT));
    let tombstones = take(values, Setting::TombstoneRetention, problems, |text| duration(text, 0, LONGEST_KEPT));
    let cutover = take(values, Setting::CutoverDrain, problems, |text| duration(text, 0, 3600));
    let rate = take(values, Setting::BackfillRate, problems, |text| within(count(text)?, 0, 10_000_000));
    let chunk = take(values, Setting::SweepChunk, problems, |text| within(count(text)?, 1, 10_000));
    let verify = take(values, Setting::VerifyRate, problems, |text| within(count(text)?, 0, 10_000_000));
    let background = take(values, Setting::VerifyBackground, problems, |text| within(count(text)?, 0, 10_000_000));
    let share = take(values, Setting::DeleteGuardShare, problems, share);
    let loops = take(values, Setting::LoopLimit, problems, |text| within(count(text)?, 1, 1_000_000));
    Some(EngineSettings {
        batch_size: batch_size.or_default(|| default.batch_size)?,
        batch_bytes: batch_bytes.or_default(|| default.batch_bytes)?,
        queue_bytes: queue_bytes.or_default(|| default.queue_bytes)?,
        drain_timeout: drain_timeout.or_default(|| default.drain_timeout)?,
        checkpoint_interval: checkpoint.or_default(|| default.checkpoint_interval)?,
        heartbeat_interval: heartbeat.or_default(|| default.heartbeat_interval)?,
        parked_retry: parked.or_default(|| default.parked_retry)?,
        journal_retention: journal.optional()?.map_or(default.journal_retention, unless_zero),
        tombstone_retention: tombstones.optional()?.map_or(default.tombstone_retention, unless_zero),
        cutover_drain: cutover.or_default(|| default.cutover_drain)?,
        backfill_rate: rate_of(rate.or_default(|| 0)?),
        verify_rate: verify.optional()?.map_or(default.verify_rate, rate_of),
        verify_background: background.optional()?.map_or(default.verify_background, rate_of),
        delete_guard_share: share.or_default(|| default.delete_guard_share)?,
        loop_limit: loops.optional()?.and_then(|limit| limit.try_into().ok()).unwrap_or(default.loop_limit),
        sweep_chunk: chunk.optional()?.and_then(|chunk| chunk.try_into().ok()).unwrap_or(default.sweep_chunk),
    })
}

/// Records a second; zero stands for no limit, or for not at all.
fn rate_of(rate: usize) -> Option<NonZeroU32> {
    rate.try_into().ok().and_then(NonZeroU32::new)
}

/// A time to keep something; zero stands for ever.
fn unless_zero(kept: Duration) -> Option<Duration> {
    (!kept.is_zero()).then_some(kept)
}

fn share(text: &str) -> Result<f64, Wrong> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err(Wrong::new("is not a share: a number from 0 to 1")),
    }
}

/// What became of one setting.
enum Taken<T> {
    Missing,
    Wrong,
    Value(T),
}

impl<T> Taken<T> {
    fn or_default(self, default: impl FnOnce() -> T) -> Option<T> {
        match self {
            Self::Missing => Some(default()),
            Self::Wrong => None,
            Self::Value(value) => Some(value),
        }
    }

    fn optional(self) -> Option<Option<T>> {
        match self {
            Self::Missing => Some(None),
            Self::Wrong => None,
            Self::Value(value) => Some(Some(value)),
        }
    }

    fn value(self) -> Option<T> {
        self.optional().flatten()
    }
}

/// Why a text was refused. `what` must not repeat the text of a secret.
struct Wrong {
    what: String,
    fix: Option<String>,
}

impl Wrong {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), fix: None }
    }
}

fn take<T>(
    values: &mut Values,
    setting: Setting,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Taken<T> {
    let Some(Sourced { text, place }) = values.remove(&setting) else {
        return Taken::Missing;
    };
    match parse(text.expose().trim()) {
        Ok(value) => Taken::Value(value),
        Err(Wrong { what, fix }) => {
            problems.push(place, what, fix);
            Taken::Wrong
        }
    }
}

fn path(text: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() { Err(Wrong::new("is empty; a path is expected")) } else { Ok(PathBuf::from(text)) }
}

fn token(text: &str) -> Result<Secret<String>, Wrong> {
    let content = read_text(Path::new(text)).map_err(Wrong::new)?;
    let token = content.trim();
    if token.len() < 16 {
        let fix = format!("make one: openssl rand -hex 32 > {text}");
        return Err(Wrong { what: format!("{text} holds fewer than 16 characters"), fix: Some(fix) });
    }
    Ok(Secret::new(token.to_owned()))
}

fn log_format(text: &str) -> Result<LogFormat, Wrong> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(Wrong::new(format!("`{other}` is neither `text` nor `json`"))),
    }
}

fn address(text: &str) -> Result<SocketAddr, Wrong> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric.as_deref().unwrap_or(text).parse().map_err(|_| Wrong {
        what: format!("`{text}` is not an address and port"),
        fix: Some(format!("write it like {DEFAULT_LISTEN} or [::1]:9464")),
    })
}

fn count(text: &str) -> Result<u64, Wrong> {
    text.replace('_', "").parse().map_err(|_| Wrong::new(format!("`{text}` is not a whole number")))
}

fn size(text: &str) -> Result<u64, Wrong> {
    const UNITS: [(&str, u32); 6] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("K", 10), ("M", 20), ("G", 30)];
    let (digits, shift) = UNITS
        .iter()
        .find_map(|(unit, shift)| text.strip_suffix(unit).map(|digits| (digits.trim_end(), *shift)))
        .unwrap_or((text, 0));
    let number = digits.replace('_', "").parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| Wrong::new(format!("`{text}` is not a whole number (KiB, MiB and GiB may follow)")))
}

fn within(number: u64, least: u64, most: u64) -> Result<usize, Wrong> {
    match usize::try_from(number) {
        Ok(value) if (least..=most).contains(&number) => Ok(value),
        Ok(_) | Err(_) => Err(Wrong::new(format!("{number} is not between {least} and {most}"))),
    }
}

fn duration(text: &str, least_ms: u64, most_s: u64) -> Result<Duration, Wrong> {
    let time = parse_duration(text).map_err(Wrong::new)?;
    if (Duration::from_millis(least_ms)..=Duration::from_secs(most_s)).contains(&time) {
        Ok(time)
    } else {
        Err(Wrong::new(format!("`{text}` is not between {least_ms}ms and {most_s}s")))
    }
}

/// A time as people write it: `500ms`, `30s`, `2m`, `1h`, `90d`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let (digits, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|digits| (digits.trim_end(), *factor)))
        .unwrap_or((text, 1000));
    let millis = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    millis.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is not a time such as 500ms, 30s or 2m"))
}
