//! One Postgres server for trying things out and for tests.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::RngExt;
use rand::distr::Alphanumeric;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::leash::Leash;
use super::locate::{ServerChoice, postgres_folder};
use super::{SandboxError, ports};

/// Long, because a crash recovery on a busy machine counts in.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(15);
const INITDB_LIMIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Unix socket paths end at about 104 bytes; a longer folder gets no socket.
const LONGEST_SOCKET_FOLDER: usize = 80;

/// How the server is set up; the default is what most tests want.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Which Postgres.
    pub server: ServerChoice,
    /// `logical` unless a test is about its absence.
    pub wal_level: &'static str,
    /// Whether commits reach the disk; only benchmarks need that.
    pub fsync: bool,
    /// More settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { server: ServerChoice::default(), wal_level: "logical", fsync: false, settings: Vec::new() }
    }
}

/// A running (or stopped) Postgres with a folder of its own; dropping it ends the server and removes the folder.
#[derive(Debug)]
pub struct PostgresServer {
    leash: Leash,
    bin_dir: PathBuf,
    password: String,
    port: u16,
    options: PostgresOptions,
}

/// How a start ended.
enum Start {
    Ready,
    /// The port, or shared memory of the predecessor's dying backends, is still in use.
    Busy(SandboxError),
}

impl PostgresServer {
    /// Makes a database cluster and starts a server on a free port of 127.0.0.1.
    pub async fn start(options: PostgresOptions) -> Result<Self, SandboxError> {
        let choice = options.server.clone();
        let bin_dir = tokio::task::spawn_blocking(move || postgres_folder(&choice))
            .await
            .map_err(|error| SandboxError::new(error.to_string(), ""))??;
        // the data are thrown away, so Postgres need not write them down before it leaves
        let leash = Leash::new("postgres", Signal::SIGQUIT)?;
        let mut server = Self { leash, bin_dir, password: random_password(), port: 0, options };
        server.initdb().await?;
        let mut attempts = 5;
        loop {
            server.port = ports::free_port()?;
            match server.launch().await? {
                Start::Ready => return Ok(server),
                Start::Busy(_) if attempts > 0 => attempts -= 1,
                Start::Busy(error) => return Err(error),
            }
        }
    }

