//! Capture of the renaissance side: logical replication from the slot `biograph_bridge`, turned into hints.
//!
//! A task of its own reads the stream and tells the server what was confirmed, so that a busy consumer neither starves the
//! feedback nor loses anything when its call to `next` is cancelled.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod pump;
mod reader;
#[cfg(test)]
mod reader_tests;
mod relation;

use std::{collections::BTreeMap, time::Duration};

use pgwire_replication::{Lsn, ReplicationClient, ReplicationConfig};
use sqlx::{PgConnection, PgPool};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use self::{
    pump::Pump,
    reader::{Reader, ReaderTable},
};
use super::{
    connect,
    fault::during,
    identity,
    setup::{self, Located, PublishedTable},
    sql::{MARK, OWN_NAME},
    watched::{WatchedTable, watched_tables},
};
use crate::{
    error::{Error, Fault, Result},
    model::{
        fact::{PositionLoss, RetryClass},
        hint::{Captured, Position},
        mapping::Entity,
        side::Side,
    },
    sync::{
        identities::other,
        ports::{Capture, Source},
    },
};

/// What lies between the reading task and the consumer; the server keeps the rest.
const CAPTURED_AHEAD: usize = 1024;
/// Connecting, logging in and the server finding its place in the log.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long the session of a capture that was just dropped may still hold the slot.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The fault code of a slot that is ahead of the position to resume from: what lies between was lost.
pub const SLOT_AHEAD: &str = "slot_ahead";

/// Opens captures on the slot and confirms positions to it.
pub struct PostgresSource {
    pool: PgPool,
    config: ReplicationConfig,
    tables: Vec<WatchedTable>,
    confirmed: watch::Sender<u64>,
    /// The server and database it must be.
    expected: Option<String>,
}

impl PostgresSource {
    /// A source for the tables of these entities. Connects when first opened.
    pub fn new(url: &str, pool: PgPool, entities: &[Entity]) -> Result<Self> {
        let config = connect::replication_config(url, OWN_NAME, OWN_NAME)?;
        Ok(Self { pool, config, tables: watched_tables(entities), confirmed: watch::Sender::new(0), expected: None })
    }

    /// The same, which opens nothing on another server or database than this.
    #[must_use]
    pub fn only_on(self, expected: Option<String>) -> Self {
        Self { expected, ..self }
    }

    /// Refuses another server that has taken the address.
    async fn verify(&self) -> Result<()> {
        let Some(expected) = &self.expected else { return Ok(()) };
        match identity::of_server(&self.pool).await? {
            Some(found) if found != *expected => {
                Err(other(Side::Renaissance, "another database has taken the address of Renaissance"))
            }
            _ => Ok(()),
        }
    }

    /// Publication and slot as they are, or why nothing can be captured from them; and where the tables are.
    async fn inspect(&self, from: u64) -> Result<(Vec<ReaderTable>, u64)> {
        let mut session = self.pool.acquire().await.map_err(during("opening the capture"))?;
        let published = setup::published_tables(&mut session).await?;
        let located = setup::locate(&mut session, &self.tables).await?;
        let tables = readable(located, published)?;
        let waiting = Instant::now();
        loop {
            let slot = setup::usable(setup::slot_status(&mut session).await?)?;
            if end_of_log(&mut session).await? < from {
                return Err(behind(from));
            }
            match slot.active_pid {
                None if from != 0 && slot.confirmed_flush_lsn > from => {
                    return Err(ahead(slot.confirmed_flush_lsn, from));
                }
                None => return Ok((tables, slot.confirmed_flush_lsn)),
                Some(pid) if waiting.elapsed() > RELEASE_LIMIT => {
                    return Err(Error::retry(format!("replication slot {OWN_NAME} is active for PID {pid}"))
                        .with_hint(
                            "another biograph-bridge reads from it, or a broken session that the server ends soon",
                        ));
                }
                Some(_) => sleep(LOOK_EVERY).await,
            }
        }
    }
}

impl Source for PostgresSource {
    type Capture = PostgresCapture;

    async fn open(&self, from: &Position) -> Result<Self::Capture> {
        let from = lsn_of(from)?;
        let late = |_| {
            let late = Error::retry("Postgres has not said in time where the replication slot is");
            late.with_class(RetryClass::Connection).from_side(Side::Renaissance)
        };
        timeout(START_LIMIT, self.verify()).await.map_err(late)??;
        let (tables, slot_confirmed) = timeout(START_LIMIT, self.inspect(from)).await.map_err(late)??;
        let start = from.max(slot_confirmed);
        // what was received is not what was confirmed: never acknowledge `from`, and never less than before
        let acknowledged = slot_confirmed.max(*self.confirmed.borrow());
        let config = self.config.clone().with_start_lsn(Lsn::from_u64(start)).with_ack_lsn(Lsn::from_u64(acknowledged));
        // a server that takes the connection may still be too broken to say anything on it
        let starting = async {
            let mut client = ReplicationClient::connect(config).await?;
            client.wait_started().await?;
            Ok::<_, Error>(client)
        };
        let late = |_| {
            let late = Error::retry("Postgres did not start the replication stream in time");
            late.with_class(RetryClass::Connection).from_side(Side::Renaissance)
        };
        let client = timeout(START_LIMIT, starting).await.map_err(late)??;
        let (sender, captured) = mpsc::channel(CAPTURED_AHEAD);
        let (tip_sender, tip) = watch::channel(None);
        let pump = Pump::new(client, Reader::new(tables, start), self.confirmed.subscribe(), tip, sender);
        let mut tasks = JoinSet::new();
        tasks.spawn(pump.run());
        tasks.spawn(pump::probe_tip(self.pool.clone(), tip_sender));
        Ok(PostgresCapture { captured, _tasks: tasks })
    }

