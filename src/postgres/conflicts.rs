//! The journal as operators see it.

use serde::Serialize;
use serde_json::Value as Json;
use sqlx::{FromRow, PgPool};

use super::entries::{Narrow, insist, narrowed};
use crate::error::{Error, Result};

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Conflict {
    /// Its number.
    pub id: i64,
    /// What it is about, from the closed set.
    pub kind: String,
    /// The entity.
    pub entity: String,
    /// The record on the legacy side.
    pub legacy_id: Option<String>,
    /// The record on the renaissance side.
    pub renaissance_id: Option<i64>,
    /// The legacy id of the person it belongs to; `None` for a person.
    pub person: Option<String>,
    /// The field; `None` for the whole record.
    pub field: Option<String>,
    /// What legacy held.
    pub legacy_value: Option<Json>,
    /// What renaissance held.
    pub renaissance_value: Option<Json>,
    /// The policy that decided.
    pub policy: String,
    /// The side that won; `None` if nobody has decided.
    pub winner: Option<String>,
    /// The side that was authoritative.
    pub owner: String,
    /// The epoch of that.
    pub epoch: i64,
    /// When it was decided, RFC 3339.
    pub at: String,
    /// The digest of the mapping file it was decided under.
    pub mapping: Option<String>,
    /// The field list of that mapping.
    pub mapping_fields: Option<Vec<String>>,
    /// Up to where legacy's changes were durable.
    pub legacy_position: Option<String>,
    /// Up to where renaissance's changes were durable.
    pub renaissance_position: Option<String>,
    /// When legacy says that it was updated, where that decided; RFC 3339.
    pub legacy_updated_at: Option<String>,
    /// The same of renaissance.
    pub renaissance_updated_at: Option<String>,
    /// Whether it is decided and the write that goes with it is still on its way.
    pub under_way: bool,
    /// Whether a shadow foresaw it: nothing was decided.
    pub shadow: bool,
    /// When it was resolved, RFC 3339: by hand, or, where nobody had decided, because the sides agree again or the record ended.
    pub resolved_at: Option<String>,
    /// By whom, if by hand.
    pub resolved_by: Option<String>,
    /// With what, if by hand: `legacy`, `renaissance`, `value`.
    pub taken: Option<String>,
}

/// How a time is shown.
macro_rules! iso {
    ($column:literal) => {
        concat!("to_char(", $column, " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
    };
}

const LIST: &str = concat!(
    "SELECT c.id, c.kind, c.entity, c.legacy_id, c.renaissance_id, coalesce(c.person, l.person) AS person, c.field, \
     c.legacy_value, c.renaissance_value, c.policy, c.winner, c.owner, c.epoch, c.mapping_digest AS mapping, \
     s.fields AS mapping_fields, c.legacy_position, c.renaissance_position, c.intent IS NOT NULL AS under_way, c.shadow, \
     c.resolved_by, c.taken, ",
    iso!("c.at"),
    " AS at, ",
    iso!("c.legacy_updated_at"),
    " AS legacy_updated_at, ",
    iso!("c.renaissance_updated_at"),
    " AS renaissance_updated_at, ",
    iso!("c.resolved_at"),
    " AS resolved_at FROM biograph_bridge.conflict c \
     LEFT JOIN biograph_bridge.shape s ON s.id = c.mapping \
     LEFT JOIN biograph_bridge.link l ON l.entity = c.entity AND l.legacy_id = c.legacy_id \
     WHERE ($2::bigint IS NULL OR c.id = $2) AND ($3::text IS NULL OR c.entity = $3) AND ($10::text IS NULL OR c.kind = $10) \
     AND (NOT $4 OR coalesce(c.person, l.person) = $5 \
       OR c.entity = $7 AND (c.legacy_id = $5 OR c.renaissance_id = $6)) \
     AND ($8::bigint IS NULL OR c.at >= 'epoch'::timestamptz + $8 * interval '1 microsecond') \
     AND ($9::bigint IS NULL OR c.at < 'epoch'::timestamptz + $9 * interval '1 microsecond') \
     AND (NOT $11 OR c.winner IS NULL AND c.resolved_at IS NULL) \
     ORDER BY c.at DESC, c.id DESC LIMIT $1"
);

/// Entries of the journal, newest first; at most `limit`. `kind`: only of this kind; `open`: only those that nobody has decided yet.
pub async fn conflicts(
    pool: &PgPool,
    narrow: &Narrow,
    (kind, open): (Option<&str>, bool),
    limit: i64,
) -> Result<Vec<Conflict>> {
    insist(pool, "conflict_resolution", "this database has no journal of this version of biograph-bridge").await?;
    narrowed(LIST, narrow, limit).bind(kind).bind(open).fetch_all(pool).await.map_err(Error::from)
}
