//! Entries of the journal that are resolved: by hand, with the writes that carry it out, or by themselves.

use serde_json::Value as Json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{commit::Part, read::parse_legacy, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{conflict::ConflictKind, digest::Digest, side::Side},
    sync::ports::{JournalEntry, Resolution},
};

const NOTE: &str = "UPDATE biograph_bridge.conflict SET resolved_at = now(), taken = $2, resolved_by = $3, \
    resolved_request = $4, resolution = $5 WHERE id = ANY($1)";

/// Notes what people ordered. Where a document is yet to be written for it, settling the intent makes that final or takes it
/// back.
pub(super) async fn ordered(connection: &mut PgConnection, intent: Uuid, part: &Part<'_>) -> Result<()> {
    for (plan, resolution) in part.living().filter_map(|(_, plan, _)| Some((plan, plan.resolution.as_ref()?))) {
        note(connection, resolution, plan.intent.is_some().then_some(intent)).await?;
    }
    Ok(())
}

/// Notes an order in its entries.
pub(super) async fn note(connection: &mut PgConnection, resolution: &Resolution, intent: Option<Uuid>) -> Result<()> {
    sqlx::query(NOTE)
        .bind(&resolution.entries)
        .bind(&resolution.taken)
        .bind(&resolution.by)
        .bind(resolution.request)
        .bind(intent)
        .execute(connection)
        .await
        .map_err(Error::from)?;
    Ok(())
}

/// An entry that nobody has decided stands for something that is parked. As long as the whole record is, nothing is known
/// about its fields.
const CLOSE: &str = "UPDATE biograph_bridge.conflict c SET resolved_at = now() \
    WHERE c.entity = $1 AND c.winner IS NULL AND c.resolved_at IS NULL AND NOT c.shadow \
    AND (c.legacy_id = ANY($2) OR c.legacy_id IS NULL AND c.renaissance_id = ANY($3)) \
    AND NOT EXISTS (SELECT FROM biograph_bridge.parked p WHERE p.entity = c.entity \
      AND (p.legacy_id = c.legacy_id OR p.renaissance_id = c.renaissance_id) \
      AND (p.field IS NULL AND c.field IS NOT NULL OR p.field IS NOT DISTINCT FROM c.field \
        AND p.reason = CASE c.kind WHEN $4 THEN $5 ELSE $6 END))";

/// Closes what the sides agree on again, and what was about a record that has ended. After what is parked was written.
pub(super) async fn close(connection: &mut PgConnection, entity: &str, part: &Part<'_>) -> Result<()> {
    let concerned = |plan: &crate::sync::ports::RecordPlan| plan.was_parked || plan.unlink;
    let (mut legacy, mut renaissance) = (Vec::new(), Vec::new());
    for (_, plan, id) in part.living().filter(|(_, plan, _)| concerned(plan)) {
        legacy.extend(plan.legacy.map(|legacy| legacy.to_string()));
        renaissance.extend(id);
    }
    if legacy.is_empty() && renaissance.is_empty() {
        return Ok(());
    }
    sqlx::query(CLOSE)
        .bind(entity)
        .bind(legacy)
        .bind(renaissance)
        .bind(ConflictKind::UniqueTaken.as_str())
        .bind(ConflictKind::UniqueTaken.parked_for().as_str())
        .bind(ConflictKind::UpdateUpdate.parked_for().as_str())
        .execute(connection)
        .await
        .map_err(Error::from)?;
    Ok(())
}

/// A row as [`ENTRY`] selects it.
#[derive(FromRow)]
struct Row {
    id: i64,
    entity: String,
    legacy_id: Option<String>,
    kind: String,
    field: Option<String>,
    legacy_value: Option<Json>,
    renaissance_value: Option<Json>,
    legacy_digest: Option<i64>,
    renaissance_digest: Option<i64>,
    winner: Option<String>,
    under_way: bool,
    shadow: bool,
    by_hand: bool,
    resolved_by: Option<String>,
    resolved_at: Option<String>,
    resolved_request: Option<i64>,
}

/// Rows of one transaction have the same time.
const ENTRY: &str = "SELECT c.id, c.entity, c.legacy_id, c.kind, c.field, c.legacy_value, c.renaissance_value, \
    c.legacy_digest, c.renaissance_digest, c.winner, c.intent IS NOT NULL AS under_way, c.shadow, \
    c.taken IS NOT NULL AND c.resolution IS NULL AS by_hand, c.resolved_by, \
    to_char(c.resolved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS resolved_at, c.resolved_request \
    FROM biograph_bridge.conflict asked JOIN biograph_bridge.conflict c \
      ON c.id = asked.id OR c.entity = asked.entity AND c.legacy_id = asked.legacy_id AND c.at = asked.at \
    WHERE asked.id = $1 ORDER BY c.id <> asked.id, c.id";

impl Postgres {
    pub(super) async fn entry_of_journal(&self, id: i64) -> Result<Vec<JournalEntry>> {
        let rows: Vec<Row> = sqlx::query_as(ENTRY).bind(id).fetch_all(&self.pool).await.map_err(Error::from)?;
        rows.into_iter().map(entry).collect()
    }
}

fn entry(row: Row) -> Result<JournalEntry> {
    let digest = |bits: Option<i64>| bits.and_then(|bits| Digest::from_bits(bits.cast_unsigned()));
    let resolved = row.resolved_by.zip(row.resolved_at).zip(row.resolved_request).filter(|_| row.by_hand);
    Ok(JournalEntry {
        id: row.id,
        entity: row.entity,
        legacy: row.legacy_id.as_deref().map(parse_legacy).transpose()?,
        kind: ConflictKind::from_name(&row.kind),
        field: row.field,
        values: [row.legacy_value, row.renaissance_value].map(Option::unwrap_or_default),
        digests: [digest(row.legacy_digest), digest(row.renaissance_digest)],
        winner: row.winner.and_then(|winner| Side::ALL.into_iter().find(|side| side.as_str() == winner)),
        under_way: row.under_way,
        foreseen: row.shadow,
        resolved: resolved.map(|((by, at), request)| (by, at, request)),
    })
}
