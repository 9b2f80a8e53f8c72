//! What the state knows about one record.

use serde::Serialize;
use sqlx::{FromRow, PgPool};

use crate::error::{Error, Result};

/// A record's link and owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct LinkShown {
    /// Its legacy id.
    pub legacy_id: String,
    /// Its renaissance id.
    pub renaissance_id: i64,
    /// The legacy id of the person it belongs to; `None` for a person.
    pub person: Option<String>,
    /// Whether it was on both sides: there is something both agreed on.
    pub agreed: bool,
    /// The fields that a base keeps for it.
    pub fields: Vec<String>,
    /// The state of that person's cutover; `None`: never begun.
    pub state: Option<String>,
    /// The side that is authoritative; `None`: legacy, as it never began.
    pub owner: Option<String>,
    /// Its epoch.
    pub epoch: Option<i64>,
    /// Since when, RFC 3339.
    pub since: Option<String>,
}

/// Something durable that happened to a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Event {
    /// When, RFC 3339.
    pub at: String,
    /// `journal`, `parked`, `tombstone`, `intent`, `request`.
    pub what: String,
    /// Its number, where it has one.
    pub id: Option<i64>,
    /// In words; no values.
    pub detail: String,
}

const LINK: &str = "SELECT l.legacy_id, l.renaissance_id, l.person, l.base IS NOT NULL AS agreed, s.fields, c.state, c.owner, c.epoch, \
    to_char(c.since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS since \
    FROM biograph_bridge.link l JOIN biograph_bridge.shape s ON s.id = l.shape \
    LEFT JOIN biograph_bridge.cutover c ON c.legacy_id = coalesce(l.person, l.legacy_id) \
    WHERE l.entity = $1 AND (l.legacy_id = $2 OR l.renaissance_id = $3) LIMIT 1";

const EVENTS: &str = "SELECT to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS at, what, id, detail FROM ( \
      SELECT at, 'journal' AS what, id, concat_ws(' ', coalesce('field ' || field, 'whole record') || ':', kind || ',', \
        coalesce(winner || ' won by ' || policy, 'nobody has decided'), \
        CASE WHEN taken IS NOT NULL THEN 'resolved by ' || resolved_by || ' with ' || taken \
          WHEN resolved_at IS NOT NULL THEN '(over)' END) AS detail \
      FROM biograph_bridge.conflict WHERE entity = $1 AND (legacy_id = $2 OR renaissance_id = $3) \
      UNION ALL SELECT since, 'parked', id, concat_ws(' ', coalesce('field ' || field, 'whole record') || ':', reason || ',', detail) \
      FROM biograph_bridge.parked WHERE entity = $1 AND (legacy_id = $2 OR renaissance_id = $3) \
      UNION ALL SELECT at, 'tombstone', id, 'deleted on ' || deleted_on || coalesce(', put back by ' || restored_by, '') \
      FROM biograph_bridge.tombstone WHERE entity = $1 AND (legacy_id = $2 OR renaissance_id = $3) \
      UNION ALL SELECT at, 'intent', NULL, kind || ' of its document is under way' \
      FROM biograph_bridge.intent WHERE entity = $1 AND (legacy_id = $2 OR renaissance_id = $3) \
      UNION ALL SELECT r.requested_at, 'request', r.id, r.command || coalesce(' by ' || (r.arguments ->> 'by'), '') || \
        CASE WHEN r.done_at IS NULL THEN ': open' WHEN r.outcome ? 'ok' THEN ': done' ELSE ': refused' END \
      FROM biograph_bridge.request r WHERE r.command = 'conflict_resolve' AND EXISTS (SELECT FROM biograph_bridge.conflict c \
        WHERE c.id::text = r.arguments ->> 'id' AND c.entity = $1 AND (c.legacy_id = $2 OR c.renaissance_id = $3)) \
      UNION ALL SELECT r.requested_at, 'request', r.id, r.command || coalesce(' by ' || (r.arguments ->> 'by'), '') || \
        CASE WHEN r.done_at IS NULL THEN ': open' WHEN r.outcome ? 'ok' THEN ': done' ELSE ': refused' END \
      FROM biograph_bridge.request r WHERE r.command = 'tombstone_restore' AND EXISTS (SELECT FROM biograph_bridge.tombstone t \
        WHERE t.id::text = r.arguments ->> 'id' AND t.entity = $1 AND (t.legacy_id = $2 OR t.renaissance_id = $3)) \
    ) e(at, what, id, detail) ORDER BY e.at, what, id LIMIT $4";

/// The link of a record and what happened to it, oldest first; at most `limit` events.
pub async fn timeline(
    pool: &PgPool,
    entity: &str,
    (legacy, renaissance): (Option<&str>, Option<i64>),
    limit: i64,
) -> Result<(Option<LinkShown>, Vec<Event>)> {
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('biograph_bridge.tombstone_kept') IS NOT NULL").fetch_one(pool).await?;
    if !there {
        let error = Error::halt("this database has no state of this version of biograph-bridge");
        return Err(error.with_hint("is it the right one? `biograph-bridge run` sets up and begins"));
    }
    let link: Option<LinkShown> =
        sqlx::query_as(LINK).bind(entity).bind(legacy).bind(renaissance).fetch_optional(pool).await?;
    let legacy = link.as_ref().map(|link| link.legacy_id.as_str()).or(legacy);
    let renaissance = link.as_ref().map(|link| link.renaissance_id).or(renaissance);
    let events = sqlx::query_as(EVENTS).bind(entity).bind(legacy).bind(renaissance).bind(limit);
    let events = events.fetch_all(pool).await?;
    Ok((link, events))
}
