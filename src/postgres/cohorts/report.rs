//! Batches and people, as commands show them.

use serde::Serialize;
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, FromRow, PgPool};

use crate::{error::Result, sync::status::BatchStatus};

/// A batch, as commands show it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct BatchReport {
    /// Its number.
    pub id: i64,
    /// Where to.
    pub toward: String,
    /// Who, in words.
    pub chosen: String,
    /// `running`, `paused`, `stopped`, `ended`.
    pub state: String,
    /// What paused it by itself.
    pub why: Option<String>,
    /// Who wanted it.
    pub who: Option<String>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When, RFC 3339.
    pub begun_at: String,
    /// So long it took, or takes by now.
    pub seconds: f64,
    /// How many are in it.
    pub people: i64,
    /// How many of them moved.
    pub moved: i64,
    /// How many were there already.
    pub already: i64,
    /// How many did not move.
    pub failed: i64,
    /// Of how many nothing is known yet.
    pub left: i64,
    /// How many stay because it was stopped before they began.
    pub stopped: i64,
}

/// A member who did not move, as commands show it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct Failed {
    /// The person's legacy id.
    pub legacy_id: String,
    /// How the move ended.
    pub outcome: String,
    /// What was in the way or differs; no values.
    pub findings: Option<Json>,
}

/// A person and where they are, as commands show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Whereabouts {
    /// The entity whose record they are.
    pub entity: String,
    /// Their legacy id.
    pub legacy_id: String,
    /// Their renaissance id.
    pub renaissance_id: i64,
    /// Their name, masked, once it is known.
    #[sqlx(default)]
    pub label: Option<String>,
    /// `legacy`, `draining`, `renaissance`.
    pub state: String,
    /// The side that is authoritative.
    pub owner: String,
    /// The epoch; 0 for somebody who was never moved.
    pub epoch: i64,
    /// Since when, RFC 3339; `None` for somebody who was never moved.
    pub since: Option<String>,
}

const BATCHES: &str = "SELECT b.id, toward, chosen, state, why, who, reason, \
    to_char(begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS begun_at, \
    extract(epoch FROM coalesce(ended_at, clock_timestamp()) - begun_at)::float8 AS seconds, n.* \
    FROM biograph_bridge.cutover_batch b, LATERAL (SELECT count(*) AS people, \
      count(*) FILTER (WHERE outcome = 'moved') AS moved, count(*) FILTER (WHERE outcome = 'already') AS already, \
      count(*) FILTER (WHERE outcome NOT IN ('moved', 'already', 'stopped')) AS failed, \
      count(*) FILTER (WHERE outcome IS NULL) AS left, count(*) FILTER (WHERE outcome = 'stopped') AS stopped \
      FROM biograph_bridge.cutover_member m WHERE m.batch = b.id) n";

/// The batches, or one of them, newest first.
pub async fn batches(pool: &PgPool, id: Option<i64>, limit: i64) -> Result<Vec<BatchReport>> {
    let sql = format!("{BATCHES} WHERE $1::bigint IS NULL OR b.id = $1 ORDER BY b.id DESC LIMIT $2");
    Ok(sqlx::query_as(AssertSqlSafe(sql)).bind(id).bind(limit).fetch_all(pool).await?)
}

/// The batches that have not ended, oldest first.
pub async fn open(pool: &PgPool) -> Result<Vec<BatchStatus>> {
    let sql = format!("{BATCHES} WHERE state IN ('running', 'paused') ORDER BY b.id");
    let open: Vec<BatchReport> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await?;
    let status = |batch: BatchReport| BatchStatus {
        id: batch.id,
        toward: batch.toward,
        state: batch.state,
        why: batch.why,
        people: batch.people,
        done: batch.people - batch.left,
        failed: batch.failed,
    };
    Ok(open.into_iter().map(status).collect())
}

/// The members of a batch who did not move, in the order of their ids.
pub async fn failed(pool: &PgPool, batch: i64, limit: i64) -> Result<Vec<Failed>> {
    let sql = "SELECT legacy_id, outcome, findings FROM biograph_bridge.cutover_member WHERE batch = $1 \
        AND outcome NOT IN ('moved', 'already', 'stopped') ORDER BY legacy_id LIMIT $2";
    Ok(sqlx::query_as(sql).bind(batch).bind(limit).fetch_all(pool).await?)
}

/// People in a state, in the order of their legacy ids: of one batch, or all whom a mapping of people (`entities`) knows.
pub async fn people(
    pool: &PgPool,
    (entities, batch): (&[&str], Option<i64>),
    state: &str,
    limit: i64,
) -> Result<Vec<Whereabouts>> {
    let sql = "SELECT l.entity, l.legacy_id, l.renaissance_id, coalesce(c.state, 'legacy') AS state, \
        coalesce(c.owner, 'legacy') AS owner, coalesce(c.epoch, 0) AS epoch, \
        to_char(c.since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since \
        FROM biograph_bridge.link l LEFT JOIN biograph_bridge.cutover c USING (legacy_id) \
        WHERE l.entity = ANY($1) AND coalesce(c.state, 'legacy') = $2 AND ($3::bigint IS NULL OR EXISTS \
          (SELECT FROM biograph_bridge.cutover_member m WHERE m.batch = $3 AND m.legacy_id = l.legacy_id)) \
        ORDER BY l.legacy_id LIMIT $4";
    Ok(sqlx::query_as(sql).bind(entities).bind(state).bind(batch).bind(limit).fetch_all(pool).await?)
}
