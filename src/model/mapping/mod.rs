//! Mappings: what corresponds to what, as the files in `mappings/` declare it.

mod bind;
mod case;
pub mod check;
mod error;
mod lens;
mod limits;
mod parse;
pub mod transform;

use super::{catalog::ColumnInfo, policy::Policy, side::Side, value::Value};

pub use self::{
    case::{Case, CaseFailure},
    error::MappingError,
    lens::HalfLens,
    parse::parse,
};

/// One mapped kind of record, compiled from its mapping file. Slots of an [`super::image::Image`] are in the order of
/// `legacy.paths` and `renaissance.columns`.
#[derive(Clone, PartialEq)]
pub struct Entity {
    /// Its name: `user`.
    pub name: String,
    /// Where it lives in MongoDB.
    pub legacy: LegacyShape,
    /// Where it lives in Postgres.
    pub renaissance: RenaissanceShape,
    /// Its fields, in the order of the file.
    pub fields: Vec<Field>,
    /// Fields by which an unlinked record is found on the other side, strongest first.
    pub natural_keys: Vec<usize>,
    /// The field that names a record to people; shown masked only.
    pub label: Option<usize>,
    /// Examples that `mappings check` runs.
    pub cases: Vec<Case>,
    /// Where it was declared.
    pub origin: Origin,
}

/// The file that declares an entity, for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The file as given.
    pub file: String,
    /// The line of `[legacy]`.
    pub legacy_line: usize,
    /// The line of each of `renaissance.tables`.
    pub table_lines: Vec<usize>,
}

/// The legacy collection and the paths read from its documents.
#[derive(Clone, PartialEq)]
pub struct LegacyShape {
    /// The collection.
    pub collection: String,
    /// Every path any field uses; `_id` is always the first.
    pub paths: Vec<Path>,
}

/// A path into a document: field names from the outside in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(pub Vec<String>);

/// The Renaissance tables and the columns read from their rows.
#[derive(Clone, PartialEq)]
pub struct RenaissanceShape {
    /// The root table first, then child tables, one row each per record.
    pub tables: Vec<Table>,
    /// Every column any field uses.
    pub columns: Vec<Column>,
    /// The column of the root table that holds the legacy `_id` as hex text.
    pub legacy_id_column: String,
    /// Constraints that name their columns; empty until the mapping is bound.
    pub constraints: Vec<Constraint>,
}

/// A constraint of one of the tables, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// Index into `tables`.
    pub table: usize,
    /// Its name in the database.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
}

/// One table of an entity.
#[derive(Clone, PartialEq)]
pub struct Table {
    /// Its name, unquoted.
    pub name: String,
    /// Its primary key column, a bigint identity.
    pub key: String,
    /// For a child: its NOT NULL UNIQUE column that refers to the root's key.
    pub parent: Option<String>,
    /// Columns that no field writes, with what an INSERT puts there.
    pub insert: Vec<(String, InsertValue)>,
}

/// What an INSERT by the bridge puts into a column that no field maps.
#[derive(Clone, PartialEq)]
pub enum InsertValue {
    /// Always this.
    Constant(Value),
    /// Django's unusable password: `!` and 40 random letters and digits.
    UnusablePassword,
    /// The database's clock at the insert.
    Now,
}

/// A column some field uses.
#[derive(Clone)]
pub struct Column {
    /// Index into `tables`.
    pub table: usize,
    /// Its name, unquoted.
    pub name: String,
    /// What the database says about it; `None` until the mapping is bound.
    pub info: Option<ColumnInfo>,
}

/// One field, readable and writable on both sides.
#[derive(Clone, PartialEq)]
pub struct Field {
    /// Its canonical name.
    pub name: String,
    /// What wins when both sides changed it.
    pub policy: Policy,
    /// Its legacy side.
    pub legacy: HalfLens,
    /// Its renaissance side.
    pub renaissance: HalfLens,
    /// The line that declares it.
    pub line: usize,
}

impl Entity {
    /// The names of its tables, the root first.
    pub fn table_names(&self) -> impl Iterator<Item = &str> {
        self.renaissance.tables.iter().map(|table| table.name.as_str())
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The field that writes this column: whom to blame when the database refuses it.
    pub fn field_of_column(&self, table: &str, column: &str) -> Option<usize> {
        let named = |slot: &usize| {
            self.renaissance.columns.get(*slot).is_some_and(|found| {
                found.name == column
                    && self.renaissance.tables.get(found.table).is_some_and(|owner| owner.name == table)
            })
        };
        self.fields.iter().position(|field| field.slots(Side::Renaissance).iter().any(named))
    }

    /// The field that writes any of these columns, such as those of a unique constraint.
    pub fn field_of_columns(&self, table: &str, columns: &[String]) -> Option<usize> {
        columns.iter().find_map(|column| self.field_of_column(table, column))
    }

    /// The field behind a constraint the database named; needs a bound mapping.
    pub fn field_of_constraint(&self, table: &str, constraint: &str) -> Option<usize> {
        let named = |found: &&Constraint| {
            found.name == constraint
                && self.renaissance.tables.get(found.table).is_some_and(|owner| owner.name == table)
        };
        let found = self.renaissance.constraints.iter().find(named)?;
        self.field_of_columns(table, &found.columns)
    }
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table && self.name == other.name
    }
}

#[cfg(test)]
mod tests;
