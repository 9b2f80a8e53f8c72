//! Logs: text on a terminal, one JSON object a line elsewhere; always to stderr, filtered by `RUST_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Whoever operates the daemon.
    Daemon,
    /// Somebody who waits for a command's answer.
    Command,
    /// Somebody who watches a screen that a log line would tear apart; what fails is shown there.
    Screen,
}

impl Audience {
    /// What is logged when `RUST_LOG` does not say otherwise.
    const fn filter(self) -> &'static str {
        match self {
            // what a driver says of a lost connection or a slow statement, the bridge says itself, and not every time
            Self::Daemon => "warn,sqlx_core=error,sqlx=error,pgwire_replication=off,biograph_bridge=info",
            Self::Command => "error,pgwire_replication=off,biograph_bridge=warn",
            Self::Screen => "off",
        }
    }
}

/// Starts logging. A second call changes nothing.
pub fn start(format: Option<LogFormat>, audience: Audience) {
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|wanted| !wanted.is_empty());
    let filter = wanted.map_or_else(|| EnvFilter::new(audience.filter()), EnvFilter::new);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!("logging was already started: {error}");
    }
}
