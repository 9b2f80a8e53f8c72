//! Join tables against the real database. Where an optional one is missing, its field is off.

use super::{Entity, Field, Table, TemplatePart, bind::absent, lens::ID_SLOT};
use crate::model::{
    catalog::{Catalog, ColumnInfo, ColumnKind, ColumnLimits, TableInfo},
    side::Side,
};

/// A field that is off because the database does not have its optional join table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldOff {
    /// The field's name.
    pub field: String,
    /// The table that is missing.
    pub table: String,
}

impl Entity {
    /// The fields that [`Entity::bind`] leaves out for this database.
    pub fn fields_off(&self, catalog: &Catalog) -> Vec<FieldOff> {
        let gone = self.optional_missing(catalog);
        let table = |field: &Field| {
            let slot = field.slots(Side::Renaissance).iter().find(|slot| gone.contains(&self.table_of(**slot)))?;
            self.renaissance.tables.get(self.table_of(*slot)).map(|table| table.name.clone())
        };
        let off =
            self.fields.iter().filter_map(|field| Some(FieldOff { field: field.name.clone(), table: table(field)? }));
        off.collect()
    }

    fn table_of(&self, slot: usize) -> usize {
        self.renaissance.columns.get(slot).map_or(usize::MAX, |column| column.table)
    }

    /// The optional join tables the database does not have.
    pub(super) fn optional_missing(&self, catalog: &Catalog) -> Vec<usize> {
        let tables = self.renaissance.tables.iter().enumerate();
        let missing = tables.filter(|(_, table)| {
            table.members.as_ref().is_some_and(|members| members.optional) && !catalog.tables.contains_key(&table.name)
        });
        missing.map(|(index, _)| index).collect()
    }

    /// This mapping without some tables, their columns and the fields that use them. Everything that counts fields, tables or
    /// columns is counted anew, and paths that nothing else uses are not read.
    pub(super) fn without_tables(&self, gone: &[usize]) -> Self {
        let mut kept = self.clone();
        let tables = keep(&mut kept.renaissance.tables, |index, _| !gone.contains(&index));
        keep(&mut kept.origin.table_lines, |index, _| !gone.contains(&index));
        let columns = keep(&mut kept.renaissance.columns, |_, column| !gone.contains(&column.table));
        let place = |places: &[Option<usize>], at: usize| places.get(at).copied().flatten();
        for column in &mut kept.renaissance.columns {
            column.table = place(&tables, column.table).unwrap_or_default();
        }
        let uses = |field: &Field| field.slots(Side::Renaissance).iter().all(|slot| place(&columns, *slot).is_some());
        let fields = keep(&mut kept.fields, |_, field| uses(field));
        for field in &mut kept.fields {
            for slot in &mut field.renaissance.slots {
                *slot = place(&columns, *slot).unwrap_or_default();
            }
        }
        let field_now = |field: usize| place(&fields, field);
        let keys = self.natural_keys.iter().filter_map(|key| key.iter().map(|field| field_now(*field)).collect());
        kept.natural_keys = keys.collect();
        kept.logins.retain(|login| field_now(login.field).is_some());
        kept.logins.iter_mut().for_each(|login| login.field = field_now(login.field).unwrap_or_default());
        kept.owner = self.owner.and_then(field_now);
        kept.label = self.label.and_then(field_now);
        kept.filters.retain(|filter| filter.side == Side::Legacy || place(&columns, filter.slot).is_some());
        for filter in kept.filters.iter_mut().filter(|filter| filter.side == Side::Renaissance) {
            filter.slot = place(&columns, filter.slot).unwrap_or_default();
        }
        kept.renaissance.computed.retain(|computed| place(&columns, computed.slot).is_some());
        for computed in &mut kept.renaissance.computed {
            computed.slot = place(&columns, computed.slot).unwrap_or_default();
        }
        for computed in kept.renaissance.computed.iter_mut().chain(&mut kept.legacy.computed) {
            let part = |part: TemplatePart| match part {
                TemplatePart::Text(_) => Some(part),
                TemplatePart::Field(field) => field_now(field).map(TemplatePart::Field),
            };
            computed.parts = std::mem::take(&mut computed.parts).into_iter().filter_map(part).collect();
        }
        kept.forget_unused_paths();
        kept
    }

