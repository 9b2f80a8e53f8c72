//! Which daemon is active: whoever holds an advisory lock on a connection of its own.
//!
//! The lock elects, the epoch fences: a daemon that lost the lock without noticing (stopped, cut off) still has the epoch it
//! once took, and every transaction of the bridge fails that is not of the present one.

use std::{sync::OnceLock, time::Duration};

use sqlx::{Connection, PgConnection, PgPool};

use super::fault::during;
use crate::error::{Error, Result};

/// The lock: "bridge-1" in ASCII (set-up takes another one).
const LOCK: i64 = 0x6272_6964_6765_2d31;
/// How often the holder makes sure that it still holds it.
const PULSE: Duration = Duration::from_secs(1);
/// How long an answer to that may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// The sessions that hold the lock, as a condition on `pg_locks l`. $1 is the lock.
macro_rules! holds {
    () => {
        "l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND l.classid::bigint = $1 >> 32 AND l.objid::bigint = $1 & 4294967295"
    };
}

/// Takes the lock if it is free. A connection that breaks without a word is to be noticed within seconds.
const TAKE: &str = "SELECT pg_try_advisory_lock($1), pg_backend_pid() FROM (SELECT \
    set_config('tcp_keepalives_idle', '3', false), set_config('tcp_keepalives_interval', '2', false), \
    set_config('tcp_keepalives_count', '3', false)) AS set";

/// Ends a holder's session that has been idle for longer than several of its pulses, by the server's own clock: the process
/// is stopped or cut off, while its connection looks alive.
const END_SILENT: &str = concat!(
    "SELECT count(pg_terminate_backend(a.pid)) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE ",
    holds!(),
    " AND a.state = 'idle' AND a.state_change < clock_timestamp() - interval '5 s'"
);

/// Ends what former holders have left: sessions inside a fenced transaction, which the new epoch would wait for, and the one
/// that reads the slot. $2 is the session of the lease, which must hold it.
const END_FORMER: &str = concat!(
    "SELECT count(pg_terminate_backend(f.pid)) FROM (SELECT l.pid FROM pg_locks l \
       WHERE l.locktype = 'relation' AND l.relation = 'biograph_bridge.lease'::regclass AND l.mode = 'RowShareLock' \
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
       UNION SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'biograph_bridge' AND active) AS f \
     WHERE f.pid <> pg_backend_pid() AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = $2 AND ",
    holds!(),
    ")"
);

/// Raises the epoch. It also follows the clock, so that a state restored from an old copy is not behind what MongoDB knows.
const RAISE: &str = concat!(
    "UPDATE biograph_bridge.lease \
     SET epoch = greatest(epoch + 1, extract(epoch FROM clock_timestamp())::bigint), taken_at = now() \
     WHERE EXISTS (SELECT FROM pg_locks l WHERE l.pid = $2 AND ",
    holds!(),
    ") RETURNING epoch"
);

/// Whether a daemon is active: somebody holds the lease.
pub async fn is_held(pool: &PgPool) -> Result<bool> {
    sqlx::query_scalar(concat!("SELECT EXISTS (SELECT FROM pg_locks l WHERE ", holds!(), ")"))
        .bind(LOCK)
        .fetch_one(pool)
        .await
        .map_err(Error::from)
}

/// The right to be the one daemon that writes. Given up when dropped, or when its connection ends.
pub struct Lease {
    connection: PgConnection,
    pid: i32,
}

impl Lease {
    /// Takes the lease if it is free; `None` if another daemon holds it. A holder that has fallen silent loses it, so that it
    /// is free for one of the next attempts.
    pub async fn acquire(pool: &PgPool) -> Result<Option<Self>> {
        // Detached: the pool must neither reuse nor close the connection that carries the lock.
        let mut connection = pool.acquire().await?.detach();
        let (held, pid): (bool, i32) = sqlx::query_as(TAKE).bind(LOCK).fetch_one(&mut connection).await?;
        if held {
            return Ok(Some(Self { connection, pid }));
        }
        let ended: i64 = sqlx::query_scalar(END_SILENT)
            .bind(LOCK)
            .fetch_one(&mut connection)
            .await
            .map_err(during("ending the session of a silent daemon"))?;
        if ended > 0 {
            tracing::warn!("the active daemon has fallen silent; its lease is taken from it");
        }
        goodbye(connection).await;
        Ok(None)
    }

    /// What identifies the lease to [`raise`].
    pub const fn session(&self) -> i32 {
        self.pid
    }

    /// Waits until the lease is lost: its connection failed or stopped answering, or the epoch is no longer `epoch` (as soon
    /// as that is known).
    pub async fn lost(&mut self, epoch: &OnceLock<i64>) -> Error {
        loop {
            tokio::time::sleep(PULSE).await;
            match tokio::time::timeout(PATIENCE, self.pulse(epoch.get())).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Error::retry("the lease was lost: another daemon has taken over"),
                Ok(Err(error)) => return error.during("the lease of the active daemon was lost"),
                Err(_) => return Error::retry("the lease of the active daemon was lost: Postgres does not answer"),
            }
        }
    }

    /// Shows the server that the holder lives; whether the epoch is still its own.
    async fn pulse(&mut self, epoch: Option<&i64>) -> Result<bool> {
        let Some(epoch) = epoch else {
            // the state may not be there yet
            return sqlx::query_scalar("SELECT true").fetch_one(&mut self.connection).await.map_err(Error::from);
        };
        let present = sqlx::query_scalar("SELECT epoch = $1 FROM biograph_bridge.lease").bind(epoch);
        present.fetch_one(&mut self.connection).await.map_err(Error::from)
    }

    /// Gives the lease back at once, so that a standby need not wait for the server to notice.
    pub async fn release(self) {
        goodbye(self.connection).await;
    }
}

/// Raises the epoch for the daemon whose lease is that session, so that nobody before it can write any more. The state must be
/// set up. Fails with a retry error if that session does not hold the lease.
pub async fn raise(pool: &PgPool, session: i32) -> Result<i64> {
    let taking = || during("taking over from a former daemon");
    let ended: i64 = sqlx::query_scalar(END_FORMER).bind(LOCK).bind(session).fetch_one(pool).await.map_err(taking())?;
    if ended > 0 {
        tracing::info!(sessions = ended, "ended what a former daemon had left open in Postgres");
    }
    let epoch: Option<i64> =
        sqlx::query_scalar(RAISE).bind(LOCK).bind(session).fetch_optional(pool).await.map_err(taking())?;
    epoch.ok_or_else(|| Error::retry("the lease was lost before the daemon became active"))
}

/// Closing ends the lock either way.
async fn goodbye(connection: PgConnection) {
    match tokio::time::timeout(GOODBYE, connection.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the lease's connection was gone already"),
        Err(_) => tracing::debug!("the lease's connection does not answer"),
    }
}
