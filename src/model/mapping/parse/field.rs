//! `[[field]]`: its two sides and what is decided about it.

use std::collections::BTreeSet;

use toml::de::DeValue;

use super::{
    half::{self, Half},
    keys::Keys,
    slots::Slots,
};
use crate::model::{
    key::EntityIndex,
    mapping::{Field, Flow, HalfLens, OnInvalid, Refers, lens::Missing, transform::Transform},
    policy::Policy,
    side::Side,
    value::Value,
};

const DIRECTIONS: [(&str, Flow); 3] =
    [("both", Flow::Both), ("to_renaissance", Flow::To(Side::Renaissance)), ("to_legacy", Flow::To(Side::Legacy))];
const WHEN: [(&str, bool); 2] = [("always", false), ("insert", true)];
const ON_INVALID: [(&str, OnInvalid); 3] =
    [("park", OnInvalid::Park), ("null", OnInvalid::Value(Value::Null)), ("default", OnInvalid::Missing)];

/// Reads one field; `groups` collects the names of groups, of which a field holds the number.
pub(super) fn field(keys: &Keys<'_>, default: Policy, slots: &mut Slots, groups: &mut Vec<String>) -> Option<Field> {
    let name = keys.need_text("name", "\"…\"");
    keys.field.borrow_mut().clone_from(&name);
    let policy = policy(keys).unwrap_or(default);
    let flow = choice(keys, "direction", &DIRECTIONS).unwrap_or_default();
    let once = choice(keys, "when", &WHEN).unwrap_or_default();
    let group = keys.text("group").and_then(|name| number(groups, name));
    let on_invalid = on_invalid(keys);
    let normal_form = half::normal_forms(keys);
    let [legacy, renaissance] = Side::ALL.map(|side| Half::open(side, keys).and_then(|half| half.read(slots)));
    let refers = keys.text("to");
    keys.finish();
    let (legacy, renaissance) = (legacy?, renaissance?);
    let linked = refers.as_ref().is_some_and(|_| renaissance.transform.is_linked());
    let many = matches!(legacy.transform, Transform::References(_));
    let refers = refers.map(|to| Refers { to, entity: EntityIndex(u16::MAX), many, linked });
    let line = keys.line();
    let field =
        Field { name: name?, policy, legacy, renaissance, flow, once, group, on_invalid, refers, normal_form, line };
    check(keys, &field);
    if let Some((message, hint)) = field.undeclared_loss() {
        keys.report(keys.get("normal_form"), message, Some(hint));
    }
    Some(field)
}

/// The policy of a file or a field.
pub(super) fn policy(keys: &Keys<'_>) -> Option<Policy> {
    choice(keys, "policy", &Policy::ALL.map(|policy| (policy.as_str(), policy)))
}

/// One of a closed set of words, if the key is there.
pub(super) fn choice<T: Clone>(keys: &Keys<'_>, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
    keys.get(key).and_then(|item| keys.choice_of(key, item, words))
}

fn number(groups: &mut Vec<String>, name: String) -> Option<u16> {
    let known = groups.iter().position(|known| *known == name);
    let index = known.unwrap_or_else(|| {
        groups.push(name);
        groups.len() - 1
    });
    u16::try_from(index).ok()
}

fn on_invalid(keys: &Keys<'_>) -> OnInvalid {
    let Some(item) = keys.get("on_invalid") else { return OnInvalid::Park };
    let DeValue::Table(_) = item.get_ref() else {
        return keys.choice_of("on_invalid", item, &ON_INVALID).unwrap_or_default();
    };
    let Some(inner) = keys.table_of("on_invalid", item) else { return OnInvalid::Park };
    let (value, length) = (inner.get("value"), inner.get("truncate"));
    inner.finish();
    let read = match (value, length) {
        (Some(item), None) => inner.value_of("value", item).map(OnInvalid::Value),
        (None, Some(item)) => inner.count_of("truncate", item).map(OnInvalid::Truncate),
        _ => {
            let hint = "on_invalid = { value = … } or on_invalid = { truncate = 250 }".to_owned();
            keys.report(Some(item), "`on_invalid` needs one of `value` and `truncate`", Some(hint));
            None
        }
    };
    read.unwrap_or_default()
}

/// What the options of a field must not be together.
fn check(keys: &Keys<'_>, field: &Field) {
    let sides = [&field.legacy, &field.renaissance];
    match &field.on_invalid {
        OnInvalid::Park => {}
        OnInvalid::Missing if sides.iter().all(|half| half.missing == Missing::Null) => {
            let hint = "add `missing = …`, or write `on_invalid = \"null\"`".to_owned();
            keys.report(keys.get("on_invalid"), "`on_invalid = \"default\"` needs a default", Some(hint));
        }
        OnInvalid::Missing => {}
        OnInvalid::Value(value) => {
            for (side, half) in Side::ALL.iter().zip(sides).filter(|(_, half)| !half.can_hold(value)) {
                let message = format!("`on_invalid` is {}, which {side} cannot hold", value.type_name());
                let hint = (half.missing != Missing::Null).then(|| "write `on_invalid = \"default\"`".to_owned());
                keys.report(keys.get("on_invalid"), message, hint);
            }
        }
        OnInvalid::Truncate(_) if sides.iter().all(|half| is_text(half)) => {}
        OnInvalid::Truncate(_) => {
            keys.report(keys.get("on_invalid"), "only `text` and `name` can be cut", None);
        }
    }
    if members(&field.legacy) != members(&field.renaissance) {
        let hint = "write `as = \"json\"` for the side that holds the object in one slot".to_owned();
        keys.report(None, "one side spreads the members of an object that the other side does not hold", Some(hint));
    }
    check_policy(keys, field);
}

