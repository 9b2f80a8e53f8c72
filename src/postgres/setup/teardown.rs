//! The way back: everything `init` made in Postgres is removed, and what cannot be is named.

use sqlx::{PgConnection, PgPool};

use super::{
    fence_triggers, publication,
    session::{Session, execute},
    slot,
};
use crate::{
    error::{Disposition, Result},
    postgres::{
        fault::during,
        sql::{OWN_NAME, quote_ident},
    },
};

/// What teardown did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Teardown {
    /// What is gone.
    pub removed: Vec<String>,
    /// What is still there, with the statement that removes it.
    pub remains: Vec<String>,
}

/// Removes slot, publication, replica identities that `init` set, fence triggers, indexes and state. Refuses, before anything is
/// removed, while somebody reads from the slot.
pub async fn teardown(pool: &PgPool) -> Result<Teardown> {
    let mut session = Session::open(pool, false).await?;
    let connection = session.connection();
    let mut report = Teardown::default();
    if slot::remove(connection).await? {
        report.removed.push(format!("replication slot {OWN_NAME}"));
    }
    for table in publication::changed_identities(connection).await? {
        let sql = format!("ALTER TABLE {table} REPLICA IDENTITY DEFAULT");
        report.run(connection, format!("replica identity of {table}"), &sql).await?;
    }
    if publication::published_tables(connection).await?.is_some() {
        let sql = format!("DROP PUBLICATION {OWN_NAME}");
        report.run(connection, format!("publication {OWN_NAME}"), &sql).await?;
    }
    for table in fence_triggers::remove(connection).await? {
        report.removed.push(format!("fence trigger on {table}"));
    }
    for index in own_indexes(connection).await? {
        report.run(connection, format!("index {index}"), &format!("DROP INDEX CONCURRENTLY {index}")).await?;
    }
    if schema_exists(connection).await? {
        let sql = format!("DROP SCHEMA {} CASCADE", quote_ident(OWN_NAME));
        report.run(connection, format!("schema {OWN_NAME}"), &sql).await?;
    }
    session.close().await?;
    Ok(report)
}

impl Teardown {
    /// A statement that is refused is reported, so that the rest still goes.
    async fn run(&mut self, connection: &mut PgConnection, what: String, sql: &str) -> Result<()> {
        match execute(connection, sql).await {
            Ok(()) => self.removed.push(what),
            Err(error) if error.disposition() == Disposition::Halt => {
                self.remains.push(format!("{sql}; -- {what}: {error}"));
            }
            Err(error) => return Err(error.during(&format!("removing {what}"))),
        }
        Ok(())
    }
}

async fn own_indexes(connection: &mut PgConnection) -> Result<Vec<String>> {
    let names = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'i' AND starts_with(c.relname::text, $1 || '_') AND n.nspname <> $1 ORDER BY 1",
    );
    names.bind(OWN_NAME).fetch_all(connection).await.map_err(during("looking for the bridge's indexes"))
}

async fn schema_exists(connection: &mut PgConnection) -> Result<bool> {
    let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)").bind(OWN_NAME);
    found.fetch_one(connection).await.map_err(during("looking for the state schema"))
}
