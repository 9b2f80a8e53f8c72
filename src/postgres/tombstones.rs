//! What the bridge deleted: to look at, and to put back.

use serde::Serialize;
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, PgPool};

use super::{
    entries::{Narrow, insist, narrowed},
    parked::Person,
    read::parse_legacy,
    sql::quote_ident,
    store::Postgres,
};
use crate::{
    error::{Disposition, Error, Result},
    model::{key::EntityIndex, mapping::Table, side::Side},
    sync::ports::{Resolution, Restored, Tombstone},
};

/// A deleted record as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Deleted {
    /// Its number.
    pub id: i64,
    /// The entity.
    pub entity: String,
    /// Its legacy id.
    pub legacy_id: Option<String>,
    /// Its renaissance id.
    pub renaissance_id: Option<i64>,
    /// The legacy id of the person it belonged to; `None` for a person.
    pub person: Option<String>,
    /// The side on which the application deleted it, or `both`.
    pub deleted_on: String,
    /// When the bridge followed, RFC 3339.
    pub at: String,
    /// The document in extended JSON, or the rows by table; null if both applications deleted it.
    pub record: Json,
    /// Whether the deletion is still on its way.
    pub under_way: bool,
    /// When it was put back, RFC 3339.
    pub restored_at: Option<String>,
    /// By whom.
    pub restored_by: Option<String>,
}

const LIST: &str = "SELECT t.id, t.entity, t.legacy_id, t.renaissance_id, t.person, t.deleted_on, t.record, \
    to_char(t.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS at, t.intent IS NOT NULL AS under_way, \
    to_char(t.restored_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS restored_at, t.restored_by \
    FROM biograph_bridge.tombstone t \
    WHERE ($2::bigint IS NULL OR t.id = $2) AND ($3::text IS NULL OR t.entity = $3) \
    AND (NOT $4 OR t.person = $5 OR t.entity = $7 AND (t.legacy_id = $5 OR t.renaissance_id = $6)) \
    AND ($8::bigint IS NULL OR t.at >= 'epoch'::timestamptz + $8 * interval '1 microsecond') \
    AND ($9::bigint IS NULL OR t.at < 'epoch'::timestamptz + $9 * interval '1 microsecond') \
    ORDER BY t.at DESC, t.id DESC LIMIT $1";

/// What was deleted, newest first; at most `limit`.
pub async fn deleted(pool: &PgPool, narrow: &Narrow, limit: i64) -> Result<Vec<Deleted>> {
    insist(pool, "tombstone_at", "this database has no state of this version of biograph-bridge").await?;
    narrowed(LIST, narrow, limit).fetch_all(pool).await.map_err(Error::from)
}

/// The ids that a record had which is gone by now, if a tombstone knows one of them.
pub async fn buried(pool: &PgPool, sought: &Person) -> Result<Option<Person>> {
    let ids: Option<(String, Option<String>, Option<i64>)> = sqlx::query_as(
        "SELECT entity, legacy_id, renaissance_id FROM biograph_bridge.tombstone \
         WHERE entity = $1 AND (legacy_id = $2 OR renaissance_id = $3) ORDER BY id DESC LIMIT 1",
    )
    .bind(&sought.entity)
    .bind(&sought.legacy_id)
    .bind(sought.renaissance_id)
    .fetch_optional(pool)
    .await
    .map_err(Error::from)?;
    Ok(ids.map(|(entity, legacy_id, renaissance_id)| Person { entity, legacy_id, renaissance_id }))
}

/// Columns of a tombstone as [`Tombstone`] needs them.
type Row = (i64, String, Option<String>, Option<i64>, String, Json, bool, bool);

const ONE: &str = "SELECT id, entity, legacy_id, renaissance_id, deleted_on, record, intent IS NOT NULL, \
    restored_at IS NOT NULL FROM biograph_bridge.tombstone t WHERE ";
/// A conflict about a whole record is journalled with what was deleted.
const OF_CONFLICT: &str = "EXISTS (SELECT FROM biograph_bridge.conflict c WHERE c.id = $1 \
    AND c.entity = t.entity AND c.legacy_id = t.legacy_id AND c.at = t.at) ORDER BY id DESC LIMIT 1";

impl Postgres {
    pub(super) async fn one_tombstone(&self, id: i64, of_conflict: bool) -> Result<Option<Tombstone>> {
        let sql = format!("{ONE}{}", if of_conflict { OF_CONFLICT } else { "id = $1" });
        let row: Option<Row> =
            sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(&self.pool).await.map_err(Error::from)?;
        row.map(|(id, entity, legacy, renaissance, deleted_on, record, under_way, restored)| {
            let deleted_on = Side::ALL.into_iter().find(|side| side.as_str() == deleted_on);
            let legacy = legacy.as_deref().map(parse_legacy).transpose()?;
            let from = deleted_on.map(Side::other);
            Ok(Tombstone { id, entity, legacy, renaissance, from, record, under_way, restored })
        })
        .transpose()
    }

