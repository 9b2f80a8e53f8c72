//! A mapping against the real database: every table and column exists, can hold what is written, and an INSERT is complete.

use super::{
    Column, Constraint, Entity, Field, InsertValue, MappingError, Needs, OnInvalid, Table,
    error::did_you_mean,
    join::join_problems,
    transform::{Shape, Transform},
};
use crate::model::{
    catalog::{Catalog, ColumnInfo, ColumnKind, TableInfo},
    side::Side,
    value::Value,
};

impl Entity {
    /// This mapping with what the database says about each column, or everything that does not fit. A field whose optional
    /// join table is missing is left out ([`Entity::fields_off`]).
    pub fn bind(&self, catalog: &Catalog) -> Result<Self, Vec<MappingError>> {
        let off = self.optional_missing(catalog);
        if !off.is_empty() {
            return self.without_tables(&off).bind(catalog);
        }
        let mut bound = self.clone();
        let mut errors = Vec::new();
        bound.renaissance.constraints.clear();
        for (index, table) in self.renaissance.tables.iter().enumerate() {
            match catalog.tables.get(&table.name) {
                Some(info) => bound.bind_table(index, table, info, &mut errors),
                None => errors.push(self.at_table(index, format!("table {} does not exist", table.name))),
            }
        }
        for field in 0..self.fields.len() {
            bound.bind_field(field, catalog, &mut errors);
        }
        errors.extend(bound.unfielded_problems(catalog));
        errors.sort_by_key(|error| error.line);
        if errors.is_empty() { Ok(bound) } else { Err(errors) }
    }

    fn at_table(&self, table: usize, message: String) -> MappingError {
        let joined = |field: &super::Field| {
            let columns = field.slots(Side::Renaissance).iter().filter_map(|slot| self.renaissance.columns.get(*slot));
            columns.into_iter().any(|column| column.table == table)
        };
        if self.renaissance.tables.get(table).is_some_and(|table| table.members.is_some())
            && let Some(field) = self.fields.iter().position(joined)
        {
            return self.at_field(field, message);
        }
        let line = self.origin.table_lines.get(table).copied().unwrap_or(1);
        MappingError { file: self.origin.file.clone(), line, field: None, message, hint: None }
    }

    fn at_field(&self, field: usize, message: String) -> MappingError {
        let found = self.fields.get(field);
        MappingError {
            file: self.origin.file.clone(),
            line: found.map_or(1, |field| field.line),
            field: found.map(|field| field.name.clone()),
            message,
            hint: None,
        }
    }

    fn bind_table(&mut self, index: usize, table: &Table, info: &TableInfo, errors: &mut Vec<MappingError>) {
        for column in self.renaissance.columns.iter_mut().filter(|column| column.table == index) {
            column.info = info.column(&column.name).cloned();
        }
        let unique = info.unique.iter().map(|(name, columns)| (name, columns, true));
        let foreign = info.foreign_keys.iter().map(|(name, columns, _)| (name, columns, false));
        let constraint = |(name, columns, unique): (&String, &Vec<String>, bool)| Constraint {
            table: index,
            name: name.clone(),
            columns: columns.clone(),
            unique,
        };
        self.renaissance.constraints.extend(unique.chain(foreign).map(constraint));
        self.bind_members(index);
        let mut messages =
            if table.members.is_some() { join_problems(table, info) } else { self.structure(index, table, info) };
        messages
            .extend(table.insert.iter().filter_map(|(column, value)| insert_problem(&table.name, column, value, info)));
        messages.extend(self.uncovered(index, table, info));
        errors.extend(messages.into_iter().map(|message| self.at_table(index, message)));
    }