/// Whether the policy can combine what the field holds.
fn check_policy(keys: &Keys<'_>, field: &Field) {
    let many = matches!(field.legacy.transform, Transform::References(_) | Transform::List(_));
    let sides = [&field.legacy, &field.renaissance];
    match field.policy {
        Policy::Max | Policy::Min => {
            let Some(half) = sides.into_iter().find(|half| !half.transform.has_order()) else { return };
            let (policy, word) = (field.policy.as_str(), half.transform.word());
            let message = format!("`policy = \"{policy}\"` needs values with an order, which `{word}` has not");
            let hint = if many {
                "one of owner, legacy, renaissance, latest, union, park"
            } else {
                "one of owner, legacy, renaissance, latest, park"
            };
            keys.report(keys.get("policy"), message, Some(hint.to_owned()));
        }
        Policy::Union if sides.into_iter().any(in_order) => {
            let hint = Some("add `order = \"none\"`".to_owned());
            keys.report(keys.get("policy"), "`policy = \"union\"` does not keep the order of a list", hint);
        }
        Policy::Union if !many => {
            let hint = "one of owner, legacy, renaissance, latest, max, min, park".to_owned();
            keys.report(keys.get("policy"), "`policy = \"union\"` is for lists", Some(hint));
        }
        Policy::Sum if ![&field.legacy, &field.renaissance].into_iter().all(is_number) => {
            let hint = "one of owner, legacy, renaissance, latest, max, min, park".to_owned();
            keys.report(keys.get("policy"), "`policy = \"sum\"` is for `int`, `float` and `decimal`", Some(hint));
        }
        _ => {}
    }
}

/// The members of an object that the side spreads, or holds for a side that does.
fn members(half: &HalfLens) -> Option<BTreeSet<&str>> {
    match &half.transform {
        Transform::Spread(spread) => Some(spread.members.iter().map(|(name, _)| name.as_str()).collect()),
        _ => None,
    }
}

const fn in_order(half: &HalfLens) -> bool {
    matches!(&half.transform, Transform::List(list) if !list.set)
}

const fn is_text(half: &HalfLens) -> bool {
    matches!(half.transform, Transform::Text(_) | Transform::Name(_))
}

const fn is_number(half: &HalfLens) -> bool {
    matches!(half.transform, Transform::Int(_) | Transform::Float(_) | Transform::Decimal(_))
}

/// Whether a field is a moment on both sides.
pub(super) const fn is_moment(field: &Field) -> bool {
    matches!(
        (&field.legacy.transform, &field.renaissance.transform),
        (Transform::Timestamp(_), Transform::Timestamp(_))
    )
}

/// `latest` needs to know when a record was updated.
pub(super) fn check_latest(root: &Keys<'_>, fields: &[Field], updated: Option<usize>) {
    let latest = fields.iter().enumerate().find(|(_, field)| field.policy == Policy::Latest);
    if let Some((index, field)) = latest.filter(|_| updated.is_none()) {
        let hint =
            "name the field with the time of the last update above the first table: `updated = \"…\"`".to_owned();
        let message = "`policy = \"latest\"` needs to know when a record was updated";
        root.source.report(root.element("field", index), Some(&field.name), message, Some(hint));
    }
}

/// What the fields of a group must have in common; places are reported by the index of the field.
pub(super) fn check_groups(root: &Keys<'_>, fields: &[Field], groups: &[String]) {
    for (number, group) in (0_u16..).zip(groups) {
        let mut members = fields.iter().enumerate().filter(|(_, field)| field.group == Some(number));
        let Some((first_index, first)) = members.next() else { continue };
        let report = |index: usize, field: &Field, message: String| {
            root.source.report(root.element("field", index), Some(&field.name), message, None);
        };
        if matches!(first.policy, Policy::Max | Policy::Min | Policy::Union | Policy::Sum) {
            let policy = first.policy.as_str();
            report(
                first_index,
                first,
                format!("group {group} is decided as one, which `policy = \"{policy}\"` cannot"),
            );
        }
        let mut alone = true;
        for (index, field) in members {
            alone = false;
            let differing = [
                ("policy", field.policy == first.policy),
                ("direction", field.flow == first.flow),
                ("when", field.once == first.once),
            ];
            for (key, _) in differing.iter().filter(|(_, same)| !same) {
                report(index, field, format!("group {group} needs one `{key}`; field {} has another", first.name));
            }
        }
        if alone {
            report(first_index, first, format!("group {group} has no other field"));
        }
    }
}
