//! People who move together, in the state.

use serde::Serialize;
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, PgPool};

use super::{cutover::side, read::parse_legacy, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{key::LegacyId, mapping::Entity, person::persons},
    sync::ports::{Batch, Begun, By, Chosen, CohortStore, NewBatch, Toll},
};

/// `max_failures` is corrected once it is known how many there are.
const INSERT: &str = "INSERT INTO biograph_bridge.cutover_batch (toward, chosen, concurrency, max_failures, max_parked, max_conflicts, \
    max_lag_ms, timeout_ms, who, reason, request) VALUES ($1, $2, $3, coalesce($4, 10), $5, $6, $7, $8, $9, $10, $11) RETURNING id";
const MEMBERS: &str = "INSERT INTO biograph_bridge.cutover_member (batch, legacy_id) SELECT $1, unnest($2::text[])";
const SHARE: &str = "INSERT INTO biograph_bridge.cutover_member (batch, legacy_id) \
    SELECT $1, p.legacy_id FROM (SELECT l.legacy_id, \
        ('x' || encode(substr(sha256(convert_to(l.legacy_id, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint AS hash \
      FROM biograph_bridge.link l LEFT JOIN biograph_bridge.cutover c USING (legacy_id) \
      WHERE l.entity = ANY($2) AND coalesce(c.state, 'legacy') <> 'draining' AND coalesce(c.owner, 'legacy') <> $3) p \
    WHERE hash < $4 ORDER BY hash, p.legacy_id LIMIT $5";
const TAKEN_PEOPLE: &str =
    "SELECT count(*) FROM biograph_bridge.cutover_member WHERE outcome IS NULL AND legacy_id = ANY($1)";
const RUNNING: &str = "SELECT id, toward, concurrency, max_failures, max_parked, max_conflicts, max_lag_ms, timeout_ms, who, reason \
    FROM biograph_bridge.cutover_batch WHERE state = 'running' ORDER BY id";
const WAITING: &str = "SELECT legacy_id FROM biograph_bridge.cutover_member \
    WHERE batch = $1 AND outcome IS NULL AND legacy_id <> ALL($2) ORDER BY legacy_id LIMIT $3";
const END: &str = "UPDATE biograph_bridge.cutover_member m SET outcome = CASE WHEN $3 = 'already' AND EXISTS \
      (SELECT FROM biograph_bridge.cutover_history h WHERE h.legacy_id = m.legacy_id AND h.batch = m.batch AND h.outcome = 'moved') \
      THEN 'moved' ELSE $3 END, findings = $4, at = clock_timestamp() \
    WHERE batch = $1 AND legacy_id = $2 AND (outcome IS NULL OR outcome = 'stopped')";
const FAILED: &str = "(SELECT count(*) FROM biograph_bridge.cutover_member m \
    WHERE m.batch = b.id AND outcome NOT IN ('moved', 'already', 'stopped'))";
const STOP: &str = "UPDATE biograph_bridge.cutover_member SET outcome = 'stopped', at = clock_timestamp() \
    WHERE batch = $1 AND outcome IS NULL";

#[derive(FromRow)]
struct Row {
    id: i64,
    toward: String,
    concurrency: i32,
    max_failures: i64,
    max_parked: i64,
    max_conflicts: i64,
    max_lag_ms: i64,
    timeout_ms: Option<i64>,
    who: Option<String>,
    reason: Option<String>,
}

impl Row {
    fn batch(self) -> Result<Batch> {
        Ok(Batch {
            id: self.id,
            to: side(&self.toward)?,
            concurrency: u32::try_from(self.concurrency).unwrap_or(1),
            limits: Toll { failures: self.max_failures, parked: self.max_parked, conflicts: self.max_conflicts },
            max_lag_ms: self.max_lag_ms,
            timeout_ms: self.timeout_ms,
            by: By { who: self.who, reason: self.reason },
        })
    }
}

fn texts(people: &[LegacyId]) -> Vec<String> {
    people.iter().map(ToString::to_string).collect()
}

