//! Why a field or a record cannot be synced now.

use std::fmt;

/// The closed set of reasons, the `reason` of a parked key and of the `parked` metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The value has a type that the mapping cannot convert.
    WrongType,
    /// The text does not fit the column.
    TooLong,
    /// The text holds U+0000, which Postgres cannot store.
    NulCharacter,
    /// The column refuses NULL.
    NotNull,
    /// The number or date is outside what the other side can hold.
    OutOfRange,
    /// The value is not in the mapping's table of values.
    UnknownValue,
    /// Another record holds the unique value, or several records match.
    UniqueTaken,
    /// The record refers to something that is not there, or not on both sides yet.
    MissingReference,
    /// The record was deleted on the other side and rows still refer to its row.
    StillReferenced,
    /// Another rule of the database refused the write.
    Constraint,
    /// The record's `_id` is of a type the bridge does not handle.
    UnsupportedId,
    /// The record is larger than the other side accepts.
    TooLarge,
    /// Both sides changed the field and its policy leaves it to a person.
    Undecided,
    /// Writing to the other side is paused.
    Paused,
    /// The bridge wrote it again and again, because what it writes does not stay.
    Looping,
}

impl Reason {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 15] = [
        Self::WrongType,
        Self::TooLong,
        Self::NulCharacter,
        Self::NotNull,
        Self::OutOfRange,
        Self::UnknownValue,
        Self::UniqueTaken,
        Self::MissingReference,
        Self::StillReferenced,
        Self::Constraint,
        Self::UnsupportedId,
        Self::TooLarge,
        Self::Undecided,
        Self::Paused,
        Self::Looping,
    ];

    /// The name in tables and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongType => "wrong_type",
            Self::TooLong => "too_long",
            Self::NulCharacter => "nul_character",
            Self::NotNull => "not_null",
            Self::OutOfRange => "out_of_range",
            Self::UnknownValue => "unknown_value",
            Self::UniqueTaken => "unique_taken",
            Self::MissingReference => "missing_reference",
            Self::StillReferenced => "still_referenced",
            Self::Constraint => "constraint",
            Self::UnsupportedId => "unsupported_id",
            Self::TooLarge => "too_large",
            Self::Undecided => "undecided",
            Self::Paused => "paused",
            Self::Looping => "looping",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason with the place and the type involved; never the value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which of the closed set.
    pub reason: Reason,
    /// Where and what, for people: "legacy phone_number holds an array; text or a number is expected".
    pub detail: String,
    /// The pause that is the reason, by its number.
    pub pause: Option<i64>,
}

impl Problem {
    /// A problem with its explanation.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), pause: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}
