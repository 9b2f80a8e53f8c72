//! `[renaissance]` and its children: the tables of an entity.

use super::{
    insert::{self, Template},
    keys::Keys,
};
use crate::model::{mapping::Table, side::Side};

/// The tables of an entity as declared.
#[derive(Default)]
pub(super) struct Shape<'s> {
    /// Root first.
    pub(super) tables: Vec<Table>,
    /// The line of each.
    pub(super) lines: Vec<usize>,
    /// The column of the root that holds the legacy id.
    pub(super) legacy_id: String,
    /// Templates of all tables, each place as `table.column`.
    pub(super) templates: Vec<Template<'s>>,
}

/// Reads the section; `None` if something about it was wrong and reported.
pub(super) fn read<'s>(keys: &Keys<'s>) -> Option<Shape<'s>> {
    let mut shape = Shape::default();
    let root = table(keys, None);
    let legacy_id = keys.need_text("legacy_id", "\"old_…_id\"");
    let children = keys.tables("child");
    keys.finish();
    let (root, templates) = root?;
    shape.templates = templates;
    shape.tables.push(root);
    shape.lines.push(keys.line());
    for child in &children {
        let parent = child.need_text("parent", "\"user_id\"");
        if let (Some((table, templates)), Some(_)) = (table(child, parent.clone()), &parent) {
            if shape.tables.iter().any(|known| known.name == table.name) {
                child.report(None, format!("table `{}` is declared twice", table.name), None);
            }
            shape.templates.extend(templates);
            shape.tables.push(table);
            shape.lines.push(child.line());
        }
        child.finish();
    }
    shape.legacy_id = legacy_id?;
    Some(shape)
}

fn table<'s>(keys: &Keys<'s>, parent: Option<String>) -> Option<(Table, Vec<Template<'s>>)> {
    let name = keys.need_text("table", "\"…\"");
    let key = keys.text("key").unwrap_or_else(|| "id".to_owned());
    let inserts = keys.table("insert").map(|keys| insert::read(&keys, Side::Renaissance));
    let (values, templates) = inserts.unwrap_or_default();
    let name = name?;
    let templates = templates.into_iter().map(|(column, item, text)| (format!("{name}.{column}"), item, text));
    let templates = templates.collect();
    Some((Table { name, key, parent, insert: insert::of_table(values), members: None }, templates))
}
