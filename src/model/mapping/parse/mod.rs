//! A mapping file's text → [`Entity`], or every problem it has at once, each with its line.

mod form;
mod half;
mod keys;
mod slots;

use toml::de::{DeTable, DeValue};

use self::{
    half::Half,
    keys::{Item, Keys, Source},
    slots::Slots,
};
use super::{
    Case, Entity, Field, Flow, InsertValue, LegacyShape, MappingError, OnInvalid, Origin, Refers, RenaissanceShape,
    Table, error::did_you_mean,
};
use crate::model::{key::EntityIndex, policy::Policy, side::Side, value::Value};

/// Reads a mapping file; `file` names it in messages.
pub fn parse(file: &str, text: &str) -> Result<Entity, Vec<MappingError>> {
    let source = Source::new(file, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        source.report(at, None, format!("not TOML: {}", error.message()), None);
    }
    if !errors.is_empty() {
        return Err(source.into_errors());
    }
    let entity = read(file, &Keys::new(&source, document.get_ref(), &(0..0), None));
    let errors = source.into_errors();
    match entity {
        Some(entity) if errors.is_empty() => Ok(entity),
        Some(_) | None => Err(errors),
    }
}

fn read(file: &str, root: &Keys<'_>) -> Option<Entity> {
    let name = root.need_text("entity", "\"user\"");
    let policy = policy(root).unwrap_or_default();
    let legacy = root.need("legacy", "{ collection = \"…\" }").and_then(|item| root.table_of("legacy", item));
    let collection = legacy.as_ref().and_then(|keys| keys.need_text("collection", "\"…\""));
    if let Some(keys) = &legacy {
        keys.finish();
    }
    let renaissance = root.need("renaissance", "{ table = \"…\" }").and_then(|item| root.table_of("renaissance", item));
    let shape = renaissance.as_ref().and_then(tables);
    let (tables, legacy_id_column, table_lines) = shape.unwrap_or_default();
    let mut slots = Slots::new(tables);
    let fields: Vec<Option<Field>> = root.tables("field").iter().map(|keys| field(keys, policy, &mut slots)).collect();
    let (natural_keys, label) = (root.text_lists("natural_keys"), root.text("label"));
    let owner = root.text("owner");
    let cases = root.tables("case").iter().filter_map(case).collect();
    root.finish();
    let all_fields: Vec<Field> = fields.into_iter().collect::<Option<_>>()?;
    let key = |names: &Vec<(String, Item<'_>)>| {
        names.iter().filter_map(|(name, item)| named(root, &all_fields, name, Some(item))).collect()
    };
    let natural_keys = natural_keys.iter().map(key).collect();
    let owner = owner.and_then(|owner| named(root, &all_fields, &owner, root.get("owner")));
    if owner.is_some_and(|owner| !all_fields[owner].refers.as_ref().is_some_and(|refers| refers.linked && !refers.many))
    {
        root.report(root.get("owner"), "`owner` must name a field that is a reference", None);
    }
    let label = label.and_then(|label| named(root, &all_fields, &label, root.get("label")));
    if all_fields.is_empty() {
        root.report(None, "there is no [[field]]", None);
    }
    duplicates(root, &all_fields);
    let (tables, paths, columns) = slots.into_parts();
    Some(Entity {
        name: name?,
        legacy: LegacyShape { collection: collection?, paths, insert: Vec::new(), computed: Vec::new() },
        renaissance: RenaissanceShape {
            tables,
            columns,
            legacy_id_column,
            computed: Vec::new(),
            constraints: Vec::new(),
        },
        fields: all_fields,
        natural_keys,
        owner,
        filters: Vec::new(),
        deletes: super::DeleteRule::default(),
        label,
        cases,
        origin: Origin { file: file.to_owned(), legacy_line: legacy?.line(), table_lines },
    })
}

fn duplicates(root: &Keys<'_>, fields: &[Field]) {
    for (index, field) in fields.iter().enumerate() {
        if let Some(first) = fields.iter().take(index).find(|earlier| earlier.name == field.name) {
            let message = format!("this name is already taken by the field of line {}", first.line);
            let item = root.items("field").into_iter().nth(index);
            let at = item.map_or(0, |item| item.span().start);
            root.source.report(at, Some(&field.name), message, None);
        }
    }
}

