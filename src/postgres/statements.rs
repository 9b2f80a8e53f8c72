//! Every statement built from a mapping's names, in one place for audit: all identifiers are quoted, all data are
//! parameters.

mod members;

use sqlx::AssertSqlSafe;

use super::{
    codec,
    sql::{quote_ident, quote_literal},
};
use crate::{
    drill::{self, Mechanism},
    error::{Error, Result},
    model::{
        catalog::{Catalog, ColumnInfo, ColumnKind},
        key::EntityIndex,
        mapping::{Column, Entity, InsertValue, Needs},
    },
};

/// Audited SQL text.
pub(super) type Sql = AssertSqlSafe<String>;

/// The statements of one entity.
pub(super) struct Statements {
    /// Reads rows by id: snapshot, id, legacy id, one version per table, then the columns.
    pub(super) read: String,
    /// Reads all rows with ids between two: nothing, id, legacy id column, whether each table has a row, then the columns.
    pub(super) between: String,
    /// Rows whose legacy id column is in a list.
    pub(super) by_legacy_id: String,
    /// Deletes rows of all tables and leaves tombstones.
    pub(super) delete: String,
    /// Writes the legacy id into rows whose documents were just created.
    pub(super) back_reference: String,
    /// Per table: locks the rows that still have the expected version, skipping those that others hold. For a join table:
    /// locks all rows of records and says what they are.
    pub(super) lock: Vec<String>,
    /// Per table: removes members, if it is a join table.
    pub(super) remove: Vec<String>,
    /// Per table: what an INSERT gives to the columns no field maps.
    pub(super) constants: Vec<Vec<(ColumnInfo, InsertValue)>>,
}

impl Statements {
    /// Builds them for one of the bound entities.
    pub(super) fn new(entities: &[Entity], index: EntityIndex, catalog: &Catalog) -> Result<Self> {
        let entity = entities.get(usize::from(index.0)).ok_or_else(|| Error::halt("an entity that is not mapped"))?;
        let tables = &entity.renaissance.tables;
        Ok(Self {
            read: read(entity),
            between: between(entity),
            by_legacy_id: by_legacy_id(entity),
            delete: delete(entity, &members::forget(entities, index)),
            back_reference: back_reference(entity),
            lock: (0..tables.len()).map(|table| lock(entity, table)).collect(),
            remove: tables.iter().map(|table| members::remove(table).unwrap_or_default()).collect(),
            constants: constants(entity, catalog)?,
        })
    }
}

/// The kind of the column behind a slot.
pub(super) fn kind_of(entity: &Entity, slot: usize) -> ColumnKind {
    let info = entity.renaissance.columns.get(slot).and_then(|column| column.info.as_ref());
    info.map_or(ColumnKind::Other, |info| info.limits.kind)
}

/// The columns of one table that fields use: index of the slot, column, its description.
pub(super) fn columns_of(entity: &Entity, table: usize) -> impl Iterator<Item = (usize, &Column, &ColumnInfo)> {
    let columns = entity.renaissance.columns.iter().enumerate();
    columns.filter(move |(_, column)| column.table == table).filter_map(|(slot, c)| Some((slot, c, c.info.as_ref()?)))
}

fn constants(entity: &Entity, catalog: &Catalog) -> Result<Vec<Vec<(ColumnInfo, InsertValue)>>> {
    let of_table = |table: &crate::model::mapping::Table| {
        let info = catalog.tables.get(&table.name);
        let described = |(name, value): &(String, InsertValue)| {
            let column = info.and_then(|info| info.column(name)).ok_or_else(|| {
                Error::halt(format!("entity {}: table {} has no column {name}", entity.name, table.name))
                    .with_hint("run `biograph-bridge check`")
            })?;
            Ok((column.clone(), value.clone()))
        };
        table.insert.iter().map(described).collect()
    };
    entity.renaissance.tables.iter().map(of_table).collect()
}

/// The column by which a table's rows are addressed with the record's id.
fn address(entity: &Entity, table: usize) -> String {
    let table = &entity.renaissance.tables[table];
    quote_ident(table.parent.as_ref().unwrap_or(&table.key))
}

