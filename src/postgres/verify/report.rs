//! What comparing has found, for commands.

use serde::Serialize;
use serde_json::Value as Json;
use sqlx::{FromRow, PgPool, types::Json as Stored};

use crate::{
    error::{Error, Result},
    sync::ports::{Asked, Counts, State},
};

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct PastRun {
    /// Its number.
    pub run: i64,
    /// What it was about.
    pub asked: Asked,
    /// Whether nobody asked for it.
    pub background: bool,
    /// When it began, RFC 3339.
    pub begun_at: String,
    /// When it ended, RFC 3339; null while it is due.
    pub ended_at: Option<String>,
    /// `complete`, or why it stopped; null while it is due.
    pub outcome: Option<String>,
}

/// How far one part of an entity has come.
#[derive(Clone, Debug)]
pub struct PartProgress {
    /// The entity.
    pub entity: String,
    /// `documents`, `rows`, `links`, `person`.
    pub part: String,
    /// Whether it is complete.
    pub done: bool,
    /// How many records there are; an estimate.
    pub total: Option<i64>,
    /// What was found.
    pub counts: Counts,
}

/// A record that differs, or did.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct Finding {
    /// The entity.
    pub entity: String,
    /// Its legacy id.
    pub legacy_id: Option<String>,
    /// Its renaissance id.
    pub renaissance_id: Option<i64>,
    /// `differs`, `unsettled`, `repaired`, `parked`.
    pub state: String,
    /// `fields`, `missing_in_legacy`, `missing_in_renaissance`, `not_linked`, `not_named`, `gone`; `unknown` if it was never
    /// seen whole.
    pub what: String,
    /// Which side moved: `legacy`, `renaissance`, `both`, `no base`.
    pub moved: Option<String>,
    /// `[{"field", "moved"}]`.
    pub fields: Json,
    /// The sides that repairing writes.
    pub writes: Vec<String>,
}

type RunRow = (i64, Stored<Asked>, bool, String, Option<String>, Option<String>);
type ProgressRow = (String, String, bool, Option<i64>, Stored<Counts>);

/// A run by its number, or the newest that somebody asked for.
pub async fn run(pool: &PgPool, id: Option<i64>) -> Result<Option<PastRun>> {
    let row: Option<RunRow> = sqlx::query_as(
        "SELECT id, asked, background, to_char(begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
         to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), outcome \
         FROM biograph_bridge.verify_run WHERE id = $1 OR ($1 IS NULL AND NOT background) ORDER BY id DESC LIMIT 1",
    )
    .bind(id)
    .fetch_optional(pool)
    .await
    .map_err(Error::from)?;
    Ok(row.map(|(run, Stored(asked), background, begun_at, ended_at, outcome)| PastRun {
        run,
        asked,
        background,
        begun_at,
        ended_at,
        outcome,
    }))
}

/// How far a run has come.
pub async fn progress(pool: &PgPool, run: i64) -> Result<Vec<PartProgress>> {
    let rows: Vec<ProgressRow> = sqlx::query_as(
        "SELECT entity, part, done, total, to_jsonb(p) FROM biograph_bridge.verify_progress p WHERE run = $1 \
         ORDER BY entity, part",
    )
    .bind(run)
    .fetch_all(pool)
    .await
    .map_err(Error::from)?;
    let progress = |(entity, part, done, total, Stored(counts))| PartProgress { entity, part, done, total, counts };
    Ok(rows.into_iter().map(progress).collect())
}

/// The first findings of a run, by entity.
pub async fn findings(pool: &PgPool, run: i64, limit: i64) -> Result<Vec<Finding>> {
    sqlx::query_as(
        "SELECT entity, legacy_id, renaissance_id, state, coalesce(what, 'unknown') AS what, moved, \
         coalesce(fields, '[]') AS fields, coalesce(writes, '{}') AS writes \
         FROM (SELECT *, row_number() OVER (PARTITION BY entity, state ORDER BY id) AS place \
           FROM biograph_bridge.verify_difference WHERE run = $1 AND state <> $3) d \
         WHERE place <= $2 ORDER BY entity, state, id",
    )
    .bind(run)
    .bind(limit)
    .bind(State::Candidate.as_str())
    .fetch_all(pool)
    .await
    .map_err(Error::from)
}
