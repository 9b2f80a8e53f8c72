//! One SQL session that carries out set-up steps, alone in its database, and keeps the record of them.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use super::{Part, Step, StepState};
use crate::{
    error::{Error, Result},
    postgres::fault::during,
};

/// Two processes that set up at once take turns; polled, because a session that waits inside a lock statement would
/// itself hold up CREATE INDEX CONCURRENTLY.
const TURN_EVERY: Duration = Duration::from_millis(200);
const TURN_LIMIT: Duration = Duration::from_secs(60);
/// The advisory lock of set-up and teardown ("biograph" in ASCII).
const TURN_LOCK: i64 = 0x6269_6f67_7261_7068;
/// Statements that wait for other transactions to end.
const PATIENCE: &str = "SET lock_timeout = 0; SET statement_timeout = '10min'";
const IMPATIENCE: &str = "SET lock_timeout = '5s'; SET statement_timeout = '60s'";

/// How long the statements of a step may wait for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// They need a short lock.
    Briefly,
    /// They wait for every transaction that is running now.
    ForOthers,
}

/// The session, the mode and the steps so far.
pub(super) struct Session {
    connection: PgConnection,
    dry_run: bool,
    steps: Vec<Step>,
}

impl Session {
    /// Takes a connection out of the pool for good, so that its locks and settings end with it.
    pub(super) async fn open(pool: &PgPool, dry_run: bool) -> Result<Self> {
        let mut connection = pool.acquire().await.map_err(during("connecting to Postgres"))?.detach();
        if !dry_run {
            take_turn(&mut connection).await?;
        }
        execute(&mut connection, IMPATIENCE).await?;
        Ok(Self { connection, dry_run, steps: Vec::new() })
    }

    pub(super) const fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub(super) const fn dry_run(&self) -> bool {
        self.dry_run
    }

    pub(super) async fn begin(&mut self) -> Result<()> {
        execute(&mut self.connection, "BEGIN").await
    }

    pub(super) async fn commit(&mut self) -> Result<()> {
        execute(&mut self.connection, "COMMIT").await
    }

    /// Records that something is in place.
    pub(super) fn present(&mut self, part: Part, what: impl Into<String>) {
        self.steps.push(Step { part, what: what.into(), sql: Vec::new(), state: StepState::Present });
    }

    /// Records a step that was carried out by other means.
    pub(super) fn record(&mut self, part: Part, what: impl Into<String>, sql: Vec<String>) {
        let state = if self.dry_run { StepState::Planned } else { StepState::Done };
        self.steps.push(Step { part, what: what.into(), sql, state });
    }

    /// Carries a step out unless this is a dry run. A missing right is answered with the statements for the owner.
    pub(super) async fn apply(
        &mut self,
        part: Part,
        what: impl Into<String>,
        sql: Vec<String>,
        waits: Waits,
    ) -> Result<()> {
        let what = what.into();
        if !self.dry_run {
            if waits == Waits::ForOthers {
                execute(&mut self.connection, PATIENCE).await?;
            }
            for statement in &sql {
                execute(&mut self.connection, statement).await.map_err(|error| explain(error, &what, &sql))?;
            }
            if waits == Waits::ForOthers {
                execute(&mut self.connection, IMPATIENCE).await?;
            }
        }
        self.record(part, what, sql);
        Ok(())
    }

    /// Ends the session and hands over the steps.
    pub(super) async fn close(self) -> Result<Vec<Step>> {
        self.connection.close().await.map_err(during("closing the set-up session"))?;
        Ok(self.steps)
    }
}

/// Runs statements that hold no values.
pub(super) async fn execute(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

async fn take_turn(connection: &mut PgConnection) -> Result<()> {
    let waiting = std::time::Instant::now();
    while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)")
        .bind(TURN_LOCK)
        .fetch_one(&mut *connection)
        .await?
    {
        if waiting.elapsed() > TURN_LIMIT {
            return Err(Error::retry("another biograph-bridge is setting up or tearing down this database"));
        }
        tokio::time::sleep(TURN_EVERY).await;
    }
    Ok(())
}

fn explain(error: Error, what: &str, sql: &[String]) -> Error {
    let code = error.fault().map(|fault| fault.code.clone()).unwrap_or_default();
    let error = error.during(what);
    match code.as_str() {
        "42501" => error.with_hint(format!("run as the owner of the tables: {};", sql.join("; "))),
        "57014" => error.with_hint(
            "a long transaction is in the way: SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start",
        ),
        _ => error,
    }
}