fn read(entity: &Entity) -> String {
    let version = |n: usize, _: &str| format!("t{n}.xmin::text::bigint");
    let mut joins = String::new();
    for (n, table) in entity.renaissance.tables.iter().enumerate() {
        joins += &members::lookup(table, n, "k.id").unwrap_or_else(|| {
            format!(" LEFT JOIN {} t{n} ON t{n}.{} = k.id", quote_ident(&table.name), address(entity, n))
        });
    }
    format!(
        "WITH s AS MATERIALIZED (SELECT pg_current_snapshot()::text AS snapshot) \
         SELECT CASE WHEN k.n = 1 THEN s.snapshot END, {} \
         FROM unnest($1::bigint[]) WITH ORDINALITY AS k(id, n) CROSS JOIN s{joins} ORDER BY k.n",
        selected(entity, version)
    )
}

/// Each table by the same range, so that they are merged along their indexes.
fn between(entity: &Entity) -> String {
    let is_there = |n: usize, address: &str| format!("CASE WHEN t{n}.{address} IS NULL THEN 0::bigint ELSE 1 END");
    let root = &entity.renaissance.tables[0];
    let key = format!("t0.{}", quote_ident(&root.key));
    let mut joins = String::new();
    for (n, table) in entity.renaissance.tables.iter().enumerate().skip(1) {
        joins += &members::lookup(table, n, &key).unwrap_or_else(|| {
            let address = address(entity, n);
            format!(
                " LEFT JOIN {} t{n} ON t{n}.{address} = {key} AND t{n}.{address} BETWEEN $1 AND $2",
                quote_ident(&table.name)
            )
        });
    }
    format!(
        "SELECT NULL::text, {} FROM {} t0{joins} WHERE {key} BETWEEN $1 AND $2",
        selected(entity, is_there),
        quote_ident(&root.name)
    )
}

/// What is selected of a record, from its id on. `version`: of a table's row, given the table's number and the column by which it
/// is addressed.
fn selected(entity: &Entity, version: impl Fn(usize, &str) -> String) -> String {
    let shape = &entity.renaissance;
    let (key, legacy_id) = (quote_ident(&shape.tables[0].key), quote_ident(&shape.legacy_id_column));
    let mut select = format!("t0.{key} AS id, t0.{legacy_id}::text");
    for (n, table) in shape.tables.iter().enumerate() {
        let version = if table.members.is_some() { format!("t{n}.version") } else { version(n, &address(entity, n)) };
        select += &format!(", {version}");
    }
    for column in &shape.columns {
        let kind = column.info.as_ref().map_or(ColumnKind::Other, |info| info.limits.kind);
        let name = if kind == ColumnKind::Ids { "ids".to_owned() } else { quote_ident(&column.name) };
        select += ", ";
        select += &codec::select(&format!("t{}.{name}", column.table), kind);
    }
    select
}

fn by_legacy_id(entity: &Entity) -> String {
    let (root, column) = (&entity.renaissance.tables[0], quote_ident(&entity.renaissance.legacy_id_column));
    let (table, key) = (quote_ident(&root.name), quote_ident(&root.key));
    // The IS NOT NULL lets the planner use the partial index that `init` makes.
    format!("SELECT {column}, {key} FROM {table} WHERE {column} = ANY($1::text[]) AND {column} IS NOT NULL")
}

/// The strongest row lock: an update of a unique column would wait for somebody else's `FOR KEY SHARE`.
fn lock(entity: &Entity, table: usize) -> String {
    if let Some(lock) = members::lock(&entity.renaissance.tables[table]) {
        return lock;
    }
    let (name, address) = (quote_ident(&entity.renaissance.tables[table].name), address(entity, table));
    format!(
        "SELECT t.{address} FROM {name} t JOIN unnest($1::bigint[], $2::bigint[]) AS v(id, version) \
         ON t.{address} = v.id WHERE t.xmin::text::bigint = v.version ORDER BY 1 FOR UPDATE OF t SKIP LOCKED"
    )
}

