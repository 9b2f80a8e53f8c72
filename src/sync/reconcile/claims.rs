//! Values that may be there once: what two new records cannot both have. Pure.

use crate::{
    model::{
        digest::Digest,
        image::Patch,
        mapping::Entity,
        side::Side,
        value::{Slot, Value},
    },
    sync::{plan::Planned, ports::RenaissanceChange},
};

use super::{Foreseen, Record};

/// A value that a new record would be alone with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed, the side and the key included; equal digests are the same claim.
    pub digest: Digest,
    /// The field that is left out where somebody has it already; `None`: the whole record waits.
    pub field: Option<String>,
    /// Whether the record would really have it: not where what cannot cross is left out.
    pub held: bool,
}

/// The natural keys of a record that would be made, and the unique values among what would be written for it. Two records
/// with one natural key may be the same person: the second waits as a whole. Of other unique values the field does.
pub(super) fn claims(entity: &Entity, record: &Record, foreseen: Foreseen, planned: Option<&Planned>) -> Vec<Claim> {
    let (Foreseen::Created(to), Some(planned)) = (foreseen, planned) else { return Vec::new() };
    let mut claims = natural_keys(entity, record, to, planned);
    if let Some(RenaissanceChange::Insert(patch)) = &planned.plan.rows {
        claims.extend(unique_columns(entity, patch, entity.natural_keys.len()));
    }
    claims
}

fn natural_keys(entity: &Entity, record: &Record, to: Side, planned: &Planned) -> Vec<Claim> {
    let source = match to {
        Side::Legacy => record.renaissance.as_ref(),
        Side::Renaissance => record.legacy.as_ref(),
    };
    let Some(source) = source else { return Vec::new() };
    let parked = |field: &usize| {
        let name = &entity.fields[*field].name;
        planned.plan.parked.iter().any(|row| row.field.as_ref() == Some(name))
    };
    let claim = |(number, fields): (usize, &Vec<usize>)| {
        let values = fields.iter().map(|field| entity.fields[*field].get(to.other(), source).value().cloned());
        let values: Vec<Value> = values.collect::<Option<_>>()?;
        let held = !fields.iter().any(parked);
        (!values.contains(&Value::Null)).then(|| Claim { digest: digest(to, number, &values), field: None, held })
    };
    entity.natural_keys.iter().enumerate().filter_map(claim).collect()
}

/// Constraints over columns that are all written; references excepted, as their targets may have no id yet.
fn unique_columns(entity: &Entity, patch: &Patch, first: usize) -> Vec<Claim> {
    let linked: Vec<usize> = entity.linked_slots(Side::Renaissance).map(|(_, slot)| slot).collect();
    let written = |table: usize, name: &String| -> Option<Value> {
        let mut columns = entity.renaissance.columns.iter();
        let slot = columns.position(|column| column.table == table && column.name == *name)?;
        let content: &Slot = &patch.iter().find(|(at, _)| *at == slot && !linked.contains(at))?.1;
        content.clone().filter(|value| *value != Value::Null)
    };
    let claim = |(number, constraint): (usize, &crate::model::mapping::Constraint)| {
        let values = constraint.columns.iter().map(|column| written(constraint.table, column));
        let values: Vec<Value> = values.collect::<Option<_>>()?;
        let table = entity.renaissance.tables.get(constraint.table)?;
        let field = entity.field_of_columns(&table.name, &constraint.columns).and_then(|at| entity.fields.get(at));
        let optional = field.filter(|field| field.renaissance.can_hold(&Value::Null));
        let field = optional.map(|field| field.name.clone());
        Some(Claim { digest: digest(Side::Renaissance, first + number, &values), field, held: true })
    };
    let unique = entity.renaissance.constraints.iter().enumerate().filter(|(_, constraint)| constraint.unique);
    unique.filter_map(claim).collect()
}

fn digest(to: Side, number: usize, values: &[Value]) -> Digest {
    let of = Value::Text(format!("{to} {number}").into());
    let all: Vec<&Value> = std::iter::once(&of).chain(values).collect();
    Digest::of_all(all.into_iter())
}
