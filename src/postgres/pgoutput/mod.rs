//! Decoder of pgoutput, protocol version 1: bytes to typed messages that borrow from them.
//!
//! Layouts: PostgreSQL documentation, "Logical Replication Message Formats". The decoder checks every length once, allocates
//! only for Relation and never panics, whatever it is given.

mod cursor;
mod decode;
#[cfg(test)]
mod tests;

use std::fmt;

pub use decode::decode;

use self::cursor::Cursor;

/// One message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction begins. Only committed ones are sent.
    Begin {
        /// Where its commit record is.
        final_lsn: u64,
        /// Microseconds since 2000-01-01.
        commit_time: i64,
        /// Its 32-bit id.
        xid: u32,
    },
    /// It ends.
    Commit {
        /// Where its commit record is.
        lsn: u64,
        /// Where the log goes on after it.
        end_lsn: u64,
        /// Microseconds since 2000-01-01.
        commit_time: i64,
    },
    /// The transaction was replicated from elsewhere.
    Origin {
        /// Its commit there.
        lsn: u64,
        /// Where that was.
        name: &'a str,
    },
    /// The shape of a table, before its first change and after each change of shape.
    Relation(Relation<'a>),
    /// The name of a type that is not built in.
    Type {
        /// Its oid.
        oid: u32,
        /// Its schema.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A row was inserted.
    Insert {
        /// The table's oid.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row was updated.
    Update {
        /// The table's oid.
        relation: u32,
        /// What it was, if the replica identity changed or is the whole row.
        old: Option<OldRow<'a>>,
        /// What it is.
        new: Tuple<'a>,
    },
    /// A row was deleted.
    Delete {
        /// The table's oid.
        relation: u32,
        /// What it was.
        old: OldRow<'a>,
    },
    /// Tables were emptied.
    Truncate {
        /// Bit 0 CASCADE, bit 1 RESTART IDENTITY.
        options: u8,
        /// The tables' oids.
        relations: Oids<'a>,
    },
    /// `pg_logical_emit_message`.
    Logical {
        /// Whether it belongs to a transaction.
        transactional: bool,
        /// Where it is.
        lsn: u64,
        /// Whose it is.
        prefix: &'a str,
        /// What it says.
        content: &'a [u8],
    },
}

/// The shape of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// Its oid.
    pub oid: u32,
    /// Its schema.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// `d`, `n`, `f` or `i`.
    pub identity: u8,
    /// The published columns; tuples have theirs in this order.
    pub columns: Vec<RelationColumn<'a>>,
}

/// One published column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Whether old rows come with it.
    pub identity: bool,
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub type_oid: u32,
    /// Its type's modifier.
    pub modifier: i32,
}

/// An old row, as far as the replica identity tells it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OldRow<'a> {
    /// The identity's columns; the others are shown as null.
    Key(Tuple<'a>),
    /// All columns.
    Full(Tuple<'a>),
}

impl<'a> OldRow<'a> {
    /// The columns, whichever they are.
    pub const fn tuple(self) -> Tuple<'a> {
        match self {
            Self::Key(tuple) | Self::Full(tuple) => tuple,
        }
    }
}

/// A row: its columns, already checked, decoded when asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// How many columns it has.
    pub const fn len(self) -> usize {
        self.count as usize
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Its columns in the order of the relation.
    pub fn columns(self) -> impl Iterator<Item = Column<'a>> {
        let mut cursor = Cursor::new(self.bytes);
        (0..self.count).map_while(move |_| cursor.column().ok())
    }
}

/// One column of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Column<'a> {
    /// NULL, or not told.
    Null,
    /// A large value that the update did not touch and the log does not hold.
    Unchanged,
    /// The type's text form.
    Text(&'a [u8]),
    /// The type's binary form.
    Binary(&'a [u8]),
}

// people's data must not reach a log by accident
impl fmt::Debug for Column<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Text(bytes) => write!(f, "<text of {} bytes>", bytes.len()),
            Self::Binary(bytes) => write!(f, "<binary of {} bytes>", bytes.len()),
        }
    }
}

impl fmt::Debug for Tuple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.columns()).finish()
    }
}

impl fmt::Debug for OldRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(tuple) => f.debug_tuple("Key").field(tuple).finish(),
            Self::Full(tuple) => f.debug_tuple("Full").field(tuple).finish(),
        }
    }
}

/// Oids of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oids<'a>(&'a [u8]);

impl<'a> Oids<'a> {
    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.0.chunks_exact(4).filter_map(|chunk| chunk.try_into().ok().map(u32::from_be_bytes))
    }
}

/// Why bytes are no message. Says where, never what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They end too early.
    Truncated,
    /// They go on after the end of the message.
    Trailing(usize),
    /// The first byte is no known message.
    UnknownMessage(u8),
    /// A tuple or column is introduced by an unknown byte.
    UnknownKind(u8),
    /// A name is not UTF-8.
    NotUtf8,
    /// A length or count is negative.
    NegativeLength,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("it ends too early"),
            Self::Trailing(count) => write!(f, "{count} bytes are left over"),
            Self::UnknownMessage(tag) => write!(f, "message type {tag:#04x} is unknown"),
            Self::UnknownKind(tag) => write!(f, "tuple or column kind {tag:#04x} is unknown"),
            Self::NotUtf8 => f.write_str("a name is not UTF-8"),
            Self::NegativeLength => f.write_str("a length is negative"),
        }
    }
}

impl std::error::Error for Malformed {}
