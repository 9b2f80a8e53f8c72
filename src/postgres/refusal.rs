//! What Postgres refused about a single record: the field and the reason.

use crate::{
    error::{Error, Fault},
    model::{
        mapping::{Constraint, Entity},
        problem::{Problem, Reason},
    },
    sync::ports::{Outcome, RecordPlan, RenaissanceChange},
};

/// Names the field and the reason behind the refusal of one record.
pub(super) fn refusal(entity: &Entity, plan: &RecordPlan, error: &Error) -> Outcome {
    let Some(fault) = error.fault() else {
        return Outcome::Refused(None, Problem::new(Reason::Constraint, error.to_string()));
    };
    let reason = reason(&fault.code);
    if reason == Reason::MissingReference {
        return missing_reference(entity, plan, fault);
    }
    Outcome::Refused(field(entity, fault), Problem::new(reason, error.to_string()))
}

fn reason(code: &str) -> Reason {
    match code {
        "22001" => Reason::TooLong,
        "22021" | "22P05" => Reason::NulCharacter,
        "22003" | "22008" => Reason::OutOfRange,
        "23502" => Reason::NotNull,
        // 23001: the same from a foreign key ON DELETE RESTRICT
        "23503" | "23001" => Reason::MissingReference,
        "23505" => Reason::UniqueTaken,
        code if code.starts_with("22") => Reason::WrongType,
        _ => Reason::Constraint,
    }
}

fn field(entity: &Entity, fault: &Fault) -> Option<usize> {
    let table = fault.table.as_deref().unwrap_or_default();
    let by_column = fault.column.as_deref().and_then(|column| entity.field_of_column(table, column));
    by_column.or_else(|| entity.field_of_constraint(table, fault.constraint.as_deref()?))
}

/// A foreign key names the table that refers, on both of its ends: of a row that is written it is that row's, of a row that
/// is deleted it is whose rows are still there.
fn missing_reference(entity: &Entity, plan: &RecordPlan, fault: &Fault) -> Outcome {
    let table = fault.table.as_deref().unwrap_or("another table");
    let constraint = fault.constraint.as_deref().unwrap_or_default();
    if matches!(plan.rows, Some(RenaissanceChange::Delete(_))) {
        let detail = format!(
            "deleted in legacy and still referred to by rows of {table} (constraint {constraint}); it goes when they do"
        );
        return Outcome::Refused(None, Problem::new(Reason::StillReferenced, detail));
    }
    let known = |found: &&Constraint| {
        found.name == constraint && entity.renaissance.tables.get(found.table).is_some_and(|owner| owner.name == table)
    };
    let columns = entity.renaissance.constraints.iter().find(known).map(|found| found.columns.join(", "));
    let place = columns.map_or_else(|| table.to_owned(), |columns| format!("{table}.{columns}"));
    let detail = format!("{place} refers to a row that is gone (constraint {constraint})");
    Outcome::Refused(field(entity, fault), Problem::new(Reason::MissingReference, detail))
}
