//! Which tables matter to the capture, and which of their columns name the record that changed. Pure.

use crate::model::{key::EntityIndex, mapping::Entity};

/// A table that belongs to one or more entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedTable {
    /// Its name, unquoted.
    pub name: String,
    /// Its primary key column.
    pub key: String,
    /// Whether the database may be without it: then a field is off.
    pub optional: bool,
    /// Who it belongs to, and the column that holds the id of that entity's root row.
    pub owners: Vec<(EntityIndex, String)>,
}

impl WatchedTable {
    /// The columns the capture needs from every change.
    pub fn needed(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = self.owners.iter().map(|(_, column)| column.as_str()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// The tables of all entities, each once, in the order of the mappings.
pub fn watched_tables(entities: &[Entity]) -> Vec<WatchedTable> {
    let mut tables: Vec<WatchedTable> = Vec::new();
    for (index, entity) in (0..).map(EntityIndex).zip(entities) {
        for table in &entity.renaissance.tables {
            let optional = table.members.as_ref().is_some_and(|members| members.optional);
            let owner = (index, table.parent.clone().unwrap_or_else(|| table.key.clone()));
            match tables.iter_mut().find(|known| known.name == table.name) {
                Some(known) => {
                    known.optional &= optional;
                    known.owners.push(owner);
                }
                None => {
                    let (name, key) = (table.name.clone(), table.key.clone());
                    tables.push(WatchedTable { name, key, optional, owners: vec![owner] });
                }
            }
        }
    }
    tables
}
