//! A published table as the stream describes it: where in its rows the ids of records are.

use crate::{
    error::{Error, Fault, Result},
    model::key::{EntityIndex, Key, SideId},
    postgres::{
        pgoutput::{Column, OldRow, Relation, Tuple},
        watched::WatchedTable,
    },
};

/// bigint, smallint, integer.
const INTEGER_TYPES: [u32; 3] = [20, 21, 23];

/// Where the ids are in the rows of one mapped table.
#[derive(Debug)]
pub(super) struct MappedRelation {
    name: String,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    entity: EntityIndex,
    column: usize,
    column_name: String,
    /// Whether old rows come with the column.
    in_identity: bool,
}

impl MappedRelation {
    /// Finds the columns that name records; a stream without them is of no use.
    pub(super) fn bind(table: &WatchedTable, relation: &Relation<'_>) -> Result<Self> {
        let place = |(entity, wanted): &(EntityIndex, String)| {
            let found = relation.columns.iter().enumerate().find(|(_, column)| column.name == wanted);
            let Some((index, column)) = found else {
                return Err(lacking(&table.name, wanted, "is not in the stream"));
            };
            if !INTEGER_TYPES.contains(&column.type_oid) {
                return Err(lacking(&table.name, wanted, "is not an integer"));
            }
            Ok(Place { entity: *entity, column: index, column_name: wanted.clone(), in_identity: column.identity })
        };
        let places = table.owners.iter().map(place).collect::<Result<_>>()?;
        Ok(Self { name: table.name.clone(), places })
    }

    /// The table's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The entities that have rows in it.
    pub(super) fn entities(&self) -> Vec<EntityIndex> {
        self.places.iter().map(|place| place.entity).collect()
    }

    /// The records a new row belongs to; with what it was before, in case the row moved.
    pub(super) fn keys(&self, old: Option<OldRow<'_>>, new: Option<Tuple<'_>>) -> Result<Vec<Key>> {
        let mut keys = Vec::with_capacity(self.places.len());
        for place in &self.places {
            if let Some(old) = old {
                // before a deletion there is nothing else to go by
                if new.is_none() && !place.in_identity && matches!(old, OldRow::Key(_)) {
                    return Err(lacking(&self.name, &place.column_name, "does not come with deleted rows"));
                }
                place.key(&self.name, old.tuple(), &mut keys)?;
            }
            if let Some(new) = new {
                place.key(&self.name, new, &mut keys)?;
            }
        }
        Ok(keys)
    }
}

impl Place {
    fn key(&self, table: &str, row: Tuple<'_>, keys: &mut Vec<Key>) -> Result<()> {
        let id = match row.columns().nth(self.column) {
            // a row without a parent belongs to nobody; a key row has nulls where nothing is told
            Some(Column::Null | Column::Unchanged) => return Ok(()),
            Some(Column::Text(text)) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
            Some(Column::Binary(_)) | None => None,
        };
        let id = id.ok_or_else(|| lacking(table, &self.column_name, "is not an integer"))?;
        let key = Key { entity: self.entity, id: SideId::Renaissance(id) };
        if !keys.contains(&key) {
            keys.push(key);
        }
        Ok(())
    }
}

fn lacking(table: &str, column: &str, what: &str) -> Error {
    Error::halt(format!("column {table}.{column} {what}: changes cannot be assigned to records"))
        .with_fault(Fault {
            code: "42703".to_owned(),
            table: Some(table.to_owned()),
            column: Some(column.to_owned()),
            constraint: None,
        })
        .with_hint("biograph-bridge init")
}
