//! Lost positions in the state: the new one and the sweep that is due are one row, so that a crash forgets neither.

use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::{read::parse_legacy, sql::quote_ident, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{
        fact::{PositionLoss, SweepKind},
        hint::Position,
        key::{EntityIndex, LegacyId},
        side::Side,
    },
    sync::ports::{Healing, HealingStore, Loss, Page},
};

/// Rows for `status`.
const SHOWN: i64 = 5;

const COLUMNS: &str = "id, side, cause, old_position, new_position, forget_bases AND NOT forgotten AS forget_bases, changed, \
    to_char(begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS begun_at, \
    to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS ended_at";

/// Adds a row for the side $1; $6: whether the row before still counts. Also forgets how far a sweep has come that began before.
const BEGIN: &str = "WITH former AS (SELECT in_a_row FROM biograph_bridge.healing h \
      JOIN biograph_bridge.checkpoint c ON c.side = h.side AND c.position = h.new_position \
      WHERE h.side = $1 ORDER BY h.id DESC LIMIT 1), \
    again AS (DELETE FROM biograph_bridge.sweep WHERE kind = ANY($6)), \
    saved AS (INSERT INTO biograph_bridge.checkpoint (side, position) VALUES ($1, $4) \
      ON CONFLICT (side) DO UPDATE SET position = excluded.position, at = now()) \
    INSERT INTO biograph_bridge.healing (side, cause, old_position, new_position, in_a_row, forget_bases) \
    SELECT $1, $2, $3, $4, coalesce((SELECT in_a_row FROM former), 0) + 1, $5";

/// How many healings of the side $1 there were since its position last moved on by itself.
const IN_A_ROW: &str = "SELECT h.in_a_row FROM biograph_bridge.healing h \
    JOIN biograph_bridge.checkpoint c ON c.side = h.side AND c.position = h.new_position \
    WHERE h.id = (SELECT max(id) FROM biograph_bridge.healing WHERE side = $1)";

#[derive(FromRow)]
struct Row {
    id: i64,
    side: String,
    cause: String,
    old_position: Option<String>,
    new_position: String,
    forget_bases: bool,
    begun_at: String,
    ended_at: Option<String>,
    changed: Option<i64>,
}

/// Notes that a side has moved to another database: its position is taken anew, and a sweep is due. No daemon may be active.
pub async fn note_move(pool: &sqlx::PgPool, side: Side, new: &Position) -> Result<()> {
    let synced =
        sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM biograph_bridge.checkpoint WHERE side = $1)");
    if !synced.bind(side.as_str()).fetch_one(pool).await.map_err(Error::from)? {
        return Ok(());
    }
    sqlx::query(BEGIN)
        .bind(side.as_str())
        .bind(PositionLoss::Moved.as_str())
        .bind(None::<String>)
        .bind(new.to_string())
        .bind(side == Side::Legacy)
        .bind(SweepKind::HEALING.map(SweepKind::as_str))
        .execute(pool)
        .await
        .map(drop)
        .map_err(Error::from)
}

impl Postgres {
    /// Writes bases to their links, by legacy ids.
    pub(super) async fn write_bases(
        &self,
        transaction: &mut PgConnection,
        index: EntityIndex,
        (ids, bases): (Vec<String>, Vec<Vec<u8>>),
    ) -> Result<()> {
        sqlx::query(
            "UPDATE biograph_bridge.link l SET base = v.base, shape = $2 \
             FROM unnest($3::text[], $4::bytea[]) AS v(id, base) WHERE l.entity = $1 AND l.legacy_id = v.id",
        )
        .bind(&self.entity(index)?.0.name)
        .bind(self.shapes().current(index)?)
        .bind(ids)
        .bind(bases)
        .execute(transaction)
        .await
        .map_err(Error::from)?;
        Ok(())
    }
}

