//! Who references refer to, and which side owns whom.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use super::{cutover::side, read::parse_legacy, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{
        key::{EntityIndex, LegacyId, SideId},
        links::Target,
        side::Side,
    },
    sync::ports::Owner,
};

/// A linked record: legacy id, renaissance id, person, the person's owner, the one before, the epoch.
type TargetRow = (String, i64, String, Option<String>, Option<String>, Option<i64>);

/// Links of an entity. One without a base belongs to a record that is not on both sides yet.
const TARGETS: &str = "SELECT l.legacy_id, l.renaissance_id, coalesce(l.person, l.legacy_id), c.owner, c.former, c.epoch \
    FROM biograph_bridge.link l LEFT JOIN biograph_bridge.cutover c ON c.legacy_id = coalesce(l.person, l.legacy_id) \
    WHERE l.entity = $1 AND l.base IS NOT NULL AND ";
/// By their ids on either side: an array that the index is walked for in order costs a fraction of a join with it.
const BY_LEGACY: &str = "l.legacy_id = ANY($2::text[])";
const BY_RENAISSANCE: &str = "l.renaissance_id = ANY($2::bigint[])";

impl Postgres {
    pub(super) async fn linked_targets(&self, wanted: &[(EntityIndex, SideId)]) -> Result<Vec<(EntityIndex, Target)>> {
        let mut by_entity: BTreeMap<EntityIndex, (Vec<String>, Vec<i64>)> = BTreeMap::new();
        for (index, id) in wanted {
            let (legacy, rows) = by_entity.entry(*index).or_default();
            match id {
                SideId::Legacy(id) => legacy.push(id.to_string()),
                SideId::Renaissance(id) => rows.push(*id),
            }
        }
        let mut found = Vec::with_capacity(wanted.len());
        for (index, (legacy, renaissance)) in by_entity {
            let (entity, _) = self.entity(index)?;
            let query = |condition| sqlx::query_as(AssertSqlSafe(format!("{TARGETS}{condition}"))).bind(&entity.name);
            let mut rows: Vec<TargetRow> = Vec::new();
            if !legacy.is_empty() {
                rows.extend(query(BY_LEGACY).bind(legacy).fetch_all(&self.pool).await.map_err(Error::from)?);
            }
            if !renaissance.is_empty() {
                rows.extend(query(BY_RENAISSANCE).bind(renaissance).fetch_all(&self.pool).await.map_err(Error::from)?);
            }
            for row in rows {
                found.push((index, target(row)?));
            }
        }
        Ok(found)
    }

    pub(super) async fn owners_of(&self, persons: &[LegacyId]) -> Result<Vec<Owner>> {
        let ids: Vec<String> = persons.iter().map(ToString::to_string).collect();
        let rows: Vec<(String, String, Option<String>, i64)> = sqlx::query_as(
            "SELECT legacy_id, owner, former, epoch FROM biograph_bridge.cutover WHERE legacy_id = ANY($1::text[])",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        let owner = |(id, owner, former, epoch): (String, String, Option<String>, i64)| {
            let (person, (side, former)) = (parse_legacy(&id)?, owning(Some(&owner), former.as_deref())?);
            Ok(Owner { person, side, epoch, former })
        };
        rows.into_iter().map(owner).collect()
    }
}

fn target((legacy, renaissance, person, owner, former, epoch): TargetRow) -> Result<Target> {
    let (legacy, person) = (parse_legacy(&legacy)?, parse_legacy(&person)?);
    let (owner, former) = owning(owner.as_deref(), former.as_deref())?;
    Ok(Target { legacy, renaissance, person, owner, epoch: epoch.unwrap_or(0), former })
}

/// The side that a person's row names as authoritative, and the one they have left; without a row legacy, and none. One who is on
/// the way to either side still belongs to where they came from, until the flip, and has left neither.
pub(super) fn owning(owner: Option<&str>, former: Option<&str>) -> Result<(Side, Option<Side>)> {
    Ok((owner.map_or(Ok(Side::Legacy), side)?, former.map(side).transpose()?))
}
