//! Comparing under live traffic, as the state keeps it.

pub mod report;

use sqlx::{AssertSqlSafe, PgConnection, types::Json};

use super::{doors::in_time, read::parse_legacy, sql::quote_ident, store::Postgres};
use crate::{
    error::{Error, Result},
    model::key::{EntityIndex, LegacyId, RenaissanceId},
    sync::ports::{
        Asked, Counts, Found, LinkedRow, Page, Part, Progress, Run, State, Stretch, Suspect, Verified, VerifyStore,
    },
};

/// Runs that are kept.
const KEPT: i64 = 20;

const SAVE: &str = "INSERT INTO biograph_bridge.verify_progress \
    (run, entity, part, after, done, total, compared, equal, differing, repaired, unsettled, parked, paused) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (run, entity, part) DO UPDATE SET \
    after = excluded.after, done = excluded.done, total = excluded.total, compared = excluded.compared, \
    equal = excluded.equal, differing = excluded.differing, repaired = excluded.repaired, \
    unsettled = excluded.unsettled, parked = excluded.parked, paused = excluded.paused";

const FOUND: &str = "INSERT INTO biograph_bridge.verify_difference \
    (run, entity, part, legacy_id, renaissance_id, state, rounds, what, moved, fields, writes) \
    SELECT $1, $2, $3, f.legacy_id, f.renaissance_id, f.state, f.rounds, f.what, f.moved, f.fields, \
      ARRAY(SELECT jsonb_array_elements_text(f.writes)) \
    FROM jsonb_to_recordset($4) AS f (legacy_id text, renaissance_id bigint, state text, rounds integer, what text, \
      moved text, fields jsonb, writes jsonb)";

/// The last complete run over each entity: all of its parts, all of its records.
const LAST: &str = "SELECT DISTINCT ON (p.entity) p.entity, \
      to_char(r.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
      (SELECT jsonb_build_object('compared', sum(s.compared)::int8, 'equal', sum(s.equal)::int8, \
        'differing', sum(s.differing)::int8, 'repaired', sum(s.repaired)::int8, 'unsettled', sum(s.unsettled)::int8, \
        'parked', sum(s.parked)::int8, 'paused', sum(s.paused)::int8) \
       FROM biograph_bridge.verify_progress s WHERE s.run = p.run AND s.entity = p.entity) \
    FROM biograph_bridge.verify_progress p JOIN biograph_bridge.verify_run r ON r.id = p.run \
    WHERE r.outcome = 'complete' AND r.asked->'percent' = 'null' AND r.asked->'person' = 'null' \
    ORDER BY p.entity, r.ended_at DESC";

type ProgressRow = (Option<String>, bool, Option<i64>, Json<Counts>);

impl VerifyStore for Postgres {
    async fn begin_verify(&self, request: i64, asked: &Asked) -> Result<std::result::Result<i64, i64>> {
        let mut transaction = self.begin_on_state().await?;
        let known: Option<(i64, Option<i64>)> = sqlx::query_as(
            "SELECT id, request FROM biograph_bridge.verify_run \
             WHERE request = $1 OR (ended_at IS NULL AND NOT background) ORDER BY request = $1 DESC LIMIT 1",
        )
        .bind(request)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(Error::from)?;
        if let Some((id, of)) = known {
            return Ok(if of == Some(request) { Ok(id) } else { Err(id) });
        }
        let id = begin(&mut transaction, Some(request), asked, false).await?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(Ok(id))
    }

    async fn due_verify(&self) -> Result<Option<Run>> {
        let row: Option<(i64, Json<Asked>, bool)> = sqlx::query_as(
            "SELECT id, asked, background FROM biograph_bridge.verify_run WHERE ended_at IS NULL \
             ORDER BY background, id LIMIT 1",
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::from)?;
        Ok(row.map(|(id, Json(asked), background)| Run { id, asked, background }))
    }

    async fn begin_background(&self) -> Result<Run> {
        let asked = Asked { by: "background".to_owned(), ..Asked::default() };
        let mut transaction = self.begin_on_state().await?;
        let id = begin(&mut transaction, None, &asked, true).await?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(Run { id, asked, background: true })
    }

