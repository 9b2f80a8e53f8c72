//! What commands ask of the active daemon: a command writes a request into the state, the daemon carries it out and leaves
//! an outcome.
//!
//! A request is taken by reading it and done once its outcome is stored, so a daemon that dies in between leaves it to the
//! next one: what a request asks for must be safe to do twice.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value as Json;
use sqlx::{PgPool, postgres::PgListener};
use tokio::time::{Instant, timeout_at};

use super::fault::during;
pub use crate::sync::requests::Request;
use crate::{error::Result, sync::requests};

/// Where the daemon hears of new requests.
const ASKED: &str = "biograph_bridge_request";
/// Where commands hear of outcomes.
const DONE: &str = "biograph_bridge_outcome";
/// Notifications are lost with a connection: so often it is looked without one.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Writes a request for the active daemon and returns its number.
pub async fn submit(pool: &PgPool, command: &str, arguments: &Json) -> Result<i64> {
    sqlx::query_scalar(
        "WITH asked AS (INSERT INTO biograph_bridge.request (command, arguments) VALUES ($1, $2) RETURNING id) \
         SELECT id FROM asked, pg_notify($3, id::text)",
    )
    .bind(command)
    .bind(arguments)
    .bind(ASKED)
    .fetch_one(pool)
    .await
    .map_err(during("asking the daemon"))
}

/// The requests without an outcome, oldest first.
pub async fn open(pool: &PgPool) -> Result<Vec<Request>> {
    let rows: Vec<(i64, String, Json)> =
        sqlx::query_as("SELECT id, command, arguments FROM biograph_bridge.request WHERE done_at IS NULL ORDER BY id")
            .fetch_all(pool)
            .await
            .map_err(during("reading requests"))?;
    Ok(rows.into_iter().map(|(id, command, arguments)| Request { id, command, arguments }).collect())
}

/// Stores the outcome of a request and tells who waits for it. False if it was withdrawn or has an outcome already.
pub async fn finish(pool: &PgPool, id: i64, outcome: &Json) -> Result<bool> {
    let told: Option<i64> = sqlx::query_scalar(
        "WITH done AS (UPDATE biograph_bridge.request SET done_at = now(), outcome = $2 \
           WHERE id = $1 AND done_at IS NULL RETURNING id) \
         SELECT id FROM done, pg_notify($3, id::text)",
    )
    .bind(id)
    .bind(outcome)
    .bind(DONE)
    .fetch_optional(pool)
    .await
    .map_err(during("storing the outcome of a request"))?;
    Ok(told.is_some())
}

/// Takes an open request back, so that no later daemon carries it out. False if it has an outcome already, has
/// begun what cannot be taken back, or never was.
pub async fn withdraw(pool: &PgPool, id: i64) -> Result<bool> {
    let gone =
        sqlx::query("DELETE FROM biograph_bridge.request WHERE id = $1 AND done_at IS NULL AND begun_at IS NULL")
            .bind(id)
            .execute(pool)
            .await
            .map_err(during("withdrawing a request"))?;
    Ok(gone.rows_affected() > 0)
}

/// The outcome of a request, if it is there.
pub async fn outcome(pool: &PgPool, id: i64) -> Result<Option<Json>> {
    let row: Option<Option<Json>> =
        sqlx::query_scalar("SELECT outcome FROM biograph_bridge.request WHERE id = $1 AND done_at IS NOT NULL")
            .bind(id)
            .fetch_optional(pool)
            .await
            .map_err(during("reading the outcome of a request"))?;
    Ok(row.map(Option::unwrap_or_default))
}

/// Waits for the outcome of a request; `None` if there is none within `limit`.
pub async fn wait(pool: &PgPool, id: i64, limit: Duration) -> Result<Option<Json>> {
    let until = Instant::now() + limit;
    let mut news = listener(pool, DONE).await?;
    loop {
        if let Some(outcome) = outcome(pool, id).await? {
            return Ok(Some(outcome));
        }
        let look = until.min(Instant::now() + LOOK_EVERY);
        heard(&mut news, look).await?;
        if Instant::now() >= until {
            return outcome(pool, id).await;
        }
    }
}

/// The daemon's ear for requests. Holds one session of the pool once it listens.
pub struct Inbox {
    pool: PgPool,
    news: Option<PgListener>,
}

impl Inbox {
    /// Listens from the first question on.
    pub fn new(pool: &PgPool) -> Self {
        Self { pool: pool.clone(), news: None }
    }
}

impl requests::Inbox for Inbox {
    /// A request that was returned before, is not under way and has no outcome yet comes again.
    async fn next(&mut self, under_way: &BTreeSet<i64>) -> Result<Vec<Request>> {
        let news = match &mut self.news {
            Some(news) => news,
            none => none.insert(listener(&self.pool, ASKED).await?),
        };
        loop {
            let mut requests = open(&self.pool).await?;
            requests.retain(|request| !under_way.contains(&request.id));
            if !requests.is_empty() {
                return Ok(requests);
            }
            heard(news, Instant::now() + LOOK_EVERY).await?;
        }
    }

    async fn finish(&mut self, id: i64, outcome: &Json) -> Result<()> {
        finish(&self.pool, id, outcome).await.map(drop)
    }
}

async fn listener(pool: &PgPool, channel: &str) -> Result<PgListener> {
    let listening = async {
        let mut news = PgListener::connect_with(pool).await?;
        news.listen(channel).await?;
        Ok::<_, sqlx::Error>(news)
    };
    listening.await.map_err(during("listening for requests"))
}

/// Returns when something was heard, the connection was made anew, or it is time to look.
async fn heard(news: &mut PgListener, look: Instant) -> Result<()> {
    match timeout_at(look, news.try_recv()).await {
        Ok(Err(error)) => Err(during("listening for requests")(error)),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}
