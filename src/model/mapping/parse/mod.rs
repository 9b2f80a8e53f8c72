//! A mapping file's text → [`Entity`], or every problem it has at once, each with its line.

mod case;
mod field;
mod filter;
pub(super) mod form;
mod half;
mod insert;
mod keys;
mod login;
mod parts;
mod slots;
mod tables;

use toml::de::DeTable;

use self::{
    keys::{Item, Keys, Source},
    slots::Slots,
};
use super::{DeleteRule, Entity, Field, LegacyShape, MappingError, Origin, RenaissanceShape, error::did_you_mean};
use crate::model::{digest::Digest, side::Side, value::Value};

const DELETE_RULES: [(&str, DeleteRule); 3] =
    [("mirror", DeleteRule::Mirror), ("keep", DeleteRule::Keep), ("restore", DeleteRule::Restore)];

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
        Some(mut entity) if errors.is_empty() => {
            entity.origin.digest = format!("{:016x}", Digest::of(&Value::Text(text.into())).to_bits());
            Ok(entity)
        }
        Some(_) | None => Err(errors),
    }
}

fn read(file: &str, root: &Keys<'_>) -> Option<Entity> {
    let name = root.need_text("entity", "\"user\"");
    let policy = field::policy(root).unwrap_or_default();
    let deletes = field::choice(root, "delete", &DELETE_RULES).unwrap_or_default();
    let legacy = root.need("legacy", "{ collection = \"…\" }").and_then(|item| root.table_of("legacy", item));
    let collection = legacy.as_ref().and_then(|keys| keys.need_text("collection", "\"…\""));
    let legacy_insert = legacy.as_ref().and_then(|keys| keys.table("insert"));
    if let Some(keys) = &legacy {
        keys.finish();
    }
    let renaissance = root.need("renaissance", "{ table = \"…\" }").and_then(|item| root.table_of("renaissance", item));
    let shape = renaissance.as_ref().and_then(tables::read).unwrap_or_default();
    let mut slots = Slots::new(shape.tables);
    let mut groups = Vec::new();
    let declared = root.tables("field");
    let fields: Vec<Option<Field>> =
        declared.iter().map(|keys| field::field(keys, policy, &mut slots, &mut groups)).collect();
    let filters = root.tables("filter");
    let logins = root.tables("login");
    let named_by_root: [Option<Item<'_>>; 4] = ["natural_keys", "owner", "label", "updated"].map(|key| root.get(key));
    let cases = root.tables("case").iter().filter_map(case::case).collect();
    root.finish();
    let named_by_fields: Vec<Option<&str>> = declared.iter().map(name_of).collect();
    let Some(fields) = fields.into_iter().collect::<Option<Vec<Field>>>() else {
        // where every name is known, it is known too which one nobody has
        if let Some(names) = named_by_fields.into_iter().collect::<Option<Vec<&str>>>() {
            check_names(root, &names, named_by_root);
        }
        filters.iter().for_each(|keys| drop(filter::filter(keys, &mut slots)));
        return None;
    };
    let insert = legacy_insert.map(|keys| insert::legacy(&keys, &mut slots, &fields)).unwrap_or_default();
    let computed = insert::computed(Side::Renaissance, root, shape.templates, &mut slots, &fields);
    let filters = filters.iter().filter_map(|keys| filter::filter(keys, &mut slots)).collect();
    check_fields(root, &fields, &groups);
    let [natural_keys, owner, label, updated] = named_by_root;
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let natural_keys = natural_keys.map(|_| natural_keys_of(root, &names)).unwrap_or_default();
    let owner = owner.and_then(|item| owner_of(root, (&fields, &names), item));
    let label = label.and_then(|item| named(root, &names, &root.text_of("label", item)?, Some(item)));
    let updated = updated.and_then(|item| updated_of(root, (&fields, &names), item));
    field::check_latest(root, &fields, updated);
    let logins = login::logins(root, &logins, (&fields, &slots), owner.is_some());
    let (tables, paths, columns) = slots.into_parts();
    Some(Entity {
        name: name?,
        legacy: LegacyShape { collection: collection?, paths, insert: insert.0, computed: insert.1 },
        renaissance: RenaissanceShape {
            tables,
            columns,
            legacy_id_column: shape.legacy_id,
            computed,
            constraints: Vec::new(),
        },
        fields,
        natural_keys,
        logins,
        owner,
        updated,
        filters,
        deletes,
        label,
        cases,
        origin: Origin {
            file: file.to_owned(),
            legacy_line: legacy?.line(),
            table_lines: shape.lines,
            digest: String::new(),
        },
    })
}

fn check_fields(root: &Keys<'_>, fields: &[Field], groups: &[String]) {
    if fields.is_empty() {
        root.report(None, "there is no [[field]]", None);
    }
    for (index, field) in fields.iter().enumerate() {
        if let Some(first) = fields.iter().take(index).find(|earlier| earlier.name == field.name) {
            let message = format!("this name is already taken by the field of line {}", first.line);
            root.source.report(root.element("field", index), Some(&field.name), message, None);
        }
    }
    field::check_groups(root, fields, groups);
}

/// What a field calls itself, whatever else is wrong with it.
fn name_of<'s>(keys: &Keys<'s>) -> Option<&'s str> {
    keys.get("name").and_then(|item| item.get_ref().as_str())
}