/// All of it is one statement, so that foreign keys are looked at when everything is gone. `forget`: what removes the rows
/// by which others name the deleted records.
fn delete(entity: &Entity, forget: &[String]) -> String {
    let tables = &entity.renaissance.tables;
    let mut ctes = forget.to_vec();
    let mut record = format!("jsonb_build_object({}, d0.row", quote_literal(&tables[0].name));
    let mut joins = String::new();
    for (n, table) in tables.iter().enumerate() {
        let (name, address) = (quote_ident(&table.name), address(entity, n));
        ctes.push(members::delete(table, n).unwrap_or_else(|| {
            format!(
                "d{n} AS (DELETE FROM {name} t WHERE t.{address} = ANY($1::bigint[]) \
                 RETURNING t.{address} AS id, to_jsonb(t) AS row)"
            )
        }));
        if n > 0 {
            record += &format!(", {}, d{n}.row", quote_literal(&table.name));
            joins += &format!(" LEFT JOIN d{n} ON d{n}.id = d0.id");
        }
    }
    let record = if drill::lacks(Mechanism::Tombstones) { "'null'::jsonb".to_owned() } else { format!("{record})") };
    format!(
        "WITH {} INSERT INTO biograph_bridge.tombstone (entity, legacy_id, renaissance_id, deleted_on, record, person) \
         SELECT $2, v.legacy, d0.id, 'legacy', {record}, v.person FROM d0{joins} \
         JOIN unnest($1::bigint[], $3::text[], $4::text[]) AS v(id, legacy, person) ON v.id = d0.id RETURNING renaissance_id",
        ctes.join(", ")
    )
}

fn back_reference(entity: &Entity) -> String {
    let (root, column) = (&entity.renaissance.tables[0], quote_ident(&entity.renaissance.legacy_id_column));
    format!(
        "UPDATE {} t SET {column} = v.legacy FROM unnest($1::bigint[], $2::text[]) AS v(id, legacy) \
         WHERE t.{} = v.id AND t.{column} IS DISTINCT FROM v.legacy",
        quote_ident(&root.name),
        quote_ident(&root.key)
    )
}

/// Updates `slots` of one table. Parameters: ids, then per slot whether it changes and its content.
pub(super) fn update(entity: &Entity, table: usize, slots: &[usize]) -> Sql {
    let (mut set, mut arrays, mut names) = (Vec::new(), vec!["$1::bigint[]".to_owned()], vec!["id".to_owned()]);
    for (n, slot) in slots.iter().enumerate() {
        let column = &entity.renaissance.columns[*slot];
        let Some(info) = &column.info else { continue };
        let quoted = quote_ident(&column.name);
        arrays.push(format!("${}::boolean[], ${}::text[]", 2 * n + 2, 2 * n + 3));
        names.push(format!("m{n}, c{n}"));
        let new = codec::cast(&format!("v.c{n}"), info.limits.kind, &info.sql_type);
        set.push(format!("{quoted} = CASE WHEN v.m{n} THEN {new} ELSE t.{quoted} END"));
    }
    AssertSqlSafe(format!(
        "UPDATE {} t SET {} FROM unnest({}) AS v({}) WHERE t.{} = v.id",
        quote_ident(&entity.renaissance.tables[table].name),
        set.join(", "),
        arrays.join(", "),
        names.join(", "),
        address(entity, table),
    ))
}

/// How an inserted column gets its content.
pub(super) enum Fill<'a> {
    /// From the record, one parameter array: slot.
    Slot(usize),
    /// The member of a join table, one parameter array of ids: the second parameter.
    Member,
    /// The same text for all, one scalar parameter.
    Constant(&'a InsertValue),
    /// A text per row, one parameter array.
    PerRow,
    /// The transaction's time.
    Now,
    /// A random UUID of the database.
    Uuid,
}

/// What an INSERT into a table fills, in order, after the address column ($1: legacy ids for the root, record ids for a
/// child).
pub(super) fn fills<'a>(
    statements: &'a Statements,
    entity: &'a Entity,
    table: usize,
) -> Vec<(Fill<'a>, &'a ColumnInfo)> {
    let is_join = entity.renaissance.tables[table].members.is_some();
    let mapped = columns_of(entity, table).filter(|(_, column, _)| !column.filter_only);
    let mapped = mapped.map(move |(slot, _, info)| (if is_join { Fill::Member } else { Fill::Slot(slot) }, info));
    let constants = statements.constants[table].iter().map(|(info, value)| {
        let fill = match value {
            InsertValue::Constant(_) => Fill::Constant(value),
            InsertValue::UnusablePassword => Fill::PerRow,
            InsertValue::Now => Fill::Now,
            InsertValue::Uuid => Fill::Uuid,
        };
        (fill, info)
    });
    mapped.chain(constants).collect()
}

/// What an INSERT does about a row whose unique value somebody else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collision {
    /// Nobody was found by natural keys, so none is expected: it fails the batch, which is then tried with care. Asking
    /// every unique index beforehand is a third of what an INSERT costs.
    Unexpected,
    /// It is left out of the answer instead of failing the batch.
    LeaveOut,
    /// It fails with the constraint's name.
    Refuse,
}

