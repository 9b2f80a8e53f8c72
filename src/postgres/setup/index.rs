//! An index on each root table's legacy id column, by which rows are found that were migrated before the bridge came.

use sqlx::PgConnection;

use super::{
    Part,
    session::{Session, Waits},
};
use crate::{
    error::Result,
    model::mapping::Entity,
    postgres::{
        fault::during,
        sql::{own_name, quote_ident},
    },
};

/// The statements that give an entity its legacy id index; none if a valid index begins with that column.
pub async fn legacy_id_index(connection: &mut PgConnection, entity: &Entity) -> Result<Vec<String>> {
    let Some(root) = entity.renaissance.tables.first() else { return Ok(Vec::new()) };
    let column = &entity.renaissance.legacy_id_column;
    let name = own_name(&[&root.name, column]);
    // unfiltered, or filtered just as ours is
    let usable: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                        JOIN pg_class c ON c.oid = i.indexrelid
                        WHERE i.indrelid = to_regclass(quote_ident($1)) AND a.attname = $2 AND i.indisvalid
                          AND (i.indpred IS NULL OR c.relname = $3))",
    )
    .bind(&root.name)
    .bind(column)
    .bind(&name)
    .fetch_one(&mut *connection)
    .await
    .map_err(during("looking for the index on the legacy id"))?;
    if usable {
        return Ok(Vec::new());
    }
    let broken: Option<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indrelid = to_regclass(quote_ident($1)) AND c.relname = $2 AND NOT i.indisvalid",
    )
    .bind(&root.name)
    .bind(&name)
    .fetch_optional(connection)
    .await
    .map_err(during("looking for a half-built index"))?;
    let drop = broken.map(|index| format!("DROP INDEX CONCURRENTLY {index}"));
    let create = format!(
        "CREATE INDEX CONCURRENTLY {} ON {} ({column}) WHERE {column} IS NOT NULL",
        quote_ident(&name),
        quote_ident(&root.name),
        column = quote_ident(column),
    );
    Ok(drop.into_iter().chain([create]).collect())
}

pub(super) async fn steps(session: &mut Session, entities: &[Entity]) -> Result<()> {
    for entity in entities {
        let sql = legacy_id_index(session.connection(), entity).await?;
        let what = format!("index on the legacy id of {}", entity.name);
        if sql.is_empty() {
            session.present(Part::Index, what);
        } else {
            session.apply(Part::Index, what, sql, Waits::ForOthers).await?;
        }
    }
    Ok(())
}