    async fn verified(&self, run: i64, entity: EntityIndex, part: Part) -> Result<Progress> {
        let row: Option<ProgressRow> = sqlx::query_as(
            "SELECT after, done, total, to_jsonb(p) FROM biograph_bridge.verify_progress p \
             WHERE run = $1 AND entity = $2 AND part = $3",
        )
        .bind(run)
        .bind(&self.entity(entity)?.0.name)
        .bind(part.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::from)?;
        let progress = |(after, done, total, Json(counts))| Progress { after, done, total, counts };
        Ok(row.map(progress).unwrap_or_default())
    }

    async fn suspects(&self, run: i64, entity: EntityIndex, part: Part) -> Result<Vec<Suspect>> {
        let rows: Vec<(Option<String>, Option<i64>, i32)> = sqlx::query_as(
            "SELECT legacy_id, renaissance_id, rounds FROM biograph_bridge.verify_difference \
             WHERE run = $1 AND entity = $2 AND part = $3 AND state = $4 ORDER BY id",
        )
        .bind(run)
        .bind(&self.entity(entity)?.0.name)
        .bind(part.as_str())
        .bind(State::Candidate.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        let suspect = |(legacy, renaissance, rounds): (Option<String>, _, _)| {
            Ok(Suspect { legacy: legacy.as_deref().map(parse_legacy).transpose()?, renaissance, rounds })
        };
        rows.into_iter().map(suspect).collect()
    }

    async fn save_verified(
        &self,
        run: i64,
        index: EntityIndex,
        part: Part,
        progress: &Progress,
        found: &[Found],
    ) -> Result<()> {
        let entity = &self.entity(index)?.0.name;
        let mut transaction = self.begin_on_state().await?;
        let counts = progress.counts;
        sqlx::query(SAVE)
            .bind(run)
            .bind(entity)
            .bind(part.as_str())
            .bind(&progress.after)
            .bind(progress.done)
            .bind(progress.total)
            .bind(counts.compared)
            .bind(counts.equal)
            .bind(counts.differing)
            .bind(counts.repaired)
            .bind(counts.unsettled)
            .bind(counts.parked)
            .bind(counts.paused)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        let former = "DELETE FROM biograph_bridge.verify_difference \
            WHERE run = $1 AND entity = $2 AND part = $3 AND state = $4";
        sqlx::query(former)
            .bind(run)
            .bind(entity)
            .bind(part.as_str())
            .bind(State::Candidate.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        if !found.is_empty() {
            sqlx::query(FOUND)
                .bind(run)
                .bind(entity)
                .bind(part.as_str())
                .bind(Json(found.iter().map(told).collect::<Vec<_>>()))
                .execute(&mut *transaction)
                .await
                .map_err(Error::from)?;
        }
        transaction.commit().await.map_err(Error::from)
    }

    async fn parked_of(
        &self,
        entity: EntityIndex,
        records: &[(Option<LegacyId>, Option<RenaissanceId>)],
    ) -> Result<Vec<(usize, Option<String>)>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let (legacy, renaissance): (Vec<Option<String>>, Vec<Option<RenaissanceId>>) =
            records.iter().map(|(legacy, row)| (legacy.map(|id| id.to_string()), *row)).unzip();
        let rows: Vec<(i64, Option<String>)> = sqlx::query_as(
            "SELECT DISTINCT v.n, p.field FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS v(legacy, renaissance, n) \
             JOIN biograph_bridge.parked p ON p.entity = $1 AND (p.legacy_id = v.legacy OR p.renaissance_id = v.renaissance)",
        )
        .bind(&self.entity(entity)?.0.name)
        .bind(legacy)
        .bind(renaissance)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        Ok(rows.into_iter().filter_map(|(n, field)| Some((usize::try_from(n - 1).ok()?, field))).collect())
    }

    async fn end_verify(&self, run: i64, outcome: &str) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        sqlx::query("UPDATE biograph_bridge.verify_run SET ended_at = now(), outcome = $2 WHERE id = $1")
            .bind(run)
            .bind(outcome)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        // the last complete look at everything is what `status` goes by
        sqlx::query(
            "DELETE FROM biograph_bridge.verify_run r WHERE ended_at IS NOT NULL AND id <= $1 - $2 \
             AND id <> ALL(SELECT max(id) FROM biograph_bridge.verify_run JOIN biograph_bridge.verify_progress ON run = id \
               WHERE outcome = 'complete' AND asked->'percent' = 'null' AND asked->'person' = 'null' GROUP BY entity)",
        )
        .bind(run)
        .bind(KEPT)
        .execute(&mut *transaction)
        .await
        .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn last_verified(&self) -> Result<Vec<Verified>> {
        let rows: Vec<(String, String, Json<Counts>)> =
            sqlx::query_as(LAST).fetch_all(&self.pool).await.map_err(Error::from)?;
        let known = |(entity, at, Json(counts)): (String, String, Json<Counts>)| {
            Some(Verified { entity: self.index_of(&entity)?, at, counts })
        };
        Ok(rows.into_iter().filter_map(known).collect())
    }

    async fn links_along(
        &self,
        entity: EntityIndex,
        after: Option<LegacyId>,
        limit: u32,
    ) -> Result<Stretch<(LegacyId, RenaissanceId)>> {
        in_time(self.links_after(entity, after, limit)).await
    }

    async fn rows_along(&self, entity: EntityIndex, links: Vec<(LegacyId, RenaissanceId)>) -> Result<Vec<LinkedRow>> {
        // on its own: what is read elsewhere meanwhile is decoded beside it
        let store = self.clone();
        let read = tokio::spawn(async move { in_time(store.rows_of_links(entity, links)).await });
        read.await.map_err(|_| Error::retry("the bridge is stopping"))?
    }

    async fn unlinked_page(
        &self,
        entity: EntityIndex,
        after: Option<RenaissanceId>,
        limit: u32,
    ) -> Result<Page<RenaissanceId>> {
        in_time(self.page_of_unlinked(entity, after, limit)).await
    }

    async fn linked_page(
        &self,
        index: EntityIndex,
        after: Option<RenaissanceId>,
        limit: u32,
    ) -> Result<Vec<(RenaissanceId, Option<LegacyId>)>> {
        let (entity, _) = self.entity(index)?;
        let root = &entity.renaissance.tables[0];
        let (table, key) = (quote_ident(&root.name), quote_ident(&root.key));
        let sql = format!(
            "SELECT r.id, l.legacy_id FROM (SELECT {key}::int8 AS id FROM {table} WHERE {key} > $2 ORDER BY {key} LIMIT $3) r \
             LEFT JOIN biograph_bridge.link l ON l.entity = $1 AND l.renaissance_id = r.id ORDER BY r.id"
        );
        let rows: Vec<(i64, Option<String>)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(&entity.name)
            .bind(after.unwrap_or(i64::MIN))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)?;
        rows.into_iter().map(|(id, legacy)| Ok((id, legacy.as_deref().map(parse_legacy).transpose()?))).collect()
    }
}

async fn begin(on: &mut PgConnection, request: Option<i64>, asked: &Asked, background: bool) -> Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO biograph_bridge.verify_run (request, asked, background) VALUES ($1, $2, $3) RETURNING id",
    )
    .bind(request)
    .bind(Json(asked))
    .bind(background)
    .fetch_one(on)
    .await
    .map_err(Error::from)
}

/// One finding for [`FOUND`].
fn told(found: &Found) -> serde_json::Value {
    let field = |(name, moved): &(String, &'static str)| serde_json::json!({ "field": name, "moved": moved });
    serde_json::json!({
        "legacy_id": found.legacy.map(|id| id.to_string()),
        "renaissance_id": found.renaissance,
        "state": found.state.as_str(),
        "rounds": found.rounds,
        "what": found.what,
        "moved": found.moved,
        "fields": found.fields.iter().map(field).collect::<Vec<_>>(),
        "writes": found.writes,
    })
}
