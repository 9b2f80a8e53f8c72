//! What walks over records yield.

use crate::model::hint::Stray;

/// Which of the records it walks a sweep looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// All of them.
    All,
    /// Those with something in a set of references that goes through the links.
    WithMembers,
}

/// One chunk of a walk over an entity's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<I> {
    /// The records to look at.
    pub listed: Vec<I>,
    /// The last record walked; `None` at the end.
    pub last: Option<I>,
    /// How many were walked, listed or not.
    pub walked: u64,
}

/// Some documents that no key can name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// The documents.
    pub found: Vec<Stray>,
    /// From where to go on; `None` at the end.
    pub mark: Option<String>,
}
