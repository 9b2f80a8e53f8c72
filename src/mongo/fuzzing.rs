//! What a server sent, as any bytes; see [`crate::fuzzing`].

use mongodb::bson::{Document, RawDocumentBuf};

use super::{
    codec,
    event::{Fragments, Seen, Watched, token},
    extjson,
    layout::Layout,
    patch,
    sessions::KnownSessions,
    spelling, stray,
};
use crate::{
    fuzzing::people,
    model::{mapping::Path, value::Value},
};

/// Where something is looked for; the seeds have something there.
const PATHS: [&[&str]; 6] = [&["_id"], &["a"], &["a", "b"], &["a", "b", "c"], &["x"], &["y", "z"]];

/// A document: each mapped path has a value no larger than the document, and what can be written is read back alike, also
/// when it is spelled as the document spells it.
pub fn document(bytes: &[u8]) -> bool {
    let Some(document) = framed(bytes) else { return false };
    let paths = PATHS.map(|path| Path(path.iter().map(|name| (*name).to_owned()).collect()));
    let slots = Layout::new(&paths).slots(&document);
    assert_eq!(slots.len(), paths.len());
    for (value, path) in slots.iter().zip(&paths) {
        let Some(value) = value else { continue };
        assert!(weight(value) <= bytes.len(), "much is made of little");
        let held = spelling::held_at(&document, path);
        for written in [codec::to_bson(value), spelling::to_bson_like(value, held)].into_iter().flatten() {
            let again = raw(&Document::from_iter([("x".to_owned(), written)]));
            let there = [Path(vec!["x".to_owned()])];
            let read = again.as_deref().map(|again| Layout::new(&there).slots(again));
            let read = read.as_ref().and_then(|slots| slots.first()).and_then(Option::as_ref);
            assert!(read == Some(value), "a {} is read back differently", value.type_name());
        }
    }
    let changes = [(1, Some(Value::Int(1))), (3, None), (5, Some(Value::Null))];
    drop(patch::update(&document, &changes.into(), &paths));
    let shown = extjson::document(&document);
    if let Some(restored) = extjson::restored(&shown) {
        assert!(extjson::plain(&restored) == shown, "a document that is put back is another one");
    }
    slots.iter().flatten().any(|value| !matches!(value, Value::Opaque(_)))
}

/// Events of a change stream one after the other, also split ones.
pub fn event(bytes: &[u8]) -> bool {
    let watched = Watched::new(people().map_or(&[], std::slice::from_ref));
    let (known, mut fragments, mut rest) = (KnownSessions::default(), Fragments::default(), bytes);
    let mut seen = false;
    while let Some((length, after)) = rest.split_first_chunk() {
        let (event, after) = after.split_at(usize::from(u16::from_le_bytes(*length)).min(after.len()));
        rest = after;
        let Some(event) = framed(event) else { continue };
        drop(token(&event));
        drop(stray::stray(stray::id_of(&event).as_ref(), false));
        if let Some(whole) = fragments.complete(event) {
            seen |= matches!(watched.decode(&whole, &known), Seen::Changes(_));
        }
    }
    seen
}

/// The bytes with the length and the end that a document has, which its reader would refuse it without.
fn framed(bytes: &[u8]) -> Option<RawDocumentBuf> {
    let mut bytes = bytes.to_vec();
    let length = i32::try_from(bytes.len()).ok()?.to_le_bytes();
    bytes.first_chunk_mut().map(|first: &mut [u8; 4]| *first = length)?;
    *bytes.last_mut()? = 0;
    RawDocumentBuf::from_bytes(bytes).ok()
}

fn raw(document: &Document) -> Option<RawDocumentBuf> {
    RawDocumentBuf::try_from(document).ok()
}

/// Roughly its bytes in a document, less what introduces each part.
fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Binary(_, bytes) => bytes.len(),
        Value::List(items) => items.iter().map(|item| 1 + weight(item)).sum(),
        Value::Object(entries) => entries.iter().map(|(key, item)| 1 + key.len() + weight(item)).sum(),
        Value::Dangling(held) => weight(held),
        Value::Timestamp(_) | Value::Float(_) => 8,
        Value::Id(_) => 12,
        Value::Uuid(_) => 16,
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Decimal(_) | Value::Date(_) | Value::Opaque(_) => 1,
    }
}
