//! The slots of both sides as fields claim them; each path and column belongs to one field.

use super::keys::{Item, Keys};
use crate::model::{
    mapping::{Column, Members, Path, Table, error::did_you_mean},
    side::Side,
};

/// Paths and columns claimed so far.
pub(super) struct Slots {
    tables: Vec<Table>,
    paths: Vec<(Path, Option<String>)>,
    columns: Vec<(Column, String)>,
}

/// A claimed slot: its index and its name for messages.
pub(super) type Claim = (usize, String);

impl Slots {
    pub(super) fn new(tables: Vec<Table>) -> Self {
        Self { tables, paths: vec![(Path(vec!["_id".to_owned()]), None)], columns: Vec::new() }
    }

    pub(super) fn into_parts(self) -> (Vec<Table>, Vec<Path>, Vec<Column>) {
        let paths = self.paths.into_iter().map(|(path, _)| path).collect();
        (self.tables, paths, self.columns.into_iter().map(|(column, _)| column).collect())
    }

    /// Claims a path (`"a.b"` or `["a", "b"]`) or a column (`"c"` of the root table, `"table.c"`) for the field of `keys`.
    pub(super) fn claim(&mut self, side: Side, keys: &Keys<'_>, key: &str, item: Item<'_>) -> Option<Claim> {
        let field = keys.field.borrow().clone().unwrap_or_default();
        let claimed = match (side, item.get_ref().as_array()) {
            (Side::Legacy, Some(parts)) => {
                let parts: Option<Vec<String>> =
                    parts.iter().map(|part| part.get_ref().as_str().map(str::to_owned)).collect();
                parts
                    .ok_or_else(|| format!("`{key}` must be text or an array of texts"))
                    .and_then(|parts| self.path(Path(parts), &field))
            }
            (Side::Renaissance, Some(_)) => Err(format!("`{key}` must name one column")),
            (Side::Legacy, None) => {
                let path = Path(keys.text_of(key, item)?.split('.').map(str::to_owned).collect());
                self.path(path, &field)
            }
            (Side::Renaissance, None) => self.column(&keys.text_of(key, item)?, &field),
        };
        match claimed {
            Ok(claim) => Some(claim),
            Err(message) => {
                keys.report(Some(item), message, None);
                None
            }
        }
    }

    /// Adds a join table, all of which is one slot.
    pub(super) fn join(
        &mut self,
        keys: &Keys<'_>,
        table: String,
        parent: String,
        column: String,
        optional: bool,
    ) -> Option<Claim> {
        if self.tables.iter().any(|known| known.name == table) {
            keys.report(None, format!("table `{table}` is used twice"), None);
            return None;
        }
        let field = keys.field.borrow().clone().unwrap_or_default();
        let name = format!("{table}.{column}");
        let members = Some(Members { column: column.clone(), optional });
        self.tables.push(Table { name: table, key: parent.clone(), parent: Some(parent), insert: Vec::new(), members });
        self.columns.push((Column { table: self.tables.len() - 1, name: column, info: None }, field));
        Some((self.columns.len() - 1, name))
    }

    fn path(&mut self, path: Path, field: &str) -> Result<Claim, String> {
        let name = path.0.join(".");
        if path.0.is_empty() || path.0.iter().any(|part| part.is_empty() || part.starts_with('$')) {
            return Err(format!("`{name}` is not a path"));
        }
        let clash = self.paths.iter().find(|(taken, _)| taken.0.starts_with(&path.0) || path.0.starts_with(&taken.0));
        if let Some((taken, by)) = clash {
            let by = by.as_ref().map_or_else(|| "the identity of the record".to_owned(), |by| format!("field {by}"));
            return Err(format!("path `{name}` overlaps `{}`, which {by} uses", taken.0.join(".")));
        }
        self.paths.push((path, Some(field.to_owned())));
        Ok((self.paths.len() - 1, name))
    }

    fn column(&mut self, text: &str, field: &str) -> Result<Claim, String> {
        let (table, name) = match text.split_once('.') {
            Some((table, name)) => {
                let unknown = || {
                    let hint = did_you_mean(table, self.tables.iter().map(|known| known.name.as_str()));
                    format!(
                        "table `{table}` is neither the root table nor a child; {}",
                        hint.unwrap_or_else(|| "declare it as [[renaissance.child]]".to_owned())
                    )
                };
                (self.tables.iter().position(|known| known.name == table).ok_or_else(unknown)?, name)
            }
            None => (0, text),
        };
        if let Some((_, by)) = self.columns.iter().find(|(taken, _)| taken.table == table && taken.name == name) {
            return Err(format!("column `{text}` is already used by field {by}"));
        }
        if self.tables.get(table).is_some_and(|known| known.insert.iter().any(|(insert, _)| insert == name)) {
            return Err(format!("column `{text}` has an insert value and cannot be mapped too; remove one of them"));
        }
        self.columns.push((Column { table, name: name.to_owned(), info: None }, field.to_owned()));
        Ok((self.columns.len() - 1, name.to_owned()))
    }
}
