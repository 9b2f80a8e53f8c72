//! The newest entries of the journal and of what is parked, for those who glance at the daemon. No values.

use sqlx::{FromRow, PgPool};

use crate::{error::Result, sync::status::EntryReport};

#[derive(FromRow)]
struct Entry {
    id: i64,
    entity: String,
    legacy_id: Option<String>,
    renaissance_id: Option<i64>,
    field: Option<String>,
    what: String,
    winner: Option<String>,
    resolved: bool,
    at: String,
}

impl From<Entry> for EntryReport {
    fn from(entry: Entry) -> Self {
        let Entry { id, entity, legacy_id, renaissance_id, field, what, winner, resolved, at } = entry;
        Self { id, entity, legacy_id, renaissance_id, field, what, winner, resolved, at }
    }
}

// by number, which is the order of time, so that the size of the journal does not matter
const CONFLICTS: &str = "SELECT id, entity, legacy_id, renaissance_id, field, kind AS what, winner, \
    resolved_at IS NOT NULL AS resolved, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS at \
    FROM biograph_bridge.conflict ORDER BY id DESC LIMIT 5";
const PARKED: &str = "SELECT id, entity, legacy_id, renaissance_id, field, reason AS what, NULL::text AS winner, \
    false AS resolved, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS at \
    FROM biograph_bridge.parked ORDER BY id DESC LIMIT 5";

/// Entries of the journal and of what is parked, a few of each, newest first.
pub async fn entries(pool: &PgPool) -> Result<(Vec<EntryReport>, Vec<EntryReport>)> {
    let conflicts: Vec<Entry> = sqlx::query_as(CONFLICTS).fetch_all(pool).await?;
    let parked: Vec<Entry> = sqlx::query_as(PARKED).fetch_all(pool).await?;
    Ok((conflicts.into_iter().map(Into::into).collect(), parked.into_iter().map(Into::into).collect()))
}
