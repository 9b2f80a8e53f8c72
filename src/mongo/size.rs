//! How much room writes take: MongoDB limits a document, and a command with all its documents, to 16 MiB.

use crate::{
    model::{
        image::Patch,
        mapping::{Entity, Path},
        problem::{Problem, Reason},
        value::Value,
    },
    sync::ports::{LegacyChange, LegacyWrite},
};

/// The most a document may take, in bytes.
const MOST_IN_DOCUMENT: usize = 16 << 20;
/// The most that is sent in one command, in bytes; a single larger document is sent alone.
const MOST_IN_COMMAND: usize = 12 << 20;
/// Type, length and name of an element, roughly.
const PER_ELEMENT: usize = 16;

/// What a value takes in a document, in bytes: nearly, and never much less.
fn weight(value: &Value) -> usize {
    PER_ELEMENT
        + match value {
            Value::Text(text) => text.len(),
            Value::Binary(_, bytes) => bytes.len(),
            Value::List(items) => items.iter().map(weight).sum(),
            Value::Object(entries) => entries.iter().map(|(key, item)| key.len() + weight(item)).sum(),
            Value::Dangling(held) => weight(held),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Decimal(_)
            | Value::Timestamp(_)
            | Value::Date(_)
            | Value::Id(_)
            | Value::Uuid(_)
            | Value::Opaque(_) => 0,
        }
}

fn of_patch(patch: &Patch) -> impl Iterator<Item = (usize, usize)> {
    patch.iter().filter_map(|(slot, content)| Some((*slot, weight(content.as_ref()?))))
}

const fn patch_of(write: &LegacyWrite) -> Option<&Patch> {
    match &write.change {
        LegacyChange::Insert(patch) | LegacyChange::Update(_, patch) => Some(patch),
        LegacyChange::Delete(_) => None,
    }
}

/// The writes, by their number, in parts that one command can carry each.
pub(super) fn parts(writes: &[LegacyWrite]) -> Vec<Vec<usize>> {
    let (mut parts, mut room): (Vec<Vec<usize>>, usize) = (Vec::new(), 0);
    for (number, write) in writes.iter().enumerate() {
        let weight = patch_of(write).map_or(0, |patch| of_patch(patch).map(|(_, weight)| weight).sum()) + PER_ELEMENT;
        match parts.last_mut() {
            Some(part) if weight <= room => {
                part.push(number);
                room -= weight;
            }
            _ => {
                parts.push(vec![number]);
                room = MOST_IN_COMMAND.saturating_sub(weight);
            }
        }
    }
    parts
}

/// The slot to blame for a document that is too large: the largest that is to be written, and what it takes.
fn largest(patch: &Patch) -> Option<(usize, usize)> {
    of_patch(patch).max_by_key(|(_, weight)| *weight)
}

fn says(path: &Path, bytes: usize) -> Problem {
    // one digit is enough to see what to shorten
    let tenths = bytes.saturating_mul(10) >> 20;
    let (path, whole, tenth) = (path.0.join("."), tenths / 10, tenths % 10);
    let detail = format!("{path} takes {whole}.{tenth} MiB; a legacy document holds 16 MiB in all");
    Problem::new(Reason::TooLarge, detail)
}

/// Refuses a patch that no document can hold, and names its largest slot.
pub(super) fn check(patch: &Patch, paths: &[Path]) -> Result<(), (usize, Problem)> {
    if of_patch(patch).map(|(_, weight)| weight).sum::<usize>() <= MOST_IN_DOCUMENT {
        return Ok(());
    }
    match largest(patch).and_then(|(slot, bytes)| Some((slot, says(paths.get(slot)?, bytes)))) {
        Some(refused) => Err(refused),
        None => Ok(()),
    }
}

/// What to say about a write that the server found too large together with what the document holds already.
pub(super) fn blame(entity: &Entity, write: &LegacyWrite) -> Option<(usize, Problem)> {
    let (slot, bytes) = largest(patch_of(write)?)?;
    Some((slot, says(entity.legacy.paths.get(slot)?, bytes)))
}

#[cfg(test)]
mod tests {
    use super::{super::codec::tests::path, *};
    use crate::model::key::LegacyId;

    fn text(bytes: usize) -> Option<Value> {
        Some(Value::Text("x".repeat(bytes).into()))
    }

    fn insert(bytes: usize) -> LegacyWrite {
        LegacyWrite { id: LegacyId::new([1; 12]), change: LegacyChange::Insert(vec![(1, text(bytes))]), born: None }
    }

    #[test]
    fn a_command_carries_what_it_can_and_a_large_document_goes_alone() {
        let mebibyte = 1 << 20;
        let writes: Vec<LegacyWrite> = [1, 5, 5, 5, 15, 1].iter().map(|size| insert(size * mebibyte)).collect();
        assert_eq!(parts(&writes), [vec![0, 1, 2], vec![3], vec![4], vec![5]]);
        assert_eq!(parts(&[]), Vec::<Vec<usize>>::new());
        let many: Vec<LegacyWrite> = (0..1000).map(|_| insert(10)).collect();
        assert_eq!(parts(&many).len(), 1);
    }

    #[test]
    fn the_largest_slot_is_named_with_its_size_only() {
        let paths = [path("_id"), path("name"), path("text.body")];
        let patch =
            vec![(1, text(10)), (2, Some(Value::List(vec![Value::Text("y".repeat(20 << 20).into()); 1]))), (1, None)];
        let (slot, problem) = check(&patch, &paths).unwrap_err();
        assert_eq!((slot, problem.reason), (2, Reason::TooLarge));
        assert_eq!(problem.detail, "text.body takes 20.0 MiB; a legacy document holds 16 MiB in all");
        assert!(check(&vec![(1, text(15 << 20))], &paths).is_ok());
    }
}
