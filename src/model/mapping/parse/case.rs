//! `[[case]]`: examples inside a mapping file.

use super::keys::Keys;
use crate::model::{mapping::Case, side::Side};

/// Reads one example.
pub(super) fn case(keys: &Keys<'_>) -> Option<Case> {
    let name = keys.need_text("name", "\"…\"");
    let sides =
        [("legacy", vec![Side::Legacy]), ("renaissance", vec![Side::Renaissance]), ("both", Side::ALL.to_vec())];
    let from = keys.get("from").and_then(|item| keys.choice_of("from", item, &sides));
    let mut json = |key: &'static str| {
        let item = keys.get(key)?;
        let text = keys.text_of(key, item)?;
        match serde_json::from_str(&text) {
            Ok(json) => Some(json),
            Err(error) => {
                keys.report(Some(item), format!("`{key}` is not JSON: {error}"), None);
                None
            }
        }
    };
    let [legacy, record, renaissance, current] = ["legacy", "record", "renaissance", "current"].map(&mut json);
    keys.finish();
    if record.is_none() && keys.get("record").is_none() {
        keys.report(None, "`record` is missing", Some("add `record = '''{ \"field\": … }'''`".to_owned()));
    }
    let from = from.unwrap_or_else(|| vec![Side::Legacy]);
    for side in &from {
        let given = if *side == Side::Legacy { &legacy } else { &renaissance };
        if given.is_none() {
            keys.report(None, format!("a case from {side} needs `{side}`"), None);
        }
    }
    Some(Case { name: name?, line: keys.line(), from, legacy, record: record?, renaissance, current })
}
