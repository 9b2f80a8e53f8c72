//! The replication slot: the server's memory of how far the bridge has read.

use sqlx::{PgConnection, Row};

use super::{
    Part,
    session::{Session, Waits, execute},
};
use crate::{
    error::{Error, Fault, Result},
    model::fact::{PositionLoss, SlotRoom, SlotState},
    postgres::{fault::during, sql::OWN_NAME},
};

const CREATE: &str = "SELECT pg_create_logical_replication_slot('biograph_bridge', 'pgoutput')";
const DROP: &str = "SELECT pg_drop_replication_slot('biograph_bridge')";

/// What to do about a slot that is missing or lost while there is a position to resume from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It is left to the daemon, which heals.
    ForHealing,
    /// It is made, or refused.
    Nothing,
}

/// What the server says about the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotStatus {
    /// The backend that reads from it.
    pub active_pid: Option<i32>,
    /// `reserved`, `extended`, `unreserved`, `lost`; none if it never reserved anything.
    pub wal_status: Option<String>,
    /// Everything up to here was confirmed.
    pub confirmed_flush_lsn: u64,
    /// Log kept because of the slot.
    pub retained_bytes: Option<i64>,
    /// How much more may be written before the slot is in danger; none without max_slot_wal_keep_size.
    pub safe_wal_size: Option<i64>,
    /// The database it belongs to, where that is not this one.
    pub other_database: Option<String>,
    /// The decoding plugin.
    pub plugin: Option<String>,
}

impl SlotStatus {
    /// Whether the server has thrown away log that the slot still needed.
    pub fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost")
    }
}

/// How much log the slot keeps and how it is; nothing where there is no slot.
pub async fn slot_headroom(pool: &sqlx::PgPool) -> Result<SlotRoom> {
    let mut session = pool.acquire().await.map_err(during("reading the replication slot"))?;
    let bytes = |count: Option<i64>| count.and_then(|count| count.to_string().parse().ok());
    let state = |word: &str| SlotState::ALL.iter().copied().find(|state| state.as_str() == word);
    let slot = slot_status(&mut session).await?;
    Ok(slot.map_or_else(SlotRoom::default, |slot| SlotRoom {
        retained_bytes: bytes(slot.retained_bytes),
        safe_bytes: bytes(slot.safe_wal_size),
        state: slot.wal_status.as_deref().and_then(state),
        is_read: Some(slot.active_pid.is_some()),
    }))
}

/// The slot as it is; `None` if there is none.
pub async fn slot_status(connection: &mut PgConnection) -> Result<Option<SlotStatus>> {
    let row = sqlx::query(
        "SELECT active_pid, wal_status, plugin::text AS plugin, safe_wal_size,
                coalesce(pg_wal_lsn_diff(confirmed_flush_lsn, '0/0'), 0)::int8 AS confirmed,
                CASE WHEN NOT pg_is_in_recovery()
                     THEN pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 END AS retained,
                CASE WHEN database IS DISTINCT FROM current_database()
                     THEN coalesce(database::text, '(physical)') END AS other_database
         FROM pg_replication_slots WHERE slot_name = $1",
    )
    .bind(OWN_NAME)
    .fetch_optional(connection)
    .await
    .map_err(during("reading the replication slot"))?;
    row.map(|row| {
        Ok(SlotStatus {
            active_pid: row.try_get("active_pid")?,
            wal_status: row.try_get("wal_status")?,
            confirmed_flush_lsn: row.try_get::<i64, _>("confirmed")?.cast_unsigned(),
            retained_bytes: row.try_get("retained")?,
            safe_wal_size: row.try_get("safe_wal_size")?,
            other_database: row.try_get("other_database")?,
            plugin: row.try_get("plugin")?,
        })
    })
    .transpose()
}

