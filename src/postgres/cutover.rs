//! Who is where: the cutover rows, changed by compare-and-set together with their history.

pub(super) mod born;
pub mod history;
mod owned;
mod unmapped;

use std::time::Duration;

use sqlx::{FromRow, PgConnection};

use super::{read::parse_legacy, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{
        cutover::CutoverRow,
        fact::PersonState,
        key::{EntityIndex, LegacyId, RenaissanceId},
        mapping::Needs,
        side::Side,
    },
    sync::ports::{By, CutoverStore, Journey, Possessions, Standing, Step, Swapped, Unsettled},
};

/// What a [`Standing`] is read from.
const COLUMNS: &str =
    "legacy_id, renaissance_id, state, owner, epoch, (extract(epoch FROM since) * 1000000)::int8 AS since";
/// Who was never moved has no row. One that says the same (epoch 0) is as good as none.
const BEGIN: &str = "INSERT INTO biograph_bridge.cutover AS c (legacy_id, renaissance_id, state, epoch, since, leaving, moved) \
    VALUES ($1, $2, $5, $6, clock_timestamp(), $7, $8) \
    ON CONFLICT (legacy_id) DO UPDATE SET renaissance_id = excluded.renaissance_id, state = excluded.state, epoch = excluded.epoch, \
      since = excluded.since, leaving = excluded.leaving, moved = excluded.moved \
    WHERE c.state = $3 AND c.epoch = $4 RETURNING ";
const SWAP: &str = "UPDATE biograph_bridge.cutover SET renaissance_id = coalesce($2, renaissance_id), state = $5, epoch = $6, \
    since = clock_timestamp(), leaving = $7, moved = moved OR $8 WHERE legacy_id = $1 AND state = $3 AND epoch = $4 RETURNING ";
/// What was decided under the present owner and is on its way to legacy. The row is held: nothing new can be decided.
const UNDER_WAY: &str = "SELECT EXISTS (SELECT FROM biograph_bridge.open_intent) AND EXISTS (SELECT FROM \
    (SELECT entity, legacy_id FROM biograph_bridge.link WHERE person = $1 UNION ALL \
     SELECT entity, legacy_id FROM biograph_bridge.link WHERE entity = ANY($2) AND legacy_id = $1) l \
    JOIN biograph_bridge.open_intent i ON i.entity = l.entity AND l.legacy_id = ANY(i.legacy_ids))";
const NOTE: &str = "INSERT INTO biograph_bridge.cutover_history (legacy_id, renaissance_id, step, outcome, toward, state, epoch, \
    detail, findings, who, reason, batch, request, timeout_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const LAST: &str = "SELECT DISTINCT ON (legacy_id) legacy_id, renaissance_id, toward, who, reason, batch, request, timeout_ms \
    FROM biograph_bridge.cutover_history WHERE legacy_id = ANY($1) AND step = 'fenced' ORDER BY legacy_id, id DESC";
const END_UNBEGUN: &str = "INSERT INTO biograph_bridge.cutover_history (legacy_id, renaissance_id, step, outcome, toward, state, epoch, \
      detail, who, reason, batch, request) \
    SELECT legacy_id, renaissance_id, 'refused', 'refused', toward, state, epoch, \
      'the daemon stopped before the move began: nothing was changed', who, reason, batch, request \
    FROM biograph_bridge.cutover_history h WHERE step = 'asked' AND request IS NOT NULL AND batch IS NULL \
      AND at < (SELECT taken_at FROM biograph_bridge.lease) AND NOT EXISTS \
      (SELECT FROM biograph_bridge.cutover_history later WHERE later.request = h.request AND later.legacy_id = h.legacy_id \
       AND later.id > h.id)";

#[derive(FromRow)]
struct Row {
    legacy_id: String,
    renaissance_id: Option<RenaissanceId>,
    state: String,
    owner: String,
    epoch: i64,
    since: i64,
}

impl Row {
    fn standing(self) -> Result<Standing> {
        let unknown = || Error::halt("a cutover row has a state that this version does not know");
        let state = PersonState::ALL.iter().find(|state| state.as_str() == self.state).copied().ok_or_else(unknown)?;
        let owner = side(&self.owner)?;
        Ok(Standing {
            person: parse_legacy(&self.legacy_id)?,
            renaissance: self.renaissance_id,
            row: CutoverRow { state, owner, epoch: self.epoch },
            since: self.since,
        })
    }
}

/// A side as the state writes it.
pub(super) fn side(word: &str) -> Result<Side> {
    let known = Side::ALL.into_iter().find(|side| side.as_str() == word);
    known.ok_or_else(|| Error::halt("the state names a side that this version does not know"))
}

fn texts(persons: &[LegacyId]) -> Vec<String> {
    persons.iter().map(ToString::to_string).collect()
}

fn standings(rows: Vec<Row>) -> Result<Vec<Standing>> {
    rows.into_iter().map(Row::standing).collect()
}

/// Whose wish a move was.
#[derive(FromRow)]
struct JourneyRow {
    legacy_id: String,
    renaissance_id: Option<RenaissanceId>,
    toward: String,
    who: Option<String>,
    reason: Option<String>,
    batch: Option<i64>,
    request: Option<i64>,
    timeout_ms: Option<i64>,
}

fn journey(row: JourneyRow) -> Result<Journey> {
    Ok(Journey {
        person: parse_legacy(&row.legacy_id)?,
        renaissance: row.renaissance_id,
        to: side(&row.toward)?,
        by: By { who: row.who, reason: row.reason },
        batch: row.batch,
        request: row.request,
        timeout: row.timeout_ms.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis),
    })
}

