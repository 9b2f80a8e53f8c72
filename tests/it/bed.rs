//! A test bed: both servers of its own, people in them, and the real binary bridging them.

use std::{
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use biograph_bridge::sandbox::{MongodOptions, PostgresOptions, PostgresServer, ReplicaSet, make_collections};
use mongodb::{
    Client, Collection, Database,
    bson::{Bson, Document, doc, oid::ObjectId},
};
use serde_json::Value as Json;
use sqlx::{PgPool, Row, postgres::PgRow};

pub(crate) const USERS: &str = "authapp_usermodel";
/// How long anything may take to cross.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Bed {
    pub(crate) postgres: PostgresServer,
    pub(crate) mongo: ReplicaSet,
    pub(crate) pool: PgPool,
    pub(crate) legacy: Database,
    pub(crate) log: PathBuf,
    pub(crate) renaissance_url: String,
    pub(crate) legacy_uri: String,
    /// Settings that differ from the usual ones.
    pub(crate) settings: Vec<(&'static str, String)>,
    port: u16,
}

/// The running daemon. Killed when dropped, unless stopped before.
pub(crate) struct Daemon {
    child: Child,
    port: u16,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(PostgresOptions::default(), 1).await
    }

    pub(crate) async fn with(options: PostgresOptions, members: usize) -> Self {
        Self::on(options, members, MongodOptions::default()).await
    }

    /// A bed whose MongoDB has room for large documents.
    pub(crate) async fn roomy() -> Self {
        Self::on(PostgresOptions::default(), 1, MongodOptions { cache_gb: 1.0, ..MongodOptions::default() }).await
    }

    pub(crate) async fn on(options: PostgresOptions, members: usize, mongod: MongodOptions) -> Self {
        let (postgres, mongo) = tokio::join!(PostgresServer::start(options), ReplicaSet::start(members, mongod));
        let (postgres, mongo) = (postgres.unwrap(), mongo.unwrap());
        let legacy_uri = mongo.uri("BioGraphDemo");
        Self::between(postgres, mongo, legacy_uri).await
    }

    /// A bed between servers that run.
    pub(crate) async fn between(postgres: PostgresServer, mongo: ReplicaSet, legacy_uri: String) -> Self {
        let renaissance_url = postgres.create_renaissance("renaissance").await.unwrap();
        let pool = PgPool::connect_lazy(&renaissance_url).unwrap();
        let legacy = Client::with_uri_str(&legacy_uri).await.unwrap().database("BioGraphDemo");
        make_collections(&legacy).await.unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = postgres.folder().with_extension("bridge.log");
        Self { postgres, mongo, pool, legacy, log, renaissance_url, legacy_uri, settings: Vec::new(), port }
    }

    /// A bed with an agreeing bridge on it.
    pub(crate) async fn running() -> (Self, Daemon) {
        let bed = Self::new().await;
        let daemon = bed.start().await;
        (bed, daemon)
    }

    /// The binary with the settings for this bed.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_biograph-bridge"));
        command
            .args(arguments)
            .env_clear()
            .env("BRIDGE_LEGACY_URI", &self.legacy_uri)
            .env("BRIDGE_RENAISSANCE_URL", &self.renaissance_url)
            .env("BRIDGE_MAPPINGS", concat!(env!("CARGO_MANIFEST_DIR"), "/mappings"))
            .env("BRIDGE_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("BRIDGE_PARKED_RETRY", "1s")
            .env("RUST_LOG", "biograph_bridge=debug")
            .env("BRIDGE_WITHOUT", std::env::var("BRIDGE_WITHOUT").unwrap_or_default())
            .envs(self.settings.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn spawn(&self) -> Daemon {
        self.spawn_on(self.port)
    }

    /// A daemon that listens elsewhere.
    pub(crate) fn spawn_on(&self, port: u16) -> Daemon {
        self.spawn_with(&["run"], port)
    }

    fn spawn_with(&self, arguments: &[&str], port: u16) -> Daemon {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = self.command(arguments);
        command.env("BRIDGE_LISTEN", format!("127.0.0.1:{port}"));
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Daemon { child, port }
    }

    pub(crate) fn another_port(&self) -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    /// Starts the daemon and waits until it streams.
    pub(crate) async fn start(&self) -> Daemon {
        self.until_streaming(self.spawn()).await
    }

    /// Starts a daemon that only decides, and waits until it streams.
    pub(crate) async fn start_shadow(&self) -> Daemon {
        self.until_streaming(self.spawn_with(&["run", "--shadow"], self.port)).await
    }

    async fn until_streaming(&self, mut daemon: Daemon) -> Daemon {
        let started = Instant::now();
        loop {
            assert!(daemon.child.try_wait().unwrap().is_none(), "the daemon ended: {}", self.log_tail());
            let status = daemon.status().await;
            if let Some(status) = &status
                && status["state"] == "streaming"
                && status["sides"].as_object().unwrap().values().all(|side| side["feed"] == "streaming")
            {
                return daemon;
            }
            assert!(started.elapsed() < PATIENCE, "the daemon does not stream: {status:?} {}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    pub(crate) fn log_all(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn users(&self) -> Collection<Document> {
        self.legacy.collection(USERS)
    }

    /// A plain person in BioGraph.
    pub(crate) async fn insert_person(&self, name: &str, extra: Document) -> ObjectId {
        let id = ObjectId::new();
        let digits =
            format!("{:010}", u64::from(u32::from_be_bytes(id.bytes()[8..].try_into().unwrap())) % 10_000_000_000);
        let mut person = doc! {
            "_id": id, "username": format!("user-{id}"), "phone_number": digits, "country_code": 1, "name": name,
            "email": format!("{id}@example.org"), "profile_settings": "P",
            "email_notification": { "all": true, "likes": false }, "push_notification": { "all": false },
            "is_premium_member": false, "status_key": 1, "is_removed": false,
            "created_time": mongodb::bson::DateTime::now(), "updated_time": mongodb::bson::DateTime::now(),
        };
        person.extend(extra);
        self.users().insert_one(person).await.unwrap();
        id
    }

    /// A person who registers in Renaissance, the way Django's ORM inserts them.
    pub(crate) async fn register(&self, username: &str, name: &str) -> i64 {
        let mut transaction = self.pool.begin().await.unwrap();
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO users (password, is_superuser, username, is_staff, is_active, date_joined, first_name, last_name, \
             email, phone_number, country_code, is_phone_verified, migrated_from_old_system, old_user_id, bio, \
             profile_picture, date_of_birth, google_id, apple_id, is_verified, subscription_status, created_at, updated_at) \
             VALUES ('pbkdf2', false, $1, false, true, now(), $2, '', $1 || '@example.net', NULL, '1', false, false, NULL, \
             'hello', '', NULL, '', '', false, 'pro', now(), now()) RETURNING id",
        )
        .bind(username)
        .bind(name)
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO user_profiles (user_id, profile_visibility, email_notifications, push_notifications, \
             sms_notifications, theme, created_at, updated_at) VALUES ($1, 'private', false, true, true, 'dark', now(), now())",
        )
        .bind(id)
        .execute(&mut *transaction)
        .await
        .unwrap();
        transaction.commit().await.unwrap();
        id
    }

    /// The user row that belongs to a document, with its profile's columns, if it is there.
    pub(crate) async fn row(&self, id: ObjectId) -> Option<PgRow> {
        sqlx::query(
            "SELECT u.*, p.profile_visibility, p.email_notifications, p.push_notifications, p.theme \
             FROM users u LEFT JOIN user_profiles p ON p.user_id = u.id WHERE u.old_user_id = $1",
        )
        .bind(id.to_hex())
        .fetch_optional(&self.pool)
        .await
        .unwrap()
    }

    /// Waits until the row of a document is as wanted.
    pub(crate) async fn until_row(&self, id: ObjectId, wanted: impl Fn(&PgRow) -> bool) -> PgRow {
        let started = Instant::now();
        loop {
            if let Some(row) = self.row(id).await
                && wanted(&row)
            {
                return row;
            }
            assert!(started.elapsed() < PATIENCE, "the row never came about: {}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_name(&self, id: ObjectId, name: &str) -> PgRow {
        self.until_row(id, |row| row.get::<String, _>("first_name") == name).await
    }

    /// Waits until the document is as wanted.
    pub(crate) async fn until_document(&self, filter: Document, wanted: impl Fn(&Document) -> bool) -> Document {
        let started = Instant::now();
        loop {
            if let Some(document) = self.users().find_one(filter.clone()).await.unwrap()
                && wanted(&document)
            {
                return document;
            }
            assert!(started.elapsed() < PATIENCE, "the document never came about: {}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn set(&self, id: ObjectId, path: &str, value: impl Into<Bson>) {
        self.users().update_one(doc! { "_id": id }, doc! { "$set": { path: value.into() } }).await.unwrap();
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until a count is as wanted.
    pub(crate) async fn until_count(&self, sql: &'static str, wanted: i64) {
        let started = Instant::now();
        loop {
            let count = self.count(sql).await;
            if count == wanted {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{sql}: {count}, not {wanted}: {}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Runs a command to its end; its exit code, and what it said. One that does not end is killed.
pub(crate) async fn output(command: Command) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::from(command);
    let ended = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let output = ended.unwrap_or_else(|_| panic!("it does not end: {command:?}")).unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    (output.status.code(), said)
}

impl Daemon {
    pub(crate) async fn status(&self) -> Option<Json> {
        reqwest::get(format!("http://127.0.0.1:{}/api/status", self.port)).await.ok()?.json().await.ok()
    }

    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let response = reqwest::get(format!("http://127.0.0.1:{}{path}", self.port)).await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by itself; the signal that ended it.
    pub(crate) async fn end(mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.signal();
            }
            assert!(started.elapsed() < PATIENCE, "the daemon does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// SIGTERM, and wait for the drain; the exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "the daemon does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // The log of a failed test stays for reading.
        if !std::thread::panicking() {
            drop(std::fs::remove_file(&self.log));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a document holds at a dotted path.
pub(crate) fn at<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    let mut keys = path.split('.');
    let first = document.get(keys.next()?);
    keys.fold(first, |value, key| value?.as_document()?.get(key))
}

/// Whether a document holds this at a dotted path.
pub(crate) fn holds(document: &Document, path: &str, value: impl Into<Bson>) -> bool {
    at(document, path) == Some(&value.into())
}
