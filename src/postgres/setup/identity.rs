//! Replica identities: a delete must name the record it belongs to, also when a child row goes.
//!
//! The primary key of a child row does not; its parent column does, if a unique index on it is the replica identity.

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{
    Part,
    session::{Session, Waits},
};
use crate::{
    error::{Error, Result},
    postgres::{
        fault::during,
        sql::{quote_ident, quote_qualified},
        watched::WatchedTable,
    },
};

/// A watched table as the server has it.
#[derive(Clone, Debug)]
pub struct Located {
    /// What the mappings say.
    pub watched: WatchedTable,
    /// Its schema.
    pub schema: String,
    /// `d`, `n`, `f` or `i`: pg_class.relreplident.
    current: String,
    /// The columns of the primary key.
    primary: Vec<String>,
    /// The columns of the index chosen as replica identity.
    chosen: Vec<String>,
    /// Indexes that could be chosen, with their columns.
    candidates: Vec<(String, Vec<String>)>,
}

/// What the replica identity of a table should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What it is: old rows come with these columns.
    Keep(Vec<String>),
    /// The primary key.
    Default,
    /// This index, with its columns.
    Index(String, Vec<String>),
    /// It is, or has to be made, the whole row.
    Full { change: bool },
}

impl Located {
    /// Its name in SQL.
    pub fn quoted(&self) -> String {
        quote_qualified(&self.schema, &self.watched.name)
    }

    pub(super) fn wanted(&self) -> Wanted {
        let needed = self.watched.needed();
        let covers = |columns: &[String]| needed.iter().all(|column| columns.iter().any(|known| known == column));
        match self.current.as_str() {
            "f" => return Wanted::Full { change: false },
            "d" if covers(&self.primary) => return Wanted::Keep(self.primary.clone()),
            "i" if covers(&self.chosen) => return Wanted::Keep(self.chosen.clone()),
            _ => {}
        }
        if covers(&self.primary) {
            return Wanted::Default;
        }
        match self.candidates.iter().filter(|(_, columns)| covers(columns)).min_by_key(|(_, columns)| columns.len()) {
            Some((index, columns)) => Wanted::Index(index.clone(), columns.clone()),
            None => Wanted::Full { change: true },
        }
    }

    /// The columns to publish; `None` for all of them, which a full replica identity demands.
    pub(super) fn columns(&self) -> Option<Vec<String>> {
        let identity = match self.wanted() {
            Wanted::Keep(columns) | Wanted::Index(_, columns) => columns,
            Wanted::Default => self.primary.clone(),
            Wanted::Full { .. } => return None,
        };
        let needed = self.watched.needed().into_iter().map(str::to_owned);
        let mut columns: Vec<String> = [self.watched.key.clone()].into_iter().chain(needed).chain(identity).collect();
        columns.sort_unstable();
        columns.dedup();
        Some(columns)
    }
}

/// The statement that gives a table the replica identity the capture needs; `None` if it has it.
pub fn replica_identity(table: &Located) -> Option<String> {
    let identity = match table.wanted() {
        Wanted::Keep(_) | Wanted::Full { change: false } => return None,
        Wanted::Default => "DEFAULT".to_owned(),
        Wanted::Index(index, _) => format!("USING INDEX {}", quote_ident(&index)),
        Wanted::Full { change: true } => "FULL".to_owned(),
    };
    Some(format!("ALTER TABLE {} REPLICA IDENTITY {identity}", table.quoted()))
}

/// Sets what is not right and returns the names of the tables it changed, for the way back.
pub(super) async fn steps(session: &mut Session, tables: &[Located]) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    for table in tables {
        let what = format!("replica identity of {}", table.watched.name);
        match replica_identity(table) {
            None => session.present(Part::ReplicaIdentity, what),
            Some(sql) => {
                session.apply(Part::ReplicaIdentity, what, vec![sql], Waits::Briefly).await?;
                changed.push(table.quoted());
            }
        }
    }
    Ok(changed)
}

/// Finds the tables on the search path. An optional one that is not there is left out.
pub async fn locate(connection: &mut PgConnection, tables: &[WatchedTable]) -> Result<Vec<Located>> {
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let rows = sqlx::query(LOCATE).bind(&names).fetch_all(&mut *connection).await;
    let rows = rows.map_err(during("looking for the mapped tables"))?;
    let candidates = sqlx::query(CANDIDATES).bind(&names).fetch_all(connection).await;
    let candidates = candidates.map_err(during("looking for the indexes of the mapped tables"))?;
    tables.iter().filter_map(|table| located(table, &rows, &candidates).transpose()).collect()
}

