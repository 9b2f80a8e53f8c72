//! The slots of both sides as fields claim them; each path and column belongs to one field.

use std::fmt;

use super::keys::{Item, Keys};
use crate::model::{
    mapping::{Column, Path, Table, error::did_you_mean},
    side::Side,
};

/// Paths and columns claimed so far.
pub(super) struct Slots {
    tables: Vec<Table>,
    paths: Vec<(Path, By)>,
    columns: Vec<(Column, By)>,
}

/// Who uses a slot.
enum By {
    Identity,
    Field(String),
    Insert,
    Filter,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("the identity of the record"),
            Self::Field(name) => write!(f, "field {name}"),
            Self::Insert => f.write_str("an insert value"),
            Self::Filter => f.write_str("a filter"),
        }
    }
}

/// A claimed slot: its index and its name for messages.
pub(super) type Claim = (usize, String);

impl Slots {
    pub(super) fn new(tables: Vec<Table>) -> Self {
        Self { tables, paths: vec![(Path(vec!["_id".to_owned()]), By::Identity)], columns: Vec::new() }
    }

    pub(super) fn into_parts(self) -> (Vec<Table>, Vec<Path>, Vec<Column>) {
        let paths = self.paths.into_iter().map(|(path, _)| path).collect();
        (self.tables, paths, self.columns.into_iter().map(|(column, _)| column).collect())
    }

    /// Claims a path (`"a.b"` or `["a", "b"]`) or a column (`"c"` of the root table, `"table.c"`) for the field of `keys`.
    pub(super) fn claim(&mut self, side: Side, keys: &Keys<'_>, key: &str, item: Item<'_>) -> Option<Claim> {
        let by = By::Field(keys.field.borrow().clone().unwrap_or_default());
        let claimed = match side {
            Side::Legacy => path(keys, key, item)?.and_then(|path| self.path(path, by)),
            Side::Renaissance => column(keys, key, item)?.and_then(|text| self.column(&text, by)),
        };
        reported(keys, item, claimed)
    }

    /// Claims the path or column that an insert section names.
    pub(super) fn claim_insert(&mut self, side: Side, keys: &Keys<'_>, place: &str, item: Item<'_>) -> Option<usize> {
        let claimed = match side {
            Side::Legacy => {
                usable(Path(place.split('.').map(str::to_owned).collect())).and_then(|path| self.path(path, By::Insert))
            }
            Side::Renaissance => self.column(place, By::Insert),
        };
        reported(keys, item, claimed).map(|(slot, _)| slot)
    }

    /// The slot of a path or column that a filter looks at, whoever else uses it.
    pub(super) fn look(&mut self, side: Side, keys: &Keys<'_>, key: &str, item: Item<'_>) -> Option<usize> {
        let found = match side {
            Side::Legacy => path(keys, key, item)?.and_then(|path| self.look_at_path(path)),
            Side::Renaissance => column(keys, key, item)?.and_then(|text| self.look_at_column(&text)),
        };
        reported(keys, item, found)
    }

    /// The table and the name of a column that is nobody's slot.
    pub(super) fn beside(&self, keys: &Keys<'_>, key: &str, item: Item<'_>) -> Option<(String, String)> {
        let text = column(keys, key, item)?;
        let place = text.as_ref().map_err(Clone::clone).and_then(|text| self.place(text));
        let (table, name) = reported(keys, item, place)?;
        Some((self.tables.get(table)?.name.clone(), name.to_owned()))
    }

    /// Adds a join table, all of which is one slot.
    pub(super) fn join(&mut self, keys: &Keys<'_>, table: Table) -> Option<Claim> {
        if self.tables.iter().any(|known| known.name == table.name) {
            keys.report(None, format!("table `{}` is used twice", table.name), None);
            return None;
        }
        let by = By::Field(keys.field.borrow().clone().unwrap_or_default());
        let column = table.members.as_ref()?.column.clone();
        let name = format!("{}.{column}", table.name);
        self.tables.push(table);
        let column = Column { table: self.tables.len() - 1, name: column, info: None, filter_only: false };
        self.columns.push((column, by));
        Some((self.columns.len() - 1, name))
    }