/// Reports what names fields that nobody declares.
fn check_names(root: &Keys<'_>, names: &[&str], [natural_keys, owner, label, updated]: [Option<Item<'_>>; 4]) {
    if natural_keys.is_some() {
        natural_keys_of(root, names);
    }
    for (key, item) in [("owner", owner), ("label", label), ("updated", updated)] {
        if let Some((item, name)) = item.and_then(|item| Some((item, root.text_of(key, item)?))) {
            named(root, names, &name, Some(item));
        }
    }
}

fn natural_keys_of(root: &Keys<'_>, fields: &[&str]) -> Vec<Vec<usize>> {
    let key = |names: Vec<(String, Item<'_>)>| {
        names.iter().filter_map(|(name, item)| named(root, fields, name, Some(item))).collect()
    };
    root.text_lists("natural_keys").into_iter().map(key).collect()
}

fn owner_of(root: &Keys<'_>, (fields, names): (&[Field], &[&str]), item: Item<'_>) -> Option<usize> {
    let owner = named(root, names, &root.text_of("owner", item)?, Some(item))?;
    let refers = fields.get(owner).and_then(|field| field.refers.as_ref());
    if !refers.is_some_and(|refers| refers.linked && !refers.many) {
        root.report(Some(item), "`owner` must name a field that is a reference", None);
    }
    Some(owner)
}

fn updated_of(root: &Keys<'_>, (fields, names): (&[Field], &[&str]), item: Item<'_>) -> Option<usize> {
    let updated = named(root, names, &root.text_of("updated", item)?, Some(item))?;
    if !fields.get(updated).is_some_and(field::is_moment) {
        root.report(Some(item), "`updated` must name a field that is a timestamp", None);
    }
    Some(updated)
}

/// The index of a field by name, or a report.
fn named(root: &Keys<'_>, fields: &[&str], name: &str, item: Option<Item<'_>>) -> Option<usize> {
    let found = fields.iter().position(|field| *field == name);
    if found.is_none() {
        let hint = did_you_mean(name, fields.iter().copied());
        let at = item.map_or(0, |item| item.span().start);
        root.source.report(at, None, format!("there is no field `{name}`"), hint);
    }
    found
}

impl super::HalfLens {
    /// Whether the declared default can be held.
    fn is_sound(&self) -> Result<(), String> {
        match &self.missing {
            super::lens::Missing::Default(default) if !self.can_hold(default) => {
                Err(format!("`missing` is {}, which this field cannot hold", default.type_name()))
            }
            super::lens::Missing::IdTime if !self.can_hold(&self.id_time([0; 12])) => {
                Err("`missing = \"id_time\"` needs `as = \"timestamp\"` or `as = \"date\"`".to_owned())
            }
            super::lens::Missing::Default(_) | super::lens::Missing::IdTime | super::lens::Missing::Null => Ok(()),
        }
    }
}
