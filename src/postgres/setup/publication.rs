//! The publication: the mapped tables, reduced to the columns that name records where the server can do that.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::{
    Part,
    identity::Located,
    session::{Session, Waits},
};
use crate::{
    error::{Error, Result},
    postgres::{
        fault::during,
        sql::{OWN_NAME, quote_list, quote_literal, quote_qualified},
    },
};

/// Column lists exist from this version on (server_version_num).
const COLUMN_LISTS_SINCE: i32 = 150_000;
/// What a publication may say about itself; the names after it are the tables whose replica identity `init` changed.
const NOTE: &str = "Made by biograph-bridge. Replica identity set on: ";
const OPTIONS: &str = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";

/// One table of the publication: the columns it is reduced to, and whether rows are filtered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedTable {
    /// `None`: all columns.
    pub columns: Option<BTreeSet<String>>,
    /// Whether it has a row filter, which the bridge never sets.
    pub filtered: bool,
}

struct Publication {
    tables: BTreeMap<(String, String), PublishedTable>,
    options_differ: bool,
    note: String,
}

/// What the publication holds, by schema and table; `None` if it does not exist.
pub async fn published_tables(
    connection: &mut PgConnection,
) -> Result<Option<BTreeMap<(String, String), PublishedTable>>> {
    Ok(load(connection).await?.map(|publication| publication.tables))
}

/// Tables whose replica identity `init` changed, as it noted them.
pub(super) async fn changed_identities(connection: &mut PgConnection) -> Result<Vec<String>> {
    let note = load(connection).await?.map(|publication| publication.note).unwrap_or_default();
    Ok(noted(&note))
}

/// The publication with exactly the mapped tables.
pub(super) async fn step(session: &mut Session, tables: &[Located], changed: &[String]) -> Result<()> {
    let column_lists = server_version(session.connection()).await? >= COLUMN_LISTS_SINCE;
    let present = load(session.connection()).await?;
    let wanted = wanted(tables, column_lists);
    let objects = objects(tables, column_lists);
    let mut noted_tables = present.as_ref().map(|present| noted(&present.note)).unwrap_or_default();
    noted_tables.extend(changed.iter().cloned());
    noted_tables.sort_unstable();
    noted_tables.dedup();
    let comment = format!("COMMENT ON PUBLICATION {OWN_NAME} IS {}", quote_literal(&note(&noted_tables)));
    let mut sql = Vec::new();
    match &present {
        None => sql.push(format!("CREATE PUBLICATION {OWN_NAME} FOR TABLE {objects} WITH ({OPTIONS})")),
        Some(present) => {
            if present.tables != wanted {
                sql.push(format!("ALTER PUBLICATION {OWN_NAME} SET TABLE {objects}"));
            }
            if present.options_differ {
                sql.push(format!("ALTER PUBLICATION {OWN_NAME} SET ({OPTIONS})"));
            }
        }
    }
    if !changed.is_empty() || present.is_none() {
        sql.push(comment);
    }
    if sql.is_empty() {
        session.present(Part::Publication, "publication biograph_bridge");
        return Ok(());
    }
    session.apply(Part::Publication, "publication biograph_bridge", sql, Waits::Briefly).await
}

fn wanted(tables: &[Located], column_lists: bool) -> BTreeMap<(String, String), PublishedTable> {
    let entry = |table: &Located| {
        let columns = table.columns().filter(|_| column_lists).map(|columns| columns.into_iter().collect());
        ((table.schema.clone(), table.watched.name.clone()), PublishedTable { columns, filtered: false })
    };
    tables.iter().map(entry).collect()
}

/// The tables as CREATE and ALTER PUBLICATION take them.
fn objects(tables: &[Located], column_lists: bool) -> String {
    let object = |((schema, name), table): (&(String, String), &PublishedTable)| {
        let columns = table.columns.as_ref();
        let list = columns.map(|columns| format!(" ({})", quote_list(columns.iter().map(String::as_str))));
        format!("{}{}", quote_qualified(schema, name), list.unwrap_or_default())
    };
    wanted(tables, column_lists).iter().map(object).collect::<Vec<_>>().join(", ")
}

fn note(tables: &[String]) -> String {
    format!("{NOTE}{}", serde_json::json!(tables))
}

fn noted(note: &str) -> Vec<String> {
    note.strip_prefix(NOTE).and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
}

/// server_version_num.
pub(super) async fn server_version(connection: &mut PgConnection) -> Result<i32> {
    let version = sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(connection).await;
    version.map_err(during("asking for the server's version"))
}

async fn load(connection: &mut PgConnection) -> Result<Option<Publication>> {
    let head = sqlx::query(
        "SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot AS complete,
                coalesce(obj_description(oid, 'pg_publication'), '') AS note
         FROM pg_publication WHERE pubname = $1",
    )
    .bind(OWN_NAME)
    .fetch_optional(&mut *connection)
    .await
    .map_err(during("reading the publication"))?;
    let Some(head) = head else { return Ok(None) };
    if head.try_get("puballtables")? {
        return Err(Error::halt(
            "the publication biograph_bridge is FOR ALL TABLES and would publish the bridge's state",
        )
        .with_hint("DROP PUBLICATION biograph_bridge; then `biograph-bridge init`"));
    }
    let details = if server_version(connection).await? >= COLUMN_LISTS_SINCE {
        "r.prqual IS NOT NULL AS filtered,
         CASE WHEN r.prattrs IS NOT NULL THEN ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])) END AS columns"
    } else {
        "false AS filtered, NULL::text[] AS columns"
    };
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT n.nspname::text AS schema, c.relname::text AS name, {details}
         FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
         JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE p.pubname = $1"
    )))
    .bind(OWN_NAME)
    .fetch_all(connection)
    .await
    .map_err(during("reading the tables of the publication"))?;
    let mut tables = BTreeMap::new();
    for row in rows {
        let columns: Option<Vec<String>> = row.try_get("columns")?;
        let columns = columns.map(|columns| columns.into_iter().collect());
        let table = PublishedTable { columns, filtered: row.try_get("filtered")? };
        tables.insert((row.try_get("schema")?, row.try_get("name")?), table);
    }
    let complete: bool = head.try_get("complete")?;
    Ok(Some(Publication { tables, options_differ: !complete, note: head.try_get("note")? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_reads_back_what_it_says_and_nothing_from_other_comments() {
        let tables = vec!["\"public\".\"user_profiles\"".to_owned(), "\"a\".\"odd, \"\"name\"".to_owned()];
        assert_eq!(noted(&note(&tables)), tables);
        assert!(noted("ours: [\"users\"]").is_empty());
    }
}
