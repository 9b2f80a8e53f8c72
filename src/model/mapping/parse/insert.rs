//! What a new record gets where no field writes: `[legacy.insert]`, `[renaissance.insert]`, `[renaissance.child.insert]`.

use toml::de::DeValue;

use super::{
    keys::{Item, Keys},
    named,
    slots::Slots,
};
use crate::model::{
    mapping::{Computed, Field, InsertValue, TemplatePart},
    side::Side,
};

/// A template as written, until the fields it names are known: its place, where that is said, its text.
pub(super) type Template<'s> = (String, Item<'s>, String);

/// What an insert section gives: values, and templates.
pub(super) type Inserts<'s> = (Vec<(String, Item<'s>, InsertValue)>, Vec<Template<'s>>);

/// What one place gets.
enum Content {
    Value(InsertValue),
    Template(String),
}

const WORDS: [(&str, InsertValue); 3] =
    [("unusable_password", InsertValue::UnusablePassword), ("now", InsertValue::Now), ("uuid", InsertValue::Uuid)];

/// Reads an insert section.
pub(super) fn read<'s>(keys: &Keys<'s>, side: Side) -> Inserts<'s> {
    let words = if side == Side::Renaissance { &WORDS[..] } else { &WORDS[1..] };
    let (mut values, mut templates) = (Vec::new(), Vec::new());
    for (place, item) in keys.entries() {
        match content(keys, place, item, words) {
            Some(Content::Value(value)) => values.push((place.to_owned(), item, value)),
            Some(Content::Template(text)) => templates.push((place.to_owned(), item, text)),
            None => {}
        }
    }
    (values, templates)
}

fn content(keys: &Keys<'_>, place: &str, item: Item<'_>, words: &[(&'static str, InsertValue)]) -> Option<Content> {
    let DeValue::Table(_) = item.get_ref() else {
        return keys.value_of(place, item).map(|value| Content::Value(InsertValue::Constant(value)));
    };
    let inner = keys.table_of(place, item)?;
    let given = ["generate", "template", "value"].map(|key| inner.get(key));
    inner.finish();
    match given {
        [Some(item), None, None] => inner.choice_of("generate", item, words).map(Content::Value),
        [None, Some(item), None] => inner.text_of("template", item).map(Content::Template),
        [None, None, Some(item)] => {
            inner.value_of("value", item).map(|value| Content::Value(InsertValue::Constant(value)))
        }
        _ => {
            let hint = "a nested path is one key in quotes: \"a.b\" = 0".to_owned();
            let message = format!("`{place}` needs one of `generate`, `template` and `value`");
            keys.report(Some(item), message, Some(hint));
            None
        }
    }
}

/// Reads the `insert` of a join table, whose rows belong to no one record: values only.
pub(super) fn of_join(keys: &Keys<'_>) -> Vec<(String, InsertValue)> {
    let (values, templates) = read(keys, Side::Renaissance);
    for (_, item, _) in &templates {
        keys.report(Some(item), "a row of a join table cannot be made from a template", None);
    }
    of_table(values)
}

/// Claims the places of legacy's insert values, which are slots like those of fields.
pub(super) fn legacy(
    keys: &Keys<'_>,
    slots: &mut Slots,
    fields: &[Field],
) -> (Vec<(usize, InsertValue)>, Vec<Computed>) {
    let (values, templates) = read(keys, Side::Legacy);
    let place = |slots: &mut Slots, place: &str, item| slots.claim_insert(Side::Legacy, keys, place, item);
    let values = values.into_iter().filter_map(|(name, item, value)| Some((place(slots, &name, item)?, value)));
    let values = values.collect();
    (values, computed(Side::Legacy, keys, templates, slots, fields))
}

/// Claims the places of templates and ties them to the fields they name.
pub(super) fn computed(
    side: Side,
    keys: &Keys<'_>,
    templates: Vec<Template<'_>>,
    slots: &mut Slots,
    fields: &[Field],
) -> Vec<Computed> {
    let compute = |(place, item, text): Template<'_>| {
        let parts = parts(keys, item, &text, fields)?;
        Some(Computed { slot: slots.claim_insert(side, keys, &place, item)?, parts })
    };
    templates.into_iter().filter_map(compute).collect()
}

/// `user-{username}`: text, and fields in braces; a brace itself is written twice.
fn parts(keys: &Keys<'_>, item: Item<'_>, text: &str, fields: &[Field]) -> Option<Vec<TemplatePart>> {
    let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            literal.push_str(&rest[..1]);
            rest = after;
            continue;
        }
        let Some((name, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            let hint = "name a field as {field}; a brace itself is {{ or }}".to_owned();
            keys.report(Some(item), "`template` has a brace without its partner", Some(hint));
            return None;
        };
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let field = named(keys, &names, name, Some(item))?;
        if fields.get(field).is_some_and(|field| field.refers.as_ref().is_some_and(|refers| refers.many)) {
            keys.report(Some(item), format!("`template` cannot spell field {name}, which holds a list"), None);
            return None;
        }
        if !literal.is_empty() {
            parts.push(TemplatePart::Text(std::mem::take(&mut literal)));
        }
        parts.push(TemplatePart::Field(field));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(TemplatePart::Text(literal));
    }
    Some(parts)
}

/// The values of a table's section by column.
pub(super) fn of_table(values: Vec<(String, Item<'_>, InsertValue)>) -> Vec<(String, InsertValue)> {
    values.into_iter().map(|(column, _, value)| (column, value)).collect()
}
