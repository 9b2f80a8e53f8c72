//! What the database's own catalogs say about the mapped tables.

use std::collections::BTreeMap;

use sqlx::{PgPool, Row, postgres::PgRow};

use super::fault::during;
use crate::{
    error::Result,
    model::catalog::{Catalog, ColumnInfo, ColumnKind, ColumnLimits, TableInfo},
};

/// The bytes in front of the length in a varchar's modifier.
const MODIFIER_HEADER: i32 = 4;

// a domain is followed to the type it is made of; the innermost domain has the modifier
const COLUMNS: &str = "
WITH RECURSIVE domain (oid, base, modifier, required) AS (
  SELECT oid, typbasetype, typtypmod, typnotnull FROM pg_type WHERE typtype = 'd'
  UNION ALL
  SELECT d.oid, t.typbasetype, t.typtypmod, d.required OR t.typnotnull
  FROM domain d JOIN pg_type t ON t.oid = d.base AND t.typtype = 'd')
SELECT wanted.name AS table, a.attname::text AS name, format_type(b.oid, NULL) AS sql_type,
       COALESCE(d.modifier, a.atttypmod) AS modifier, format_type(i.oid, NULL) AS item_type,
       COALESCE(i.typtype, b.typtype) = 'e' AS is_enum,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = COALESCE(i.oid, b.oid) ORDER BY e.enumsortorder) AS labels,
       a.attnotnull OR COALESCE(d.required, false) AS required,
       a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL AS filled, a.attgenerated <> '' AS generated
FROM unnest($1::text[]) AS wanted (name)
JOIN pg_class c ON c.oid = to_regclass(quote_ident(wanted.name)) AND c.relkind IN ('r', 'p')
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN (domain d JOIN pg_type base ON base.oid = d.base AND base.typtype <> 'd') ON d.oid = t.oid
JOIN pg_type b ON b.oid = COALESCE(d.base, t.oid)
LEFT JOIN pg_type i ON i.oid = b.typelem AND i.typarray = b.oid
ORDER BY wanted.name, a.attnum";

