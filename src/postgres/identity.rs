//! What the state knows the databases by, and what this one is known by.

use sqlx::PgPool;

use super::{fault::during, store::Postgres};
use crate::{
    error::{Error, Result},
    model::side::Side,
    sync::identities::Known,
};

const SERVER: &str = "SELECT system_identifier::text || '/' || \
    (SELECT oid::text FROM pg_database WHERE datname = current_database()) FROM pg_control_system()";

const KEEP: &str = "INSERT INTO biograph_bridge.identity (side, id, place, mark) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (side) DO UPDATE SET id = excluded.id, place = excluded.place, mark = excluded.mark";

/// The numbers of the server and of the database; `None` if this role may not know.
pub async fn of_server(pool: &PgPool) -> Result<Option<String>> {
    let found = sqlx::query_scalar(SERVER).fetch_one(pool).await;
    match found.map_err(during("identifying the server")) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.fault().is_some_and(|fault| fault.code == "42501") => {
            tracing::warn!("another server at the same address would not be noticed: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What the state says of both: legacy, renaissance. Nothing before it exists.
pub async fn known(pool: &PgPool) -> Result<[Option<Known>; 2]> {
    let doing = || during("reading which databases were synced");
    let exists = sqlx::query_scalar("SELECT to_regclass('biograph_bridge.identity') IS NOT NULL").fetch_one(pool);
    if !exists.await.map_err(doing())? {
        return Ok([None, None]);
    }
    let rows: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT side, id, place, mark FROM biograph_bridge.identity")
            .fetch_all(pool)
            .await
            .map_err(doing())?;
    Ok(Side::ALL.map(|side| {
        let row = rows.iter().find(|(name, ..)| name == side.as_str());
        row.map(|(_, id, place, mark)| Known { id: id.clone(), place: place.clone(), mark: *mark })
    }))
}

/// Forgets what a side was known by, its collections or tables among it: a person has said that another database takes its
/// place. No daemon may be active.
pub async fn forget(pool: &PgPool, side: Side) -> Result<()> {
    let doing = during("forgetting a former database");
    sqlx::query(
        "WITH places AS (DELETE FROM biograph_bridge.structure WHERE side = $1) \
         DELETE FROM biograph_bridge.identity WHERE side = $1",
    )
    .bind(side.as_str())
    .execute(pool)
    .await
    .map(drop)
    .map_err(doing)
}

impl Postgres {
    /// Keeps what a side is known by.
    pub async fn keep_identity(&self, side: Side, known: &Known) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        sqlx::query(KEEP)
            .bind(side.as_str())
            .bind(&known.id)
            .bind(&known.place)
            .bind(known.mark)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    /// Counts up to this number.
    pub async fn mark(&self, mark: i64) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        sqlx::query("UPDATE biograph_bridge.identity SET mark = $1 WHERE side = 'legacy'")
            .bind(mark)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }
}
