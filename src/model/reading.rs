//! What a field's lens found on one side.

use super::{digest::Digest, problem::Problem, value::Value};

/// A field as read from one side.
#[derive(Clone, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub enum Reading {
    /// A canonical value.
    Value(Value),
    /// The place that would hold it does not exist (a missing child row): this side has no opinion.
    Absent,
    /// What is there cannot be converted.
    Invalid(Problem),
}

impl Reading {
    /// The canonical value, if there is one.
    pub const fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Invalid(_) => None,
        }
    }

    /// The digest of the canonical value, if there is one.
    pub fn digest(&self) -> Option<Digest> {
        self.value().map(Digest::of)
    }
}
