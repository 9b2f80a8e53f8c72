//! The kinds of entries in the journal.

use super::problem::Reason;

/// What an entry of the journal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConflictKind {
    /// Both sides changed a field to different values.
    UpdateUpdate,
    /// One side deleted a record that the other one had changed, and the deletion prevailed.
    DeleteUpdated,
    /// One side deleted a record that the other one had changed, and the change prevailed: the record was made again.
    UpdateDeleted,
    /// Two new records met by a natural key, and differ in a field.
    InsertExists,
    /// Two records met that were linked before the bridge knew them, and differ in a field.
    Adopted,
    /// Somebody else holds a unique value, or it is unclear who is who: the field or the record waits.
    UniqueTaken,
    /// The application of the side that a person has left changed something of theirs.
    StaleOwnerWrite,
}

impl ConflictKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::UpdateUpdate,
        Self::DeleteUpdated,
        Self::UpdateDeleted,
        Self::InsertExists,
        Self::Adopted,
        Self::UniqueTaken,
        Self::StaleOwnerWrite,
    ];

    /// The name in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpdateUpdate => "update_update",
            Self::DeleteUpdated => "delete_updated",
            Self::UpdateDeleted => "update_deleted",
            Self::InsertExists => "insert_exists",
            Self::Adopted => "adopted",
            Self::UniqueTaken => "unique_taken",
            Self::StaleOwnerWrite => "stale_owner_write",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The reason for which something is parked as long as an entry of this kind is open that nobody has decided.
    pub const fn parked_for(self) -> Reason {
        match self {
            Self::UniqueTaken => Reason::UniqueTaken,
            Self::UpdateUpdate
            | Self::DeleteUpdated
            | Self::UpdateDeleted
            | Self::InsertExists
            | Self::Adopted
            | Self::StaleOwnerWrite => Reason::Undecided,
        }
    }
}
