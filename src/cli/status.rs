//! `status`: what the daemon at `listen` is doing.

use std::{
    io::{IsTerminal, stdout},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use clap::Args;

use super::{Failure, options::SettingFlags, paint::Paint, print, screen};
use crate::{
    config::{Config, Setting},
    error::Error,
    sync::status::StatusReport,
    telemetry::Audience,
};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a watched screen is renewed.
const REFRESH: Duration = Duration::from_secs(1);
/// Moves the cursor home and clears what follows.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Show what the daemon is doing: state, lag, backlog, conflicts, parked
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 a daemon answered, 3 no daemon is active there.

Examples:
  biograph-bridge status
  biograph-bridge status --watch
  biograph-bridge status --json --listen 10.0.0.5:9464 --token-file token")]
pub(super) struct Status {
    /// Renew the screen every second until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print the status document (with --watch: one every second)
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let config = settings.local(Audience::Command)?;
        print::block_on(async {
            let daemon = Daemon::new(&config)?;
            self.show(&daemon, &daemon.ask().await?)?;
            if !self.watch {
                return Ok(());
            }
            loop {
                tokio::time::sleep(REFRESH).await;
                match daemon.ask().await {
                    Ok(report) => self.show(&daemon, &report)?,
                    // A watched daemon may be restarted.
                    Err(failure @ Failure::No(_)) if stdout().is_terminal() && !self.json => {
                        print::text(CLEAR)?;
                        failure.report();
                    }
                    Err(failure) => return Err(failure),
                }
            }
        })
    }

    fn show(&self, daemon: &Daemon, report: &StatusReport) -> Result<(), Failure> {
        if self.json {
            return print::json(report);
        }
        let clear = if self.watch && stdout().is_terminal() { CLEAR } else { "" };
        print::text(&format!("{clear}{}", screen::status(report, &daemon.address.to_string(), Paint::stdout())))
    }
}

/// The daemon as a reader sees it.
struct Daemon {
    client: reqwest::Client,
    address: SocketAddr,
    token: Option<crate::config::Secret<String>>,
}

impl Daemon {
    fn new(config: &Config) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
        let client = client.map_err(|error| Error::halt("cannot prepare the request").with_source(error))?;
        Ok(Self { client, address: reachable(config.listen), token: config.token.clone() })
    }

    async fn ask(&self) -> Result<StatusReport, Failure> {
        let mut request = self.client.get(format!("http://{}/api/status", self.address));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let response = request.send().await.map_err(|_| self.nobody())?;
        match response.status().as_u16() {
            200 => response.json().await.map_err(|_| self.somebody_else()),
            401 => {
                let hint = format!("set {} to the file that the daemon uses", Setting::TokenFile.flag());
                Err(Error::halt(format!("the daemon at {} asks for its token", self.address)).with_hint(hint).into())
            }
            _ => Err(self.somebody_else()),
        }
    }

    fn nobody(&self) -> Failure {
        let hint = format!("start one with `biograph-bridge run`, or name its address with {}", Setting::Listen.flag());
        Failure::No(Box::new(Error::halt(format!("no daemon is active at {}", self.address)).with_hint(hint)))
    }

    fn somebody_else(&self) -> Failure {
        let hint = format!("name the daemon's address with {}", Setting::Listen.flag());
        let error = Error::halt(format!("no daemon is active at {}: something else answers there", self.address));
        Failure::No(Box::new(error.with_hint(hint)))
    }
}

/// A daemon that listens on every address is reached on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(ip, listen.port())
}
