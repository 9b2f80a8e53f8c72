//! The one value model: what a MongoDB field or a Postgres column holds, and what both sides agree on.

use std::collections::BTreeMap;

use super::decimal::Decimal;

/// A value, the same whichever side it was read from.
///
/// `Debug` hides the content outside the crate's own tests: values are people's data and must not reach a log by accident.
#[derive(Clone, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub enum Value {
    /// Explicitly nothing (SQL NULL, BSON null). A missing field is an absent slot, not this.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number; BSON int32 and int64 alike.
    Int(i64),
    /// A double, where a side holds one.
    Float(f64),
    /// A decimal number without rounding (Postgres' `numeric`, Decimal128). Never one that a side holds as an integer.
    Decimal(Decimal),
    /// Text.
    Text(String),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// Days since 1970-01-01.
    Date(i32),
    /// A MongoDB ObjectId; canonically also what a reference holds: the legacy id of the record it names.
    Id([u8; 12]),
    /// A UUID, in network byte order.
    Uuid([u8; 16]),
    /// Bytes with their BSON subtype (0 for plain).
    Binary(u8, Vec<u8>),
    /// An array.
    List(Vec<Value>),
    /// An object with text keys.
    Object(BTreeMap<String, Value>),
    /// A reference to a record that is not linked (yet): what the slot really holds. Only in slots of reference fields, only
    /// between reading and writing; written back as what it holds.
    Dangling(Box<Value>),
    /// A value of a type that has no canonical form; the name of that type.
    Opaque(&'static str),
}

impl Value {
    /// The name of the value's type, for messages (never the value).
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "double",
            Self::Decimal(_) => "decimal",
            Self::Text(_) => "text",
            Self::Timestamp(_) => "timestamp",
            Self::Date(_) => "date",
            Self::Id(_) => "objectId",
            Self::Uuid(_) => "uuid",
            Self::Binary(..) => "binData",
            Self::List(_) => "array",
            Self::Object(_) => "object",
            Self::Dangling(_) => "a reference to an unlinked record",
            Self::Opaque(name) => name,
        }
    }

    /// The text inside, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[cfg(not(test))]
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}>", self.type_name())
    }
}

/// What one path or column holds: `None` when it is not there at all (a missing field, a missing child row).
pub type Slot = Option<Value>;