    /// Leaves out the legacy paths that nothing uses.
    fn forget_unused_paths(&mut self) {
        let filters = self.filters.iter().filter(|filter| filter.side == Side::Legacy).map(|filter| filter.slot);
        let written = self.legacy.insert.iter().map(|(slot, _)| *slot);
        let computed = self.legacy.computed.iter().map(|computed| computed.slot);
        let fields = self.fields.iter().flat_map(|field| field.legacy.slots.iter().copied());
        let used: Vec<usize> = fields.chain(filters).chain(written).chain(computed).chain([ID_SLOT]).collect();
        let paths = keep(&mut self.legacy.paths, |index, _| used.contains(&index));
        let filters = self.filters.iter_mut().filter(|filter| filter.side == Side::Legacy);
        let slots = filters.map(|filter| &mut filter.slot);
        let slots = slots.chain(self.legacy.insert.iter_mut().map(|(slot, _)| slot));
        let slots = slots.chain(self.legacy.computed.iter_mut().map(|computed| &mut computed.slot));
        for slot in slots.chain(self.fields.iter_mut().flat_map(|field| field.legacy.slots.iter_mut())) {
            *slot = paths.get(*slot).copied().flatten().unwrap_or_default();
        }
    }

    /// Gives the slot of a join table its description: not of a column, but of all rows of a record.
    pub(super) fn bind_members(&mut self, index: usize) {
        if let Some(members) = self.renaissance.tables.get_mut(index).and_then(|table| table.members.as_mut()) {
            // it is there, so it may not go away
            members.optional = false;
            for column in self.renaissance.columns.iter_mut().filter(|column| column.table == index) {
                if let Some(info) = &mut column.info {
                    info.limits = ColumnLimits { kind: ColumnKind::Ids, nullable: false };
                    info.generated = false;
                }
            }
        }
    }
}

/// What does not fit about a join table: both columns must be integers and never null, and together unique.
pub(super) fn join_problems(table: &Table, info: &TableInfo) -> Vec<String> {
    let Some(members) = &table.members else { return Vec::new() };
    let name = &table.name;
    let pair = [table.parent.as_ref().unwrap_or(&table.key), &members.column];
    let problem = |column: &&String| match info.column(column) {
        // a member column that is missing is reported with its field
        None => (**column != members.column).then(|| absent(name, column, info)),
        Some(found) if !is_id(found) => {
            Some(format!("column {name}.{column} of a join table must be an integer, NOT NULL"))
        }
        Some(found) if found.generated => Some(format!("column {name}.{column} is generated and cannot be written")),
        Some(_) => None,
    };
    let mut problems: Vec<String> = pair.iter().filter_map(problem).collect();
    let complete = pair.iter().all(|column| info.column(column).is_some());
    let together =
        |columns: &[String]| columns.len() == pair.len() && pair.iter().all(|column| columns.contains(column));
    if complete && !info.unique.iter().any(|(_, columns)| together(columns)) {
        let [parent, member] = pair;
        problems.push(format!(
            "join table {name} must hold each pair once: ALTER TABLE {name} ADD PRIMARY KEY ({parent}, {member})"
        ));
    }
    problems
}

const fn is_id(column: &ColumnInfo) -> bool {
    matches!(column.limits.kind, ColumnKind::Int(_)) && !column.limits.nullable
}

/// Keeps some of the items and says where each of the former ones is now.
fn keep<T>(items: &mut Vec<T>, wanted: impl Fn(usize, &T) -> bool) -> Vec<Option<usize>> {
    let (mut places, mut kept) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    for (index, item) in std::mem::take(items).into_iter().enumerate() {
        let stays = wanted(index, &item);
        places.push(stays.then_some(kept.len()));
        if stays {
            kept.push(item);
        }
    }
    *items = kept;
    places
}