impl HealingStore for Postgres {
    async fn begin_healing(&self, loss: &Loss) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        sqlx::query(BEGIN)
            .bind(loss.side.as_str())
            .bind(loss.cause.as_str())
            .bind(loss.old.as_ref().map(Position::to_string))
            .bind(loss.new.to_string())
            .bind(loss.forget_bases)
            .bind(SweepKind::HEALING.map(SweepKind::as_str))
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn losses_in_a_row(&self, side: Side) -> Result<u32> {
        let count: Option<i32> =
            sqlx::query_scalar(IN_A_ROW).bind(side.as_str()).fetch_optional(&self.pool).await.map_err(Error::from)?;
        Ok(count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0))
    }

    async fn stop_counting(&self, side: Side) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        sqlx::query("UPDATE biograph_bridge.healing SET in_a_row = 0 WHERE side = $1")
            .bind(side.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn healings(&self) -> Result<Vec<Healing>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM biograph_bridge.healing WHERE ended_at IS NULL \
             OR id > (SELECT coalesce(max(id), 0) FROM biograph_bridge.healing) - $1 ORDER BY id"
        );
        let rows: Vec<Row> =
            sqlx::query_as(AssertSqlSafe(sql)).bind(SHOWN).fetch_all(&self.pool).await.map_err(Error::from)?;
        rows.into_iter().map(healing).collect()
    }

    async fn end_healing(&self, ids: &[i64], changed: u64) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        sqlx::query(
            "WITH swept AS (DELETE FROM biograph_bridge.sweep WHERE kind = ANY($3)) \
             UPDATE biograph_bridge.healing SET ended_at = now(), changed = $2 WHERE id = ANY($1) AND ended_at IS NULL",
        )
        .bind(ids)
        .bind(i64::try_from(changed).unwrap_or(i64::MAX))
        .bind(SweepKind::HEALING.map(SweepKind::as_str))
        .execute(&mut *transaction)
        .await
        .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn forget_bases(&self, index: EntityIndex, after: Option<LegacyId>, limit: u32) -> Result<Option<LegacyId>> {
        let (entity, _) = self.entity(index)?;
        let rows: Vec<(String, i32, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT legacy_id, shape, base FROM biograph_bridge.link \
             WHERE entity = $1 AND legacy_id > $2 ORDER BY legacy_id LIMIT $3",
        )
        .bind(&entity.name)
        .bind(after.map(|after| after.to_string()).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        let (mut ids, mut bases) = (Vec::new(), Vec::new());
        for (id, shape, bytes) in &rows {
            let Some(bytes) = bytes else { continue };
            let mut base = self.shapes().base(*shape, bytes, entity.fields.len())?;
            base.forget();
            ids.push(id.clone());
            bases.push(base.to_bytes());
        }
        let mut transaction = self.begin_on_state().await?;
        self.write_bases(&mut transaction, index, (ids, bases)).await?;
        transaction.commit().await.map_err(Error::from)?;
        rows.last().map(|(id, ..)| parse_legacy(id)).transpose()
    }

    async fn bases_forgotten(&self, ids: &[i64]) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        sqlx::query("UPDATE biograph_bridge.healing SET forgotten = true WHERE id = ANY($1)")
            .bind(ids)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn lone_links(&self, index: EntityIndex, after: Option<LegacyId>, limit: u32) -> Result<Page<LegacyId>> {
        let (entity, _) = self.entity(index)?;
        let root = &entity.renaissance.tables[0];
        let (table, key) = (quote_ident(&root.name), quote_ident(&root.key));
        // LATERAL with its LIMIT looks each row up: left alone, the planner reads the whole table for each page
        let sql = format!(
            "SELECT l.legacy_id, r.found IS NULL FROM \
             (SELECT legacy_id, renaissance_id FROM biograph_bridge.link \
              WHERE entity = $1 AND legacy_id > $2 ORDER BY legacy_id LIMIT $3) l \
             LEFT JOIN LATERAL (SELECT true AS found FROM {table} r WHERE r.{key} = l.renaissance_id LIMIT 1) r ON true \
             ORDER BY l.legacy_id"
        );
        let rows: Vec<(String, bool)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(&entity.name)
            .bind(after.map(|after| after.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)?;
        let last = rows.last().map(|(id, _)| parse_legacy(id)).transpose()?;
        let listed = rows.iter().filter(|(_, gone)| *gone).map(|(id, _)| parse_legacy(id)).collect::<Result<_>>()?;
        Ok(Page { listed, last, walked: rows.len() as u64 })
    }
}

fn healing(row: Row) -> Result<Healing> {
    let damaged = || Error::halt("a row of biograph_bridge.healing is not as the bridge wrote it");
    let side = Side::ALL.into_iter().find(|side| side.as_str() == row.side).ok_or_else(damaged)?;
    let cause = PositionLoss::ALL.iter().find(|cause| cause.as_str() == row.cause).ok_or_else(damaged)?;
    Ok(Healing {
        id: row.id,
        side,
        cause: *cause,
        old: row.old_position,
        new: row.new_position,
        forget_bases: row.forget_bases,
        begun_at: row.begun_at,
        ended_at: row.ended_at,
        changed: row.changed.and_then(|changed| u64::try_from(changed).ok()),
    })
}
