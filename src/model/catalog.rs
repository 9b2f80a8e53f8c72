//! What the Renaissance database really looks like, as its catalogs say; mappings are bound to it before use.

use std::collections::BTreeMap;

/// The mapped part of the database's structure.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By table name.
    pub tables: BTreeMap<String, TableInfo>,
}

/// One table.
#[derive(Clone, Debug, Default)]
pub struct TableInfo {
    /// In the order of the table.
    pub columns: Vec<ColumnInfo>,
    /// Unique constraints and unique indexes without a predicate: name and columns. The primary key is among them.
    pub unique: Vec<(String, Vec<String>)>,
    /// Foreign keys: constraint name, columns, referenced table.
    pub foreign_keys: Vec<(String, Vec<String>, String)>,
}

impl TableInfo {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&ColumnInfo> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// One column.
#[derive(Clone, Debug)]
pub struct ColumnInfo {
    /// Its name, unquoted.
    pub name: String,
    /// What it can hold.
    pub limits: ColumnLimits,
    /// Whether an INSERT may leave it out (a default, an identity, or nullable).
    pub optional: bool,
    /// The type as Postgres shows it without its modifier, to cast to: `character varying`, `timestamp with time zone`. Of a
    /// domain, the type it is made of.
    pub sql_type: String,
    /// Of an enum, or an array of enums: its labels. Empty for every other type.
    pub labels: Vec<String>,
    /// Whether it is GENERATED ALWAYS AS (…): never written.
    pub generated: bool,
}

/// What a column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnLimits {
    /// The kind of value.
    pub kind: ColumnKind,
    /// Whether NULL is accepted.
    pub nullable: bool,
}

/// The kind of value a column holds, with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// `text`, `varchar(n)`, `citext`: at most this many characters.
    Text(Option<u32>),
    /// `char(n)`: at most this many characters, without the blanks at the end, which mean nothing there.
    Char(u32),
    /// `boolean`.
    Bool,
    /// `smallint` (16), `integer` (32), `bigint` (64): its width in bits.
    Int(u8),
    /// `timestamp with time zone`; `timestamp without time zone`, which is taken as UTC.
    Timestamp,
    /// `real` (32), `double precision` (64).
    Float(u8),
    /// `numeric`: without rounding; of `numeric(precision, scale)` the digits it holds before the point and after it. A negative
    /// scale rounds before the point, so that `numeric(3, -2)` holds five digits of which the last two are zero.
    Numeric(Option<(i32, i32)>),
    /// `date`.
    Date,
    /// `jsonb` or `json`.
    Json,
    /// `bytea`.
    Bytes,
    /// `uuid`.
    Uuid,
    /// No column but the rows of a join table: a set of renaissance ids.
    Ids,
    /// An enum: one of its labels.
    Enum,
    /// An array of these.
    Array(Element),
    /// Another type, which the shipped transforms do not write.
    Other,
}

/// What an array column that a mapping may use is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// As [`ColumnKind::Text`].
    Text(Option<u32>),
    /// As [`ColumnKind::Enum`].
    Enum,
    /// As [`ColumnKind::Bool`].
    Bool,
    /// As [`ColumnKind::Int`].
    Int(u8),
    /// As [`ColumnKind::Float`].
    Float(u8),
    /// As [`ColumnKind::Numeric`].
    Numeric(Option<(i32, i32)>),
}

impl Element {
    /// The kind of a column that holds one such element.
    pub const fn kind(self) -> ColumnKind {
        match self {
            Self::Text(limit) => ColumnKind::Text(limit),
            Self::Enum => ColumnKind::Enum,
            Self::Bool => ColumnKind::Bool,
            Self::Int(bits) => ColumnKind::Int(bits),
            Self::Float(bits) => ColumnKind::Float(bits),
            Self::Numeric(extent) => ColumnKind::Numeric(extent),
        }
    }
}

impl ColumnKind {
    /// The kind of an array of what such a column holds.
    pub const fn array(self) -> Self {
        match self {
            Self::Text(limit) => Self::Array(Element::Text(limit)),
            Self::Enum => Self::Array(Element::Enum),
            Self::Bool => Self::Array(Element::Bool),
            Self::Int(bits) => Self::Array(Element::Int(bits)),
            Self::Float(bits) => Self::Array(Element::Float(bits)),
            Self::Numeric(extent) => Self::Array(Element::Numeric(extent)),
            Self::Char(_)
            | Self::Timestamp
            | Self::Date
            | Self::Json
            | Self::Bytes
            | Self::Uuid
            | Self::Ids
            | Self::Array(_)
            | Self::Other => Self::Other,
        }
    }
}
