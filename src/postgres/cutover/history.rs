//! The history of moves, for commands.

use serde::Serialize;
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, FromRow, PgPool};

use crate::error::Result;

/// One step of a move.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct PastStep {
    /// Its number; later ones are greater.
    pub id: i64,
    /// When, RFC 3339.
    pub at: String,
    /// The person's legacy id.
    pub legacy_id: String,
    /// Their renaissance id.
    pub renaissance_id: Option<i64>,
    /// Its name.
    pub step: String,
    /// How the move has ended with it; `None` while it goes on.
    pub outcome: Option<String>,
    /// The side they move to.
    pub toward: String,
    /// The state after it.
    pub state: String,
    /// The epoch after it.
    pub epoch: i64,
    /// More about it, in words.
    pub detail: Option<String>,
    /// What was in the way or differs; no values.
    pub findings: Option<Json>,
    /// Who wanted the move.
    pub who: Option<String>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The batch it is part of.
    pub batch: Option<i64>,
    /// The request that asked for it.
    pub request: Option<i64>,
}

/// A person's row, as commands show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Place {
    /// `legacy`, `draining`, `renaissance`.
    pub state: String,
    /// The side that is authoritative.
    pub owner: String,
    /// The epoch.
    pub epoch: i64,
    /// Since when, RFC 3339.
    pub since: String,
}

const STEPS: &str = "SELECT id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS at, legacy_id, renaissance_id, \
    step, outcome, toward, state, epoch, detail, findings, who, reason, batch, request FROM biograph_bridge.cutover_history";

/// The last steps of everybody or of one person, newest first.
pub async fn last(pool: &PgPool, person: Option<&str>, limit: i64) -> Result<Vec<PastStep>> {
    let sql = format!("{STEPS} WHERE $1::text IS NULL OR legacy_id = $1 ORDER BY id DESC LIMIT $2");
    Ok(sqlx::query_as(AssertSqlSafe(sql)).bind(person).bind(limit).fetch_all(pool).await?)
}

/// The steps that a request led to, after `after`, oldest first.
pub async fn of_request(pool: &PgPool, request: i64, after: i64) -> Result<Vec<PastStep>> {
    let sql = format!("{STEPS} WHERE request = $1 AND id > $2 ORDER BY id");
    Ok(sqlx::query_as(AssertSqlSafe(sql)).bind(request).bind(after).fetch_all(pool).await?)
}

/// Where a person is; `None`: on legacy, never moved.
pub async fn place(pool: &PgPool, person: &str) -> Result<Option<Place>> {
    let sql = "SELECT state, owner, epoch, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since \
        FROM biograph_bridge.cutover WHERE legacy_id = $1";
    Ok(sqlx::query_as(sql).bind(person).fetch_optional(pool).await?)
}

/// How many linked records of each entity belong to a person, themselves included.
pub async fn owned(pool: &PgPool, person: &str, persons: &[&str]) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT entity, count(*) FROM biograph_bridge.link WHERE person = $1 \
        OR (entity = ANY($2) AND legacy_id = $1) GROUP BY 1 ORDER BY 1";
    Ok(sqlx::query_as(sql).bind(person).bind(persons).fetch_all(pool).await?)
}
