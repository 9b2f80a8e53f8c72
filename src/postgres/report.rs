//! What operators ask the state for.

use super::store::Postgres;
use crate::{
    error::Result,
    model::{
        fact::PersonState,
        key::{EntityIndex, Key},
        problem::Reason,
    },
};

/// Reasons that may pass without a change to the record itself.
const FOR_OTHERS: [Reason; 4] =
    [Reason::UniqueTaken, Reason::MissingReference, Reason::StillReferenced, Reason::Constraint];
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
        let mut keys = self.returned_to(BROUGHT_BACK).await?;
        keys.extend(rows.into_iter().filter_map(|(entity, legacy, row)| self.key_of(&entity, legacy, row)));
        Ok(keys)
    }

    /// How many linked people are on each side or on their way. Those without a cutover row are on legacy.
    pub async fn people(&self) -> Result<Vec<(PersonState, i64)>> {
        let persons = self.entities().iter().filter(|entity| entity.owner.is_none()).map(|entity| entity.name.clone());
        let persons: Vec<String> = persons.collect();
        let linked: i64 = sqlx::query_scalar("SELECT count(*) FROM biograph_bridge.link WHERE entity = ANY($1)")
            .bind(&persons)
            .fetch_one(&self.pool)
            .await?;
        let moving: Vec<(String, i64)> =
            sqlx::query_as(
                "SELECT state, count(*) FROM biograph_bridge.cutover c WHERE state <> 'legacy' AND EXISTS \
                 (SELECT FROM biograph_bridge.link l WHERE l.entity = ANY($1) AND l.legacy_id = c.legacy_id) GROUP BY 1",
            )
            .bind(&persons)
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

    pub(super) fn index_of(&self, name: &str) -> Option<EntityIndex> {
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
