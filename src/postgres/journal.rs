//! What a batch leaves in the state besides rows: links with bases, conflicts, parked keys, tombstones, intents.

use sqlx::{AssertSqlSafe, PgConnection, types::Json};
use uuid::Uuid;

use super::{
    awaits::awaits, commit::Part, cutover::born, persons::persons, resolving, statements::Collision, waiting::parked,
};
use crate::{
    drill::{self, Mechanism},
    error::{Error, Result},
    model::{digest::Base, mapping::Entity, side::Side},
    sync::ports::{ConflictRow, IntentKind, RecordPlan},
};

/// Records everything of the plans still in the race.
pub(super) async fn record(
    connection: &mut PgConnection,
    (entities, entity): (&[Entity], &Entity),
    shape: i32,
    intent: Uuid,
    part: &Part<'_>,
) -> Result<()> {
    let name = &entity.name;
    links(connection, entity, shape, part).await?;
    persons(connection, (entities, name), part).await?;
    awaits(connection, (entities, name), part).await?;
    conflicts(connection, entity, (shape, intent), part).await?;
    resolving::ordered(connection, intent, part).await?;
    parked(connection, (entities, name), part).await?;
    resolving::close(connection, name, part).await?;
    intents(connection, name, shape, intent, part).await
}

/// Links to write, a column each.
#[derive(Default)]
struct Links {
    legacy: Vec<String>,
    renaissance: Vec<i64>,
    bases: Vec<Option<Vec<u8>>>,
    persons: Vec<Option<String>>,
}

/// Links that exist are updated in place; an upsert would ask both unique indexes again for each.
const UPDATE_LINKS: &str = "UPDATE biograph_bridge.link l SET renaissance_id = v.renaissance, \
    base = coalesce(v.base, l.base), shape = CASE WHEN v.base IS NULL THEN l.shape ELSE $2 END, \
    person = coalesce(v.person, l.person) \
    FROM unnest($3::text[], $4::bigint[], $5::bytea[], $6::text[]) AS v(legacy, renaissance, base, person) \
    WHERE l.entity = $1 AND l.legacy_id = v.legacy";
const INSERT_LINKS: &str = "INSERT INTO biograph_bridge.link AS l \
    (entity, legacy_id, renaissance_id, shape, base, person, born_in_renaissance) \
    SELECT $1, v.legacy, v.renaissance, $2, v.base, v.person, v.base IS NULL \
    FROM unnest($3::text[], $4::bigint[], $5::bytea[], $6::text[]) AS v(legacy, renaissance, base, person)";
/// A link may be there already from an attempt at this record whose document was refused. One that names another row is
/// never overwritten.
const OR_SAME_LINK: &str = " ON CONFLICT (entity, legacy_id) DO UPDATE SET \
    base = coalesce(excluded.base, l.base), person = coalesce(excluded.person, l.person), \
    shape = CASE WHEN excluded.base IS NULL THEN l.shape ELSE excluded.shape END \
    WHERE l.renaissance_id = excluded.renaissance_id";

/// Those that both applications deleted leave no tombstone otherwise, by which one knows that they are not yet to come.
const END_LINKS: &str = "WITH ended AS (DELETE FROM biograph_bridge.link WHERE entity = $1 AND legacy_id = ANY($2) \
      RETURNING entity, legacy_id, renaissance_id, person) \
    INSERT INTO biograph_bridge.tombstone (entity, legacy_id, renaissance_id, person, deleted_on, record) \
    SELECT entity, legacy_id, renaissance_id, person, 'both', 'null'::jsonb FROM ended e WHERE NOT EXISTS \
      (SELECT FROM biograph_bridge.tombstone t WHERE t.entity = e.entity AND t.legacy_id = e.legacy_id)";

