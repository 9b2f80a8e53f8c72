//! What to do about each reason.

use crate::model::problem::Reason;

/// What a person can do about an entry parked for this reason.
pub(super) fn advice(reason: &str) -> &'static str {
    match Reason::ALL.into_iter().find(|known| known.as_str() == reason) {
        Some(Reason::WrongType) => {
            "Correct the value in the application, or say in the mapping how this type is converted (`as`, `on_invalid`)."
        }
        Some(Reason::TooLong) => {
            "Shorten the value, widen the column, or let the mapping cut it (`on_invalid = { truncate = 150 }`)."
        }
        Some(Reason::NulCharacter) => "Remove U+0000 from the value in BioGraph: Postgres cannot store it.",
        Some(Reason::NotNull) => "Give the record a value, or the mapping a default for this field.",
        Some(Reason::OutOfRange) => "Correct the number or date, or widen the column.",
        Some(Reason::UnknownValue) => "Add the value to the field's table in the mapping, or correct it.",
        Some(Reason::UniqueTaken) => {
            "Find out who is who: change the value of one of the two, or put the right legacy id into the row's legacy id \
             column. It is tried again by itself once the value is free."
        }
        Some(Reason::MissingReference) => {
            "The record it refers to is not there, or cannot cross itself; see what it waits for. It comes back by itself as \
             soon as that is linked. If there is no such record any more, take it out of the field in the application. A record that \
             was deleted on the other side goes when no row refers to it any more."
        }
        Some(Reason::StillReferenced) => {
            "It was deleted in BioGraph, and rows of the table that is named need it. Delete or reassign those in Renaissance: \
             then it goes by itself. Or make it again in BioGraph with the same _id: then it stays."
        }
        Some(Reason::Constraint) => "The database refused the write; make the record satisfy the rule that is named.",
        Some(Reason::UnsupportedId) => {
            "Only documents with an ObjectId can be linked: copy the document under a new ObjectId and remove this one. Then \
             the entry goes away."
        }
        Some(Reason::TooLarge) => "Shorten the record: MongoDB holds at most 16 MB in one document.",
        Some(Reason::Undecided) => "Both sides changed it: write the value that counts on either side.",
        Some(Reason::Paused) => {
            "It comes back by itself when the pause ends: `biograph-bridge status` shows the pause, `biograph-bridge resume` ends it."
        }
        Some(Reason::Looping) => {
            "What the bridge writes is changed by the database each time (a trigger?), or the two transforms that are named do not undo \
             each other. Correct that; then change the record, or `biograph-bridge parked retry`."
        }
        None => "See the detail; this reason is from another version of biograph-bridge.",
    }
}
