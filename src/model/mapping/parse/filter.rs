//! `[[filter]]`: which records belong.

use super::{keys::Keys, slots::Slots};
use crate::model::{mapping::Filter, side::Side, value::Value};

const SIDES: [(&str, Side); 2] = [("legacy", Side::Legacy), ("renaissance", Side::Renaissance)];

/// Reads one condition.
pub(super) fn filter(keys: &Keys<'_>, slots: &mut Slots) -> Option<Filter> {
    let side = keys.need("side", "\"legacy\"").and_then(|item| keys.choice_of("side", item, &SIDES));
    let slot = side.and_then(|side| {
        let place = if side == Side::Legacy { "path" } else { "column" };
        slots.look(side, keys, place, keys.need(place, "\"…\"")?)
    });
    let lists = ["any_of", "none_of"].map(|key| (keys.get(key), key));
    if side.is_some() {
        keys.finish();
    }
    let (item, key, negated) = match lists {
        [(Some(item), key), (None, _)] => (item, key, false),
        [(None, _), (Some(item), key)] => (item, key, true),
        _ => {
            let hint = "none_of = [true]; \"null\" stands for missing or null".to_owned();
            keys.report(None, "a filter needs one of `any_of` and `none_of`", Some(hint));
            return None;
        }
    };
    match keys.value_of(key, item)? {
        Value::List(values) if !values.is_empty() => {
            let null = |value: Value| if value.as_text() == Some("null") { Value::Null } else { value };
            let any_of = values.into_iter().map(null).collect();
            Some(Filter { side: side?, slot: slot?, any_of, negated })
        }
        _ => {
            keys.report(Some(item), format!("`{key}` must be an array of values, not empty"), None);
            None
        }
    }
}