/// The index of a field by name, or a report.
fn named(root: &Keys<'_>, fields: &[Field], name: &str, item: Option<Item<'_>>) -> Option<usize> {
    let found = fields.iter().position(|field| field.name == name);
    if found.is_none() {
        let hint = did_you_mean(name, fields.iter().map(|field| field.name.as_str()));
        let at = item.map_or(0, |item| item.span().start);
        root.source.report(at, None, format!("there is no field `{name}`"), hint);
    }
    found
}

fn policy(keys: &Keys<'_>) -> Option<Policy> {
    let item = keys.get("policy")?;
    keys.choice_of("policy", item, &Policy::ALL.map(|policy| (policy.as_str(), policy)))
}

/// The tables, root first; the legacy id column; the line of each table.
fn tables(keys: &Keys<'_>) -> Option<(Vec<Table>, String, Vec<usize>)> {
    let root = table(keys, None);
    let legacy_id = keys.need_text("legacy_id", "\"old_…_id\"");
    let children = keys.tables("child");
    keys.finish();
    let mut tables = vec![root?];
    let mut lines = vec![keys.line()];
    for child in &children {
        let parent = child.need_text("parent", "\"user_id\"");
        if let (Some(table), Some(_)) = (table(child, parent.clone()), &parent) {
            if tables.iter().any(|known| known.name == table.name) {
                child.report(None, format!("table `{}` is declared twice", table.name), None);
            }
            tables.push(table);
            lines.push(child.line());
        }
        child.finish();
    }
    Some((tables, legacy_id?, lines))
}

fn table(keys: &Keys<'_>, parent: Option<String>) -> Option<Table> {
    let name = keys.need_text("table", "\"…\"");
    let key = keys.text("key").unwrap_or_else(|| "id".to_owned());
    let insert = keys.table("insert").map(|keys| inserts(&keys)).unwrap_or_default();
    Some(Table { name: name?, key, parent, insert, members: None })
}

fn inserts(keys: &Keys<'_>) -> Vec<(String, InsertValue)> {
    keys.entries()
        .into_iter()
        .filter_map(|(column, item)| Some((column.to_owned(), insert(keys, column, item)?)))
        .collect()
}

fn insert(keys: &Keys<'_>, column: &str, item: Item<'_>) -> Option<InsertValue> {
    let DeValue::Table(_) = item.get_ref() else {
        return keys.value_of(column, item).map(InsertValue::Constant);
    };
    let inner = keys.table_of(column, item)?;
    let words = [("unusable_password", InsertValue::UnusablePassword), ("now", InsertValue::Now)];
    let value = inner.need("generate", "\"now\"").and_then(|item| inner.choice_of("generate", item, &words));
    inner.finish();
    value
}

fn field(keys: &Keys<'_>, default: Policy, slots: &mut Slots) -> Option<Field> {
    let name = keys.need_text("name", "\"…\"");
    keys.field.borrow_mut().clone_from(&name);
    let policy = policy(keys).unwrap_or(default);
    let [legacy, renaissance] = Side::ALL.map(|side| Half::open(side, keys).and_then(|half| half.read(slots)));
    let refers = keys.text("to");
    keys.finish();
    let (legacy, renaissance) = (legacy?, renaissance?);
    let linked = refers.as_ref().is_some_and(|_| renaissance.transform.is_linked());
    Some(Field {
        name: name?,
        policy,
        refers: refers.map(|to| Refers {
            to,
            entity: EntityIndex(u16::MAX),
            many: matches!(legacy.transform, super::transform::Transform::References(_)),
            linked,
        }),
        legacy,
        renaissance,
        flow: Flow::default(),
        once: false,
        group: None,
        on_invalid: OnInvalid::default(),
        normal_form: None,
        line: keys.line(),
    })
}

fn case(keys: &Keys<'_>) -> Option<Case> {
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

impl super::HalfLens {
    /// Whether the declared default can be held.
    fn is_sound(&self) -> Result<(), String> {
        match &self.missing {
            super::lens::Missing::Default(default) if !self.can_hold(default) => {
                Err(format!("`missing` is {}, which this field cannot hold", default.type_name()))
            }
            super::lens::Missing::IdTime if !self.can_hold(&Value::Timestamp(0)) => {
                Err("`missing = \"id_time\"` needs `as = \"timestamp\"`".to_owned())
            }
            super::lens::Missing::Default(_) | super::lens::Missing::IdTime | super::lens::Missing::Null => Ok(()),
        }
    }
}
