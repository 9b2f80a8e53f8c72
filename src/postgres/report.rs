//! What operators ask the state for.

use serde::Serialize;
use sqlx::{FromRow, PgPool};

use super::store::Postgres;
use crate::{
    error::Result,
    model::{
        fact::PersonState,
        key::{EntityIndex, Key, SideId},
        problem::Reason,
    },
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

/// Reasons that may pass without a change to the record itself.
const FOR_OTHERS: [Reason; 3] = [Reason::UniqueTaken, Reason::MissingReference, Reason::Constraint];
/// Parked keys brought back at once; those tried least often come first.
const BROUGHT_BACK: i64 = 1000;

impl Postgres {
    pub(super) async fn keys_parked_for_others(&self) -> Result<Vec<Key>> {
        let reasons: Vec<&str> = FOR_OTHERS.iter().map(|reason| reason.as_str()).collect();
        let rows: Vec<(String, Option<String>, Option<i64>)> = sqlx::query_as(
            "SELECT entity, legacy_id, renaissance_id FROM biograph_bridge.parked WHERE reason = ANY($1) \
             ORDER BY attempts, id LIMIT $2",
        )
        .bind(reasons)
        .bind(BROUGHT_BACK)
        .fetch_all(&self.pool)
        .await?;
        let key = |(entity, legacy, row): (String, Option<String>, Option<i64>)| {
            let legacy = legacy.and_then(|text| text.parse().ok()).map(SideId::Legacy);
            Some(Key { entity: self.index_of(&entity)?, id: legacy.or(row.map(SideId::Renaissance))? })
        };
        Ok(rows.into_iter().filter_map(key).collect())
    }

    /// How many linked people are on each side or on their way. Those without a cutover row are on legacy.
    pub async fn people(&self) -> Result<Vec<(PersonState, i64)>> {
        let linked: i64 = sqlx::query_scalar("SELECT count(*) FROM biograph_bridge.link WHERE entity = 'user'")
            .fetch_one(&self.pool)
            .await?;
        let moving: Vec<(String, i64)> =
            sqlx::query_as("SELECT state, count(*) FROM biograph_bridge.cutover WHERE state <> 'legacy' GROUP BY 1")
                .fetch_all(&self.pool)
                .await?;
        let elsewhere: i64 = moving.iter().map(|(_, count)| count).sum();
        let count = |state: &PersonState| match state {
            PersonState::Legacy => linked - elsewhere,
            PersonState::Draining | PersonState::Renaissance => {
                moving.iter().find(|(name, _)| name == state.as_str()).map_or(0, |(_, count)| *count)
            }
        };
        Ok(PersonState::ALL.iter().map(|state| (*state, count(state))).collect())
    }

    fn index_of(&self, name: &str) -> Option<EntityIndex> {
        let known = (0..=u16::MAX).zip(self.entities().iter()).find(|(_, known)| known.name == name);
        known.map(|(index, _)| EntityIndex(index))
    }

    /// How many keys are parked, by entity and reason.
    pub async fn parked_counts(&self) -> Result<Vec<(EntityIndex, Reason, i64)>> {
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT entity, reason, count(*) FROM biograph_bridge.parked GROUP BY 1, 2")
                .fetch_all(&self.pool)
                .await?;
        let known = |(entity, reason, count): (String, String, i64)| {
            Some((self.index_of(&entity)?, Reason::ALL.into_iter().find(|known| known.as_str() == reason)?, count))
        };
        Ok(rows.into_iter().filter_map(known).collect())
    }
}