impl CohortStore for Postgres {
    async fn begin_batch(&self, batch: &NewBatch, dry: bool) -> Result<Begun> {
        let mut transaction = self.begin_on_state().await?;
        let known = "SELECT b.id, count(m.*) FROM biograph_bridge.cutover_batch b LEFT JOIN biograph_bridge.cutover_member m \
            ON m.batch = b.id WHERE b.request = $1 GROUP BY b.id";
        let known: Option<(i64, i64)> =
            sqlx::query_as(known).bind(batch.request).fetch_optional(&mut *transaction).await.map_err(Error::from)?;
        if let Some((id, people)) = known {
            return Ok(Begun { id: Some(id), people, taken: 0 });
        }
        let taken = taken(&mut transaction, &batch.chosen).await?;
        if taken > 0 {
            return Ok(Begun { id: None, people: 0, taken });
        }
        let id = insert(&mut transaction, batch).await?;
        let people = fill(&mut transaction, id, batch, self.entities()).await?;
        if dry || people == 0 {
            transaction.rollback().await.map_err(Error::from)?;
            return Ok(Begun { id: None, people, taken });
        }
        sqlx::query("UPDATE biograph_bridge.cutover_batch SET max_failures = $2 WHERE id = $1")
            .bind(id)
            .bind(batch.max_failures.unwrap_or_else(|| (people / 100).max(10)))
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(Begun { id: Some(id), people, taken })
    }

    async fn running_batches(&self) -> Result<Vec<Batch>> {
        let rows: Vec<Row> = sqlx::query_as(RUNNING).fetch_all(&self.pool).await.map_err(Error::from)?;
        rows.into_iter().map(Row::batch).collect()
    }

    async fn waiting_members(&self, batch: i64, but: &[LegacyId], limit: u32) -> Result<Vec<LegacyId>> {
        let waiting = sqlx::query_scalar(WAITING).bind(batch).bind(texts(but)).bind(i64::from(limit));
        let waiting: Vec<String> = waiting.fetch_all(&self.pool).await.map_err(Error::from)?;
        waiting.iter().map(|id| parse_legacy(id)).collect()
    }

    async fn end_member(&self, batch: i64, person: LegacyId, outcome: &str, findings: &Json) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        let end = sqlx::query(END).bind(batch).bind(person.to_string()).bind(outcome).bind(findings);
        end.execute(&mut *transaction).await.map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn batch_toll(&self, batch: i64) -> Result<Toll> {
        let sql = format!(
            "SELECT {FAILED} - forgiven, (SELECT count(*) FROM biograph_bridge.parked WHERE since >= watched_since), \
             (SELECT count(*) FROM biograph_bridge.conflict WHERE at >= watched_since AND kind <> 'stale_owner_write') \
             FROM biograph_bridge.cutover_batch b WHERE id = $1"
        );
        let row = sqlx::query_as(AssertSqlSafe(sql)).bind(batch).fetch_one(&self.pool);
        let (failures, parked, conflicts) = row.await.map_err(Error::from)?;
        Ok(Toll { failures, parked, conflicts })
    }

    async fn set_batch_state(&self, batch: i64, state: &str, why: Option<&str>) -> Result<bool> {
        let mut transaction = self.begin_on_state().await?;
        let sql = format!(
            "UPDATE biograph_bridge.cutover_batch b SET state = $2, why = $3, \
             watched_since = CASE $2 WHEN 'running' THEN clock_timestamp() ELSE watched_since END, \
             forgiven = CASE $2 WHEN 'running' THEN {FAILED} ELSE forgiven END, \
             ended_at = CASE WHEN $2 IN ('stopped', 'ended') THEN clock_timestamp() END \
             WHERE id = $1 AND state IN ('running', 'paused') AND ($2 <> 'ended' OR NOT EXISTS \
               (SELECT FROM biograph_bridge.cutover_member m WHERE m.batch = b.id AND outcome IS NULL))"
        );
        let changed = sqlx::query(AssertSqlSafe(sql)).bind(batch).bind(state).bind(why);
        let changed = changed.execute(&mut *transaction).await.map_err(Error::from)?.rows_affected() > 0;
        if changed && state == "stopped" {
            sqlx::query(STOP).bind(batch).execute(&mut *transaction).await.map_err(Error::from)?;
        }
        transaction.commit().await.map_err(Error::from)?;
        Ok(changed)
    }
}

