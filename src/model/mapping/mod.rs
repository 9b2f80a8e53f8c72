//! Mappings: what corresponds to what, as the files in `mappings/` declare it.

mod bind;
mod case;
pub mod check;
mod computed;
mod connect;
mod error;
mod filter;
mod insist;
mod join;
mod lens;
mod limits;
mod loss;
mod parse;
mod plain;
pub mod shown;
pub mod transform;
pub mod trial;
mod unkept;

use super::{catalog::ColumnInfo, key::EntityIndex, policy::Policy, side::Side, value::Value};

pub use self::{
    case::{Case, CaseFailure},
    computed::{Computed, TemplatePart},
    connect::{connect, dependency_order},
    error::MappingError,
    filter::Filter,
    insist::{circles, names, round},
    join::FieldOff,
    lens::HalfLens,
    loss::{Loss, spelled},
    parse::parse,
    plain::Plain,
    unkept::Unkept,
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
    /// Keys by which an unlinked record is found on the other side, strongest first; each is one or more fields that all have
    /// to match.
    pub natural_keys: Vec<Vec<usize>>,
    /// The ways in which people log in; none unless records are persons.
    pub logins: Vec<Login>,
    /// The reference field whose target's person owns a record; `None`: each record is a person itself.
    pub owner: Option<usize>,
    /// The field with the time when a record was last updated; `latest` goes by it.
    pub updated: Option<usize>,
    /// Conditions a record has to meet to be synced at all.
    pub filters: Vec<Filter>,
    /// What a deletion on one side does.
    pub deletes: DeleteRule,
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
    /// A digest of the whole file, as hex digits: its version.
    pub digest: String,
}

/// The legacy collection and the paths read from its documents.
#[derive(Clone, PartialEq)]
pub struct LegacyShape {
    /// The collection.
    pub collection: String,
    /// Every path any field or filter uses; `_id` is always the first.
    pub paths: Vec<Path>,
    /// Slots that no field writes, with what a new document gets there.
    pub insert: Vec<(usize, InsertValue)>,
    /// Slots that no field writes, computed when a document is created.
    pub computed: Vec<Computed>,
}

/// A path into a document: field names from the outside in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(pub Vec<String>);

/// The Renaissance tables and the columns read from their rows.
#[derive(Clone, PartialEq)]
pub struct RenaissanceShape {
    /// The root table first, then child tables, one row each per record.
    pub tables: Vec<Table>,
    /// Every column that a field, a computed value or a filter uses.
    pub columns: Vec<Column>,
    /// The column of the root table that holds the legacy `_id` as hex text.
    pub legacy_id_column: String,
    /// Columns that no field writes, computed when rows are created.
    pub computed: Vec<Computed>,
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
    /// Whether it keeps them unique; else it is a foreign key.
    pub unique: bool,
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
    /// For a join table: a record has any number of its rows, and all of it is one slot, the set of what `members` names.
    pub members: Option<Members>,
}

/// A join table's other half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// The column with the id of the record referred to.
    pub column: String,
    /// Whether the table may be missing: then its field is off.
    pub optional: bool,
}

/// A way in which people log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its name: `phone_otp`.
    pub way: String,
    /// The field without which nobody can log in this way.
    pub field: usize,
    /// Whether each side offers it: legacy, renaissance.
    pub sides: [bool; 2],
    /// What else somebody's row has to hold in Renaissance, if anything.
    pub needs: Option<Needs>,
}

/// A text without which nobody can log in, such as the hash of a password. Only whether it will do is ever read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The root table or a child, unquoted.
    pub table: String,
    /// The column, unquoted. Null and empty will not do.
    pub column: String,
    /// Nor will a text that begins with one of these.
    pub not_beginning: Vec<String>,
}

/// What the deletion of a record on one side does to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeleteRule {
    /// It is deleted there too.
    #[default]
    Mirror,
    /// It stays there and nothing is written about it any more. Its link stays as well: without it the record would look new
    /// and be made again. Should it come back with the same id, the two are merged again.
    Keep,
    /// It is made again from there.
    Restore,
}

/// What an INSERT by the bridge puts into a column that no field maps.
#[derive(Clone, PartialEq)]
pub enum InsertValue {
    /// Always this.
    Constant(Value),
    /// Django's unusable password: `!` and 40 random letters and digits.
    UnusablePassword,
    /// The clock at the insert.
    Now,
    /// A random UUID.
    Uuid,
}

/// A column that a field, a computed value or a filter uses.
#[derive(Clone)]
pub struct Column {
    /// Index into `tables`.
    pub table: usize,
    /// Its name, unquoted.
    pub name: String,
    /// What the database says about it; `None` until the mapping is bound.
    pub info: Option<ColumnInfo>,
    /// Whether only a filter looks at it: an INSERT leaves it to its insert value or to the database.
    pub filter_only: bool,
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
    /// Which way it crosses.
    pub flow: Flow,
    /// Whether it crosses only when a record is created.
    pub once: bool,
    /// Fields with the same number are decided together.
    pub group: Option<u16>,
    /// What happens to a content that cannot be converted.
    pub on_invalid: OnInvalid,
    /// For references: to what.
    pub refers: Option<Refers>,
    /// Its normal forms, as declared: what it writes where several contents read as one. Empty: nothing is lost.
    pub normal_form: Vec<Value>,
    /// The line that declares it.
    pub line: usize,
}

/// Which way a field crosses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// Both ways.
    #[default]
    Both,
    /// Only to this side, which follows the other.
    To(Side),
}

/// What happens to a content that cannot be converted.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum OnInvalid {
    /// The field is parked.
    #[default]
    Park,
    /// It counts as nothing, which means what `missing` says.
    Missing,
    /// It counts as this value.
    Value(Value),
    /// Text is cut to this many characters on its way to canonical; anything else is parked.
    Truncate(u32),
}

/// What a field refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refers {
    /// The name of the entity.
    pub to: String,
    /// The entity, once all mappings are known ([`connect`]).
    pub entity: EntityIndex,
    /// Whether it holds many.
    pub many: bool,
    /// Whether Renaissance holds renaissance ids, translated through the links.
    pub linked: bool,
}

impl Entity {
    /// The slots of a side that hold references which go through the links, with the entity they refer to.
    pub fn linked_slots(&self, side: Side) -> impl Iterator<Item = (EntityIndex, usize)> {
        let linked = self.fields.iter().filter_map(|field| Some((field, field.refers.as_ref()?)));
        let linked = linked.filter(|(_, refers)| refers.linked);
        linked.flat_map(move |(field, refers)| field.slots(side).iter().map(|slot| (refers.entity, *slot)))
    }

    /// Whether a field holds a set of references that go through the links.
    pub fn has_linked_sets(&self) -> bool {
        self.fields.iter().any(|field| field.refers.as_ref().is_some_and(|refers| refers.linked && refers.many))
    }

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
