//! Both servers with people in the legacy one, and the real binary as a process of its own.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use biograph_bridge::{
    model::side::Side,
    sandbox::{MongodOptions, PostgresOptions, PostgresServer, ReplicaSet, load_people},
};
use mongodb::{
    Client, Database,
    bson::{Document, doc},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{Result, process, report::Row};

/// The same people every time.
const SEED: u64 = 7;
/// What is set apart from defaults, the same for all parts of a run.
pub(crate) const SETTINGS: &str = "Postgres: fsync on, wal_level logical, max_wal_size 4GB; MongoDB: one-member replica set, journalled, cache 1 GB, oplog 2 GB";
const PATIENCE: Duration = Duration::from_secs(300);
/// Asking more often would take time from what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// An id that no row has.
const NOBODY: i64 = i64::MAX;
/// The database names.
const RENAISSANCE: &str = "renaissance";
const LEGACY: &str = "BioGraphDemo";

/// The mapped collections that hold nobody.
const OTHERS: [&str; 6] = [
    "biographapp_biographmodel",
    "biographapp_coauthormodel",
    "authapp_booksmodel",
    "authapp_notifcationmodel",
    "authapp_recordedtimemodel",
    "authapp_subscription",
];

pub(crate) struct Bed {
    pub(crate) postgres: PostgresServer,
    pub(crate) mongo: ReplicaSet,
    pub(crate) pool: PgPool,
    pub(crate) client: Client,
    pub(crate) legacy: Database,
    urls: (String, String),
    port: u16,
    used: bool,
    /// Whether Renaissance has the tables of friends and subscribers.
    sets: bool,
}

impl Bed {
    /// Starts the servers and loads the people.
    pub(crate) async fn start(people: u32) -> Result<Self> {
        crate::progress("starting the servers");
        let settings = vec![("max_wal_size".to_owned(), "4GB".to_owned())];
        let postgres = PostgresOptions { fsync: true, settings, ..PostgresOptions::default() };
        let mongo = MongodOptions { cache_gb: 1.0, oplog_mb: 2000, ..MongodOptions::default() };
        let (postgres, mongo) = tokio::try_join!(PostgresServer::start(postgres), ReplicaSet::start(1, mongo))?;
        let urls = (mongo.uri(LEGACY), postgres.create_renaissance(RENAISSANCE).await?);
        let client = Client::with_uri_str(&urls.0).await?;
        let legacy = client.database(LEGACY);
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        crate::progress(&format!("loading {people} people"));
        load_people(&legacy, SEED, people).await?;
        // the bridge refuses to start without a mapped collection; here they are empty
        for collection in OTHERS {
            legacy.create_collection(collection).await?;
        }
        let pool = PgPool::connect_lazy(&urls.1)?;
        Ok(Self { postgres, mongo, pool, client, legacy, urls, port, used: false, sets: true })
    }

    /// A Renaissance without people that no bridge has seen, with or without the tables of friends and subscribers.
    pub(crate) async fn empty_renaissance(&mut self, sets: bool) -> Result<()> {
        self.sets = sets;
        if std::mem::replace(&mut self.used, true) {
            let drop_slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots";
            self.postgres.execute(RENAISSANCE, drop_slots).await?;
        }
        self.pool.close().await;
        self.drop_database(RENAISSANCE).await?;
        self.urls.1 = self.create_renaissance(RENAISSANCE).await?;
        self.pool = PgPool::connect_lazy(&self.urls.1)?;
        // what a former bridge left there names the database that is gone
        for collection in self.legacy.list_collection_names().await? {
            if collection.starts_with("biograph_bridge") {
                self.legacy.collection::<Document>(&collection).drop().await?;
            }
        }
        Ok(())
    }

    /// A database with the tables that the bridge is to fill.
    pub(crate) async fn create_renaissance(&self, name: &str) -> Result<String> {
        let url = self.postgres.create_renaissance(name).await?;
        if !self.sets {
            self.postgres.execute(name, "DROP TABLE friendships, subscribers").await?;
        }
        Ok(url)
    }

    pub(crate) async fn drop_database(&self, name: &str) -> Result<()> {
        Ok(self.postgres.execute("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).await?)
    }

    pub(crate) async fn versions(&self) -> Result<Value> {
        let postgres: String = sqlx::query_scalar("SHOW server_version").fetch_one(&self.pool).await?;
        let build = self.legacy.run_command(doc! { "buildInfo": 1 }).await?;
        Ok(json!({ "postgres": postgres, "mongodb": build.get_str("version")? }))
    }

    /// Starts the bridge.
    pub(crate) fn spawn(&self) -> Result<Daemon> {
        self.spawn_without("")
    }

    /// Starts the bridge without some of its mechanisms: names with commas between them.
    pub(crate) fn spawn_without(&self, mechanisms: &str) -> Result<Daemon> {
        self.run_bridge(&[("BRIDGE_WITHOUT", mechanisms)])
    }

    /// Starts the bridge with more settings.
    pub(crate) fn run_bridge(&self, settings: &[(&str, &str)]) -> Result<Daemon> {
        let child = self.command(&["run"]).envs(settings.iter().copied()).stdout(Stdio::null()).spawn()?;
        Ok(Daemon { child, status: format!("http://127.0.0.1:{}/api/status", self.port) })
    }

    /// The program with the settings for this bed.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_biograph-bridge"));
        command
            .args(arguments)
            .env_clear()
            .env("BRIDGE_LEGACY_URI", &self.urls.0)
            .env("BRIDGE_RENAISSANCE_URL", &self.urls.1)
            .env("BRIDGE_MAPPINGS", concat!(env!("CARGO_MANIFEST_DIR"), "/mappings"))
            .env("BRIDGE_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("BRIDGE_VERIFY_RATE", "0")
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned()))
            .stdin(Stdio::null());
        command
    }

    /// The state of all clocks now.
    pub(crate) fn measure(&self, daemon: Option<&Daemon>) -> Result<Start> {
        Ok(Start { load: process::load()?, cpu: self.cpu(daemon)?, at: Instant::now() })
    }

    /// CPU time of the bridge, of MongoDB and of Postgres.
    fn cpu(&self, daemon: Option<&Daemon>) -> Result<[u64; 3]> {
        let mongod = self.mongo.members()[0].pid().ok_or("mongod has ended")?;
        let postgres = self.postgres.pid().ok_or("Postgres has ended")?;
        let bridge = daemon.map_or(Ok(0), |daemon| process::cpu(daemon.child.id()))?;
        Ok([bridge, process::cpu(mongod)?, process::cpu_of_family(postgres)?])
    }
}

/// The same starting point for every measurement: no dead rows, fresh statistics.
pub(crate) async fn vacuum(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql("VACUUM ANALYZE").execute(pool).await?;
    Ok(())
}

/// When a measurement began.
pub(crate) struct Start {
    at: Instant,
    cpu: [u64; 3],
    load: f64,
}

impl Start {
    /// What it took.
    pub(crate) fn until_now(self, people: u64, bed: &Bed, daemon: Option<&Daemon>) -> Result<Row> {
        let took = self.at.elapsed();
        self.ended(took, people, bed, daemon)
    }

    /// What it took, if the clock was stopped now and then.
    pub(crate) fn ended(self, took: Duration, people: u64, bed: &Bed, daemon: Option<&Daemon>) -> Result<Row> {
        let now = bed.cpu(daemon)?;
        let peak_bytes = daemon.map_or(Ok(0), |daemon| process::peak_memory(daemon.child.id()))?;
        let cpu_micros = std::array::from_fn(|n| now[n].saturating_sub(self.cpu[n]));
        Ok(Row { people, seconds: took.as_secs_f64(), cpu_micros, peak_bytes, load: self.load })
    }
}

/// The running bridge; killed when dropped, unless stopped before.
pub(crate) struct Daemon {
    child: Child,
    status: String,
}

impl Daemon {
    /// The address of one of its pages.
    pub(crate) fn url(&self, path: &str) -> String {
        self.status.replace("/api/status", path)
    }

    /// What it says of itself.
    pub(crate) async fn status(&self) -> Result<Value> {
        Ok(reqwest::get(&self.status).await?.json().await?)
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let started = Instant::now();
        let mut last = Value::Null;
        while started.elapsed() < PATIENCE {
            if let Ok(answer) = reqwest::get(&self.status).await {
                last = answer.json().await?;
                if wanted(&last) {
                    return Ok(());
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(format!("the bridge did not get there in {PATIENCE:?}: {last:#}").into())
    }

    /// Waits until changes of a side flow.
    pub(crate) async fn until_streaming(&self, side: Side) -> Result<()> {
        self.until(|status| status["sides"][side.as_str()]["feed"] == "streaming").await
    }

    /// Waits until both directions have nothing left to do.
    pub(crate) async fn until_quiet(&self) -> Result<()> {
        self.until(|status| {
            let caught_up = |(_, way): (&String, &Value)| way["lag_seconds"].as_f64() == Some(0.0);
            status["queue"]["keys"] == 0
                && status["directions"].as_object().is_some_and(|ways| ways.iter().all(caught_up))
        })
        .await
    }

    /// Waits until it has nothing left to do: it has also met everybody whom it answers about.
    pub(crate) async fn until_idle(&self) -> Result<()> {
        self.until_quiet().await?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            // until then it says that it does not know yet
            if reqwest::get(self.url(&format!("/api/route?renaissance_id={NOBODY}"))).await?.status()
                == StatusCode::NOT_FOUND
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err("the bridge does not get to know everybody".into())
    }

    /// Keeps it from doing anything until what is returned is dropped.
    pub(crate) fn hold(&self) -> Result<Held> {
        let pid = self.pid()?;
        kill(pid, Signal::SIGSTOP)?;
        Ok(Held(pid))
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }

    /// SIGTERM, and wait for the drain: positions are saved, the next start begins after them.
    pub(crate) async fn stop(mut self) -> Result<()> {
        kill(self.pid()?, Signal::SIGTERM)?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err("the bridge does not stop".into())
    }
}

/// A bridge that is held up.
pub(crate) struct Held(Pid);

impl Drop for Held {
    fn drop(&mut self) {
        // already gone is fine
        kill(self.0, Signal::SIGCONT).unwrap_or_default();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // already gone is fine
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
