//! Counting and adding up what rows hold, by the server and as it is stored.

use sqlx::AssertSqlSafe;

use super::{read::parse_legacy, sql::quote_ident, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{
        key::{EntityIndex, LegacyId, RenaissanceId},
        mapping::{Entity, Plain},
        side::Side,
    },
    sync::ports::{RawSum, RawSums},
};

impl Postgres {
    /// Some links whose records are on both sides and of which nothing is parked: the same ones each time.
    pub async fn sample_of_links(&self, index: EntityIndex, limit: i64) -> Result<Vec<(LegacyId, RenaissanceId)>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT l.legacy_id, l.renaissance_id FROM biograph_bridge.link l WHERE l.entity = $1 AND l.base IS NOT NULL \
             AND NOT EXISTS (SELECT FROM biograph_bridge.parked p WHERE p.entity = l.entity AND p.legacy_id = l.legacy_id) \
             ORDER BY hashtext(l.legacy_id), l.legacy_id LIMIT $2",
        )
        .bind(&self.entity(index)?.0.name)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        rows.into_iter().map(|(legacy, row)| Ok((parse_legacy(&legacy)?, row))).collect()
    }

    /// What these rows hold in these fields. No lens is involved.
    pub async fn raw_sums(
        &self,
        index: EntityIndex,
        ids: &[RenaissanceId],
        fields: &[(usize, Plain)],
    ) -> Result<RawSums> {
        let (entity, _) = self.entity(index)?;
        let found: Vec<f64> = sqlx::query_scalar(AssertSqlSafe(sums(entity, fields)))
            .bind(ids)
            .fetch_one(&self.pool)
            .await
            .map_err(Error::from)?;
        let mut numbers = found.into_iter();
        let records = numbers.next().unwrap_or(0.0);
        let mut sum = || RawSum { empty: numbers.next().unwrap_or(0.0), sum: numbers.next().unwrap_or(0.0) };
        Ok(RawSums { records, fields: fields.iter().map(|_| sum()).collect() })
    }
}

/// One array: how many rows there are, then per field how many are empty and the sum.
fn sums(entity: &Entity, fields: &[(usize, Plain)]) -> String {
    let tables = &entity.renaissance.tables;
    let mut numbers = vec!["count(*)::float8".to_owned()];
    let mut used = vec![0];
    for (field, plain) in fields {
        let slot = entity.fields.get(*field).and_then(|field| field.slots(Side::Renaissance).first());
        let Some(column) = slot.and_then(|slot| entity.renaissance.columns.get(*slot)) else {
            numbers.extend(["0".to_owned(), "0".to_owned()]);
            continue;
        };
        if !used.contains(&column.table) {
            used.push(column.table);
        }
        let held = format!("t{}.{}", column.table, quote_ident(&column.name));
        numbers.push(format!("count(*) FILTER (WHERE {held} IS NULL OR {held}::text = '')::float8"));
        numbers.push(match plain {
            Plain::Text => format!("coalesce(sum(char_length({held}::text)), 0)::float8"),
            Plain::Truth => format!("count(*) FILTER (WHERE {held})::float8"),
            Plain::Number => format!("coalesce(sum({held}), 0)::float8"),
        });
    }
    let root = &tables[0];
    let mut from = format!("{} t0", quote_ident(&root.name));
    for (place, table) in tables.iter().enumerate().filter(|(place, _)| *place > 0 && used.contains(place)) {
        let parent = table.parent.as_deref().unwrap_or(&table.key);
        let (name, parent, key) = (quote_ident(&table.name), quote_ident(parent), quote_ident(&root.key));
        from.push_str(&format!(" LEFT JOIN {name} t{place} ON t{place}.{parent} = t0.{key}"));
    }
    format!(
        "SELECT ARRAY[{}]::float8[] FROM {from} WHERE t0.{} = ANY($1::bigint[])",
        numbers.join(", "),
        quote_ident(&root.key)
    )
}
