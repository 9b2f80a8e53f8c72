//! The mapped tables: what the role may do with them, and what else acts on their rows.

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::Role;
use crate::{
    error::Result,
    model::{key::EntityIndex, mapping::Entity},
    postgres::{
        fault::during,
        persons::owner_column,
        sql::{FENCE_TRIGGER, quote_qualified},
        watched::watched_tables,
    },
    sync::finding::Finding,
};

/// What the bridge does with a mapped table.
const RIGHTS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

// an identity column needs no right on its sequence, a serial one does
const TABLES: &str = "
SELECT wanted.name AS table, n.nspname::text AS schema, c.relpersistence::text AS persistence,
       has_schema_privilege(n.oid, 'USAGE') AS schema_usage,
       ARRAY(SELECT held FROM unnest($2::text[]) AS held WHERE has_table_privilege(c.oid, held)) AS held,
       row_security_active(c.oid) AS row_security,
       ARRAY(SELECT t.tgname::text FROM pg_trigger t
             WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
               AND t.tgname <> $3 ORDER BY 1) AS triggers,
       ARRAY(SELECT s.oid::regclass::text
             FROM pg_depend d JOIN pg_class s ON s.oid = d.objid
             WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
               AND d.deptype = 'a'
               AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') END) AS sequences
FROM unnest($1::text[]) AS wanted (name)
JOIN pg_class c ON c.oid = to_regclass(quote_ident(wanted.name)) AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace";

// a table that is missing is reported elsewhere
const OWNER_INDEXED: &str = r#"
SELECT to_regclass($1) IS NULL OR EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = to_regclass($1) AND '"' || replace(a.attname, '"', '""') || '"' = $2 AND i.indisvalid AND i.indpred IS NULL)"#;

pub(super) async fn findings(session: &mut PgConnection, role: &Role, entities: &[Entity]) -> Result<Vec<Finding>> {
    let tables = watched_tables(entities);
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let asked = sqlx::query(TABLES).bind(&names).bind(RIGHTS.map(str::to_owned).to_vec()).bind(FENCE_TRIGGER);
    let rows = asked.fetch_all(session).await;
    let mut findings = Vec::new();
    for row in rows.map_err(during("asking for rights on the mapped tables"))? {
        findings.extend(table(&row, role)?);
    }
    // tables that are missing are reported with the mapping that names them
    Ok(findings)
}

/// Columns that say whose a record is, without an index: each person who moves would have the whole table read.
pub(super) async fn owner_indexes(session: &mut PgConnection, entities: &[Entity]) -> Result<Vec<Finding>> {
    let parents = (0..=u16::MAX).map(EntityIndex).zip(entities).map(|(index, _)| index);
    let columns = |parent| entities.iter().filter_map(move |child| owner_column(child, parent));
    let columns: Vec<[String; 3]> = parents.flat_map(columns).collect();
    let mut findings = Vec::new();
    for [table, column, _] in columns {
        let indexed: bool = sqlx::query_scalar(OWNER_INDEXED)
            .bind(&table)
            .bind(&column)
            .fetch_one(&mut *session)
            .await
            .map_err(during("looking for indexes on owner columns"))?;
        if !indexed {
            let detail = format!("{column} has no index: each person who moves has the whole table read");
            let fix = format!("CREATE INDEX CONCURRENTLY ON {table} ({column})");
            findings.push(Finding::warning(format!("owner in {table}"), detail, fix));
        }
    }
    Ok(findings)
}

fn table(row: &PgRow, role: &Role) -> Result<Vec<Finding>> {
    let (name, schema): (String, String) = (row.try_get("table")?, row.try_get("schema")?);
    let (quoted, to) = (quote_qualified(&schema, &name), &role.quoted);
    let mut findings = Vec::new();
    if !row.try_get::<bool, _>("schema_usage")? {
        let fix = format!("GRANT USAGE ON SCHEMA {} TO {to}", crate::postgres::sql::quote_ident(&schema));
        findings.push(Finding::blocking(format!("schema {schema}"), "may not be used", fix));
    }
    let held: Vec<String> = row.try_get("held")?;
    let missing: Vec<&str> = RIGHTS.into_iter().filter(|right| !held.iter().any(|held| held == right)).collect();
    findings.push(if missing.is_empty() {
        Finding::good(format!("rights on {name}"), RIGHTS.join(", "))
    } else {
        let rights = missing.join(", ");
        Finding::blocking(
            format!("rights on {name}"),
            format!("no {rights}"),
            format!("GRANT {rights} ON {quoted} TO {to}"),
        )
    });
    let sequences: Vec<String> = row.try_get("sequences")?;
    let blocked = |sequence: String| {
        Finding::blocking(
            format!("sequence {sequence}"),
            "may not be used",
            format!("GRANT USAGE ON SEQUENCE {sequence} TO {to}"),
        )
    };
    findings.extend(sequences.into_iter().map(blocked));
    if row.try_get::<bool, _>("row_security")? && !role.superuser && !role.bypasses_row_security {
        let detail = "row security hides rows from this role: they would look deleted";
        findings.push(Finding::blocking(
            format!("row security of {name}"),
            detail,
            format!("ALTER ROLE {to} BYPASSRLS"),
        ));
    }
    if row.try_get::<&str, _>("persistence")? != "p" {
        let detail = "is unlogged: its changes are not in the log";
        findings.push(Finding::blocking(format!("table {name}"), detail, format!("ALTER TABLE {quoted} SET LOGGED")));
    }
    let triggers: Vec<String> = row.try_get("triggers")?;
    if !triggers.is_empty() {
        let detail =
            format!("{}: they run on the bridge's writes too; what they change travels back", triggers.join(", "));
        findings.push(Finding::good(format!("triggers on {name}"), detail));
    }
    Ok(findings)
}
