//! One mongod process for trying things out and for tests.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, ServerAddress};
use mongodb::{Client, Database};
use nix::sys::signal::Signal;

use super::leash::{Leash, last_lines};
use super::locate::{ServerChoice, mongod_program};
use super::{SandboxError, ports};

const START_LIMIT: Duration = Duration::from_secs(60);
const RESTART_LIMIT: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long one command may look for the server.
const SELECTION_LIMIT: Duration = Duration::from_secs(5);

/// How a mongod is set up; the default is what most tests want.
#[derive(Debug, Clone)]
pub struct MongodOptions {
    /// Which mongod.
    pub server: ServerChoice,
    /// The storage engine's cache; small, as three members share one machine.
    pub cache_gb: f32,
    /// The oplog of a replica set member.
    pub oplog_mb: u32,
    /// More arguments for mongod.
    pub arguments: Vec<String>,
}

impl Default for MongodOptions {
    fn default() -> Self {
        Self { server: ServerChoice::default(), cache_gb: 0.25, oplog_mb: 200, arguments: Vec::new() }
    }
}

/// A running (or killed) mongod with a folder of its own; dropping it ends the server and removes the folder.
#[derive(Debug)]
pub struct Mongod {
    leash: Leash,
    program: PathBuf,
    port: u16,
    replica_set: Option<&'static str>,
    options: MongodOptions,
}

/// How a start ended.
enum Start {
    Ready,
    PortTaken(SandboxError),
}

impl Mongod {
    /// A server that is no replica set member, so without change streams and transactions: what `check` must refuse.
    pub async fn standalone(options: MongodOptions) -> Result<Self, SandboxError> {
        Self::start(options, None).await
    }

    pub(super) async fn start(options: MongodOptions, replica_set: Option<&'static str>) -> Result<Self, SandboxError> {
        let choice = options.server.clone();
        let program = tokio::task::spawn_blocking(move || mongod_program(&choice))
            .await
            .map_err(|error| SandboxError::new(error.to_string(), ""))??;
        // the data are thrown away, and a polite primary waits up to 15 s for its secondaries
        let leash = Leash::new("mongod", Signal::SIGKILL)?;
        leash.make_dir("data")?;
        let mut mongod = Self { leash, program, port: 0, replica_set, options };
        let mut attempts = 5;
        loop {
            mongod.port = ports::free_port()?;
            match mongod.launch().await? {
                Start::Ready => return Ok(mongod),
                Start::PortTaken(_) if attempts > 0 => attempts -= 1,
                Start::PortTaken(error) => return Err(error),
            }
        }
    }

    /// The port on 127.0.0.1; it stays the same across restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, as replica set configurations name a member.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A connection string for this server alone.
    pub fn uri(&self, database: &str) -> String {
        format!("mongodb://{}/{database}?directConnection=true", self.address())
    }

    /// The pid while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.leash.pid()
    }

    /// The folder that holds the data and the log.
    pub fn folder(&self) -> &Path {
        self.leash.folder()
    }

    /// Everything the server has logged so far.
    pub fn log(&self) -> String {
        self.leash.log_since(0)
    }

    /// `kill -9`, as a crash would end it; returns when it is gone.
    pub async fn kill(&mut self) -> Result<(), SandboxError> {
        self.leash.kill().await
    }

    /// Starts it after [`Self::kill`], on the same port with the same data.
    pub async fn start_again(&mut self) -> Result<(), SandboxError> {
        let started = Instant::now();
        loop {
            match self.launch().await? {
                Start::Ready => return Ok(()),
                Start::PortTaken(error) if started.elapsed() > RESTART_LIMIT => return Err(error),
                Start::PortTaken(_) => tokio::time::sleep(10 * LOOK_EVERY).await,
            }
        }
    }

    /// Asks this server alone.
    pub(super) async fn command(&self, command: Document) -> Result<Document, SandboxError> {
        Ok(self.admin()?.run_command(command).await?)
    }

    fn admin(&self) -> Result<Database, SandboxError> {
        let address = ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(self.port) };
        let options = ClientOptions::builder()
            .hosts(vec![address])
            .direct_connection(true)
            .server_selection_timeout(SELECTION_LIMIT)
            .build();
        Ok(Client::with_options(options)?.database("admin"))
    }

    /// Whether it is the primary of its set now; a server that does not answer is not.
    pub(super) async fn is_primary(&self) -> bool {
        if self.pid().is_none() {
            return false;
        }
        let answer = self.command(doc! { "hello": 1 }).await;
        answer.is_ok_and(|answer| answer.get_bool("isWritablePrimary").unwrap_or(false))
    }

    fn arguments(&self) -> Vec<String> {
        let mut args: Vec<String> = ["--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"].map(str::to_owned).into();
        args.extend(["--port".to_owned(), self.port.to_string()]);
        args.extend(["--dbpath".to_owned(), self.folder().join("data").display().to_string()]);
        args.extend(["--wiredTigerCacheSizeGB".to_owned(), self.options.cache_gb.to_string()]);
        args.extend(["--setParameter".to_owned(), "diagnosticDataCollectionEnabled=false".to_owned()]);
        if let Some(name) = self.replica_set {
            args.extend(["--replSet".to_owned(), name.to_owned()]);
            args.extend(["--oplogSize".to_owned(), self.options.oplog_mb.to_string()]);
        }
        args.extend(self.options.arguments.iter().cloned());
        args
    }

    async fn launch(&mut self) -> Result<Start, SandboxError> {
        if self.leash.pid().is_some() {
            return Err(SandboxError::new("mongod is already running", "kill it first"));
        }
        let log_start = self.leash.log_length();
        let args = self.arguments();
        self.leash.spawn(&self.program, &args)?;
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            let status = self.leash.ended()?;
            // its own word; asking the port could reach somebody else's server
            let log = self.leash.log_since(log_start).to_ascii_lowercase();
            if status.is_some() {
                let error = self.failed(log_start);
                let taken = log.contains("address already in use");
                return if taken { Ok(Start::PortTaken(error)) } else { Err(error) };
            }
            if log.contains("waiting for connections") {
                return Ok(Start::Ready);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.leash.kill().await?;
        Err(self.failed(log_start))
    }

    fn failed(&self, log_start: usize) -> SandboxError {
        let log = self.leash.log_since(log_start);
        let hint = if log.contains("error while loading shared libraries") {
            "install the library it names (Debian, Ubuntu: apt-get install libcurl4 libssl3 liblzma5)"
        } else if log.contains("ermission denied") {
            "mongod and the temp folder must be open to the user `nobody` when this runs as root (set TMPDIR, or move them)"
        } else if log.is_empty() {
            "MongoDB 5 and newer need a processor with AVX (`grep avx /proc/cpuinfo`)"
        } else {
            ""
        };
        SandboxError::new(format!("{} failed: {}", self.program.display(), last_lines(&log)), hint)
    }
}
