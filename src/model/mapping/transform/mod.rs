//! Transforms: how one side's slots hold a canonical value. A closed set, one file each; a new one is a file and an arm here.
//!
//! Two shapes: a [`Scalar`] lives in one slot, a [`Compound`] spreads over several. Both only translate; null, defaults,
//! limits and "leave alone what already reads so" are the lens' business.

pub mod bool;
pub mod bytes;
pub mod date;
pub mod decimal;
pub mod flags;
pub mod float;
pub mod int;
pub mod json;
pub mod list;
pub mod media;
pub mod name;
pub mod phone;
pub mod reference;
pub mod spread;
pub mod table;
pub mod text;
pub mod timestamp;
pub mod uuid;

use self::{
    bool::BoolForm,
    bytes::BytesForm,
    date::DateForm,
    decimal::DecimalForm,
    flags::Flags,
    float::FloatForm,
    int::IntForm,
    json::JsonForm,
    list::ListForm,
    media::Media,
    name::WholeName,
    phone::Phone,
    reference::{Reference, References},
    spread::Spread,
    table::ValueTable,
    text::TextForm,
    timestamp::TimestampForm,
    uuid::UuidForm,
};
use crate::model::{
    catalog::ColumnKind,
    mapping::Loss,
    problem::{Problem, Reason},
    value::Value,
};

/// One slot of a field as found: its name for messages, and what it holds (`None`: it is not there).
pub struct Place<'a> {
    /// The path or column.
    pub name: &'a str,
    /// What is there.
    pub held: Option<&'a Value>,
}

impl Place<'_> {
    /// What is there, with null and missing taken as the same.
    pub(crate) fn value(&self) -> Option<&Value> {
        self.held.filter(|value| **value != Value::Null)
    }

    /// "phone_number holds an array; text or a number is expected".
    pub(crate) fn wrong(&self, expected: &str) -> Problem {
        let held = self.held.map_or("nothing", Value::type_name);
        Problem::new(Reason::WrongType, format!("{} holds {held}; {expected} is expected", self.name))
    }
}

/// What to do to one slot.
#[derive(Clone, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub enum Write {
    /// Nothing.
    Keep,
    /// Put this there.
    Set(Value),
    /// Remove the field (legacy only).
    Remove,
}

/// How a side spells "nothing".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullForm {
    /// SQL NULL, BSON null.
    Null,
    /// The empty text.
    Empty,
    /// The field is not there (legacy only).
    Missing,
}

impl NullForm {
    /// The write that puts nothing into a slot.
    pub(crate) fn write(self) -> Write {
        match self {
            Self::Null => Write::Set(Value::Null),
            Self::Empty => Write::Set(Value::Text("".into())),
            Self::Missing => Write::Remove,
        }
    }
}

/// A transform over one slot. Never sees or makes null.
pub trait Scalar {
    /// The canonical value of what the slot holds; [`Value::Null`] where this content means nothing (an empty text).
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem>;
    /// Whether this content is itself the canonical value that it reads as. False says nothing.
    fn is_canonical(&self, _held: &Value) -> bool {
        false
    }
    /// What the slot holds for a canonical value.
    fn write(&self, value: &Value) -> Result<Value, Problem>;
    /// Every content of the slot that a search for the value should match.
    fn forms(&self, value: &Value) -> Vec<Value> {
        self.write(value).into_iter().collect()
    }
    /// Whether a column of this kind can hold what it writes.
    fn fits(&self, kind: ColumnKind) -> bool;
    /// Different contents that read as one value.
    fn losses(&self) -> Vec<Loss> {
        Vec::new()
    }
}