    /// The key, the parent column and the legacy id column.
    fn structure(&self, index: usize, table: &Table, info: &TableInfo) -> Vec<String> {
        let name = &table.name;
        let mut messages = Vec::new();
        match info.column(&table.key).map(|column| column.limits.kind) {
            Some(ColumnKind::Int(_)) => {}
            Some(_) => {
                messages.push(format!("key {name}.{} must be an integer", table.key));
            }
            None => messages.push(absent(name, &table.key, info)),
        }
        if let Some(parent) = &table.parent {
            let unique = info.unique.iter().any(|(_, columns)| columns == std::slice::from_ref(parent));
            match info.column(parent) {
                None => messages.push(absent(name, parent, info)),
                Some(column) if column.limits.nullable || !unique => {
                    messages.push(format!(
                        "parent column {name}.{parent} must be NOT NULL and UNIQUE: a record has one {name} row"
                    ));
                }
                Some(_) => {}
            }
        }
        let legacy_id = &self.renaissance.legacy_id_column;
        if index == 0 {
            match info.column(legacy_id).map(|column| column.limits.kind) {
                Some(ColumnKind::Text(limit)) if limit.is_none_or(|limit| limit >= 24) => {}
                Some(_) => messages.push(format!("legacy_id {name}.{legacy_id} must hold text of 24 characters")),
                None => messages.push(absent(name, legacy_id, info)),
            }
        }
        messages
    }

    /// Columns an INSERT would leave out although the database insists on them.
    fn uncovered(&self, index: usize, table: &Table, info: &TableInfo) -> Vec<String> {
        let section = if index == 0 {
            "[renaissance.insert]".to_owned()
        } else if table.members.is_some() {
            "`insert` beside `table`".to_owned()
        } else {
            format!("[renaissance.child.insert] of {}", table.name)
        };
        let covered = |column: &&ColumnInfo| {
            column.optional
                || column.generated
                || column.name == table.key
                || table.parent.as_ref() == Some(&column.name)
                || (index == 0 && column.name == self.renaissance.legacy_id_column)
                || table.insert.iter().any(|(insert, _)| *insert == column.name)
                || self.field_of_column(&table.name, &column.name).is_some()
                || self.computed_columns().any(|found| found.table == index && found.name == column.name)
        };
        let missing = info.columns.iter().filter(|column| !covered(column));
        missing
            .map(|column| {
                let (table, column) = (&table.name, &column.name);
                format!("an INSERT into {table} would fail: column {column} is NOT NULL without default; add it to {section}")
            })
            .collect()
    }

    fn bind_field(&mut self, index: usize, catalog: &Catalog, errors: &mut Vec<MappingError>) {
        let Some(field) = self.fields.get(index) else { return };
        let (mut limits, mut labels) = (Vec::new(), Vec::new());
        let mut messages = Vec::new();
        for (place, slot) in field.slots(Side::Renaissance).iter().enumerate() {
            let Some(column) = self.renaissance.columns.get(*slot) else { continue };
            limits.push(column.info.as_ref().map(|info| info.limits));
            labels.push(column.info.as_ref().map(|info| info.labels.clone()).unwrap_or_default());
            let fits = |kind| match field.renaissance.transform.shape() {
                Shape::Scalar(scalar) => scalar.fits(kind),
                Shape::Compound(compound) => compound.fits(place, kind),
            };
            messages.extend(self.column_problem(catalog, column, fits, true));
            messages.extend(cut_too_long(field, column));
            messages.extend(unlisted_label(field, column));
        }
        errors.extend(messages.into_iter().map(|message| self.at_field(index, message)));
        if let Some(field) = self.fields.get_mut(index) {
            field.renaissance.limits = limits;
            field.renaissance.labels = labels;
        }
    }

    fn computed_columns(&self) -> impl Iterator<Item = &Column> {
        self.renaissance.computed.iter().filter_map(|computed| self.renaissance.columns.get(computed.slot))
    }

    /// What is wrong with columns that no field uses: those of templates and of filters.
    fn unfielded_problems(&self, catalog: &Catalog) -> Vec<MappingError> {
        let computed = self.computed_columns().map(|column| (column, true));
        let watched = self.renaissance.columns.iter().filter(|column| column.filter_only);
        let problem = |(column, written): (&Column, bool)| {
            let fits = |kind| !written || matches!(kind, ColumnKind::Text(_));
            let message = self.column_problem(catalog, column, fits, written)?;
            Some(self.at_table(column.table, message))
        };
        let needed = self.logins.iter().filter_map(|login| self.needs_problem(login.needs.as_ref()?, catalog));
        computed.chain(watched.map(|column| (column, false))).filter_map(problem).chain(needed).collect()
    }

