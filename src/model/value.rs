//! The one value model: what a MongoDB field or a Postgres column holds, and what both sides agree on.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::decimal::Decimal;

/// A value, the same whichever side it was read from.
///
/// `Debug` hides the content outside the crate's own tests: values are people's data and must not reach a log by accident.
#[derive(Clone)]
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
    /// Text; a short one is held in place.
    Text(CompactString),
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

    /// Bytes of this BSON subtype: a UUID for subtype 4; others stay bytes, also those of a legacy UUID (3), whose byte order
    /// depends on who wrote it.
    pub fn of_bytes(subtype: u8, bytes: &[u8]) -> Self {
        match (subtype, <[u8; 16]>::try_from(bytes)) {
            (4, Ok(uuid)) => Self::Uuid(uuid),
            _ => Self::Binary(subtype, bytes.to_vec()),
        }
    }

    /// What its texts and bytes take, roughly.
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Text(text) => text.len(),
                Self::Binary(_, bytes) => bytes.len(),
                Self::List(items) => items.iter().map(Self::weight).sum(),
                Self::Object(entries) => entries.iter().map(|(key, item)| key.len() + item.weight()).sum(),
                Self::Dangling(held) => held.weight(),
                _ => 0,
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

impl PartialEq for Value {
    /// Doubles are equal as their digests are: by their bits, and one NaN is any other.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) | (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Id(a), Self::Id(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            (Self::Binary(kind, a), Self::Binary(other_kind, b)) => kind == other_kind && a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            (Self::Dangling(a), Self::Dangling(b)) => a == b,
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            _ => false,
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
