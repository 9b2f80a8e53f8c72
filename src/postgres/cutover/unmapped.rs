//! What Renaissance holds about records that no mapping knows: BioGraph has no place for it.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;

use crate::{
    error::{Error, Result},
    model::{
        key::{EntityIndex, RenaissanceId},
        mapping::Entity,
    },
    postgres::{catalog, sql::quote_ident, store::Postgres},
};

/// Tables with a foreign key of one column to a table ($1), without those of the mappings ($2) and of the bridge; and whether
/// it may be read.
const REFERRING: &str = "SELECT k.conrelid::regclass::text, a.attname::text, \
      has_schema_privilege(c.relnamespace, 'USAGE') AND has_column_privilege(k.conrelid, a.attnum, 'SELECT') \
    FROM pg_constraint k \
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] \
    WHERE k.contype = 'f' AND k.confrelid = to_regclass($1) AND cardinality(k.conkey) = 1 AND c.relname <> ALL($2) \
      AND c.relnamespace <> COALESCE(to_regnamespace('biograph_bridge'), 0) ORDER BY 1, 2";

impl Postgres {
    /// A table that names a record by several columns counts for each of them.
    pub(super) async fn rows_unmapped(
        &self,
        index: EntityIndex,
        ids: &[RenaissanceId],
    ) -> Result<Vec<(String, RenaissanceId, u64)>> {
        let (entity, _) = self.entity(index)?;
        let mut found = Vec::new();
        for (table, column, _) in self.referring(entity).await?.into_iter().filter(|(_, _, readable)| *readable) {
            let column = quote_ident(&column);
            // the server has quoted the table's name
            let sql = format!("SELECT {column}::int8, count(*) FROM {table} WHERE {column} = ANY($1) GROUP BY 1");
            let rows: Vec<(RenaissanceId, i64)> =
                sqlx::query_as(AssertSqlSafe(sql)).bind(ids).fetch_all(&self.pool).await.map_err(Error::from)?;
            let counted = |(id, count)| (table.clone(), id, u64::try_from(count).unwrap_or(0));
            found.extend(rows.into_iter().map(counted));
        }
        Ok(found)
    }

    pub(super) async fn tables_unread(&self) -> Result<Vec<String>> {
        let mut unread = BTreeSet::new();
        for entity in self.entities().iter() {
            let referring = self.referring(entity).await?;
            unread.extend(referring.into_iter().filter(|(_, _, readable)| !readable).map(|(table, ..)| table));
        }
        Ok(unread.into_iter().collect())
    }

    /// Tables and columns that name records of the entity, and whether they may be read.
    async fn referring(&self, entity: &Entity) -> Result<Vec<(String, String, bool)>> {
        let mapped: Vec<&str> = self.entities().iter().flat_map(|entity| entity.table_names()).collect();
        let Some(root) = entity.renaissance.tables.first() else { return Ok(Vec::new()) };
        let root = quote_ident(&root.name);
        let referring = sqlx::query_as(REFERRING).bind(root).bind(mapped).fetch_all(&self.pool);
        referring.await.map_err(Error::from)
    }

    pub(super) async fn columns_unmapped(&self) -> Result<Vec<String>> {
        let tables: Vec<&str> = self.entities().iter().flat_map(|entity| entity.table_names()).collect();
        let catalog = catalog::load(&self.pool, &tables).await?;
        let mut unmapped = Vec::new();
        for entity in self.entities().iter() {
            for (n, table) in entity.renaissance.tables.iter().enumerate().filter(|(_, table)| table.members.is_none())
            {
                let known = |name: &str| {
                    let columns = entity.renaissance.columns.iter();
                    let mut mapped = columns.filter(|column| column.table == n && !column.filter_only);
                    name == table.key
                        || table.parent.as_deref() == Some(name)
                        || (n == 0 && name == entity.renaissance.legacy_id_column)
                        || mapped.any(|column| column.name == name)
                };
                let columns = catalog.tables.get(&table.name).map_or(&[][..], |table| &table.columns);
                let unknown = columns.iter().filter(|column| !column.generated && !known(&column.name));
                unmapped.extend(unknown.map(|column| format!("{}.{}", table.name, column.name)));
            }
        }
        Ok(unmapped)
    }
}
