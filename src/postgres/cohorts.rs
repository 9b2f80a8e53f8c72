//! People who move together, in the state.

pub mod draft;
mod report;

use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};

pub use report::{BatchReport, Failed, Whereabouts, batches, failed, open, people};

use super::{cutover::side, read::parse_legacy, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{
        key::{EntityIndex, LegacyId, RenaissanceId},
        mapping::Entity,
        person::persons,
        side::Side,
    },
    sync::ports::{Batch, Begun, Belonging, By, Chosen, CohortStore, NewBatch, Toll},
};

/// `max_failures` is corrected once it is known how many there are. What is only tried ($12) takes no number.
const INSERT: &str = "INSERT INTO biograph_bridge.cutover_batch (id, toward, chosen, concurrency, max_failures, max_parked, max_conflicts, \
    max_lag_ms, timeout_ms, who, reason, request) OVERRIDING SYSTEM VALUE VALUES (CASE WHEN $12 THEN 0 \
      ELSE nextval(pg_get_serial_sequence('biograph_bridge.cutover_batch', 'id')) END, \
      $1, $2, $3, coalesce($4, 10), $5, $6, $7, $8, $9, $10, $11) RETURNING id";
/// The first 32 bits of the SHA-256 of a legacy id, see [`crate::model::cohort::Share::bound`].
const HASH: &str = "('x' || encode(substr(sha256(convert_to(l.legacy_id, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint";
const DRAFTED: &str = "(SELECT legacy_id FROM biograph_bridge.cutover_draft_member WHERE draft = $2) l";
/// People who are linked and on the other side.
const LINKED: &str = "biograph_bridge.link l LEFT JOIN biograph_bridge.cutover c USING (legacy_id) \
    WHERE l.entity = ANY($2) AND coalesce(c.state, 'legacy') <> 'draining' AND coalesce(c.owner, 'legacy') <> $5";
const TAKEN: &str = "SELECT count(*) FROM biograph_bridge.cutover_member WHERE outcome IS NULL AND legacy_id IN \
    (SELECT legacy_id FROM biograph_bridge.cutover_draft_member WHERE draft = $1)";
/// The members ($1: the batch, $2: the entities of people) of whom something is parked, or in conflict and not decided.
const HINDERED: &str = "SELECT m.legacy_id FROM biograph_bridge.cutover_member m JOIN ( \
      SELECT coalesce(p.person, CASE WHEN p.entity = ANY($2) THEN p.legacy_id ELSE l.person END) AS id FROM biograph_bridge.parked p \
        LEFT JOIN biograph_bridge.link l ON l.entity = p.entity AND l.legacy_id = p.legacy_id \
      UNION SELECT coalesce(person, CASE WHEN entity = ANY($2) THEN legacy_id END) FROM biograph_bridge.conflict \
        WHERE winner IS NULL AND resolved_at IS NULL AND NOT shadow) h ON h.id = m.legacy_id \
    WHERE m.batch = $1 ORDER BY 1 LIMIT 10000";
/// What belongs to these people ($1); a person's own record ($2) names no person.
const BELONGINGS: &str = "SELECT person, entity, legacy_id, renaissance_id FROM biograph_bridge.link WHERE person = ANY($1) \
    UNION ALL SELECT legacy_id, entity, legacy_id, renaissance_id FROM biograph_bridge.link \
    WHERE entity = ANY($2) AND legacy_id = ANY($1) AND person IS NULL";
const EASY: &str =
    "SELECT legacy_id FROM biograph_bridge.cutover_member WHERE batch = $1 AND legacy_id <> ALL($2) ORDER BY 1 LIMIT 1";
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
        // one after the other: nobody gets into two
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('biograph_bridge.cutover_batch'))")
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        let known = "SELECT b.id, count(m.*) FROM biograph_bridge.cutover_batch b LEFT JOIN biograph_bridge.cutover_member m \
            ON m.batch = b.id WHERE b.request = $1 GROUP BY b.id";
        let known: Option<(i64, i64)> =
            sqlx::query_as(known).bind(batch.request).fetch_optional(&mut *transaction).await.map_err(Error::from)?;
        if let Some((id, people)) = known {
            return Ok(Begun { id: Some(id), people, taken: 0, hindered: Vec::new(), easy: None });
        }
        let nobody = Begun { id: None, people: 0, taken: 0, hindered: Vec::new(), easy: None };
        let taken = taken(&mut transaction, &batch.chosen).await?;
        if taken > 0 {
            return Ok(Begun { taken, ..nobody });
        }
        let id = insert(&mut transaction, batch, dry).await?;
        let people = fill(&mut transaction, id, batch, self.entities()).await?;
        if dry {
            let (hindered, easy) = hindered(&mut transaction, id, &self.person_entities()).await?;
            transaction.rollback().await.map_err(Error::from)?;
            return Ok(Begun { people, hindered, easy, ..nobody });
        }
        if people == 0 {
            transaction.rollback().await.map_err(Error::from)?;
            return Ok(nobody);
        }
        // whoever withdraws it at this moment waits for the commit, and then finds it begun
        let begun = sqlx::query("UPDATE biograph_bridge.request SET begun_at = clock_timestamp() WHERE id = $1");
        let begun = begun.bind(batch.request).execute(&mut *transaction).await.map_err(Error::from)?;
        if begun.rows_affected() == 0 {
            return Err(Error::halt("the request was withdrawn; nothing has begun"));
        }
        sqlx::query("UPDATE biograph_bridge.cutover_batch SET max_failures = $2 WHERE id = $1")
            .bind(id)
            .bind(batch.max_failures.unwrap_or_else(|| (people / 100).max(10)))
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(Begun { id: Some(id), people, ..nobody })
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

    async fn people_on(
        &self,
        entity: EntityIndex,
        side: Side,
        after: Option<LegacyId>,
        limit: u32,
    ) -> Result<Vec<LegacyId>> {
        let sql = "SELECT l.legacy_id FROM biograph_bridge.link l LEFT JOIN biograph_bridge.cutover c USING (legacy_id) \
            WHERE l.entity = $1 AND l.legacy_id > $2 AND coalesce(c.state, 'legacy') = $3 ORDER BY l.legacy_id LIMIT $4";
        let after = after.map(|after| after.to_string()).unwrap_or_default();
        let name = &self.entity(entity)?.0.name;
        let people = sqlx::query_scalar(sql).bind(name).bind(after).bind(side.as_str()).bind(i64::from(limit));
        let people: Vec<String> = people.fetch_all(&self.pool).await.map_err(Error::from)?;
        people.iter().map(|id| parse_legacy(id)).collect()
    }

    async fn belongings(&self, persons: &[LegacyId]) -> Result<Vec<Belonging>> {
        let rows: Vec<(String, String, String, RenaissanceId)> = sqlx::query_as(BELONGINGS)
            .bind(texts(persons))
            .bind(self.person_entities())
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)?;
        let mut found = Vec::with_capacity(rows.len());
        for (person, entity, legacy, renaissance) in rows {
            // one whose mapping is gone is nobody's concern any more
            let Some(entity) = self.index_of(&entity) else { continue };
            found.push(Belonging {
                person: parse_legacy(&person)?,
                entity,
                legacy: parse_legacy(&legacy)?,
                renaissance,
            });
        }
        Ok(found)
    }
}

