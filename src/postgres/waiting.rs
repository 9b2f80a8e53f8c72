//! Parked keys in the state, and what brings them back: the records they wait for.

use sqlx::PgConnection;

use super::{commit::Part, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{
        key::{Key, LegacyId, RenaissanceId, SideId},
        mapping::Entity,
    },
    sync::ports::ParkedRow,
};

/// Keys woken at once; the slow retry finds the others.
const WOKEN: i64 = 10_000;
/// Between the records one key waits for, on their way into the statement: no name holds it.
pub(super) const SEPARATOR: &str = "\n";

/// Parked rows to write, a column each.
#[derive(Default)]
struct Rows {
    legacy: Vec<Option<String>>,
    renaissance: Vec<Option<i64>>,
    fields: Vec<Option<String>>,
    reasons: Vec<&'static str>,
    details: Vec<String>,
    waits: Vec<String>,
    persons: Vec<Option<String>>,
    pauses: Vec<Option<i64>>,
}

/// Replaces what is parked of the batch's records by what the plans say.
pub(super) async fn parked(
    connection: &mut PgConnection,
    (entities, entity): (&[Entity], &str),
    part: &Part<'_>,
) -> Result<()> {
    let (mut legacy, mut renaissance, mut rows) = (Vec::new(), Vec::new(), Rows::default());
    for (_, plan, id) in part.living().filter(|(_, plan, _)| plan.was_parked || !plan.parked.is_empty()) {
        let legacy_id = plan.legacy.map(|legacy| legacy.to_string());
        for row in &plan.parked {
            rows.legacy.push(legacy_id.clone());
            rows.renaissance.push(id);
            rows.fields.push(row.field.clone());
            rows.reasons.push(row.problem.reason.as_str());
            rows.details.push(row.problem.detail.clone());
            rows.waits.push(awaited(entities, row).join(SEPARATOR));
            rows.persons.push(plan.person.map(|person| person.to_string()));
            rows.pauses.push(row.problem.pause);
        }
        legacy.extend(legacy_id);
        renaissance.extend(id);
    }
    if legacy.is_empty() && renaissance.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM biograph_bridge.parked p WHERE p.entity = $1 \
         AND (p.legacy_id = ANY($2) OR p.renaissance_id = ANY($3)) \
         AND NOT EXISTS (SELECT FROM unnest($4::text[], $5::bigint[], $6::text[]) AS k(legacy, renaissance, field) \
           WHERE k.legacy IS NOT DISTINCT FROM p.legacy_id AND k.renaissance IS NOT DISTINCT FROM p.renaissance_id \
           AND k.field IS NOT DISTINCT FROM p.field)",
    )
    .bind(entity)
    .bind(legacy)
    .bind(renaissance)
    .bind(&rows.legacy)
    .bind(&rows.renaissance)
    .bind(&rows.fields)
    .execute(&mut *connection)
    .await
    .map_err(Error::from)?;
    if rows.fields.is_empty() { Ok(()) } else { write(connection, entity, rows).await }
}

async fn write(connection: &mut PgConnection, entity: &str, rows: Rows) -> Result<()> {
    sqlx::query(
        "INSERT INTO biograph_bridge.parked AS p (entity, legacy_id, renaissance_id, field, reason, detail, waits, person, pause) \
         SELECT $1, v.legacy, v.renaissance, v.field, v.reason, v.detail, string_to_array(v.waits, $8), v.person, v.pause \
         FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $9::text[], $10::bigint[]) \
           AS v(legacy, renaissance, field, reason, detail, waits, person, pause) \
         ON CONFLICT (entity, coalesce(legacy_id, ''), coalesce(renaissance_id, 0), coalesce(field, '')) \
         DO UPDATE SET reason = excluded.reason, detail = excluded.detail, waits = excluded.waits, pause = excluded.pause, \
           person = coalesce(excluded.person, p.person), attempts = p.attempts + 1",
    )
    .bind(entity)
    .bind(rows.legacy)
    .bind(rows.renaissance)
    .bind(rows.fields)
    .bind(rows.reasons)
    .bind(rows.details)
    .bind(rows.waits)
    .bind(SEPARATOR)
    .bind(rows.persons)
    .bind(rows.pauses)
    .execute(connection)
    .await
    .map_err(Error::from)?;
    Ok(())
}

/// The records a row waits for, as they are stored: `user legacy:65f0…`.
fn awaited(entities: &[Entity], row: &ParkedRow) -> Vec<String> {
    let named = row.waits.iter().filter_map(|(index, id)| Some((entities.get(usize::from(index.0))?, id)));
    named.map(|(entity, id)| stored(&entity.name, *id)).collect()
}

pub(super) fn stored(entity: &str, id: SideId) -> String {
    format!("{entity} {id}")
}

/// A record that now exists on both sides.
pub(super) struct Arrived<'a> {
    pub(super) entity: &'a str,
    pub(super) legacy: LegacyId,
    pub(super) renaissance: RenaissanceId,
}

/// In an order that only the small index of those who wait has: without statistics the planner would walk the whole table.
const ANYBODY: &str = "SELECT \
    (SELECT true FROM biograph_bridge.parked WHERE waits <> '{}' ORDER BY reason LIMIT 1) IS NOT NULL \
    OR (SELECT true FROM biograph_bridge.link WHERE awaits IS NOT NULL ORDER BY renaissance_id LIMIT 1) IS NOT NULL";

impl Postgres {
    /// The keys parked for these records, or naming them since before they were deleted.
    pub(super) async fn waiting_for(&self, arrived: &[Arrived<'_>]) -> Result<Vec<Key>> {
        if arrived.is_empty() || !self.anybody_waits().await? {
            return Ok(Vec::new());
        }
        let names = |new: &Arrived<'_>| {
            [SideId::Legacy(new.legacy), SideId::Renaissance(new.renaissance)].map(|id| stored(new.entity, id))
        };
        let names: Vec<String> = arrived.iter().flat_map(names).collect();
        let rows: Vec<(String, Option<String>, Option<i64>)> = sqlx::query_as(
            "SELECT DISTINCT entity, legacy_id, renaissance_id FROM biograph_bridge.parked WHERE waits && $1::text[] \
             UNION SELECT entity, legacy_id, renaissance_id FROM biograph_bridge.link WHERE awaits && $1::text[] LIMIT $2",
        )
        .bind(names)
        .bind(WOKEN)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        Ok(rows.into_iter().filter_map(|(entity, legacy, row)| self.key_of(&entity, legacy, row)).collect())
    }

    /// Whether it is worth asking for thousands of names.
    async fn anybody_waits(&self) -> Result<bool> {
        sqlx::query_scalar(ANYBODY).fetch_one(&self.pool).await.map_err(Error::from)
    }
}
