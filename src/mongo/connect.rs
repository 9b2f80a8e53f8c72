//! The connection to the legacy database. Connecting is lazy: a server that is down shows at the first use, as a retry.

use std::{sync::Arc, time::Duration};

use mongodb::{
    Client, ClientSession, Collection, Database,
    bson::{RawDocumentBuf, Timestamp, doc},
    error::ErrorKind,
    options::{
        Acknowledgment, ClientOptions, DatabaseOptions, ReadConcern, ReadPreference, SelectionCriteria, Tls,
        TlsOptions, WriteConcern,
    },
};

use super::{
    codec,
    error::{Doing, translate},
    fence::Epoch,
    identity::Guard,
    sessions::{KnownSessions, SessionPool, Watermark},
    tls,
};
use crate::{
    error::{Error, Result},
    model::{hint::Freshness, key::EntityIndex, mapping::Entity},
    sync::room::Room,
};

const APP_NAME: &str = "biograph-bridge";
const SERVER_SELECTION: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(5);
/// A majority that does not answer within this is a passing failure.
const WRITE_CONCERN: Duration = Duration::from_secs(10);

/// The legacy database: its documents, its changes, and the bridge's ledger in it. Cheap to clone.
#[derive(Clone)]
pub struct Legacy {
    pub(super) client: Client,
    pub(super) database: Database,
    pub(super) entities: Arc<Vec<Entity>>,
    pub(super) pool: Arc<SessionPool>,
    pub(super) known: KnownSessions,
    /// No read may be older than this.
    pub(super) seen: Arc<Watermark>,
    pub(super) epoch: Arc<Epoch>,
    /// How much may be read at once.
    pub(super) room: Room,
    pub(super) guard: Arc<Guard>,
}

impl Legacy {
    /// Prepares the connection; no server is asked yet (only `mongodb+srv://` looks its hosts up).
    pub async fn connect(uri: &str, entities: Arc<Vec<Entity>>) -> Result<Self> {
        entities.iter().try_for_each(codec::check_paths)?;
        let mut options = ClientOptions::parse(uri).await.map_err(|error| match &*error.kind {
            ErrorKind::DnsResolve { .. } | ErrorKind::Io(_) => {
                Error::retry("the host in legacy_uri cannot be resolved")
            }
            // the driver's message may quote the part of the URI that holds the password
            _ => unusable_uri("legacy_uri is not a usable MongoDB connection string"),
        })?;
        let name = options.default_database.clone().ok_or_else(|| unusable_uri("legacy_uri names no database"))?;
        options.app_name.get_or_insert_with(|| APP_NAME.to_owned());
        options.server_selection_timeout.get_or_insert(SERVER_SELECTION);
        options.connect_timeout.get_or_insert(CONNECT);
        if let Some(Tls::Enabled(TlsOptions { cert_key_file_path: Some(file), .. })) = &options.tls {
            tls::check_client(file)?;
        }
        let guard = Arc::<Guard>::default();
        options.cmap_event_handler = Some(Guard::handler(&guard));
        let client = Client::with_options(options).map_err(|error| match &*error.kind {
            ErrorKind::InvalidTlsConfig { .. } | ErrorKind::Io(_) => tls::unusable_files(),
            _ => unusable_uri("legacy_uri holds settings that do not go together"),
        })?;
        let database = client.database_with_options(&name, database_options());
        Ok(Self {
            client,
            database,
            entities,
            pool: Arc::default(),
            known: KnownSessions::default(),
            seen: Arc::default(),
            epoch: Arc::default(),
            room: Room::default(),
            guard,
        })
    }

    /// From now on no more than this is read at once.
    #[must_use]
    pub const fn with_room(mut self, room: Room) -> Self {
        self.room = room;
        self
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<()> {
        let doing = Doing { what: "asking the server", on: self.database.name(), right: "connect" };
        self.database.run_command(doc! { "ping": 1 }).await.map(drop).map_err(|error| translate(&error, doing))
    }

    /// The database's name.
    pub fn database_name(&self) -> &str {
        self.database.name()
    }

    pub(super) fn entity(&self, index: EntityIndex) -> &Entity {
        self.entities.get(usize::from(index.0)).expect("an entity index comes from the loaded mappings")
    }

    pub(super) fn collection(&self, entity: &Entity) -> Collection<RawDocumentBuf> {
        self.database.collection(&entity.legacy.collection)
    }

    /// A session whose reads include `fresh` and everything the bridge has seen or written so far.
    pub(super) async fn reading_session(&self, fresh: Option<Freshness>) -> Result<ClientSession> {
        let doing = Doing { what: "opening a session", on: self.database.name(), right: "find" };
        let mut session =
            self.client.start_session().causal_consistency(true).await.map_err(|error| translate(&error, doing))?;
        if let Some(time) = self.seen.get() {
            session.advance_operation_time(time);
        }
        if let Some(Freshness::ClusterTime(time, increment)) = fresh {
            session.advance_operation_time(Timestamp { time, increment });
        }
        Ok(session)
    }
}

/// Acknowledged by a majority and journalled: what the bridge writes is never rolled back.
pub(super) fn durable() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(true).w_timeout(WRITE_CONCERN).build()
}

fn database_options() -> DatabaseOptions {
    DatabaseOptions::builder()
        .read_concern(ReadConcern::majority())
        .write_concern(durable())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .build()
}

fn unusable_uri(context: &str) -> Error {
    Error::halt(context).with_hint(
        "write it as mongodb://USER:PASSWORD@HOST:27017/BioGraphDemo?replicaSet=NAME, with %-escapes for :/?#[]@ in user and password",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Disposition;

    #[tokio::test]
    async fn a_wrong_uri_halts_and_shows_no_password() {
        for uri in
            ["mongodb://ada:s3cret@host:27017", "postgres://ada:s3cret@host/db", "mongodb://ada:s3cr@et/x@host/db", ""]
        {
            let error = Legacy::connect(uri, Arc::default()).await.err().unwrap();
            assert_eq!(error.disposition(), Disposition::Halt, "{uri}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3cr") && !shown.contains("ada"), "{shown}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_no_failure_to_connect() {
        let legacy = Legacy::connect("mongodb://127.0.0.1:1/BioGraphDemo", Arc::default()).await.unwrap();
        assert_eq!(legacy.database_name(), "BioGraphDemo");
    }
}
