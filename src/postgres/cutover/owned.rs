//! What belongs to a person: by the links, and by the owner columns of rows that have no link.

use sqlx::{AssertSqlSafe, FromRow};

use crate::{
    error::{Error, Result},
    model::{
        key::{EntityIndex, LegacyId, RenaissanceId},
        mapping::{Entity, Needs},
        person::persons,
    },
    postgres::{persons::owner_column, read::parse_legacy, statements, store::Postgres},
    sync::ports::{Possessions, Unsettled},
};

const LINKED: &str = "SELECT entity, legacy_id, renaissance_id, base IS NOT NULL FROM biograph_bridge.link WHERE person = $1 \
    UNION ALL SELECT entity, legacy_id, renaissance_id, base IS NOT NULL FROM biograph_bridge.link \
    WHERE entity = ANY($2) AND legacy_id = $1 AND person IS NULL";
/// A person's own record names no person.
const IN_THE_WAY: &str = "SELECT entity, legacy_id, renaissance_id, field, reason AS why, id, false AS conflict \
      FROM biograph_bridge.parked WHERE person = $1 OR (entity = ANY($2) AND legacy_id = $1) \
    UNION ALL SELECT p.entity, p.legacy_id, p.renaissance_id, p.field, p.reason, p.id, false \
      FROM biograph_bridge.link l JOIN biograph_bridge.parked p ON p.entity = l.entity AND p.legacy_id = l.legacy_id \
      WHERE l.person = $1 AND p.person IS NULL \
    UNION ALL SELECT entity, legacy_id, renaissance_id, field, kind, id, true FROM biograph_bridge.conflict \
      WHERE winner IS NULL AND resolved_at IS NULL AND NOT shadow AND (person = $1 OR (entity = ANY($2) AND legacy_id = $1)) \
    ORDER BY 1, 6 LIMIT 100";

#[derive(FromRow)]
struct InTheWay {
    entity: String,
    legacy_id: Option<String>,
    renaissance_id: Option<i64>,
    field: Option<String>,
    why: String,
    id: i64,
    conflict: bool,
}

impl Postgres {
    /// The names of the entities whose records are persons.
    pub(in crate::postgres) fn person_entities(&self) -> Vec<&str> {
        persons(self.entities()).map(|(_, entity)| entity.name.as_str()).collect()
    }

    pub(super) async fn owned(&self, person: LegacyId, renaissance: RenaissanceId) -> Result<Possessions> {
        let rows: Vec<(String, String, RenaissanceId, bool)> = sqlx::query_as(LINKED)
            .bind(person.to_string())
            .bind(self.person_entities())
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)?;
        let mut owned = Possessions::default();
        for (entity, legacy, row, agreed) in rows {
            // one whose mapping is gone is nobody's concern any more
            if let Some(index) = self.index_of(&entity) {
                owned.linked.push((index, parse_legacy(&legacy)?, row, agreed));
            }
        }
        let mut parents: Vec<(EntityIndex, Vec<RenaissanceId>)> =
            persons(self.entities()).map(|(index, _)| (index, vec![renaissance])).collect();
        // owners lead to a person and never round in a circle, so this ends
        while let Some((parent, ids)) = parents.pop() {
            for (index, child) in (0..=u16::MAX).map(EntityIndex).zip(self.entities().iter()) {
                let Some(sql) = children(child, parent) else { continue };
                let rows: Vec<(RenaissanceId, bool)> = sqlx::query_as(AssertSqlSafe(sql))
                    .bind(&child.name)
                    .bind(&ids)
                    .fetch_all(&self.pool)
                    .await
                    .map_err(Error::from)?;
                let unlinked = rows.iter().filter(|(_, linked)| !linked);
                owned.unlinked.extend(unlinked.map(|(id, _)| (index, *id)));
                if !rows.is_empty() {
                    parents.push((index, rows.into_iter().map(|(id, _)| id).collect()));
                }
            }
        }
        Ok(owned)
    }

    /// Of these rows those that hold what a way to log in needs.
    pub(super) async fn opened_by(
        &self,
        index: EntityIndex,
        needs: &Needs,
        ids: &[RenaissanceId],
    ) -> Result<Vec<RenaissanceId>> {
        let (entity, _) = self.entity(index)?;
        let Some(sql) = statements::opening(entity, needs) else { return Ok(Vec::new()) };
        let query = sqlx::query_scalar(sql).bind(ids).bind(&needs.not_beginning);
        query.fetch_all(&self.pool).await.map_err(Error::from)
    }

    pub(super) async fn in_the_way(&self, person: LegacyId) -> Result<Vec<Unsettled>> {
        let rows: Vec<InTheWay> = sqlx::query_as(IN_THE_WAY)
            .bind(person.to_string())
            .bind(self.person_entities())
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)?;
        let unsettled = |row: InTheWay| {
            let InTheWay { entity, legacy_id, renaissance_id, field, why, id, conflict } = row;
            Unsettled { entity, legacy_id, renaissance_id, field, why, id, conflict }
        };
        Ok(rows.into_iter().map(unsettled).collect())
    }
}

/// The rows of a child ($1) whose owner is one of the parents ($2), and whether each is linked; `None` if the child belongs to
/// something else.
fn children(child: &Entity, parent: EntityIndex) -> Option<String> {
    let [table, column, id] = owner_column(child, parent)?;
    Some(format!(
        "SELECT t.{id}::int8, EXISTS (SELECT FROM biograph_bridge.link l WHERE l.entity = $1 AND l.renaissance_id = t.{id}) \
         FROM {table} t WHERE t.{column} = ANY($2::bigint[])"
    ))
}
