//! What operators ask the state for.

use serde::Serialize;
use sqlx::{FromRow, PgPool};

use super::store::Postgres;
use crate::{
    error::Result,
    model::{key::EntityIndex, problem::Reason},
};

/// A parked key or field.
#[derive(Clone, Debug, Serialize, FromRow)]
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
}

/// What is parked, oldest first; at most `limit` rows.
pub async fn parked(pool: &PgPool, limit: i64) -> Result<Vec<ParkedKey>> {
    let rows = sqlx::query_as(
        "SELECT id, entity, legacy_id, renaissance_id, field, reason, detail, attempts, \
         to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since \
         FROM biograph_bridge.parked ORDER BY since, id LIMIT $1",
    )
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

impl Postgres {
    /// How many keys are parked, by entity and reason.
    pub async fn parked_counts(&self) -> Result<Vec<(EntityIndex, Reason, i64)>> {
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT entity, reason, count(*) FROM biograph_bridge.parked GROUP BY 1, 2")
                .fetch_all(&self.pool)
                .await?;
        let known = |(entity, reason, count): (String, String, i64)| {
            let index = (0..=u16::MAX).zip(self.entities().iter()).find(|(_, known)| known.name == entity)?.0;
            Some((EntityIndex(index), Reason::ALL.into_iter().find(|known| known.as_str() == reason)?, count))
        };
        Ok(rows.into_iter().filter_map(known).collect())
    }
}