/// A transform over several slots.
pub trait Compound {
    /// The canonical value of what the slots hold, or [`Value::Null`].
    fn read(&self, places: &[Place<'_>]) -> Result<Value, Problem>;
    /// What to do to each slot so that they hold the value, [`Value::Null`] included; all [`Place::held`] are `None` for
    /// an insert.
    fn write(&self, value: &Value, places: &[Place<'_>], null: NullForm) -> Result<Vec<Write>, Problem>;
    /// Every content of the slots (by place) that a search for the value should match.
    fn forms(&self, value: &Value) -> Vec<Vec<(usize, Value)>>;
    /// The canonical values that a person may mean who types this text; none where nobody types such a thing.
    fn meant(&self, _text: &str) -> Vec<Value> {
        Vec::new()
    }
    /// Whether a column of this kind can hold what is written into this place.
    fn fits(&self, place: usize, kind: ColumnKind) -> bool;
    /// Different contents of the slots, which are called so, that read as one value.
    fn losses(&self, _names: &[String]) -> Vec<Loss> {
        Vec::new()
    }
}

/// A transform, with its options.
#[derive(Clone, PartialEq)]
pub enum Transform {
    /// See [`text`].
    Text(TextForm),
    /// See [`mod@bool`].
    Bool(BoolForm),
    /// See [`int`].
    Int(IntForm),
    /// See [`timestamp`].
    Timestamp(TimestampForm),
    /// See [`date`].
    Date(DateForm),
    /// See [`json`].
    Json(JsonForm),
    /// See [`float`].
    Float(FloatForm),
    /// See [`decimal`].
    Decimal(DecimalForm),
    /// See [`uuid`].
    Uuid(UuidForm),
    /// See [`bytes`].
    Bytes(BytesForm),
    /// See [`list`].
    List(ListForm),
    /// See [`spread`].
    Spread(Spread),
    /// See [`table`].
    Table(ValueTable),
    /// See [`media`].
    Media(Media),
    /// See [`flags`].
    Flags(Flags),
    /// See [`phone`].
    Phone(Phone),
    /// See [`name`].
    Name(WholeName),
    /// See [`reference`].
    Reference(Reference),
    /// See [`reference`].
    References(References),
}

/// A transform by its shape.
pub enum Shape<'a> {
    /// One slot; with several, the first is read and all are written.
    Scalar(&'a dyn Scalar),
    /// Several slots.
    Compound(&'a dyn Compound),
}

impl Transform {
    /// Whether its slots hold renaissance ids that go through the links.
    pub const fn is_linked(&self) -> bool {
        match self {
            Self::Reference(reference) => reference.linked,
            Self::References(references) => references.each.linked,
            _ => false,
        }
    }

    /// Whether of two canonical values one is the greater, so that `max` and `min` can choose.
    pub fn has_order(&self) -> bool {
        match self {
            Self::Text(_)
            | Self::Int(_)
            | Self::Timestamp(_)
            | Self::Date(_)
            | Self::Float(_)
            | Self::Decimal(_)
            | Self::Media(_)
            | Self::Phone(_)
            | Self::Name(_) => true,
            Self::Table(table) => table.has_order(),
            Self::Bool(_)
            | Self::Json(_)
            | Self::Uuid(_)
            | Self::Bytes(_)
            | Self::List(_)
            | Self::Spread(_)
            | Self::Flags(_)
            | Self::Reference(_)
            | Self::References(_) => false,
        }
    }

    /// Its word in mapping files.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Timestamp(_) => "timestamp",
            Self::Date(_) => "date",
            Self::Json(_) => "json",
            Self::Float(_) => "float",
            Self::Decimal(_) => "decimal",
            Self::Uuid(_) => "uuid",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Spread(_) => "spread",
            Self::Table(_) => "table",
            Self::Media(_) => "media",
            Self::Flags(_) => "flags",
            Self::Phone(_) => "phone",
            Self::Name(_) => "name",
            Self::Reference(_) => "reference",
            Self::References(_) => "references",
        }
    }

    /// The transform by its shape.
    pub fn shape(&self) -> Shape<'_> {
        match self {
            Self::Text(form) => Shape::Scalar(form),
            Self::Bool(form) => Shape::Scalar(form),
            Self::Int(form) => Shape::Scalar(form),
            Self::Timestamp(form) => Shape::Scalar(form),
            Self::Date(form) => Shape::Scalar(form),
            Self::Json(form) => Shape::Compound(form),
            Self::Float(form) => Shape::Scalar(form),
            Self::Decimal(form) => Shape::Scalar(form),
            Self::Uuid(form) => Shape::Scalar(form),
            Self::Bytes(form) => Shape::Scalar(form),
            Self::List(form) => Shape::Compound(form),
            Self::Spread(form) => Shape::Compound(form),
            Self::Table(table) => Shape::Scalar(table),
            Self::Media(media) => Shape::Scalar(media),
            Self::Flags(flags) => Shape::Compound(flags),
            Self::Phone(phone) => Shape::Compound(phone),
            Self::Name(name) => Shape::Compound(name),
            Self::Reference(reference) => Shape::Scalar(reference),
            Self::References(references) => Shape::Compound(references),
        }
    }
}

/// Whether two contents are the same, or spell the same text or number.
pub(crate) fn same_content(a: &Value, b: &Value) -> bool {
    a == b || text::as_text(a).is_some_and(|text| text::as_text(b).as_ref() == Some(&text))
}

/// The whole number in a value that holds one in whatever type: int, whole double, decimal text.
pub(crate) fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Float(number) => whole_double(*number),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Null
        | Value::Bool(_)
        | Value::Timestamp(_)
        | Value::Id(_)
        | Value::List(_)
        | Value::Object(_)
        | Value::Decimal(_)
        | Value::Date(_)
        | Value::Uuid(_)
        | Value::Binary(..)
        | Value::Dangling(_)
        | Value::Opaque(_) => None,
    }
}

/// A double as a whole number, within the range where every whole number is a double.
pub(crate) fn whole_double(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

/// A canonical value of the wrong type reached a transform: the two sides of a field disagree about its type.
pub(crate) fn misfit(value: &Value, expected: &str) -> Problem {
    Problem::new(Reason::WrongType, format!("is to hold {}; {expected} is expected", value.type_name()))
}
