//! Parked rows as operators see them and by their numbers, and documents that no key can name.

use serde::Serialize;
use sqlx::{FromRow, PgPool};

use super::{
    entries::{Narrow, insist, narrowed},
    store::Postgres,
};
use crate::{
    error::{Error, Result},
    model::key::{EntityIndex, Key, SideId},
    sync::ports::ParkedRow,
};

/// A parked key or field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct ParkedKey {
    /// Its number.
    pub id: i64,
    /// The entity.
    pub entity: String,
    /// The record on the legacy side.
    pub legacy_id: Option<String>,
    /// The record on the renaissance side.
    pub renaissance_id: Option<i64>,
    /// The field; `None` for the whole record.
    pub field: Option<String>,
    /// Why, from the closed set.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// How often it was tried.
    pub attempts: i32,
    /// The state of the person it belongs to; `None` for who was never moved, and where nobody is known.
    pub person_state: Option<String>,
    /// The records it waits for: `user legacy:65f0…`.
    pub waits: Vec<String>,
}

/// A person, by the ids that are known of them.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// The entity whose record they are.
    pub entity: String,
    /// Their legacy id.
    pub legacy_id: Option<String>,
    /// Their renaissance id.
    pub renaissance_id: Option<i64>,
}

/// What is parked, oldest first; at most `limit` rows. The other id comes from the link, if there is one. `reason`: only for this
/// reason.
pub async fn parked(pool: &PgPool, narrow: &Narrow, reason: Option<&str>, limit: i64) -> Result<Vec<ParkedKey>> {
    insist(pool, "parked", "the bridge was never set up in this database, so nothing is parked").await?;
    narrowed(LIST, narrow, limit).bind(reason).fetch_all(pool).await.map_err(Error::from)
}

/// A record that is not linked belongs to the person its row names; where even that is not known, because its owner is not
/// linked either, to whom it waits for.
const LIST: &str = "WITH RECURSIVE theirs AS ( \
      SELECT $7::text AS entity, $5::text AS legacy_id, $6::bigint AS renaissance_id WHERE $4 \
      UNION SELECT p.entity, p.legacy_id, p.renaissance_id FROM theirs t JOIN biograph_bridge.parked p \
        ON p.waits && ARRAY[t.entity || ' legacy:' || t.legacy_id, t.entity || ' renaissance:' || t.renaissance_id] \
        AND p.person IS NULL AND p.entity <> $7 AND NOT EXISTS (SELECT FROM biograph_bridge.link l \
          WHERE l.entity = p.entity AND (l.legacy_id = p.legacy_id OR l.renaissance_id = p.renaissance_id))) \
    SELECT p.id, p.entity, coalesce(p.legacy_id, l.legacy_id) AS legacy_id, \
    coalesce(p.renaissance_id, l.renaissance_id) AS renaissance_id, p.field, p.reason, p.detail, p.attempts, p.waits, \
    c.state AS person_state, \
    to_char(p.since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since \
    FROM biograph_bridge.parked p LEFT JOIN LATERAL (SELECT legacy_id, renaissance_id, person FROM biograph_bridge.link l \
      WHERE l.entity = p.entity AND (l.legacy_id = p.legacy_id OR l.renaissance_id = p.renaissance_id) LIMIT 1) l ON true \
    LEFT JOIN biograph_bridge.cutover c ON c.legacy_id = coalesce(l.person, p.person, l.legacy_id, p.legacy_id) \
    WHERE ($2::bigint IS NULL OR p.id = $2) AND ($3::text IS NULL OR p.entity = $3) \
    AND ($10::text IS NULL OR p.reason = $10) \
    AND (NOT $4 OR coalesce(l.person, p.person) = $5 OR EXISTS (SELECT FROM theirs t \
      WHERE t.entity = p.entity AND (t.legacy_id = p.legacy_id OR t.renaissance_id = p.renaissance_id))) \
    AND ($8::bigint IS NULL OR p.since >= 'epoch'::timestamptz + $8 * interval '1 microsecond') \
    AND ($9::bigint IS NULL OR p.since < 'epoch'::timestamptz + $9 * interval '1 microsecond') \
    ORDER BY p.since, p.id LIMIT $1";

impl Postgres {
    pub(super) async fn park_unaddressable(&self, index: EntityIndex, row: &ParkedRow, shown_id: &str) -> Result<()> {
        let (entity, _) = self.entity(index)?;
        let mut transaction = self.begin_on_state().await?;
        sqlx::query(
            "INSERT INTO biograph_bridge.parked AS p (entity, legacy_id, reason, detail) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (entity, coalesce(legacy_id, ''), coalesce(renaissance_id, 0), coalesce(field, '')) \
             DO UPDATE SET attempts = p.attempts + 1",
        )
        .bind(&entity.name)
        .bind(shown_id)
        .bind(row.problem.reason.as_str())
        .bind(&row.problem.detail)
        .execute(&mut *transaction)
        .await
        .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    pub(super) async fn unpark_unaddressable(&self, index: EntityIndex, shown_id: &str) -> Result<()> {
        let (entity, _) = self.entity(index)?;
        let mut transaction = self.begin_on_state().await?;
        sqlx::query(
            "DELETE FROM biograph_bridge.parked \
             WHERE entity = $1 AND legacy_id = $2 AND renaissance_id IS NULL AND field IS NULL",
        )
        .bind(&entity.name)
        .bind(shown_id)
        .execute(&mut *transaction)
        .await
        .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    pub(super) async fn keys_of_parked(&self, ids: Option<&[i64]>) -> Result<Vec<(i64, Option<Key>)>> {
        let rows: Vec<(i64, String, Option<String>, Option<i64>)> = sqlx::query_as(
            "SELECT id, entity, legacy_id, renaissance_id FROM biograph_bridge.parked \
             WHERE $1::bigint[] IS NULL OR id = ANY($1) ORDER BY id",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        Ok(rows.into_iter().map(|(id, entity, legacy, row)| (id, self.key_of(&entity, legacy, row))).collect())
    }

    pub(super) async fn forget_parked(&self, ids: &[i64]) -> Result<Vec<i64>> {
        let mut transaction = self.begin_on_state().await?;
        let gone = sqlx::query_scalar("DELETE FROM biograph_bridge.parked WHERE id = ANY($1) RETURNING id")
            .bind(ids)
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(gone)
    }

    /// The key that brings a parked record back: by its document if it has one.
    pub(super) fn key_of(&self, entity: &str, legacy: Option<String>, row: Option<i64>) -> Option<Key> {
        let legacy = legacy.and_then(|text| text.parse().ok()).map(SideId::Legacy);
        Some(Key { entity: self.index_of(entity)?, id: legacy.or(row.map(SideId::Renaissance))? })
    }
}
