//! Statements over join tables, whose rows of one record are one slot: the set of what they name.

use crate::{
    model::{
        key::EntityIndex,
        mapping::{Entity, Table},
    },
    postgres::sql::{quote_ident, quote_literal},
};

/// A join table's names, quoted.
struct Names {
    table: String,
    parent: String,
    member: String,
}

fn names(table: &Table) -> Option<Names> {
    let members = table.members.as_ref()?;
    let parent = table.parent.as_ref().unwrap_or(&table.key);
    Some(Names { table: quote_ident(&table.name), parent: quote_ident(parent), member: quote_ident(&members.column) })
}

/// A number that any insert, update or delete among a record's rows changes, in no matter which order they are seen. Odd,
/// because zero stands for a row that is missing; without its sign, because versions have none.
fn version(member: &str, xmin: &str) -> String {
    format!("((coalesce(bit_xor(hashint8extended({member}::bigint, {xmin})), 0) & 9223372036854775806) | 1)")
}

/// The part of a read that looks a record's rows up, as `t{n}(ids, version)`: always one row.
pub(super) fn lookup(table: &Table, n: usize, id: &str) -> Option<String> {
    let Names { table, parent, member } = names(table)?;
    let version = version(&format!("m.{member}"), "m.xmin::text::bigint");
    Some(format!(
        " CROSS JOIN LATERAL (SELECT array_agg(m.{member}::bigint ORDER BY m.{member}) AS ids, {version} AS version \
         FROM {table} m WHERE m.{parent} = {id}) t{n}"
    ))
}

/// Locks the rows of records ($1), skipping those that others hold: record, version, members. A record without rows is not
/// in the answer.
pub(super) fn lock(table: &Table) -> Option<String> {
    let Names { table, parent, member } = names(table)?;
    let version = version("h.member", "h.xmin");
    Some(format!(
        "SELECT h.id, {version}, array_agg(h.member) \
         FROM (SELECT m.{parent}::bigint AS id, m.{member}::bigint AS member, m.xmin::text::bigint AS xmin \
               FROM {table} m JOIN unnest($1::bigint[]) AS v(id) ON m.{parent} = v.id \
               ORDER BY 1, 2 FOR UPDATE OF m SKIP LOCKED) h \
         GROUP BY h.id"
    ))
}

/// Removes members: records ($1) and what each no longer names ($2).
pub(super) fn remove(table: &Table) -> Option<String> {
    let Names { table, parent, member } = names(table)?;
    Some(format!(
        "DELETE FROM {table} m USING unnest($1::bigint[], $2::bigint[]) AS v(id, member) \
         WHERE m.{parent} = v.id AND m.{member} = v.member"
    ))
}

/// Removes all rows of deleted records ($1) and collects what they named: `d{n}(id, row)`.
pub(super) fn delete(table: &Table, n: usize) -> Option<String> {
    let Names { table, parent, member } = names(table)?;
    Some(format!(
        "g{n} AS (DELETE FROM {table} m WHERE m.{parent} = ANY($1::bigint[]) RETURNING m.{parent} AS id, m.{member} AS member), \
         d{n} AS (SELECT id, jsonb_agg(member ORDER BY member) AS row FROM g{n} GROUP BY id)"
    ))
}

/// Removes the rows by which other records name deleted ones ($1, of entity $2, with the legacy ids $3): they would refer to
/// nothing. A row that goes with its own record is left to that, as one statement deletes a row only once. The links of those
/// who named them keep whom: their own application has not taken anybody out of the set.
pub(super) fn forget(entities: &[Entity], deleted: EntityIndex) -> Vec<String> {
    let tables = |entity: &'_ Entity| entity.renaissance.tables.clone();
    let own = entities.get(usize::from(deleted.0)).map(tables).unwrap_or_default();
    let mut statements: Vec<String> = Vec::new();
    for entity in entities {
        for field in &entity.fields {
            let refers =
                field.refers.as_ref().filter(|refers| refers.linked && refers.many && refers.entity == deleted);
            let slot = refers.and_then(|_| field.renaissance.slots.first());
            let column = slot.and_then(|slot| entity.renaissance.columns.get(*slot));
            let table = column.and_then(|column| entity.renaissance.tables.get(column.table));
            let Some(Names { table, parent, member }) = table.and_then(names) else { continue };
            let goes_itself = own.iter().filter_map(names).find(|own| own.table == table);
            let not_itself = goes_itself.map(|own| format!(" AND NOT m.{} = ANY($1::bigint[])", own.parent));
            let sql = format!(
                "(DELETE FROM {table} m WHERE m.{member} = ANY($1::bigint[]){} \
                 RETURNING {} AS entity, m.{parent}::bigint AS holder, m.{member}::bigint AS gone)",
                not_itself.unwrap_or_default(),
                quote_literal(&entity.name)
            );
            if !statements.contains(&sql) {
                statements.push(sql);
            }
        }
    }
    if statements.is_empty() {
        return statements;
    }
    let all: Vec<String> = (0..statements.len()).map(|n| format!("SELECT * FROM f{n}")).collect();
    let told = format!(
        "told AS (UPDATE biograph_bridge.link l SET awaits = array(SELECT unnest(l.awaits) UNION SELECT unnest(h.names)) \
         FROM (SELECT f.entity, f.holder, array_agg($2 || ' legacy:' || v.legacy) AS names \
               FROM ({}) f JOIN unnest($1::bigint[], $3::text[]) AS v(id, legacy) ON v.id = f.gone GROUP BY 1, 2) h \
         WHERE l.entity = h.entity AND l.renaissance_id = h.holder)",
        all.join(" UNION ALL ")
    );
    let forgets = statements.into_iter().enumerate().map(|(n, sql)| format!("f{n} AS {sql}"));
    forgets.chain([told]).collect()
}