    async fn tip(&self) -> Result<Position> {
        let lsn: i64 = sqlx::query_scalar("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8")
            .fetch_one(&self.pool)
            .await
            .map_err(during("asking for the end of the log"))?;
        Ok(Position::Lsn(lsn.cast_unsigned()))
    }

    async fn mark(&self) -> Result<Position> {
        leave_mark(&self.pool).await
    }

    async fn clock(&self) -> Result<i64> {
        sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8")
            .fetch_one(&self.pool)
            .await
            .map_err(during("asking for the time"))
    }

    async fn renew(&self) -> Result<Position> {
        let doing = || during("making a new replication slot");
        // the session ends afterwards: it may wait for as long as the transactions that are under way
        let mut session = self.pool.acquire().await.map_err(doing())?.detach();
        setup::recreate_slot(&mut session).await?;
        let slot = setup::usable(setup::slot_status(&mut session).await?)?;
        // a transaction that committed just before the slot, and is not visible yet, is in neither stream nor sweep
        let next: String = sqlx::query_scalar("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
            .fetch_one(&mut session)
            .await
            .map_err(doing())?;
        let all_ended = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8";
        while !sqlx::query_scalar::<_, bool>(all_ended).bind(&next).fetch_one(&mut session).await.map_err(doing())? {
            sleep(LOOK_EVERY).await;
        }
        // what was confirmed to the former slot says nothing about this one
        self.confirmed.send_replace(slot.confirmed_flush_lsn);
        Ok(Position::Lsn(slot.confirmed_flush_lsn))
    }

    fn confirm(&self, position: &Position) {
        match position {
            Position::Lsn(lsn) => {
                self.confirmed.send_if_modified(|confirmed| {
                    let newer = *lsn > *confirmed;
                    *confirmed = (*confirmed).max(*lsn);
                    newer
                });
            }
            Position::Token(_) => {
                tracing::error!("a position of the legacy side was confirmed to the renaissance side")
            }
        }
    }
}

/// An open stream. Dropping it ends the session.
pub struct PostgresCapture {
    captured: mpsc::Receiver<Result<Captured>>,
    _tasks: JoinSet<()>,
}

impl Capture for PostgresCapture {
    async fn next(&mut self) -> Result<Captured> {
        match self.captured.recv().await {
            Some(captured) => captured,
            None => Err(Error::retry("the replication stream has ended")),
        }
    }
}

/// Leaves a mark in the log. A transaction of its own: committing it writes the log out at once, and it comes through the stream
/// like any other.
pub(super) async fn leave_mark(pool: &PgPool) -> Result<Position> {
    let lsn: i64 = sqlx::query_scalar("SELECT pg_wal_lsn_diff(pg_logical_emit_message(true, $1, ''), '0/0')::int8")
        .bind(MARK)
        .fetch_one(pool)
        .await
        .map_err(during("leaving a mark in the log"))?;
    Ok(Position::Lsn(lsn.cast_unsigned()))
}

fn lsn_of(position: &Position) -> Result<u64> {
    match position {
        Position::Lsn(lsn) => Ok(*lsn),
        Position::Token(_) => Err(Error::halt("the renaissance side cannot resume from a position of the legacy side")),
    }
}

/// Every mapped table has to be published with the columns that name its record.
fn readable(
    located: Vec<Located>,
    published: Option<BTreeMap<(String, String), PublishedTable>>,
) -> Result<Vec<ReaderTable>> {
    let init = "biograph-bridge init";
    let missing =
        |error: Error| error.with_hint(init).with_fault(Fault { code: "42704".to_owned(), ..Fault::default() });
    let published =
        published.ok_or_else(|| missing(Error::halt(format!("the publication {OWN_NAME} does not exist"))))?;
    let check = |table: Located| {
        let name = &table.watched.name;
        let Some(entry) = published.get(&(table.schema.clone(), name.clone())) else {
            return Err(missing(Error::halt(format!("table {name} is not in the publication {OWN_NAME}"))));
        };
        let absent = |column: &&str| entry.columns.as_ref().is_some_and(|columns| !columns.contains(*column));
        if let Some(column) = table.watched.needed().into_iter().find(absent) {
            return Err(missing(Error::halt(format!("column {name}.{column} is not in the publication {OWN_NAME}"))));
        }
        Ok(ReaderTable { schema: table.schema, table: table.watched })
    };
    located.into_iter().map(check).collect()
}

async fn end_of_log(session: &mut PgConnection) -> Result<u64> {
    let lsn: i64 = sqlx::query_scalar("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8")
        .fetch_one(session)
        .await
        .map_err(during("asking for the end of the log"))?;
    Ok(lsn.cast_unsigned())
}

fn behind(from: u64) -> Error {
    let from = Position::Lsn(from);
    Error::halt(format!("the log of the Postgres server ends before the position to resume from ({from})"))
        .with_loss(PositionLoss::ServerBehind)
        .with_hint("the server was put back to an earlier state; the bridge takes a new position and sweeps")
}

fn ahead(confirmed: u64, from: u64) -> Error {
    let (confirmed, from) = (Position::Lsn(confirmed), Position::Lsn(from));
    Error::halt(format!("the replication slot is at {confirmed}, ahead of the position to resume from ({from})"))
        .with_fault(Fault { code: SLOT_AHEAD.to_owned(), ..Fault::default() })
        .with_loss(PositionLoss::SlotAhead)
        .with_hint("the slot was made anew or read by another program; what lies between is found by a sweep")
}
