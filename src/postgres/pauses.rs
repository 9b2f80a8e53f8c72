//! Pauses in the state, and the links they are about.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, FromRow, PgPool};

use super::{capture::leave_mark, read::parse_legacy, sql::quote_ident, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{
        fact::PauseCause,
        hint::Position,
        key::{EntityIndex, LegacyId, RenaissanceId},
        mapping::Entity,
        pause::{Deletions, Pause, Scope},
        problem::Reason,
        side::{Direction, Side},
    },
    sync::ports::{By, NewPause, PauseStore, Places, Returning},
};

/// The rows that have not ended.
const OPEN: &str = "SELECT id, direction, entity, person, cause, detail, missing_on, deletions, \
    to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since \
    FROM biograph_bridge.pause WHERE ended_at IS NULL ORDER BY id";
const BEGIN: &str = "INSERT INTO biograph_bridge.pause \
      (direction, entity, person, cause, detail, missing_on, event, who, reason) \
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE NOT EXISTS \
      (SELECT FROM biograph_bridge.pause WHERE event = $7 AND cause = $4 AND entity IS NOT DISTINCT FROM $2) \
      AND NOT EXISTS (SELECT FROM biograph_bridge.pause WHERE ended_at IS NULL AND deletions IS NULL AND missing_on = $6 \
      AND entity IS NOT DISTINCT FROM $2 AND direction IS NOT DISTINCT FROM $1) \
    ON CONFLICT (coalesce(direction, ''), coalesce(entity, ''), coalesce(person, ''), cause) WHERE ended_at IS NULL DO NOTHING";
const ANSWER: &str = "UPDATE biograph_bridge.pause SET deletions = $2, ended_by = $3, ended_reason = $4 \
    WHERE id = ANY($1) AND ended_at IS NULL";
const END: &str = "UPDATE biograph_bridge.pause SET ended_at = now(), ended_by = coalesce($2, ended_by), \
    ended_reason = coalesce($3, ended_reason) WHERE id = ANY($1) AND ended_at IS NULL";
const RETURNING: &str = "SELECT k.id, k.entity, k.legacy_id, k.renaissance_id, p.deletions FROM biograph_bridge.parked k \
    LEFT JOIN biograph_bridge.pause p ON p.id = k.pause \
    WHERE k.pause IS NOT NULL AND k.id > $1 AND (p.id IS NULL OR p.ended_at IS NOT NULL) ORDER BY k.id LIMIT $2";
const WALK: &str = "SELECT legacy_id, renaissance_id FROM biograph_bridge.link \
    WHERE entity = $2 AND base IS NOT NULL AND legacy_id > coalesce((SELECT walked FROM biograph_bridge.pause WHERE id = $1), '') \
    ORDER BY legacy_id LIMIT $3";
const FORGET: &str = "UPDATE biograph_bridge.link SET base = NULL WHERE entity = $1 AND legacy_id = ANY($2)";
const BASES: &str = "SELECT legacy_id, shape, base FROM biograph_bridge.link \
    WHERE entity = $1 AND legacy_id = ANY($2) AND base IS NOT NULL FOR UPDATE";
const PARK: &str = "INSERT INTO biograph_bridge.parked (entity, legacy_id, renaissance_id, reason, detail, person, pause) \
    SELECT entity, legacy_id, renaissance_id, $3, $4, person, $5 FROM biograph_bridge.link \
    WHERE entity = $1 AND legacy_id = ANY($2) \
    ON CONFLICT (entity, coalesce(legacy_id, ''), coalesce(renaissance_id, 0), coalesce(field, '')) \
    DO UPDATE SET reason = excluded.reason, detail = excluded.detail, pause = excluded.pause";

/// A parked row: number, entity, legacy id, renaissance id, the answer its pause was ended with.
type ReturningRow = (i64, String, Option<String>, Option<i64>, Option<String>);

#[derive(FromRow)]
struct Row {
    id: i64,
    direction: Option<String>,
    entity: Option<String>,
    person: Option<String>,
    cause: String,
    detail: String,
    missing_on: Option<String>,
    deletions: Option<String>,
    since: String,
}

