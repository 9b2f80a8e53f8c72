//! Which daemon is active: whoever holds an advisory lock on a connection of its own.

use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};

use crate::error::{Error, Result};

/// The lock: "bridge-1" in ASCII (set-up takes another one).
const LOCK: i64 = 0x6272_6964_6765_2d31;
/// How often the holder makes sure that it still holds it.
const PULSE: Duration = Duration::from_secs(1);
/// How long an answer to that may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a daemon is active: somebody holds the lease.
pub async fn is_held(pool: &PgPool) -> Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
           AND classid::bigint = $1 >> 32 AND objid::bigint = $1 & 4294967295)",
    )
    .bind(LOCK)
    .fetch_one(pool)
    .await
    .map_err(Error::from)
}

/// The right to be the one daemon that writes. Given up when dropped, or when its connection ends.
pub struct Lease {
    connection: PgConnection,
}

impl Lease {
    /// Takes the lease if it is free; `None` if another daemon holds it.
    pub async fn acquire(pool: &PgPool) -> Result<Option<Self>> {
        // Detached: the pool must neither reuse nor close the connection that carries the lock.
        let mut connection = pool.acquire().await?.detach();
        let held: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection).await?;
        Ok(held.then_some(Self { connection }))
    }

    /// Waits until the lease is lost: its connection failed or stopped answering.
    pub async fn lost(&mut self) -> Error {
        loop {
            tokio::time::sleep(PULSE).await;
            match tokio::time::timeout(PATIENCE, self.connection.ping()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Error::from(error).during("the lease of the active daemon was lost"),
                Err(_) => return Error::retry("the lease of the active daemon was lost: Postgres does not answer"),
            }
        }
    }

    /// Gives the lease back at once, so that a standby need not wait for the server to notice.
    pub async fn release(self) {
        // Closing ends the lock either way.
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the lease's connection was gone already");
        }
    }
}