// constraints that are unique own an index of the same name; expressions have column number 0
const UNIQUE: &str = "
SELECT wanted.name AS table, ic.relname::text AS name,
       ARRAY(SELECT a.attname::text
             FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
             WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
FROM unnest($1::text[]) AS wanted (name)
JOIN pg_index i ON i.indrelid = to_regclass(quote_ident(wanted.name))
JOIN pg_class ic ON ic.oid = i.indexrelid
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY wanted.name, i.indisprimary DESC, ic.relname";

const FOREIGN: &str = "
SELECT wanted.name AS table, k.conname::text AS name, target.relname::text AS target,
       ARRAY(SELECT a.attname::text
             FROM unnest(k.conkey) WITH ORDINALITY AS part (number, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = part.number
             ORDER BY part.place) AS columns
FROM unnest($1::text[]) AS wanted (name)
JOIN pg_constraint k ON k.conrelid = to_regclass(quote_ident(wanted.name)) AND k.contype = 'f'
JOIN pg_class target ON target.oid = k.confrelid
ORDER BY wanted.name, k.conname";

/// The named tables, as far as they exist on the search path.
pub async fn load(pool: &PgPool, tables: &[&str]) -> Result<Catalog> {
    let mut session = pool.acquire().await.map_err(during("reading the catalog"))?;
    let mut found: BTreeMap<String, TableInfo> = BTreeMap::new();
    let failed = || during::<sqlx::Error>("reading the catalog");
    for row in sqlx::query(COLUMNS).bind(tables).fetch_all(&mut *session).await.map_err(failed())? {
        found.entry(row.try_get("table")?).or_default().columns.push(column(&row)?);
    }
    for row in sqlx::query(UNIQUE).bind(tables).fetch_all(&mut *session).await.map_err(failed())? {
        if let Some(table) = found.get_mut(row.try_get::<&str, _>("table")?) {
            table.unique.push((row.try_get("name")?, row.try_get("columns")?));
        }
    }
    for row in sqlx::query(FOREIGN).bind(tables).fetch_all(&mut *session).await.map_err(failed())? {
        if let Some(table) = found.get_mut(row.try_get::<&str, _>("table")?) {
            table.foreign_keys.push((row.try_get("name")?, row.try_get("columns")?, row.try_get("target")?));
        }
    }
    Ok(Catalog { tables: found })
}

fn column(row: &PgRow) -> Result<ColumnInfo> {
    let sql_type: String = row.try_get("sql_type")?;
    let (item_type, modifier): (Option<String>, i32) = (row.try_get("item_type")?, row.try_get("modifier")?);
    let of = |sql_type: &str, is_enum: bool| if is_enum { ColumnKind::Enum } else { kind(sql_type, modifier) };
    let is_enum = row.try_get("is_enum")?;
    let kind = item_type.map_or_else(|| of(&sql_type, is_enum), |item| of(&item, is_enum).array());
    let required: bool = row.try_get("required")?;
    let filled: bool = row.try_get("filled")?;
    Ok(ColumnInfo {
        name: row.try_get("name")?,
        limits: ColumnLimits { kind, nullable: !required },
        labels: row.try_get("labels")?,
        optional: filled || !required,
        sql_type,
        generated: row.try_get("generated")?,
    })
}

fn kind(sql_type: &str, modifier: i32) -> ColumnKind {
    match sql_type {
        "text" => ColumnKind::Text(None),
        extension if extension == "citext" || extension.ends_with(".citext") => ColumnKind::Text(None),
        "character varying" => ColumnKind::Text(u32::try_from(modifier - MODIFIER_HEADER).ok()),
        "boolean" => ColumnKind::Bool,
        "smallint" => ColumnKind::Int(16),
        "integer" => ColumnKind::Int(32),
        "bigint" => ColumnKind::Int(64),
        "character" => u32::try_from(modifier - MODIFIER_HEADER).map_or(ColumnKind::Other, ColumnKind::Char),
        // fewer than three digits of a second would round what is written
        "timestamp with time zone" | "timestamp without time zone" if !(0..3).contains(&modifier) => {
            ColumnKind::Timestamp
        }
        "real" => ColumnKind::Float(32),
        "double precision" => ColumnKind::Float(64),
        "numeric" => ColumnKind::Numeric(extent(modifier)),
        "date" => ColumnKind::Date,
        "json" | "jsonb" => ColumnKind::Json,
        "bytea" => ColumnKind::Bytes,
        "uuid" => ColumnKind::Uuid,
        _ => ColumnKind::Other,
    }
}

/// The digits before and after the point that a `numeric` with this modifier holds: precision in its upper half, scale in the
/// lower eleven bits, signed.
fn extent(modifier: i32) -> Option<(i32, i32)> {
    let packed = modifier.checked_sub(MODIFIER_HEADER).filter(|packed| *packed >= 0)?;
    let (precision, scale) = (packed >> 16, ((packed & 0x7ff) ^ 1024) - 1024);
    Some((precision - scale, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varchar_without_length_has_no_limit() {
        assert_eq!(kind("character varying", -1), ColumnKind::Text(None));
        assert_eq!(kind("character varying", 154), ColumnKind::Text(Some(150)));
        assert_eq!(kind("character", 9), ColumnKind::Char(5));
    }

    #[test]
    fn a_modifier_that_would_round_is_known() {
        let packed = |precision: i32, scale: i32| (precision << 16 | (scale & 0x7ff)) + MODIFIER_HEADER;
        assert_eq!(kind("numeric", -1), ColumnKind::Numeric(None));
        assert_eq!(kind("numeric", packed(10, 2)), ColumnKind::Numeric(Some((8, 2))));
        assert_eq!(kind("numeric", packed(3, -2)), ColumnKind::Numeric(Some((5, -2))));
        assert_eq!(kind("timestamp with time zone", 0), ColumnKind::Other);
        assert_eq!(kind("timestamp with time zone", 3), ColumnKind::Timestamp);
        assert_eq!(kind("timestamp without time zone", -1), ColumnKind::Timestamp);
    }
}
