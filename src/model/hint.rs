//! Hints: "this key changed there", with what is needed to read at least as new and to resume after it.

use std::fmt;

use super::{
    fact::PauseCause,
    key::{EntityIndex, Key},
};

/// A place in one side's change log. Compared only within one side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// The `_data` of a MongoDB resume token.
    Token(String),
    /// A Postgres log sequence number.
    Lsn(u64),
}

impl Position {
    /// Whether everything before `mark` is at or before this. Never across sides. Tokens are keystrings in hexadecimal: their
    /// order is the log's.
    pub fn has_passed(&self, mark: &Self) -> bool {
        match (self, mark) {
            (Self::Token(here), Self::Token(mark)) => here >= mark,
            (Self::Lsn(here), Self::Lsn(mark)) => here >= mark,
            (Self::Token(_), Self::Lsn(_)) | (Self::Lsn(_), Self::Token(_)) => false,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(data) => f.write_str(data),
            Self::Lsn(lsn) => write!(f, "{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF),
        }
    }
}

/// How new a read must be to include the hinted change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Any committed state will do: the hint came from a sweep.
    Any,
    /// At or after this MongoDB cluster time (seconds, increment).
    ClusterTime(u32, u32),
    /// This Postgres transaction (32-bit id) must be visible: a decoded commit can still be invisible to new snapshots.
    Xid(u32),
}

/// A key that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// What changed.
    pub key: Key,
    /// How new a read must be.
    pub freshness: Freshness,
    /// When the source committed it: microseconds since the epoch on the source's clock; `None` for sweeps.
    pub committed_at: Option<i64>,
}

/// A document whose `_id` is not an ObjectId: no key can name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The type of its `_id`.
    pub kind: &'static str,
    /// Its `_id` as people may see it: masked where it could be a phone number or an address.
    pub shown: String,
    /// Whether it was deleted.
    pub gone: bool,
}

/// A collection or table is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// The entities that have records there.
    pub entities: Vec<EntityIndex>,
    /// What happened to it.
    pub cause: PauseCause,
    /// The same in words, with its name.
    pub what: String,
    /// What the log calls the event: the same each time it is delivered.
    pub event: String,
}

/// What a capture delivers, in the order of its side's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Captured {
    /// A key changed.
    Hint(Hint),
    /// Everything delivered before this is at or before the position; resuming from it misses nothing.
    Position(Position),
    /// The capture has seen everything the source had a moment ago; the position advances although nothing mapped changed.
    Idle(Position),
    /// This many changes were the bridge's own writes and were dropped.
    Echo(u64),
    /// A change to a record whose `_id` the bridge cannot address.
    Unaddressable(EntityIndex, Stray),
    /// A mapped collection or table was dropped, renamed, truncated.
    Structure(Structure),
}