    /// The port on 127.0.0.1; it stays the same across restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with `psql`, `pgbench` and the others, as far as the chosen Postgres has them.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The connection string of the superuser `postgres` for one database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The pid of the postmaster while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.leash.pid()
    }

    /// The folder that holds the data and the log.
    pub fn folder(&self) -> &Path {
        self.leash.folder()
    }

    /// Leaves a text in the folder, to be removed with it; only this user, root and the server's user can read it.
    pub(super) fn leave_note(&self, name: &str, text: &str) -> Result<PathBuf, SandboxError> {
        self.leash.write_file(name, text)
    }

    /// Leaves texts in a new folder in the folder.
    pub(super) fn leave_folder(&self, name: &str, files: &[(&str, &str)]) -> Result<PathBuf, SandboxError> {
        self.leash.make_dir(name)?;
        for (file, text) in files {
            self.leash.write_file(&format!("{name}/{file}"), text)?;
        }
        Ok(self.folder().join(name))
    }

    /// Everything the server has logged so far.
    pub fn log(&self) -> String {
        self.leash.log_since(0)
    }

    /// A connection to one database.
    pub async fn connect(&self, database: &str) -> Result<PgConnection, SandboxError> {
        Ok(PgConnection::connect(&self.url(database)).await?)
    }

    /// Runs statements in one database, as `psql -c` would, and forgets their rows.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<(), SandboxError> {
        let mut connection = self.connect(database).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Makes an empty database and gives its connection string.
    pub async fn create_database(&self, name: &str) -> Result<String, SandboxError> {
        let quoted = name.replace('"', "\"\"");
        self.execute("postgres", &format!("CREATE DATABASE \"{quoted}\"")).await?;
        Ok(self.url(name))
    }

    /// Stops it as `pg_ctl -m fast` does; the data stay until it is dropped.
    pub async fn stop(&mut self) -> Result<(), SandboxError> {
        // a fast stop waits for replication clients, which may never answer; an immediate one does not
        for signal in [Signal::SIGINT, Signal::SIGQUIT] {
            if self.leash.pid().is_none() {
                return Ok(());
            }
            self.leash.signal(signal);
            if self.leash.end_within(STOP_LIMIT).await?.is_some() {
                return Ok(());
            }
        }
        self.leash.kill().await
    }

    /// `kill -9` of the postmaster, as a crash would end it; returns when it is gone.
    pub async fn kill(&mut self) -> Result<(), SandboxError> {
        self.leash.kill().await
    }

    /// Starts it after [`Self::stop`] or [`Self::kill`], on the same port with the same data.
    pub async fn start_again(&mut self) -> Result<(), SandboxError> {
        let started = Instant::now();
        loop {
            match self.launch().await? {
                Start::Ready => return Ok(()),
                Start::Busy(error) if started.elapsed() > STOP_LIMIT => return Err(error),
                Start::Busy(_) => tokio::time::sleep(10 * LOOK_EVERY).await,
            }
        }
    }

    /// A fast stop and a start.
    pub async fn restart(&mut self) -> Result<(), SandboxError> {
        self.stop().await?;
        self.start_again().await
    }

    async fn initdb(&mut self) -> Result<(), SandboxError> {
        let password_file = self.leash.write_file("password", &self.password)?;
        let data = self.data();
        let args = [
            format!("--pgdata={}", data.display()),
            format!("--pwfile={}", password_file.display()),
            "--username=postgres".to_owned(),
            "--auth=scram-sha-256".to_owned(),
            "--encoding=UTF8".to_owned(),
            "--locale=C".to_owned(),
            "--no-sync".to_owned(),
        ];
        let initdb = self.bin_dir.join("initdb");
        self.leash.spawn(&initdb, &args)?;
        let status = self.leash.end_within(INITDB_LIMIT).await?;
        std::fs::remove_file(&password_file).map_err(|error| SandboxError::io("removing the password file", &error))?;
        if status.is_some_and(|status| status.success()) {
            return Ok(());
        }
        Err(self.failed(&initdb, 0))
    }

    fn arguments(&self) -> Vec<String> {
        let folder = self.folder().display().to_string();
        let socket_folder = if folder.len() > LONGEST_SOCKET_FOLDER { String::new() } else { folder };
        let mut settings = vec![
            ("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
            ("port".to_owned(), self.port.to_string()),
            ("unix_socket_directories".to_owned(), socket_folder),
            ("wal_level".to_owned(), self.options.wal_level.to_owned()),
            ("max_wal_senders".to_owned(), "10".to_owned()),
            ("max_replication_slots".to_owned(), "10".to_owned()),
            ("fsync".to_owned(), if self.options.fsync { "on" } else { "off" }.to_owned()),
            // in the data folder, so that a killed server leaves nothing in /dev/shm
            ("dynamic_shared_memory_type".to_owned(), "mmap".to_owned()),
        ];
        settings.extend(self.options.settings.iter().cloned());
        let mut args = vec!["-D".to_owned(), self.data().display().to_string()];
        for (name, value) in settings {
            args.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        args
    }

    async fn launch(&mut self) -> Result<Start, SandboxError> {
        if self.leash.pid().is_some() {
            return Err(SandboxError::new("Postgres is already running", "stop or kill it first"));
        }
        let log_start = self.leash.log_length();
        let postgres = self.bin_dir.join("postgres");
        let args = self.arguments();
        self.leash.spawn(&postgres, &args)?;
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if self.leash.ended()?.is_some() {
                let log = self.leash.log_since(log_start);
                let error = self.failed(&postgres, log_start);
                let busy = log.contains("Address already in use") || log.contains("is still in use");
                return if busy { Ok(Start::Busy(error)) } else { Err(error) };
            }
            if self.is_ready() {
                return Ok(Start::Ready);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.leash.kill().await?;
        Err(self.failed(&postgres, log_start))
    }

    /// Its own word in its pid file; asking the port could reach somebody else's server.
    fn is_ready(&self) -> bool {
        let Ok(text) = std::fs::read_to_string(self.data().join("postmaster.pid")) else { return false };
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let pid = lines.first().and_then(|line| line.parse().ok());
        pid == self.leash.pid() && lines.get(7) == Some(&"ready")
    }

    fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    fn failed(&self, program: &Path, log_start: usize) -> SandboxError {
        let log = self.leash.log_since(log_start);
        let hint = if log.contains("ermission denied") {
            "the programs and the temp folder must be open to the user `nobody` when this runs as root (set TMPDIR, or move them)"
        } else if log.contains("user does not exist") {
            "Postgres wants its user in /etc/passwd: run this as one that is"
        } else {
            ""
        };
        SandboxError::new(format!("{} failed: {}", program.display(), super::leash::last_lines(&log)), hint)
    }
}

fn random_password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect()
}
