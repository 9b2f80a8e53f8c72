//! What walks over records yield.

use crate::model::{hint::Stray, image::Image, key::LegacyId};

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

/// Records that follow each other, read whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch<T> {
    /// In ascending order of their legacy ids; without versions, as nothing is written to them.
    pub records: Vec<T>,
    /// Whether others may follow.
    pub more: bool,
}

/// A link with the rows that it names.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedRow {
    /// The legacy id of the link.
    pub legacy: LegacyId,
    /// Its rows; `None` if they are gone.
    pub image: Option<Image>,
    /// Whether its row carries a legacy id.
    pub named: bool,
}

/// How far a sweep of one entity's side has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepState {
    /// The end of the last durable chunk, as text.
    pub after: Option<String>,
    /// Whether the sweep is complete.
    pub done: bool,
    /// Records walked so far, without those in `parked`.
    pub records: i64,
    /// Documents met that no key can name; each is parked.
    pub parked: i64,
    /// How many records there are; an estimate.
    pub total: Option<i64>,
}