async fn links(connection: &mut PgConnection, entity: &Entity, shape: i32, part: &Part<'_>) -> Result<()> {
    let (mut known, mut fresh, mut ended) = (Links::default(), Links::default(), Vec::new());
    let mut newborn = (Vec::new(), Vec::new());
    for (_, plan, id) in part.living() {
        let Some(legacy_id) = plan.legacy else { continue };
        if plan.unlink {
            ended.push(legacy_id.to_string());
        } else if let Some(id) = id
            && (final_base(plan).is_some() || matches!(plan.intent, Some((IntentKind::Insert, _))))
        {
            if plan.is_born(entity) {
                newborn.0.push(legacy_id.to_string());
                newborn.1.push(id);
            }
            let links = if plan.linked { &mut known } else { &mut fresh };
            links.legacy.push(legacy_id.to_string());
            links.renaissance.push(id);
            links.bases.push(final_base(plan).map(Base::to_bytes));
            links.persons.push(plan.person.map(|person| person.to_string()));
        }
    }
    let or_same = if part.collision == Collision::Unexpected { "" } else { OR_SAME_LINK };
    let insert = format!("{INSERT_LINKS}{or_same}");
    for (sql, links) in [(UPDATE_LINKS, known), (&insert, fresh)] {
        if links.legacy.is_empty() {
            continue;
        }
        let count = links.legacy.len() as u64;
        let query =
            sqlx::query(AssertSqlSafe(sql)).bind(&entity.name).bind(shape).bind(links.legacy).bind(links.renaissance);
        let query = query.bind(links.bases).bind(links.persons);
        let written = query.execute(&mut *connection).await.map_err(Error::from)?.rows_affected();
        if written != count {
            return Err(Error::retry("links changed while they were being written"));
        }
    }
    if !newborn.0.is_empty() {
        born::enter(connection, &newborn.0, &newborn.1).await?;
    }
    if !ended.is_empty() {
        sqlx::query(END_LINKS).bind(&entity.name).bind(ended).execute(&mut *connection).await.map_err(Error::from)?;
    }
    Ok(())
}

/// The base that holds from this transaction on.
fn final_base(plan: &RecordPlan) -> Option<&Base> {
    match &plan.intent {
        Some((_, base)) if drill::lacks(Mechanism::Intents) => Some(base),
        _ => plan.base.as_ref(),
    }
}

/// One that nobody decided is journalled when it begins: what is parked of it already says so, and neither value is lost.
const INSERT_CONFLICTS: &str = "INSERT INTO biograph_bridge.conflict (entity, legacy_id, renaissance_id, kind, field, \
      legacy_value, renaissance_value, policy, winner, owner, epoch, intent, mapping, legacy_updated_at, \
      renaissance_updated_at, legacy_position, renaissance_position, mapping_digest, person, legacy_digest, \
      renaissance_digest) \
    SELECT $1, v.legacy, v.renaissance, v.kind, v.field, v.l, v.r, v.policy, v.winner, v.owner, v.epoch, v.intent, $13, \
      'epoch'::timestamptz + v.l_at * interval '1 microsecond', 'epoch'::timestamptz + v.r_at * interval '1 microsecond', \
      (SELECT position FROM biograph_bridge.checkpoint WHERE side = 'legacy'), \
      (SELECT position FROM biograph_bridge.checkpoint WHERE side = 'renaissance'), $16, v.person, v.l_digest, v.r_digest \
    FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::text[], $9::text[], \
      $10::text[], $11::bigint[], $12::uuid[], $14::bigint[], $15::bigint[], $17::text[], $18::text[], $19::bigint[], \
      $20::bigint[]) AS v(legacy, renaissance, kind, field, l, r, policy, winner, owner, epoch, intent, l_at, r_at, \
      person, parked_for, l_digest, r_digest) \
    WHERE v.winner IS NOT NULL OR NOT EXISTS (SELECT FROM biograph_bridge.parked p WHERE p.entity = $1 \
      AND (p.legacy_id = v.legacy OR p.renaissance_id = v.renaissance) AND p.field IS NOT DISTINCT FROM v.field \
      AND p.reason = v.parked_for) AND NOT EXISTS (SELECT FROM biograph_bridge.conflict c WHERE c.entity = $1 \
      AND c.legacy_id = v.legacy AND c.field IS NOT DISTINCT FROM v.field AND c.kind = v.kind AND c.winner IS NULL \
      AND c.resolved_at IS NULL AND NOT c.shadow)";

