//! Who references refer to, and which side owns whom.

use super::{read::parse_legacy, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{
        key::{EntityIndex, LegacyId, SideId},
        links::Target,
        side::Side,
    },
    sync::ports::Owner,
};

/// A linked record: entity, legacy id, renaissance id, person, the person's state and epoch.
type TargetRow = (String, String, i64, String, Option<String>, Option<i64>);

/// Links by either id, in one statement. A link without a base belongs to a record that is not on both sides yet.
const TARGETS: &str = "SELECT l.entity, l.legacy_id, l.renaissance_id, coalesce(l.person, l.legacy_id), c.state, c.epoch \
    FROM (SELECT l.* FROM unnest($1::text[], $2::text[]) AS w(entity, id) \
            JOIN biograph_bridge.link l ON l.entity = w.entity AND l.legacy_id = w.id \
          UNION ALL SELECT l.* FROM unnest($3::text[], $4::bigint[]) AS w(entity, id) \
            JOIN biograph_bridge.link l ON l.entity = w.entity AND l.renaissance_id = w.id) l \
    LEFT JOIN biograph_bridge.cutover c ON c.legacy_id = coalesce(l.person, l.legacy_id) WHERE l.base IS NOT NULL";

impl Postgres {
    pub(super) async fn linked_targets(&self, wanted: &[(EntityIndex, SideId)]) -> Result<Vec<(EntityIndex, Target)>> {
        let (mut legacy_of, mut legacy, mut row_of, mut rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, id) in wanted {
            let (entity, _) = self.entity(*index)?;
            match id {
                SideId::Legacy(id) => {
                    legacy_of.push(entity.name.as_str());
                    legacy.push(id.to_string());
                }
                SideId::Renaissance(id) => {
                    row_of.push(entity.name.as_str());
                    rows.push(*id);
                }
            }
        }
        let found: Vec<TargetRow> = sqlx::query_as(TARGETS)
            .bind(legacy_of)
            .bind(legacy)
            .bind(row_of)
            .bind(rows)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)?;
        found.into_iter().filter_map(|row| self.target(row).transpose()).collect()
    }

    fn target(&self, row: TargetRow) -> Result<Option<(EntityIndex, Target)>> {
        let (name, legacy, renaissance, person, state, epoch) = row;
        let place = (0..=u16::MAX).zip(self.entities().iter()).find(|(_, entity)| entity.name == name);
        let Some((index, _)) = place else { return Ok(None) };
        let (legacy, person) = (parse_legacy(&legacy)?, parse_legacy(&person)?);
        let (owner, epoch) = (owning(state.as_deref()), epoch.unwrap_or(0));
        Ok(Some((EntityIndex(index), Target { legacy, renaissance, person, owner, epoch })))
    }

    pub(super) async fn owners_of(&self, persons: &[LegacyId]) -> Result<Vec<Owner>> {
        let ids: Vec<String> = persons.iter().map(ToString::to_string).collect();
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT legacy_id, state, epoch FROM biograph_bridge.cutover WHERE legacy_id = ANY($1::text[])",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        let owner = |(id, state, epoch): (String, String, i64)| {
            Ok(Owner { person: parse_legacy(&id)?, side: owning(Some(&state)), epoch })
        };
        rows.into_iter().map(owner).collect()
    }
}

/// A person who is on the way to either side still belongs to where they came from, until the flip.
pub(super) fn owning(state: Option<&str>) -> Side {
    if state == Some("renaissance") { Side::Renaissance } else { Side::Legacy }
}