/// How many are in another batch that has not ended. A share and another batch are not looked at side by side.
async fn taken(connection: &mut PgConnection, chosen: &Chosen) -> Result<i64> {
    let count = match chosen {
        Chosen::People(people) => sqlx::query_scalar(TAKEN_PEOPLE).bind(texts(people)),
        Chosen::Below(_) => {
            sqlx::query_scalar("SELECT count(*) FROM biograph_bridge.cutover_member WHERE outcome IS NULL")
        }
    };
    count.fetch_one(connection).await.map_err(Error::from)
}

async fn insert(connection: &mut PgConnection, batch: &NewBatch) -> Result<i64> {
    sqlx::query_scalar(INSERT)
        .bind(batch.to.as_str())
        .bind(&batch.words)
        .bind(i32::try_from(batch.concurrency).unwrap_or(i32::MAX))
        .bind(batch.max_failures)
        .bind(batch.max_parked)
        .bind(batch.max_conflicts)
        .bind(batch.max_lag_ms)
        .bind(batch.timeout_ms)
        .bind(&batch.by.who)
        .bind(&batch.by.reason)
        .bind(batch.request)
        .fetch_one(connection)
        .await
        .map_err(Error::from)
}

async fn fill(connection: &mut PgConnection, id: i64, batch: &NewBatch, entities: &[Entity]) -> Result<i64> {
    let filled = match &batch.chosen {
        Chosen::People(people) => sqlx::query(MEMBERS).bind(id).bind(texts(people)),
        Chosen::Below(bound) => {
            let names: Vec<String> = persons(entities).map(|(_, entity)| entity.name.clone()).collect();
            let bound = i64::try_from(*bound).unwrap_or(i64::MAX);
            sqlx::query(SHARE).bind(id).bind(names).bind(batch.to.as_str()).bind(bound).bind(batch.limit)
        }
    };
    let filled = filled.execute(connection).await.map_err(Error::from)?;
    Ok(i64::try_from(filled.rows_affected()).unwrap_or(i64::MAX))
}

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

/// The batches, or one of them, newest first.
pub async fn batches(pool: &PgPool, id: Option<i64>, limit: i64) -> Result<Vec<BatchReport>> {
    let sql = "SELECT b.id, toward, chosen, state, why, who, reason, \
        to_char(begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS begun_at, \
        extract(epoch FROM coalesce(ended_at, clock_timestamp()) - begun_at)::float8 AS seconds, n.* \
        FROM biograph_bridge.cutover_batch b, LATERAL (SELECT count(*) AS people, \
          count(*) FILTER (WHERE outcome = 'moved') AS moved, count(*) FILTER (WHERE outcome = 'already') AS already, \
          count(*) FILTER (WHERE outcome NOT IN ('moved', 'already', 'stopped')) AS failed, \
          count(*) FILTER (WHERE outcome IS NULL) AS left FROM biograph_bridge.cutover_member m WHERE m.batch = b.id) n \
        WHERE $1::bigint IS NULL OR b.id = $1 ORDER BY b.id DESC LIMIT $2";
    Ok(sqlx::query_as(sql).bind(id).bind(limit).fetch_all(pool).await?)
}

/// The members of a batch who did not move, in the order of their ids.
pub async fn failed(pool: &PgPool, batch: i64, limit: i64) -> Result<Vec<Failed>> {
    let sql = "SELECT legacy_id, outcome, findings FROM biograph_bridge.cutover_member WHERE batch = $1 \
        AND outcome NOT IN ('moved', 'already', 'stopped') ORDER BY legacy_id LIMIT $2";
    Ok(sqlx::query_as(sql).bind(batch).bind(limit).fetch_all(pool).await?)
}
