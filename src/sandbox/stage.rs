//! Both servers with Renaissance's tables and BioGraph's people: what the bridge of `biograph-bridge sandbox` works on.

use std::path::PathBuf;
use std::time::Duration;

use mongodb::bson::Document;
use mongodb::{Client, Collection};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::running::Notes;
use super::{
    MongodOptions, Population, PostgresOptions, PostgresServer, ReplicaSet, SandboxError, ServerChoice, USERS,
    mongod_program, people, person_id, postgres_folder,
};
use crate::model::key::LegacyId;

/// The legacy database, named as in production.
const LEGACY_DATABASE: &str = "BioGraphDemo";
const RENAISSANCE_DATABASE: &str = "renaissance";
/// The sample people are the same ones every time.
const SEED: u64 = 2026;
/// A person to try things on is among the first; any further search would be in vain.
const LOOKED_AT: u32 = 200;
const COUNT_LIMIT: Duration = Duration::from_secs(2);

/// Two running servers; dropping it ends them and removes their folders.
#[derive(Debug)]
pub struct Stage {
    postgres: PostgresServer,
    mongo: ReplicaSet,
    people: u32,
}

impl Stage {
    /// Fetches what is missing, starts both servers, makes the tables and loads the people; tells `progress` about it.
    pub async fn start(people: u32, progress: impl Fn(&str)) -> Result<Self, SandboxError> {
        let missing = super::to_fetch();
        if !missing.is_empty() {
            progress(&format!("fetching {} (kept for the next time)…", missing.join(" and ")));
        }
        blocking(|| postgres_folder(&ServerChoice::Pinned).and(mongod_program(&ServerChoice::Pinned))).await?;
        progress("starting PostgreSQL and MongoDB…");
        let (postgres, mongo) = tokio::try_join!(
            PostgresServer::start(PostgresOptions::default()),
            ReplicaSet::start(1, MongodOptions::default())
        )?;
        postgres.create_renaissance(RENAISSANCE_DATABASE).await?;
        let stage = Self { postgres, mongo, people };
        progress(&format!("loading {people} people and what they made into MongoDB…"));
        let database = stage.legacy().await?.default_database().ok_or_else(no_database)?;
        Population { seed: SEED, people, broken: 0.0 }.load(&database).await?;
        Ok(stage)
    }

    /// The connection string of BioGraph's database.
    pub fn legacy_uri(&self) -> String {
        self.mongo.uri(LEGACY_DATABASE)
    }

    /// The connection string of Renaissance's database.
    pub fn renaissance_url(&self) -> String {
        self.postgres.url(RENAISSANCE_DATABASE)
    }

    /// The `psql` that came with the server, if one did.
    pub fn psql(&self) -> Option<PathBuf> {
        Some(self.postgres.bin_dir().join("psql")).filter(|psql| psql.exists())
    }

    /// An ordinary person, to try things on.
    pub fn example(&self) -> LegacyId {
        let ordinary = |person: &Document| {
            person.get_str("name").is_ok_and(|name| name.contains(' '))
                && person.get_bool("is_removed").is_ok_and(|removed| !removed)
                && person.get_i32("status_key").is_ok_and(|status| status == 1)
        };
        let found = people(SEED, self.people).take(LOOKED_AT as usize).position(|person| ordinary(&person));
        let index = found.and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
        LegacyId::new(person_id(SEED, index).bytes())
    }

    /// Lets `sandbox show` and `sandbox edit` find this one.
    pub fn announce(&self) -> Result<(), SandboxError> {
        let notes = Notes { legacy_uri: self.legacy_uri(), renaissance_url: self.renaissance_url() };
        self.postgres.leave_note(Notes::FILE, &notes.to_json()).map(drop)
    }

    /// Leaves settings with which any command works on this sandbox, and says where. `more` is added to the databases.
    pub fn settings(&self, more: &str) -> Result<PathBuf, SandboxError> {
        let (legacy, renaissance) = (self.legacy_uri(), self.renaissance_url());
        // neither holds a quote or a backslash: they are ours
        let text = format!("legacy_uri = \"{legacy}\"\nrenaissance_url = \"{renaissance}\"\n{more}");
        self.postgres.leave_note("bridge.toml", &text)
    }

    /// Leaves mapping files, for commands that are called from anywhere, and says in which folder.
    pub fn mappings(&self, files: &[(&str, &str)]) -> Result<PathBuf, SandboxError> {
        self.postgres.leave_folder("mappings", files)
    }

    /// Counts people on both sides, again and again.
    pub async fn counter(&self) -> Result<Counter, SandboxError> {
        let legacy = self.legacy().await?.default_database().ok_or_else(no_database)?.collection(USERS);
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(COUNT_LIMIT);
        Ok(Counter { legacy, renaissance: pool.connect_lazy(&self.renaissance_url())? })
    }

    /// Ends both servers and removes their folders.
    pub async fn stop(self) -> Result<(), SandboxError> {
        blocking(move || {
            drop(self);
            Ok(())
        })
        .await
    }

    async fn legacy(&self) -> Result<Client, SandboxError> {
        Ok(Client::with_uri_str(self.legacy_uri()).await?)
    }
}

/// Counts people on both sides.
#[derive(Debug)]
pub struct Counter {
    legacy: Collection<Document>,
    renaissance: PgPool,
}

impl Counter {
    /// People in BioGraph and in Renaissance; `None` where the server does not answer.
    pub async fn count(&self) -> (Option<u64>, Option<u64>) {
        let legacy = tokio::time::timeout(COUNT_LIMIT, async { self.legacy.estimated_document_count().await.ok() });
        let renaissance = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM users").fetch_one(&self.renaissance);
        let renaissance = async { renaissance.await.ok().and_then(|count| u64::try_from(count).ok()) };
        let (legacy, renaissance) = tokio::join!(legacy, tokio::time::timeout(COUNT_LIMIT, renaissance));
        (legacy.ok().flatten(), renaissance.ok().flatten())
    }
}

fn no_database() -> SandboxError {
    SandboxError::new("the legacy URI names no database", "")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SandboxError::new(error.to_string(), ""))?
}