impl Row {
    /// `None` for an entity that no mapping declares any more: nothing of it crosses anyway.
    fn pause(self, index_of: impl Fn(&str) -> Option<EntityIndex>) -> Result<Option<Pause>> {
        let unknown =
            |what: &str| Error::halt(format!("pause {} has a {what} that this version does not know", self.id));
        let named = |word: &String| Direction::ALL.into_iter().find(|way| way.as_str() == *word);
        let direction = self.direction.as_ref().map(|word| named(word).ok_or_else(|| unknown("direction")));
        let cause = PauseCause::ALL.iter().find(|cause| cause.as_str() == self.cause).copied();
        let entity = match &self.entity {
            None => None,
            Some(name) => match index_of(name) {
                Some(index) => Some(index),
                None => return Ok(None),
            },
        };
        let scope = Scope {
            direction: direction.transpose()?,
            entity,
            person: self.person.as_deref().map(parse_legacy).transpose()?,
        };
        Ok(Some(Pause {
            id: self.id,
            scope,
            cause: cause.ok_or_else(|| unknown("cause"))?,
            missing_on: self.missing_on.as_deref().and_then(side),
            answer: self.deletions.as_deref().and_then(Deletions::named),
            detail: self.detail,
            since: self.since,
        }))
    }
}

fn side(word: &str) -> Option<Side> {
    Side::ALL.into_iter().find(|side| side.as_str() == word)
}

impl PauseStore for Postgres {
    async fn pauses(&self) -> Result<Vec<Pause>> {
        let rows: Vec<Row> = sqlx::query_as(OPEN).fetch_all(&self.pool).await.map_err(Error::from)?;
        let pauses: Result<Vec<Option<Pause>>> =
            rows.into_iter().map(|row| row.pause(|name| self.index_of(name))).collect();
        Ok(pauses?.into_iter().flatten().collect())
    }

    async fn pause(&self, new: &NewPause) -> Result<bool> {
        let entity =
            new.scope.entity.map(|index| self.entity(index)).transpose()?.map(|(entity, _)| entity.name.as_str());
        let mut transaction = self.begin_on_state().await?;
        let begun = sqlx::query(BEGIN)
            .bind(new.scope.direction.map(Direction::as_str))
            .bind(entity)
            .bind(new.scope.person.map(|person| person.to_string()))
            .bind(new.cause.as_str())
            .bind(&new.detail)
            .bind(new.missing_on.map(Side::as_str))
            .bind(&new.event)
            .bind(&new.by.who)
            .bind(&new.by.reason)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(begun.rows_affected() > 0)
    }

    async fn answer_pauses(&self, ids: &[i64], answer: Deletions, by: &By) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        let answered = sqlx::query(ANSWER).bind(ids).bind(answer.as_str()).bind(&by.who).bind(&by.reason);
        answered.execute(&mut *transaction).await.map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn end_pauses(&self, ids: &[i64], by: &By, again: &[EntityIndex]) -> Result<()> {
        let names: Result<Vec<String>> = again.iter().map(|index| Ok(self.entity(*index)?.0.name.clone())).collect();
        let mut transaction = self.begin_on_state().await?;
        let ended = sqlx::query(END).bind(ids).bind(&by.who).bind(&by.reason);
        ended.execute(&mut *transaction).await.map_err(Error::from)?;
        super::sweeps::forget(&mut *transaction, &names?).await?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn returning(&self, after: i64, limit: u32) -> Result<Vec<Returning>> {
        let rows: Vec<ReturningRow> = sqlx::query_as(RETURNING)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)?;
        let returning = |(id, entity, legacy, row, answer): ReturningRow| Returning {
            id,
            key: self.key_of(&entity, legacy, row),
            answer: answer.as_deref().and_then(Deletions::named),
        };
        Ok(rows.into_iter().map(returning).collect())
    }

