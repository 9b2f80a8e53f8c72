//! Whose the records are, in the links: cutover goes by it.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{commit::Part, sql::quote_ident};
use crate::{
    error::{Error, Result},
    model::{
        key::{EntityIndex, RenaissanceId},
        mapping::Entity,
        side::Side,
    },
};

/// Records by their renaissance ids, each with the legacy id of the person it belongs to now.
type Owned = (Vec<RenaissanceId>, Vec<String>);

/// Writes the persons of records that changed hands where [`super::journal`] has not, and hands over with them what belongs to
/// those records.
pub(super) async fn persons(
    connection: &mut PgConnection,
    (entities, entity): (&[Entity], &str),
    part: &Part<'_>,
) -> Result<()> {
    promised(connection, entity, part).await?;
    let given = part.living().filter(|(_, plan, _)| plan.changes_hands);
    let (ids, persons): Owned = given.filter_map(|(_, plan, id)| Some((id?, plan.person?.to_string()))).unzip();
    let place = (0..=u16::MAX).map(EntityIndex).zip(entities).find(|(_, known)| known.name == entity);
    let mut waiting: Vec<(EntityIndex, Owned)> = place.map(|(index, _)| (index, (ids, persons))).into_iter().collect();
    // owners lead to a person and never round in a circle, so this ends
    while let Some((parent, owned)) = waiting.pop() {
        if owned.0.is_empty() {
            continue;
        }
        for (index, child) in (0..=u16::MAX).map(EntityIndex).zip(entities) {
            if let Some(sql) = hand_over(child, parent) {
                waiting.push((index, children(connection, (&child.name, sql), &owned).await?));
            }
        }
    }
    Ok(())
}

/// A record may change hands by a document that is yet to be written, which leaves its base as it is for now.
async fn promised(connection: &mut PgConnection, entity: &str, part: &Part<'_>) -> Result<()> {
    let waiting = part.living().filter(|(_, plan, _)| plan.linked && plan.base.is_none() && plan.intent.is_some());
    let owned = waiting.filter_map(|(_, plan, _)| Some((plan.legacy?.to_string(), plan.person?.to_string())));
    let (records, persons): (Vec<String>, Vec<String>) = owned.unzip();
    if records.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE biograph_bridge.link l SET person = v.person FROM unnest($2::text[], $3::text[]) AS v(legacy, person) \
         WHERE l.entity = $1 AND l.legacy_id = v.legacy AND l.person IS DISTINCT FROM v.person",
    )
    .bind(entity)
    .bind(records)
    .bind(persons)
    .execute(connection)
    .await
    .map_err(Error::from)?;
    Ok(())
}

/// Gives the linked records of a child ($1) whose owner is one of the parents ($2) to the persons of those ($3); `None` if
/// the child belongs to something else.
fn hand_over(child: &Entity, parent: EntityIndex) -> Option<String> {
    let [table, column, id] = owner_column(child, parent)?;
    Some(format!(
        "UPDATE biograph_bridge.link l SET person = v.person \
         FROM unnest($2::bigint[], $3::text[]) AS v(parent, person) JOIN {table} t ON t.{column} = v.parent \
         WHERE l.entity = $1 AND l.renaissance_id = t.{id} AND l.person IS DISTINCT FROM v.person \
         RETURNING l.renaissance_id, l.person"
    ))
}

/// Where a child's rows name the parent that they belong to: the table, that column, and the column with the record's id, all
/// quoted; `None` if the child belongs to something else.
pub(super) fn owner_column(child: &Entity, parent: EntityIndex) -> Option<[String; 3]> {
    let owner = child.fields.get(child.owner?)?;
    owner.refers.as_ref().filter(|refers| refers.linked && !refers.many && refers.entity == parent)?;
    let column = child.renaissance.columns.get(*owner.slots(Side::Renaissance).first()?)?;
    let table = child.renaissance.tables.get(column.table)?;
    let id = table.parent.as_ref().unwrap_or(&table.key);
    Some([&table.name, &column.name, id].map(|name| quote_ident(name)))
}

async fn children(connection: &mut PgConnection, (child, sql): (&str, String), parents: &Owned) -> Result<Owned> {
    let changed: Vec<(RenaissanceId, String)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(child)
        .bind(&parents.0)
        .bind(&parents.1)
        .fetch_all(connection)
        .await
        .map_err(Error::from)?;
    Ok(changed.into_iter().unzip())
}
