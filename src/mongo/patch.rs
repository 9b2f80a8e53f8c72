//! Patches as update documents that leave everything unmapped alone: sibling keys of a nested path survive.
//!
//! `$set: {"a.b": …}` fails with PathNotViable where `a` is null, a scalar or an array. Such an `a` cannot hold `b` in any
//! reading, so it is replaced by an object; an `a` that is missing or an object is left to the server.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, doc};

use super::{
    codec::{object_id, to_bson},
    spelling::{held_at, to_bson_like},
};
use crate::model::{image::Patch, key::LegacyId, mapping::Path, problem::Problem, value::Value};

/// What cannot be written, and the slot it was meant for.
pub(super) type Unwritable = (usize, Problem);

/// The document to insert.
pub(super) fn insertion(id: LegacyId, patch: &Patch, paths: &[Path]) -> Result<Document, Unwritable> {
    let mut document = doc! { "_id": object_id(id) };
    for (slot, path, value) in placed(patch, paths) {
        if let Some(value) = value {
            place(&mut document, &path.0, to_bson(value).map_err(|problem| (slot, problem))?);
        }
    }
    Ok(document)
}

/// The update document that makes `current` hold the patch; `None` if there is nothing to do.
pub(super) fn update(current: &RawDocument, patch: &Patch, paths: &[Path]) -> Result<Option<Document>, Unwritable> {
    let (mut set, mut unset, mut replaced) = (Document::new(), Document::new(), BTreeMap::<String, Document>::new());
    for (slot, path, value) in placed(patch, paths) {
        let spelled = |value| to_bson_like(value, held_at(current, path));
        let value = value.map(spelled).transpose().map_err(|problem| (slot, problem))?;
        match (value, blocked_at(current, path)) {
            (Some(value), None) => {
                set.insert(path.0.join("."), value);
            }
            (Some(value), Some(depth)) => {
                let (parent, inner) = path.0.split_at(depth);
                place(replaced.entry(parent.join(".")).or_default(), inner, value);
            }
            (None, None) => {
                unset.insert(path.0.join("."), "");
            }
            (None, Some(_)) => {}
        }
    }
    set.extend(replaced.into_iter().map(|(parent, object)| (parent, Bson::Document(object))));
    let parts = [("$set", set), ("$unset", unset)].into_iter().filter(|(_, part)| !part.is_empty());
    let update: Document = parts.map(|(operator, part)| (operator.to_owned(), Bson::Document(part))).collect();
    Ok((!update.is_empty()).then_some(update))
}

/// The patched slots with their paths. `_id` (slot 0) is never written by a patch.
fn placed<'a>(patch: &'a Patch, paths: &'a [Path]) -> impl Iterator<Item = (usize, &'a Path, Option<&'a Value>)> {
    let writable = patch.iter().filter(|(slot, _)| *slot != 0);
    writable.filter_map(|(slot, value)| paths.get(*slot).map(|path| (*slot, path, value.as_ref())))
}

/// How many names lead to something that exists and is not an object, if the path runs into that.
fn blocked_at(current: &RawDocument, path: &Path) -> Option<usize> {
    let mut at = current;
    for (index, name) in path.0.iter().enumerate().take(path.0.len().saturating_sub(1)) {
        match at.get(name) {
            Ok(Some(RawBsonRef::Document(inner))) => at = inner,
            Ok(None) => return None,
            Ok(Some(_)) | Err(_) => return Some(index + 1),
        }
    }
    None
}

fn place(document: &mut Document, path: &[String], value: Bson) {
    match path {
        [] => {}
        [last] => {
            document.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            if !matches!(document.get(first), Some(Bson::Document(_))) {
                document.insert(first.clone(), Document::new());
            }
            if let Some(Bson::Document(inner)) = document.get_mut(first) {
                place(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{
        codec::tests::{path, raw, storable},
        layout::Layout,
    };
    use super::*;

    /// `$set` and `$unset` as the server applies them to documents without arrays on the way.
    fn apply(document: &mut Document, update: &Document) {
        for (dotted, value) in update.get_document("$set").into_iter().flatten() {
            let names: Vec<String> = dotted.split('.').map(str::to_owned).collect();
            place(document, &names, value.clone());
        }
        for (dotted, _) in update.get_document("$unset").into_iter().flatten() {
            remove(document, &dotted.split('.').collect::<Vec<_>>());
        }
    }

    fn remove(document: &mut Document, names: &[&str]) {
        match names {
            [last] => drop(document.remove(*last)),
            [first, rest @ ..] => {
                if let Some(Bson::Document(inner)) = document.get_mut(*first) {
                    remove(inner, rest);
                }
            }
            [] => {}
        }
    }

    #[test]
    fn sibling_keys_are_not_touched() {
        let current = raw(&doc! { "n": { "all": true, "sms": false } });
        let update = update(&current, &vec![(1, Some(Value::Bool(false)))], &[path("_id"), path("n.all")]).unwrap();
        assert_eq!(update, Some(doc! { "$set": { "n.all": false } }));
    }

    #[test]
    fn a_parent_that_cannot_hold_the_key_becomes_an_object() {
        let paths = [path("_id"), path("n.all"), path("n.sms")];
        let patch = vec![(1, Some(Value::Bool(false))), (2, Some(Value::Bool(true)))];
        for parent in [Bson::Null, Bson::Int32(1), Bson::Array(vec![])] {
            let current = raw(&doc! { "n": parent });
            let update = update(&current, &patch, &paths).unwrap();
            assert_eq!(update, Some(doc! { "$set": { "n": { "all": false, "sms": true } } }));
        }
    }

    #[test]
    fn removing_what_is_not_there_is_nothing_to_do() {
        let current = raw(&doc! { "n": null });
        assert_eq!(update(&current, &vec![(1, None)], &[path("_id"), path("n.all")]).unwrap(), None);
        assert_eq!(update(&current, &vec![], &[path("_id")]).unwrap(), None);
    }

    proptest! {
        #[test]
        fn an_update_leads_to_the_patched_slots(
            a in prop::option::of(storable()), b in prop::option::of(storable()),
            parent in storable(), sibling in storable(),
        ) {
            let paths = [path("_id"), path("p.a"), path("b")];
            let mut document = doc! { "_id": 1, "p": to_bson(&parent).unwrap(), "s": to_bson(&sibling).unwrap() };
            let patch = vec![(1, a.clone()), (2, b.clone())];
            if let Some(update) = update(&raw(&document), &patch, &paths).unwrap() {
                apply(&mut document, &update);
            }
            let after = Layout::new(&paths).slots(&raw(&document));
            prop_assert_eq!(&after[1..], &[a, b]);
            prop_assert_eq!(document.get("s"), Some(&to_bson(&sibling).unwrap()));
        }

        #[test]
        fn an_insertion_holds_the_patched_slots(a in prop::option::of(storable()), b in storable()) {
            let paths = [path("_id"), path("p.a"), path("p.q.b")];
            let patch = vec![(1, a.clone()), (2, Some(b.clone()))];
            let document = insertion(LegacyId::new([7; 12]), &patch, &paths).unwrap();
            prop_assert_eq!(Layout::new(&paths).slots(&raw(&document)), vec![Some(Value::Id([7; 12])), a, Some(b)]);
        }
    }
}
