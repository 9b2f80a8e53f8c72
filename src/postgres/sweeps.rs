//! Walking rows in chunks, and how far each sweep has come.

use sqlx::AssertSqlSafe;

use super::{sql::quote_ident, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{
        fact::SweepKind,
        key::{EntityIndex, RenaissanceId},
        mapping::Entity,
        side::Side,
    },
    sync::ports::{Listed, Page, SweepState},
};

/// What the state keeps of a sweep: after, done, records, parked, total.
type Row = (Option<String>, bool, i64, i64, Option<i64>);

impl Postgres {
    pub(super) async fn page_of_ids(
        &self,
        index: EntityIndex,
        after: Option<RenaissanceId>,
        limit: u32,
        listed: Listed,
    ) -> Result<Page<RenaissanceId>> {
        let (entity, _) = self.entity(index)?;
        let rows: Vec<(i64, bool)> = sqlx::query_as(AssertSqlSafe(page(entity, listed)))
            .bind(after.unwrap_or(i64::MIN))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)?;
        Ok(Page {
            last: rows.last().map(|(id, _)| *id),
            walked: rows.len() as u64,
            listed: rows.into_iter().filter_map(|(id, wanted)| wanted.then_some(id)).collect(),
        })
    }

    pub(super) async fn sweep_state(&self, index: EntityIndex, side: Side, kind: SweepKind) -> Result<SweepState> {
        let (entity, _) = self.entity(index)?;
        let row: Option<Row> = sqlx::query_as(
            "SELECT after, done, records, parked, total FROM biograph_bridge.sweep \
             WHERE entity = $1 AND side = $2 AND kind = $3",
        )
        .bind(&entity.name)
        .bind(side.as_str())
        .bind(kind.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::from)?;
        let (after, done, records, parked, total) = row.unwrap_or_default();
        Ok(SweepState { after, done, records, parked, total })
    }

    pub(super) async fn save_sweep_state(
        &self,
        index: EntityIndex,
        side: Side,
        kind: SweepKind,
        state: &SweepState,
    ) -> Result<()> {
        let (entity, _) = self.entity(index)?;
        let mut transaction = self.begin_on_state().await?;
        sqlx::query(
            "INSERT INTO biograph_bridge.sweep (entity, side, kind, after, records, parked, total, done) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (entity, side, kind) \
             DO UPDATE SET after = excluded.after, records = excluded.records, parked = excluded.parked, \
             total = excluded.total, done = excluded.done, at = now()",
        )
        .bind(&entity.name)
        .bind(side.as_str())
        .bind(kind.as_str())
        .bind(&state.after)
        .bind(state.records)
        .bind(state.parked)
        .bind(state.total)
        .bind(state.done)
        .execute(&mut *transaction)
        .await
        .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    pub(super) async fn forget_first_copies(&self, entities: &[EntityIndex]) -> Result<()> {
        let names: Result<Vec<String>> = entities.iter().map(|index| Ok(self.entity(*index)?.0.name.clone())).collect();
        let mut transaction = self.begin_on_state().await?;
        forget(&mut *transaction, &names?).await?;
        transaction.commit().await.map_err(Error::from)
    }
}

/// Forgets how far the first copy of these entities has come.
pub async fn forget(on: impl sqlx::PgExecutor<'_>, entities: &[String]) -> Result<()> {
    sqlx::query("DELETE FROM biograph_bridge.sweep WHERE entity = ANY($1) AND kind = ANY($2)")
        .bind(entities)
        .bind(SweepKind::FIRST_COPY.map(SweepKind::as_str))
        .execute(on)
        .await
        .map_err(Error::from)?;
    Ok(())
}

/// Ids of one chunk, each with whether it is listed. A fixed number of rows is walked whatever is listed: a short read.
fn page(entity: &Entity, listed: Listed) -> String {
    let root = &entity.renaissance.tables[0];
    let (table, key) = (quote_ident(&root.name), quote_ident(&root.key));
    let sets = entity.renaissance.tables.iter().filter(|table| table.members.is_some());
    let held = sets.map(|set| {
        let (name, parent) = (quote_ident(&set.name), quote_ident(&set.key));
        format!("EXISTS (SELECT FROM {name} m WHERE m.{parent} = r.id)")
    });
    let wanted = match listed {
        Listed::All => "true".to_owned(),
        Listed::WithMembers => held.chain(std::iter::once("false".to_owned())).collect::<Vec<_>>().join(" OR "),
    };
    format!(
        "SELECT r.id, {wanted} FROM \
         (SELECT {key} AS id FROM {table} WHERE {key} > $1 ORDER BY {key} LIMIT $2) r ORDER BY r.id"
    )
}

/// How far a sweep has come, for those who watch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct Swept {
    /// The entity.
    pub entity: String,
    /// The side that is walked.
    pub side: String,
    /// Why: `backfill`, `references`.
    pub kind: String,
    /// Records walked so far.
    pub records: i64,
    /// Documents met that no key can name.
    pub parked: i64,
    /// How many records there are; an estimate.
    pub total: Option<i64>,
    /// Whether it is complete.
    pub done: bool,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When it last moved, RFC 3339.
    pub updated_at: String,
}

/// How far the first copy of every entity has come, as far as it has begun. Empty before the state exists, and while its
/// migrations are under way: each is a transaction of its own, and the columns come one after the other.
pub async fn progress(pool: &sqlx::PgPool) -> Result<Vec<Swept>> {
    let complete: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('biograph_bridge.sweep') AND attname = 'parked')",
    )
    .fetch_one(pool)
    .await
    .map_err(Error::from)?;
    if !complete {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT entity, side, kind, records, parked, total, done, \
         to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS started_at, \
         to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS updated_at \
         FROM biograph_bridge.sweep WHERE kind = ANY($1) ORDER BY entity, kind, side",
    )
    .bind(SweepKind::FIRST_COPY.map(SweepKind::as_str))
    .fetch_all(pool)
    .await
    .map_err(Error::from)
}