impl CutoverStore for Postgres {
    async fn standings(&self, persons: &[LegacyId]) -> Result<Vec<Standing>> {
        let sql = format!("SELECT {COLUMNS} FROM biograph_bridge.cutover WHERE legacy_id = ANY($1)");
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(texts(persons));
        standings(rows.fetch_all(&self.pool).await.map_err(Error::from)?)
    }

    async fn walk_standings(&self, after: Option<LegacyId>, draining: bool, limit: u32) -> Result<Vec<Standing>> {
        let only = if draining { " AND state = 'draining'" } else { "" };
        let sql = format!(
            "SELECT {COLUMNS} FROM biograph_bridge.cutover WHERE legacy_id > $1{only} ORDER BY legacy_id LIMIT $2"
        );
        let after = after.map(|after| after.to_string()).unwrap_or_default();
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(after).bind(i64::from(limit));
        standings(rows.fetch_all(&self.pool).await.map_err(Error::from)?)
    }

    async fn swap(
        &self,
        journey: &Journey,
        from: CutoverRow,
        to: CutoverRow,
        step: &Step,
    ) -> Result<(Swapped, Option<Standing>)> {
        // whoever decides from now on asks whether the owner is still the same
        self.anybody_moved().note();
        let mut transaction = self.begin_on_state().await?;
        let sql = format!("{}{COLUMNS}", if from.epoch == 0 { BEGIN } else { SWAP });
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(journey.person.to_string())
            .bind(journey.renaissance)
            .bind(from.state.as_str())
            .bind(from.epoch)
            .bind(to.state.as_str())
            .bind(to.epoch)
            .bind((to.state == PersonState::Draining).then(|| to.owner.as_str()))
            .bind(to.owner != from.owner)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(Error::from)?;
        let Some(row) = row else { return Ok((Swapped::Beaten, None)) };
        let standing = row.standing()?;
        if to.owner != from.owner {
            let under_way = sqlx::query_scalar(UNDER_WAY).bind(journey.person.to_string()).bind(self.person_entities());
            if under_way.fetch_one(&mut *transaction).await.map_err(Error::from)? {
                return Ok((Swapped::Busy, None));
            }
        }
        note(&mut transaction, journey, to, step).await?;
        transaction.commit().await.map_err(Error::from)?;
        Ok((Swapped::Done, Some(standing)))
    }

    async fn note(&self, journey: &Journey, row: CutoverRow, step: &Step) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        note(&mut transaction, journey, row, step).await?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn last_journeys(&self, persons: &[LegacyId]) -> Result<Vec<Journey>> {
        let rows: Vec<JourneyRow> =
            sqlx::query_as(LAST).bind(texts(persons)).fetch_all(&self.pool).await.map_err(Error::from)?;
        rows.into_iter().map(journey).collect()
    }

    async fn is_begun(&self, request: i64) -> Result<bool> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM biograph_bridge.cutover_history WHERE request = $1)")
            .bind(request)
            .fetch_one(&self.pool)
            .await
            .map_err(Error::from)
    }

    async fn enter_born(&self) -> Result<u64> {
        self.enter_born().await
    }

    async fn end_unbegun(&self) -> Result<u64> {
        let mut transaction = self.begin_on_state().await?;
        let ended = sqlx::query(END_UNBEGUN).execute(&mut *transaction).await.map_err(Error::from)?.rows_affected();
        transaction.commit().await.map_err(Error::from)?;
        Ok(ended)
    }

    async fn possessions(&self, person: LegacyId, renaissance: RenaissanceId) -> Result<Possessions> {
        self.owned(person, renaissance).await
    }

    async fn opened(&self, entity: EntityIndex, needs: &Needs, ids: &[RenaissanceId]) -> Result<Vec<RenaissanceId>> {
        self.opened_by(entity, needs, ids).await
    }

    async fn unmapped_rows(
        &self,
        entity: EntityIndex,
        ids: &[RenaissanceId],
    ) -> Result<Vec<(String, RenaissanceId, u64)>> {
        self.rows_unmapped(entity, ids).await
    }

    async fn unmapped_columns(&self) -> Result<Vec<String>> {
        self.columns_unmapped().await
    }

    async fn unread_tables(&self) -> Result<Vec<String>> {
        self.tables_unread().await
    }

    async fn unsettled(&self, person: LegacyId) -> Result<Vec<Unsettled>> {
        self.in_the_way(person).await
    }

    async fn try_state(&self) -> Result<()> {
        self.begin_on_state().await?.commit().await.map_err(Error::from)
    }
}

async fn note(connection: &mut PgConnection, journey: &Journey, row: CutoverRow, step: &Step) -> Result<()> {
    sqlx::query(NOTE)
        .bind(journey.person.to_string())
        .bind(journey.renaissance)
        .bind(step.name)
        .bind(step.outcome)
        .bind(journey.to.as_str())
        .bind(row.state.as_str())
        .bind(row.epoch)
        .bind(&step.detail)
        .bind(&step.findings)
        .bind(&journey.by.who)
        .bind(&journey.by.reason)
        .bind(journey.batch)
        .bind(journey.request)
        .bind(journey.timeout.map(|timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)))
        .execute(connection)
        .await
        .map_err(Error::from)?;
    Ok(())
}