fn located(table: &WatchedTable, rows: &[PgRow], candidates: &[PgRow]) -> Result<Option<Located>> {
    let of_table = |row: &&PgRow| row.try_get::<&str, _>("wanted").is_ok_and(|name| name == table.name);
    let Some(row) = rows.iter().find(of_table) else {
        if table.optional {
            return Ok(None);
        }
        return Err(Error::halt(format!("table {} is not in the database (search_path)", table.name)).with_hint(
            "correct the mapping or the URL's database; `biograph-bridge check` lists all that is missing",
        ));
    };
    let candidates = candidates.iter().filter(of_table);
    Ok(Some(Located {
        watched: table.clone(),
        schema: row.try_get("schema")?,
        current: row.try_get("identity")?,
        primary: row.try_get("primary_columns")?,
        chosen: row.try_get("chosen_columns")?,
        candidates: candidates
            .map(|row| Ok((row.try_get("index")?, row.try_get("columns")?)))
            .collect::<Result<_, sqlx::Error>>()?,
    }))
}

const LOCATE: &str = "
SELECT wanted.name AS wanted, n.nspname::text AS schema, c.relreplident::text AS identity,
       ARRAY(SELECT a.attname::text
             FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place), pg_attribute a
             WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts
               AND a.attrelid = c.oid AND a.attnum = k.number) AS primary_columns,
       ARRAY(SELECT a.attname::text
             FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place), pg_attribute a
             WHERE i.indrelid = c.oid AND i.indisreplident AND k.place <= i.indnkeyatts
               AND a.attrelid = c.oid AND a.attnum = k.number) AS chosen_columns
FROM unnest($1::text[]) AS wanted (name)
JOIN pg_class c ON c.oid = to_regclass(quote_ident(wanted.name)) AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace";

const CANDIDATES: &str = "
SELECT wanted.name AS wanted, ic.relname::text AS index, array_agg(a.attname::text) AS columns
FROM unnest($1::text[]) AS wanted (name)
JOIN pg_index i ON i.indrelid = to_regclass(quote_ident(wanted.name))
JOIN pg_class ic ON ic.oid = i.indexrelid
CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0
WHERE i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND k.place <= i.indnkeyatts
GROUP BY wanted.name, ic.relname
HAVING bool_and(coalesce(a.attnotnull, false))
ORDER BY ic.relname";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::EntityIndex;

    fn child(current: &str, chosen: &[&str], candidates: &[(&str, &[&str])]) -> Located {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Located {
            watched: WatchedTable {
                name: "user_profiles".into(),
                key: "id".into(),
                optional: false,
                owners: vec![(EntityIndex(0), "user_id".into())],
            },
            schema: "public".into(),
            current: current.into(),
            primary: texts(&["id"]),
            chosen: texts(chosen),
            candidates: candidates.iter().map(|(index, columns)| ((*index).to_owned(), texts(columns))).collect(),
        }
    }

    #[test]
    fn a_child_is_identified_by_the_index_on_its_parent_column() {
        let table = child("d", &[], &[("pk", &["id"]), ("profile_user", &["user_id"])]);
        let sql = replica_identity(&table).unwrap();
        assert_eq!(sql, "ALTER TABLE \"public\".\"user_profiles\" REPLICA IDENTITY USING INDEX \"profile_user\"");
        assert_eq!(table.columns().unwrap(), ["id", "user_id"]);
    }

    #[test]
    fn without_such_an_index_the_whole_row_is_needed_and_published() {
        let table = child("d", &[], &[("pk", &["id"])]);
        assert!(replica_identity(&table).unwrap().ends_with("REPLICA IDENTITY FULL"));
        assert_eq!(table.columns(), None);
    }

    #[test]
    fn an_identity_that_suffices_is_kept_with_all_its_columns_published() {
        assert_eq!(replica_identity(&child("f", &[], &[])), None);
        let wider = child("i", &["user_id", "theme"], &[]);
        assert_eq!(replica_identity(&wider), None);
        assert_eq!(wider.columns().unwrap(), ["id", "theme", "user_id"]);
    }

    #[test]
    fn a_root_without_identity_gets_its_primary_key_back() {
        let mut root = child("n", &[], &[]);
        root.watched.owners = vec![(EntityIndex(0), "id".into())];
        assert!(replica_identity(&root).unwrap().ends_with("REPLICA IDENTITY DEFAULT"));
    }
}