    fn path(&mut self, path: Path, by: By) -> Result<Claim, String> {
        let name = path.0.join(".");
        let clash = self.paths.iter().find(|(taken, _)| taken.0.starts_with(&path.0) || path.0.starts_with(&taken.0));
        if let Some((taken, by)) = clash {
            return Err(format!("path `{name}` overlaps `{}`, which {by} uses", taken.0.join(".")));
        }
        self.paths.push((path, by));
        Ok((self.paths.len() - 1, name))
    }

    fn look_at_path(&mut self, path: Path) -> Result<usize, String> {
        let known = self.paths.iter().position(|(known, _)| *known == path);
        Ok(known.unwrap_or_else(|| {
            self.paths.push((path, By::Filter));
            self.paths.len() - 1
        }))
    }

    /// The table and the name of a column.
    fn place<'t>(&self, text: &'t str) -> Result<(usize, &'t str), String> {
        let Some((table, name)) = text.split_once('.') else { return Ok((0, text)) };
        let own = |known: &Table| known.members.is_none() && known.name == table;
        let found = self.tables.iter().position(own).map(|table| (table, name));
        found.ok_or_else(|| {
            let hint = did_you_mean(table, self.tables.iter().map(|known| known.name.as_str()));
            format!(
                "table `{table}` is neither the root table nor a child; {}",
                hint.unwrap_or_else(|| "declare it as [[renaissance.child]]".to_owned())
            )
        })
    }

    fn column(&mut self, text: &str, by: By) -> Result<Claim, String> {
        let (table, name) = self.place(text)?;
        if let Some((_, by)) = self.columns.iter().find(|(taken, _)| taken.table == table && taken.name == name) {
            return Err(format!("column `{text}` is already used by {by}"));
        }
        if self.has_insert(table, name) {
            return Err(format!("column `{text}` has an insert value and cannot be mapped too; remove one of them"));
        }
        self.columns.push((Column { table, name: name.to_owned(), info: None, filter_only: false }, by));
        Ok((self.columns.len() - 1, name.to_owned()))
    }

    fn look_at_column(&mut self, text: &str) -> Result<usize, String> {
        let (table, name) = self.place(text)?;
        let known = self.columns.iter().position(|(known, _)| known.table == table && known.name == name);
        Ok(known.unwrap_or_else(|| {
            self.columns.push((Column { table, name: name.to_owned(), info: None, filter_only: true }, By::Filter));
            self.columns.len() - 1
        }))
    }

    fn has_insert(&self, table: usize, name: &str) -> bool {
        self.tables.get(table).is_some_and(|known| known.insert.iter().any(|(insert, _)| insert == name))
    }
}

/// A path as text or as an array of names; `None` if that was reported.
fn path(keys: &Keys<'_>, key: &str, item: Item<'_>) -> Option<Result<Path, String>> {
    let parts: Option<Vec<String>> = match item.get_ref().as_array() {
        Some(parts) => parts.iter().map(|part| part.get_ref().as_str().map(str::to_owned)).collect(),
        None => Some(keys.text_of(key, item)?.split('.').map(str::to_owned).collect()),
    };
    let Some(parts) = parts else { return Some(Err(format!("`{key}` must be text or an array of texts"))) };
    Some(usable(Path(parts)))
}

fn usable(path: Path) -> Result<Path, String> {
    let unusable = path.0.is_empty() || path.0.iter().any(|part| part.is_empty() || part.starts_with('$'));
    if unusable { Err(format!("`{}` is not a path", path.0.join("."))) } else { Ok(path) }
}

fn column(keys: &Keys<'_>, key: &str, item: Item<'_>) -> Option<Result<String, String>> {
    match item.get_ref().as_array() {
        Some(_) => Some(Err(format!("`{key}` must name one column"))),
        None => keys.text_of(key, item).map(Ok),
    }
}

fn reported<T>(keys: &Keys<'_>, item: Item<'_>, claimed: Result<T, String>) -> Option<T> {
    claimed.map_err(|message| keys.report(Some(item), message, None)).ok()
}
