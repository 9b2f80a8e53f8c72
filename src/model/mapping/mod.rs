//! Mappings: what corresponds to what, as the files in `mappings/` declare it.

use super::{catalog::ColumnInfo, policy::Policy, value::Value};

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
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table && self.name == other.name
    }
}