    /// What is wrong with the column that a way to log in needs.
    fn needs_problem(&self, needs: &Needs, catalog: &Catalog) -> Option<MappingError> {
        let info = catalog.tables.get(&needs.table)?;
        let message = match info.column(&needs.column) {
            None => absent(&needs.table, &needs.column, info),
            Some(column) if matches!(column.limits.kind, ColumnKind::Text(_)) => return None,
            Some(column) => {
                format!("column {}.{} is {} and holds no text", needs.table, needs.column, column.sql_type)
            }
        };
        let table = self.renaissance.tables.iter().position(|table| table.name == needs.table)?;
        Some(self.at_table(table, format!("a way to log in: {message}")))
    }

    fn column_problem(
        &self,
        catalog: &Catalog,
        column: &Column,
        fits: impl Fn(ColumnKind) -> bool,
        written: bool,
    ) -> Option<String> {
        let table = self.renaissance.tables.get(column.table)?;
        // A missing table is reported once, not for each of its columns.
        if !catalog.tables.contains_key(&table.name) {
            return None;
        }
        match &column.info {
            None => Some(format!("column {}.{} does not exist", table.name, column.name)),
            Some(info) if info.generated && written => {
                Some(format!("column {}.{} is generated and cannot be written", table.name, column.name))
            }
            Some(info) if info.limits.kind == ColumnKind::Other && !fits(info.limits.kind) => Some(format!(
                "column {}.{} is {}, which no conversion writes: leave it out; if an INSERT needs it, give its text in `insert`",
                table.name, column.name, info.sql_type
            )),
            Some(info) if !fits(info.limits.kind) => Some(format!(
                "column {}.{} is {} and cannot hold what `as` writes",
                table.name, column.name, info.sql_type
            )),
            Some(_) => None,
        }
    }
}

/// A text that is cut to more than the column holds would still be refused.
fn cut_too_long(field: &Field, column: &Column) -> Option<String> {
    let (OnInvalid::Truncate(length), Some(ColumnKind::Text(Some(limit)))) =
        (&field.on_invalid, column.info.as_ref().map(|info| info.limits.kind))
    else {
        return None;
    };
    let name = &column.name;
    (*length > limit).then(|| format!("`truncate = {length}` is more than column {name} holds; write {limit} or less"))
}

/// A table of values may only hold labels that the enum has.
fn unlisted_label(field: &Field, column: &Column) -> Option<String> {
    let (Transform::Table(table), Some(info)) = (&field.renaissance.transform, &column.info) else { return None };
    let mut stored = table.pairs.iter().filter_map(|(stored, _)| stored.as_text());
    let unknown = stored.find(|text| !info.labels.is_empty() && !info.labels.iter().any(|label| label == text))?;
    let (name, labels) = (&column.name, info.labels.join(", "));
    Some(format!("column {name} is the enum {} without the label {unknown}; it has {labels}", info.sql_type))
}

pub(super) fn absent(table: &str, column: &str, info: &TableInfo) -> String {
    let hint = did_you_mean(column, info.columns.iter().map(|known| known.name.as_str()));
    format!("column {table}.{column} does not exist{}", hint.map(|hint| format!("; {hint}")).unwrap_or_default())
}

fn insert_problem(table: &str, column: &str, value: &InsertValue, info: &TableInfo) -> Option<String> {
    let Some(found) = info.column(column) else {
        return Some(format!("insert value: {}", absent(table, column, info)));
    };
    if found.generated {
        return Some(format!("insert value: column {table}.{column} is generated and cannot be written"));
    }
    let problem = match value {
        // a type that no conversion knows takes any text that the database itself reads as one
        InsertValue::Constant(Value::Text(_)) if found.limits.kind == ColumnKind::Other => None,
        InsertValue::Constant(value) => super::limits::check(value, Some(found.limits), column)
            .and_then(|()| super::limits::check_label(value, &found.labels, column))
            .err(),
        InsertValue::UnusablePassword => {
            super::limits::check(&Value::Text("!".repeat(41).into()), Some(found.limits), column).err()
        }
        InsertValue::Uuid => super::limits::check(&Value::Uuid([0; 16]), Some(found.limits), column).err(),
        InsertValue::Now => super::limits::check(&Value::Timestamp(0), Some(found.limits), column).err(),
    };
    problem.map(|problem| format!("insert value of {table}: {}", problem.detail))
}