    /// Puts rows back as an application would: the capture hears of them, and what follows is the normal path.
    pub(super) async fn put_back(&self, index: EntityIndex, record: &Json) -> Result<Restored> {
        let (entity, _) = self.entity(index)?;
        let mut transaction = self.begin_on_state().await?;
        let mut outcome = Restored::There;
        for table in &entity.renaissance.tables {
            let Some(row) = record.get(&table.name).filter(|row| !row.is_null()) else { continue };
            outcome = match &table.members {
                None => put_row(&mut transaction, table, row).await,
                Some(_) => put_members(&mut transaction, table, (&entity.renaissance.tables[0], record), row).await,
            }
            .or_else(refused)?;
            if outcome != Restored::There {
                transaction.rollback().await.map_err(Error::from)?;
                return Ok(outcome);
            }
        }
        // foreign keys that are deferred are looked at here
        transaction.commit().await.map_err(Error::from).map(|()| outcome).or_else(refused)
    }

    pub(super) async fn note_restored(&self, tombstone: i64, by: &str, resolution: Option<&Resolution>) -> Result<()> {
        let mut transaction = self.begin_on_state().await?;
        sqlx::query(
            "UPDATE biograph_bridge.tombstone SET restored_at = now(), restored_by = $2 WHERE id = $1 AND restored_at IS NULL",
        )
        .bind(tombstone)
        .bind(by)
        .execute(&mut *transaction)
        .await
        .map_err(Error::from)?;
        if let Some(resolution) = resolution {
            super::resolving::note(&mut transaction, resolution, None).await?;
        }
        transaction.commit().await.map_err(Error::from)
    }
}

/// A refusal of the database is an answer; everything else an error.
fn refused(error: Error) -> Result<Restored> {
    if error.disposition() != Disposition::Park {
        return Err(error);
    }
    let named = |fault: &crate::error::Fault| {
        let what = fault.constraint.as_ref().or(fault.column.as_ref()).map(|name| format!(": {name}"));
        format!("{}{}", fault.table.as_deref().unwrap_or_default(), what.unwrap_or_default())
    };
    let detail = error.fault().map(named).unwrap_or_default();
    Ok(Restored::Refused(if detail.is_empty() { error.to_string() } else { format!("{error}, {detail}") }))
}

/// The columns of a table that can be written and are in a row, quoted, one after the other.
const COLUMNS: &str = "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute \
    WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' \
    AND attname = ANY($2::text[])";

async fn put_row(connection: &mut PgConnection, table: &Table, row: &Json) -> Result<Restored> {
    let (name, key) = (quote_ident(&table.name), quote_ident(&table.key));
    let there = format!(
        "SELECT to_jsonb(t) = $1::jsonb FROM {name} t WHERE t.{key} = (jsonb_populate_record(NULL::{name}, $1)).{key}"
    );
    let same: Option<bool> = sqlx::query_scalar(AssertSqlSafe(there))
        .bind(row)
        .fetch_optional(&mut *connection)
        .await
        .map_err(Error::from)?;
    if let Some(same) = same {
        return Ok(if same { Restored::There } else { Restored::Taken });
    }
    let names: Vec<String> = row.as_object().into_iter().flat_map(|row| row.keys().cloned()).collect();
    let columns: Option<String> =
        sqlx::query_scalar(COLUMNS).bind(&name).bind(names).fetch_one(&mut *connection).await.map_err(Error::from)?;
    let Some(columns) = columns else { return Ok(Restored::Refused(format!("{}: its columns are gone", table.name))) };
    let insert = format!(
        "INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE \
         SELECT {columns} FROM jsonb_populate_record(NULL::{name}, $1)"
    );
    sqlx::query(AssertSqlSafe(insert)).bind(row).execute(connection).await.map_err(Error::from)?;
    Ok(Restored::There)
}

/// The rows of a join table that still find whom they name.
async fn put_members(
    connection: &mut PgConnection,
    table: &Table,
    (root, record): (&Table, &Json),
    members: &Json,
) -> Result<Restored> {
    let (Some(held), Some(parent)) = (&table.members, record.get(&root.name).and_then(|row| row.get(&root.key))) else {
        return Ok(Restored::There);
    };
    let name = quote_ident(&table.name);
    let (column, own) = (quote_ident(&held.column), quote_ident(table.parent.as_ref().unwrap_or(&table.key)));
    // where a constraint says whom the column names, the others are left out: their own way back brings them
    let target: Option<String> = sqlx::query_scalar(
        "SELECT format('AND EXISTS (SELECT FROM %s x WHERE x.%I = m.id)', c.confrelid::regclass, f.attname) \
         FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND ARRAY[a.attnum] = c.conkey \
         JOIN pg_attribute f ON f.attrelid = c.confrelid AND ARRAY[f.attnum] = c.confkey \
         WHERE c.contype = 'f' AND c.conrelid = $1::text::regclass AND a.attname = $2 LIMIT 1",
    )
    .bind(&name)
    .bind(&held.column)
    .fetch_optional(&mut *connection)
    .await
    .map_err(Error::from)?;
    let insert = format!(
        "INSERT INTO {name} ({own}, {column}) SELECT ($1::jsonb #>> '{{}}')::bigint, m.id \
         FROM (SELECT value::bigint AS id FROM jsonb_array_elements_text($2)) m \
         WHERE NOT EXISTS (SELECT FROM {name} h WHERE h.{own} = ($1::jsonb #>> '{{}}')::bigint AND h.{column} = m.id) {}",
        target.unwrap_or_default()
    );
    sqlx::query(AssertSqlSafe(insert)).bind(parent).bind(members).execute(connection).await.map_err(Error::from)?;
    Ok(Restored::There)
}