/// Conflicts are rare: one row each, in a loop over rows rather than a wide statement.
pub(super) async fn conflicts(
    connection: &mut PgConnection,
    entity: &Entity,
    (shape, intent): (i32, Uuid),
    part: &Part<'_>,
) -> Result<()> {
    let rows = part.living().flat_map(|(_, plan, id)| plan.conflicts.iter().map(move |row| (plan, id, row)));
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() || drill::lacks(Mechanism::Journal) {
        return Ok(());
    }
    let text = |side: Side| side.as_str();
    let person = |plan: &RecordPlan| plan.person.map(|person| person.to_string());
    let bits = |row: &ConflictRow, side: usize| row.digests[side].map(|digest| digest.to_bits().cast_signed());
    sqlx::query(INSERT_CONFLICTS)
        .bind(&entity.name)
        .bind(rows.iter().map(|(plan, ..)| plan.legacy.map(|id| id.to_string())).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, id, _)| *id).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., row)| row.kind.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., row)| row.field.clone()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., row)| storable(&row.legacy_value)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., row)| storable(&row.renaissance_value)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., row)| row.policy).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., row)| row.winner.map(text)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(plan, ..)| text(plan.owner)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(plan, ..)| plan.epoch).collect::<Vec<_>>())
        .bind(rows.iter().map(|(plan, .., row)| is_held_back(plan, row).then_some(intent)).collect::<Vec<_>>())
        .bind(shape)
        .bind(rows.iter().map(|(.., row)| row.updated[0]).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., row)| row.updated[1]).collect::<Vec<_>>())
        .bind(&entity.origin.digest)
        .bind(rows.iter().map(|(plan, ..)| person(plan)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., row)| row.kind.parked_for().as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., row)| bits(row, 0)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., row)| bits(row, 1)).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map_err(Error::from)?;
    Ok(())
}

/// What legacy won is lost with this transaction; what it lost goes when the document is written; what nobody won stays.
fn is_held_back(plan: &RecordPlan, row: &ConflictRow) -> bool {
    plan.intent.is_some() && row.winner == Some(Side::Renaissance)
}

/// What a deleted document leaves: its ids, what it held, whose it was.
type Buried = (String, Option<i64>, Json<serde_json::Value>, Option<String>);

async fn intents(connection: &mut PgConnection, entity: &str, shape: i32, intent: Uuid, part: &Part<'_>) -> Result<()> {
    let (mut legacy, mut renaissance, mut kinds, mut bases) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut tombstones: Vec<Buried> = Vec::new();
    for (_, plan, id) in part.living() {
        let Some((legacy_id, (kind, base))) = plan.legacy.zip(plan.intent.as_ref()) else { continue };
        legacy.push(legacy_id.to_string());
        renaissance.push(id);
        bases.push(base.to_bytes());
        kinds.push(match kind {
            IntentKind::Insert => "insert",
            IntentKind::Update => "update",
            IntentKind::Delete(record) => {
                let person = plan.person.map(|person| person.to_string());
                tombstones.push((legacy_id.to_string(), id, storable(record), person));
                "delete"
            }
        });
    }
    if legacy.is_empty() || drill::lacks(Mechanism::Intents) {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO biograph_bridge.open_intent (id, entity, shape, legacy_ids, renaissance_ids, kinds, bases) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(intent)
    .bind(entity)
    .bind(shape)
    .bind(legacy)
    .bind(renaissance)
    .bind(kinds)
    .bind(bases)
    .execute(&mut *connection)
    .await
    .map_err(Error::from)?;
    if tombstones.is_empty() || drill::lacks(Mechanism::Tombstones) {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO biograph_bridge.tombstone (entity, legacy_id, renaissance_id, deleted_on, record, intent, person) \
         SELECT $1, v.legacy, v.renaissance, 'renaissance', v.record, $2, v.person \
         FROM unnest($3::text[], $4::bigint[], $5::jsonb[], $6::text[]) AS v(legacy, renaissance, record, person)",
    )
    .bind(entity)
    .bind(intent)
    .bind(tombstones.iter().map(|(legacy, ..)| legacy.clone()).collect::<Vec<_>>())
    .bind(tombstones.iter().map(|(_, id, ..)| *id).collect::<Vec<_>>())
    .bind(tombstones.iter().map(|(_, _, record, _)| record.clone()).collect::<Vec<_>>())
    .bind(tombstones.into_iter().map(|(.., person)| person).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map_err(Error::from)?;
    Ok(())
}

/// jsonb cannot hold U+0000: it is shown as the six characters `\u0000`.
fn storable(value: &serde_json::Value) -> Json<serde_json::Value> {
    fn text(text: &str) -> String {
        text.replace('\0', "\\u0000")
    }
    fn walk(value: &serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::String(content) => serde_json::Value::String(text(content)),
            serde_json::Value::Array(items) => items.iter().map(walk).collect(),
            serde_json::Value::Object(entries) => {
                entries.iter().map(|(key, item)| (text(key), walk(item))).collect::<serde_json::Map<_, _>>().into()
            }
            plain @ (serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => {
                plain.clone()
            }
        }
    }
    Json(walk(value))
}