    async fn links_to_walk(
        &self,
        pause: i64,
        index: EntityIndex,
        limit: u32,
    ) -> Result<Vec<(LegacyId, RenaissanceId)>> {
        let (entity, _) = self.entity(index)?;
        let rows: Vec<(String, i64)> = sqlx::query_as(WALK)
            .bind(pause)
            .bind(&entity.name)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)?;
        rows.into_iter().map(|(legacy, id)| Ok((parse_legacy(&legacy)?, id))).collect()
    }

    async fn park_missing(
        &self,
        pause: i64,
        index: EntityIndex,
        missing: &[LegacyId],
        answer: Deletions,
        walked: LegacyId,
    ) -> Result<()> {
        let (entity, _) = self.entity(index)?;
        let ids: Vec<String> = missing.iter().map(ToString::to_string).collect();
        let mut transaction = self.begin_on_state().await?;
        if answer == Deletions::Restore {
            let forgotten = sqlx::query(FORGET).bind(&entity.name).bind(&ids);
            forgotten.execute(&mut *transaction).await.map_err(Error::from)?;
        }
        sqlx::query(PARK)
            .bind(&entity.name)
            .bind(&ids)
            .bind(Reason::Paused.as_str())
            .bind(format!("is missing on one side; pause {pause} is ending: {}", answer.as_str()))
            .bind(pause)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        sqlx::query("UPDATE biograph_bridge.pause SET walked = $2 WHERE id = $1")
            .bind(pause)
            .bind(walked.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn park_thinned(
        &self,
        pause: i64,
        index: EntityIndex,
        sets: &[(LegacyId, Vec<(usize, usize)>)],
    ) -> Result<()> {
        let (entity, _) = self.entity(index)?;
        let known: HashMap<String, _> = sets.iter().map(|(id, sets)| (id.to_string(), sets)).collect();
        let mut transaction = self.begin_on_state().await?;
        let links: Vec<(String, i32, Vec<u8>)> = sqlx::query_as(BASES)
            .bind(&entity.name)
            .bind(known.keys().cloned().collect::<Vec<_>>())
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::from)?;
        let (mut ids, mut bases) = (Vec::new(), Vec::new());
        for (id, shape, bytes) in links {
            let mut base = self.shapes().base(shape, &bytes, entity.fields.len())?;
            let sets = known.get(&id).into_iter().copied().flatten();
            if sets.filter(|(field, now)| base.forget_lost_members(*field, *now)).count() > 0 {
                ids.push(id);
                bases.push(base.to_bytes());
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        self.write_bases(&mut transaction, index, (ids.clone(), bases)).await?;
        let park = sqlx::query(PARK).bind(&entity.name).bind(&ids).bind(Reason::Paused.as_str());
        park.bind(format!("its sets lost members on one side; pause {pause} is ending"))
            .bind(pause)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    async fn links(&self, index: EntityIndex) -> Result<u64> {
        let (entity, _) = self.entity(index)?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM biograph_bridge.link WHERE entity = $1")
            .bind(&entity.name)
            .fetch_one(&self.pool)
            .await
            .map_err(Error::from)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn tables(&self, index: EntityIndex) -> Result<Places> {
        let (entity, _) = self.entity(index)?;
        let tables: Vec<(String, Option<i64>, Option<i64>)> = sqlx::query_as(
            "SELECT name, oid::int8, pg_relation_filenode(oid)::int8 \
             FROM (SELECT name, to_regclass(quote_ident(name))::oid AS oid FROM unnest($1::text[]) AS wanted (name)) t",
        )
        .bind(insisted(entity))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        // a partitioned table stores nothing itself
        let identity = |oid, storage: Option<i64>| format!("{oid}/{}", storage.unwrap_or(0));
        Ok(tables.into_iter().map(|(name, oid, at)| (name, oid.map(|oid: i64| identity(oid, at)))).collect())
    }

    async fn is_empty(&self, index: EntityIndex, table: &str) -> Result<bool> {
        let (entity, _) = self.entity(index)?;
        let Some(table) = entity.table_names().find(|name| *name == table) else { return Ok(false) };
        let sql = format!("SELECT NOT EXISTS (SELECT FROM {})", quote_ident(table));
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await.map_err(Error::from)
    }

    async fn mark(&self) -> Result<Position> {
        leave_mark(&self.pool).await
    }

    async fn known_structure(&self, index: EntityIndex, side: Side) -> Result<Option<String>> {
        let (entity, _) = self.entity(index)?;
        sqlx::query_scalar("SELECT identity FROM biograph_bridge.structure WHERE entity = $1 AND side = $2")
            .bind(&entity.name)
            .bind(side.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::from)
    }

    async fn know_structure(&self, index: EntityIndex, side: Side, identity: &str) -> Result<()> {
        let (entity, _) = self.entity(index)?;
        let mut transaction = self.begin_on_state().await?;
        sqlx::query(
            "INSERT INTO biograph_bridge.structure (entity, side, identity) VALUES ($1, $2, $3) \
             ON CONFLICT (entity, side) DO UPDATE SET identity = excluded.identity",
        )
        .bind(&entity.name)
        .bind(side.as_str())
        .bind(identity)
        .execute(&mut *transaction)
        .await
        .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }
}

/// Which of these entities have links: the names.
pub async fn linked(pool: &PgPool, entities: &[Entity]) -> Result<Vec<String>> {
    let names: Vec<&str> = entities.iter().map(|entity| entity.name.as_str()).collect();
    sqlx::query_scalar(
        "SELECT name FROM unnest($1::text[]) AS mapped (name) \
         WHERE EXISTS (SELECT FROM biograph_bridge.link WHERE entity = name)",
    )
    .bind(names)
    .fetch_all(pool)
    .await
    .map_err(Error::from)
}

/// The tables an entity cannot be without.
fn insisted(entity: &Entity) -> Vec<&str> {
    let tables = entity.renaissance.tables.iter();
    let needed = tables.filter(|table| !table.members.as_ref().is_some_and(|members| members.optional));
    needed.map(|table| table.name.as_str()).collect()
}