/// How many are in another batch that has not ended. A share of everybody and another batch are not looked at side by side.
async fn taken(connection: &mut PgConnection, chosen: &Chosen) -> Result<i64> {
    let count = match chosen {
        Chosen::Drafted(draft) => {
            let there = sqlx::query_scalar("SELECT EXISTS (SELECT FROM biograph_bridge.cutover_draft WHERE id = $1)");
            if !there.bind(draft).fetch_one(&mut *connection).await.map_err(Error::from)? {
                return Err(Error::halt("who was chosen is not known any more; nothing has begun"));
            }
            sqlx::query_scalar(TAKEN).bind(draft)
        }
        Chosen::Everybody => {
            sqlx::query_scalar("SELECT count(*) FROM biograph_bridge.cutover_member WHERE outcome IS NULL")
        }
    };
    count.fetch_one(connection).await.map_err(Error::from)
}

/// Who of a batch cannot move now, and one of the others.
async fn hindered(
    connection: &mut PgConnection,
    id: i64,
    persons: &[&str],
) -> Result<(Vec<LegacyId>, Option<LegacyId>)> {
    let hindered: Vec<String> =
        sqlx::query_scalar(HINDERED).bind(id).bind(persons).fetch_all(&mut *connection).await.map_err(Error::from)?;
    let easy: Option<String> =
        sqlx::query_scalar(EASY).bind(id).bind(&hindered).fetch_optional(connection).await.map_err(Error::from)?;
    let hindered = hindered.iter().map(|id| parse_legacy(id)).collect::<Result<_>>()?;
    Ok((hindered, easy.map(|id| parse_legacy(&id)).transpose()?))
}

async fn insert(connection: &mut PgConnection, batch: &NewBatch, dry: bool) -> Result<i64> {
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
        .bind(dry)
        .fetch_one(connection)
        .await
        .map_err(Error::from)
}

async fn fill(connection: &mut PgConnection, id: i64, batch: &NewBatch, entities: &[Entity]) -> Result<i64> {
    let from = |people: &str| {
        AssertSqlSafe(format!(
            "INSERT INTO biograph_bridge.cutover_member (batch, legacy_id) SELECT $1, legacy_id FROM (SELECT legacy_id \
             FROM (SELECT l.legacy_id, {HASH} AS hash FROM {people}) p WHERE hash < $3 ORDER BY hash, legacy_id LIMIT $4) m \
             ORDER BY legacy_id"
        ))
    };
    let bound = batch.share.map_or(1 << 32, |share| i64::try_from(share.bound()).unwrap_or(i64::MAX));
    let filled = match &batch.chosen {
        Chosen::Drafted(draft) => sqlx::query(from(DRAFTED)).bind(id).bind(draft).bind(bound).bind(batch.limit),
        Chosen::Everybody => {
            let names: Vec<String> = persons(entities).map(|(_, entity)| entity.name.clone()).collect();
            sqlx::query(from(LINKED)).bind(id).bind(names).bind(bound).bind(batch.limit).bind(batch.to.as_str())
        }
    };
    let filled = filled.execute(&mut *connection).await.map_err(Error::from)?;
    if let Chosen::Drafted(draft) = &batch.chosen {
        let used = sqlx::query("DELETE FROM biograph_bridge.cutover_draft WHERE id = $1").bind(draft);
        used.execute(connection).await.map_err(Error::from)?;
    }
    Ok(i64::try_from(filled.rows_affected()).unwrap_or(i64::MAX))
}