/// Refuses a slot that cannot serve the bridge. `lost` and missing carry a fault code, so that healing can tell them.
pub(in crate::postgres) fn usable(slot: Option<SlotStatus>) -> Result<SlotStatus> {
    let Some(slot) = slot else {
        return Err(fault(Error::halt("the replication slot biograph_bridge does not exist"), "42704")
            .with_loss(PositionLoss::SlotMissing)
            .with_hint("biograph-bridge init"));
    };
    if let Some(database) = &slot.other_database {
        return Err(Error::halt(format!("the replication slot biograph_bridge belongs to database {database}"))
            .with_hint("one bridge per Postgres server: use another server, or `biograph-bridge teardown` there"));
    }
    if slot.plugin.as_deref() != Some("pgoutput") {
        return Err(Error::halt(
            "the replication slot biograph_bridge was not made by biograph-bridge (its plugin is not pgoutput)",
        )
        .with_hint("SELECT pg_drop_replication_slot('biograph_bridge'), if nobody else needs it"));
    }
    if slot.is_lost() {
        return Err(fault(
            Error::halt("the replication slot biograph_bridge is lost: the server has removed log it needed"),
            "55000",
        )
        .with_loss(PositionLoss::SlotInvalidated)
        .with_hint("raise max_slot_wal_keep_size; `biograph-bridge run` makes a new slot and sweeps"));
    }
    Ok(slot)
}

fn fault(error: Error, code: &str) -> Error {
    error.with_fault(Fault { code: code.to_owned(), ..Fault::default() })
}

/// The slot, made if it is missing and refused if it is not usable. A daemon that has a position to resume from looks at
/// the slot itself: what it has lost is not to be replaced without a word.
pub(super) async fn step(session: &mut Session, keep: Keep) -> Result<()> {
    let what = "replication slot biograph_bridge";
    let slot = slot_status(session.connection()).await?;
    let lost = slot.as_ref().is_none_or(SlotStatus::is_lost);
    if lost && keep == Keep::ForHealing && has_position(session.connection()).await? {
        return Ok(());
    }
    if slot.is_some() {
        usable(slot)?;
        session.present(Part::Slot, what);
        return Ok(());
    }
    session.apply(Part::Slot, what, vec![CREATE.to_owned()], Waits::ForOthers).await
}

/// Whether the state holds a position of this side. The state must be there, as a dry run may not have made it.
async fn has_position(connection: &mut PgConnection) -> Result<bool> {
    let sql = "SELECT to_regclass('biograph_bridge.checkpoint') IS NOT NULL";
    let doing = || during("looking for a saved position");
    if !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut *connection).await.map_err(doing())? {
        return Ok(false);
    }
    let sql = "SELECT EXISTS (SELECT FROM biograph_bridge.checkpoint WHERE side = 'renaissance')";
    sqlx::query_scalar(sql).fetch_one(connection).await.map_err(doing())
}

/// Drops the slot if there is one and makes a new one, which knows nothing older than now: the caller owes a sweep.
pub async fn recreate_slot(connection: &mut PgConnection) -> Result<()> {
    if slot_status(connection).await?.is_some() {
        execute(connection, DROP).await.map_err(|error| error.during("dropping the replication slot"))?;
    }
    execute(connection, CREATE).await.map_err(|error| error.during("creating the replication slot"))
}

/// Drops the slot; says so if somebody reads from it.
pub(super) async fn remove(connection: &mut PgConnection) -> Result<bool> {
    let Some(slot) = slot_status(connection).await? else { return Ok(false) };
    if let Some(pid) = slot.active_pid {
        return Err(Error::halt(format!(
            "the replication slot biograph_bridge is in use by process {pid} of the server"
        ))
        .with_hint("stop the daemon (`biograph-bridge run`), then run teardown again; nothing was removed"));
    }
    if slot.other_database.is_some() {
        return Ok(false);
    }
    execute(connection, DROP).await.map_err(|error| error.during("dropping the replication slot"))?;
    Ok(true)
}