/// Inserts rows.
pub(super) fn insert(entity: &Entity, table: usize, fills: &[(Fill<'_>, &ColumnInfo)], collision: Collision) -> Sql {
    let shape = &entity.renaissance;
    let (first, first_type, returning) = match &shape.tables[table].parent {
        Some(parent) => (quote_ident(parent), "bigint", quote_ident(parent)),
        None => {
            let column = quote_ident(&shape.legacy_id_column);
            (column.clone(), "text", format!("{column}, {}", quote_ident(&shape.tables[table].key)))
        }
    };
    let (mut columns, mut select) = (vec![first], vec!["v.c0".to_owned()]);
    let (mut arrays, mut names, mut parameter) = (vec![format!("$1::{first_type}[]")], vec!["c0".to_owned()], 1);
    for (n, (fill, info)) in fills.iter().enumerate() {
        columns.push(quote_ident(&info.name));
        let value = match fill {
            Fill::Slot(_) | Fill::PerRow => {
                parameter += 1;
                arrays.push(format!("${parameter}::text[]"));
                names.push(format!("c{}", n + 1));
                format!("v.c{}", n + 1)
            }
            Fill::Member => {
                parameter += 1;
                arrays.push(format!("${parameter}::bigint[]"));
                names.push(format!("c{}", n + 1));
                select.push(format!("v.c{}", n + 1));
                continue;
            }
            Fill::Constant(_) => {
                parameter += 1;
                format!("${parameter}::text")
            }
            Fill::Uuid => {
                select.push(format!("gen_random_uuid()::{}", info.sql_type));
                continue;
            }
            Fill::Now => {
                select.push(codec::in_utc("now()", &info.sql_type));
                continue;
            }
        };
        select.push(codec::cast(&value, info.limits.kind, &info.sql_type));
    }
    let on_conflict = match collision {
        Collision::LeaveOut => " ON CONFLICT DO NOTHING",
        Collision::Unexpected | Collision::Refuse => "",
    };
    AssertSqlSafe(format!(
        "INSERT INTO {} ({}) SELECT {} FROM unnest({}) AS v({}){on_conflict} RETURNING {returning}",
        quote_ident(&shape.tables[table].name),
        columns.join(", "),
        select.join(", "),
        arrays.join(", "),
        names.join(", "),
    ))
}

/// Of these records ($1) those whose row holds a text that opens a way to log in: none of the beginnings ($2) opens any. The text
/// itself does not leave the server.
pub(super) fn opening(entity: &Entity, needs: &Needs) -> Option<Sql> {
    let table = entity.renaissance.tables.iter().position(|table| table.name == needs.table)?;
    let (name, id, column) = (quote_ident(&needs.table), address(entity, table), quote_ident(&needs.column));
    Some(AssertSqlSafe(format!(
        "SELECT t.{id}::int8 FROM {name} t WHERE t.{id} = ANY($1::bigint[]) AND t.{column}::text <> '' \
         AND NOT EXISTS (SELECT FROM unnest($2::text[]) b WHERE starts_with(t.{column}::text, b))"
    )))
}

/// Rows that match a natural key: every alternative is a set of columns that all have to hold the given texts.
/// Parameters: probe numbers, then one text array per column.
pub(super) fn find(entity: &Entity, slots: &[usize]) -> Sql {
    let shape = &entity.renaissance;
    let root = &shape.tables[0];
    let (mut arrays, mut names, mut on) = (vec!["$1::bigint[]".to_owned()], vec!["probe".to_owned()], Vec::new());
    for (n, slot) in slots.iter().enumerate() {
        let column = &shape.columns[*slot];
        let Some(info) = &column.info else { continue };
        arrays.push(format!("${}::text[]", n + 2));
        names.push(format!("c{n}"));
        let quoted = quote_ident(&column.name);
        on.push(match info.limits.kind {
            // what is no label is nobody's, and not an error
            ColumnKind::Enum => format!("t.{quoted}::text = v.c{n}"),
            kind => format!("t.{quoted} = {}", codec::cast(&format!("v.c{n}"), kind, &info.sql_type)),
        });
    }
    AssertSqlSafe(format!(
        "SELECT v.probe, t.{} FROM unnest({}) AS v({}) JOIN {} t ON {}",
        quote_ident(&root.key),
        arrays.join(", "),
        names.join(", "),
        quote_ident(&root.name),
        on.join(" AND ")
    ))
}
