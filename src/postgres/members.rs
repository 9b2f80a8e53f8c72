//! Writes to join tables: a record's whole set is compared under lock, then what is new is added and what is gone removed.
//!
//! A row that an application adds meanwhile and has not committed is not seen, and not touched either: only members that
//! the decision was about are written, and that row brings a hint of its own.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    commit::Part,
    statements::{self, Collision, Statements},
    write::{self, Parameter},
};
use crate::{
    error::{Error, Result},
    model::{
        image::Patch,
        key::RenaissanceId,
        mapping::Entity,
        value::{Slot, Value},
    },
    sync::ports::RecordPlan,
};

/// The version of a record without rows; what the statements make of nothing.
const NO_ROWS: u64 = 1;

/// What records have in a join table, locked.
pub(super) type Held = HashMap<RenaissanceId, HashSet<RenaissanceId>>;

/// The join tables of an entity.
pub(super) fn join_tables(entity: &Entity) -> impl Iterator<Item = usize> {
    entity.renaissance.tables.iter().enumerate().filter(|(_, table)| table.members.is_some()).map(|(n, _)| n)
}

/// Locks the rows of the plans that touch a join table and drops plans whose rows are not as they were read.
pub(super) async fn lock(
    connection: &mut PgConnection,
    statements: &Statements,
    part: &mut Part<'_>,
    table: usize,
    touches: impl Fn(&RecordPlan) -> bool,
) -> Result<Held> {
    let (mut ids, mut who) = (Vec::new(), Vec::new());
    for (n, plan, id) in part.living().filter(|(_, plan, _)| touches(plan)) {
        let Some((version, id)) = write::expected(plan).zip(id) else { continue };
        ids.push(id);
        who.push((n, id, version.0.get(table).copied().unwrap_or(NO_ROWS)));
    }
    if ids.is_empty() {
        return Ok(Held::new());
    }
    let rows: Vec<(i64, i64, Vec<i64>)> = sqlx::query_as(AssertSqlSafe(statements.lock[table].clone()))
        .bind(ids)
        .fetch_all(connection)
        .await
        .map_err(Error::from)?;
    let (mut held, mut versions) = (Held::with_capacity(rows.len()), HashMap::with_capacity(rows.len()));
    for (id, version, members) in rows {
        versions.insert(id, version.cast_unsigned());
        held.insert(id, members.into_iter().collect());
    }
    for (n, id, expected) in who {
        if versions.get(&id).copied().unwrap_or(NO_ROWS) != expected {
            part.alive[n] = false;
        }
    }
    Ok(held)
}

/// Makes the sets of records what their patches say; `held` is what is there.
pub(super) async fn write(
    connection: &mut PgConnection,
    (entity, statements): (&Entity, &Statements),
    (table, collision): (usize, Collision),
    records: &[(RenaissanceId, &Patch)],
    held: &Held,
) -> Result<()> {
    let nothing = HashSet::new();
    let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for (id, patch) in records {
        for (_, content) in patch.iter().filter(|(slot, _)| entity.renaissance.columns[*slot].table == table) {
            let (wanted, has) = (members(content)?, held.get(id).unwrap_or(&nothing));
            added.extend(wanted.difference(has).map(|member| (*id, *member)));
            removed.extend(has.difference(&wanted).map(|member| (*id, *member)));
        }
    }
    if !removed.is_empty() {
        let (ids, gone): (Vec<i64>, Vec<i64>) = removed.into_iter().unzip();
        let sql = AssertSqlSafe(statements.remove[table].clone());
        sqlx::query(sql).bind(ids).bind(gone).execute(&mut *connection).await.map_err(Error::from)?;
    }
    if !added.is_empty() {
        let (ids, new): (Vec<i64>, Vec<i64>) = added.into_iter().unzip();
        let fills = statements::fills(statements, entity, table);
        let rows = ids.len();
        // somebody else may have added the same row since it was locked: then it is there
        let collision = if collision == Collision::Unexpected { collision } else { Collision::LeaveOut };
        let sql = statements::insert(entity, table, &fills, collision);
        let mut query = sqlx::query(sql).bind(ids).bind(new);
        for column in write::parameters(&fills, &vec![&Patch::new(); rows]) {
            query = match column {
                Parameter::PerRow(texts) => query.bind(texts),
                Parameter::Scalar(text) => query.bind(text),
            };
        }
        query.execute(connection).await.map_err(Error::from)?;
    }
    Ok(())
}

/// The ids a slot's content names.
fn members(content: &Slot) -> Result<HashSet<RenaissanceId>> {
    let id = |item: &Value| match item {
        Value::Int(id) => Ok(*id),
        other => Err(Error::park(format!("a join table takes ids, not {}", other.type_name()))),
    };
    match content {
        None | Some(Value::Null) => Ok(HashSet::new()),
        Some(Value::List(items)) => items.iter().map(id).collect(),
        Some(other) => Err(Error::park(format!("a join table takes a list of ids, not {}", other.type_name()))),
    }
}
