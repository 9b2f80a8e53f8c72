//! Deleted records that others' sets still name: they take no part, and who names them is told should one come back.

use sqlx::PgConnection;

use super::{
    commit::Part,
    read::parse_legacy,
    store::Postgres,
    waiting::{SEPARATOR, stored},
};
use crate::{
    error::{Error, Result},
    model::{
        key::{EntityIndex, Key, LegacyId, SideId},
        mapping::Entity,
    },
};

/// Links that name a record which is linked again; one whose document is yet to be written is not there yet.
const RETURNED: &str = "SELECT l.entity, l.legacy_id FROM biograph_bridge.link l WHERE l.awaits IS NOT NULL AND EXISTS \
    (SELECT FROM unnest(l.awaits) a JOIN biograph_bridge.link r ON r.entity = split_part(a, ' ', 1) \
       AND r.legacy_id = split_part(a, ':', 2) WHERE r.base IS NOT NULL) LIMIT $1";

/// Keeps with their links which deleted records the records of the batch name.
pub(super) async fn awaits(
    connection: &mut PgConnection,
    (entities, entity): (&[Entity], &str),
    part: &Part<'_>,
) -> Result<()> {
    let (mut records, mut lists) = (Vec::new(), Vec::new());
    for (_, plan, _) in part.living() {
        let Some((legacy, awaits)) = plan.legacy.zip(plan.awaits.as_ref()) else { continue };
        // a new link has nothing to forget
        if plan.linked || !awaits.is_empty() {
            let named = awaits.iter().filter_map(|(index, id)| Some((entities.get(usize::from(index.0))?, *id)));
            let names: Vec<String> = named.map(|(entity, id)| stored(&entity.name, SideId::Legacy(id))).collect();
            records.push(legacy.to_string());
            lists.push(names.join(SEPARATOR));
        }
    }
    if records.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE biograph_bridge.link l SET awaits = v.awaits \
         FROM (SELECT legacy, nullif(string_to_array(names, $4), '{}') AS awaits \
               FROM unnest($2::text[], $3::text[]) AS n(legacy, names)) v \
         WHERE l.entity = $1 AND l.legacy_id = v.legacy AND l.awaits IS DISTINCT FROM v.awaits",
    )
    .bind(entity)
    .bind(records)
    .bind(lists)
    .bind(SEPARATOR)
    .execute(connection)
    .await
    .map_err(Error::from)?;
    Ok(())
}

impl Postgres {
    pub(super) async fn buried(&self, records: &[(EntityIndex, LegacyId)]) -> Result<Vec<(EntityIndex, LegacyId)>> {
        let (mut names, mut ids) = (Vec::new(), Vec::new());
        for (index, id) in records {
            names.push(self.entity(*index)?.0.name.as_str());
            ids.push(id.to_string());
        }
        let found: Vec<(String, String)> = sqlx::query_as(
            "SELECT DISTINCT t.entity, t.legacy_id FROM unnest($1::text[], $2::text[]) AS w(entity, id) \
             JOIN biograph_bridge.tombstone t ON t.entity = w.entity AND t.legacy_id = w.id WHERE t.intent IS NULL",
        )
        .bind(names)
        .bind(ids)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        let found = found.into_iter().filter_map(|(entity, id)| Some((self.index_of(&entity)?, id)));
        found.map(|(index, id)| Ok((index, parse_legacy(&id)?))).collect()
    }

    /// Keys of records that name one which is back, at most so many.
    pub(super) async fn returned_to(&self, most: i64) -> Result<Vec<Key>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as(RETURNED).bind(most).fetch_all(&self.pool).await.map_err(Error::from)?;
        Ok(rows.into_iter().filter_map(|(entity, legacy)| self.key_of(&entity, Some(legacy), None)).collect())
    }

    /// What a link keeps of deleted records, as their entities and ids.
    pub(super) fn awaited(&self, names: &[String]) -> Result<Vec<(EntityIndex, LegacyId)>> {
        let parts = names.iter().filter_map(|name| name.split_once(" legacy:"));
        let known = parts.filter_map(|(entity, id)| Some((self.index_of(entity)?, id)));
        known.map(|(index, id)| Ok((index, parse_legacy(id)?))).collect()
    }
}
