//! Row writes of a batch: compare-and-set updates, inserts, deletes; a few statements each, however many records.

use std::collections::{BTreeSet, HashMap, HashSet};

use rand::RngExt;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    codec,
    commit::Part,
    members::{self, Held},
    statements::{self, Collision, Fill, Statements},
};
use crate::{
    error::{Error, Result},
    model::{
        image::{Patch, Version},
        key::RenaissanceId,
        mapping::{Entity, InsertValue},
        value::Slot,
    },
    sync::ports::{RecordPlan, RenaissanceChange},
};

/// Characters of Django's unusable password suffix (django.contrib.auth.hashers, UNUSABLE_PASSWORD_SUFFIX_LENGTH).
const UNUSABLE_SUFFIX: usize = 40;

/// Updates rows that still have the version they were read with; creates missing child rows.
pub(super) async fn update(
    connection: &mut PgConnection,
    entity: &Entity,
    statements: &Statements,
    part: &mut Part<'_>,
) -> Result<()> {
    let held = lock(connection, entity, statements, part).await?;
    for table in row_tables(entity) {
        fill_missing_children(connection, entity, statements, part, table).await?;
    }
    for table in row_tables(entity) {
        set_columns(connection, entity, part, table).await?;
    }
    let changed = part.living().filter_map(|(_, plan, id)| Some((id?, updated(plan)?.1)));
    let changed: Vec<(RenaissanceId, &Patch)> = changed.collect();
    for (table, held) in held {
        members::write(connection, (entity, statements), (table, part.collision), &changed, &held).await?;
    }
    name_rows(connection, statements, part).await
}

/// Writes the legacy id into rows that were just recognised as somebody from there.
async fn name_rows(connection: &mut PgConnection, statements: &Statements, part: &Part<'_>) -> Result<()> {
    let named = part.living().filter(|(_, plan, _)| plan.back_reference && updated(plan).is_some());
    let (ids, legacy): (Vec<i64>, Vec<String>) =
        named.filter_map(|(_, plan, id)| Some((id?, plan.legacy?.to_string()))).unzip();
    if ids.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(AssertSqlSafe(statements.back_reference.clone()));
    query.bind(ids).bind(legacy).execute(connection).await.map_err(Error::from)?;
    Ok(())
}

/// The version a plan expects of its rows, if it touches existing rows.
pub(super) fn expected(plan: &RecordPlan) -> Option<&Version> {
    match plan.rows.as_ref()? {
        RenaissanceChange::Insert(_) => None,
        RenaissanceChange::Update(version, _) | RenaissanceChange::Delete(version) => Some(version),
    }
}

fn updated(plan: &RecordPlan) -> Option<(&Version, &Patch)> {
    match plan.rows.as_ref()? {
        RenaissanceChange::Update(version, patch) => Some((version, patch)),
        RenaissanceChange::Insert(_) | RenaissanceChange::Delete(_) => None,
    }
}

fn slot_of(patch: &Patch, slot: usize) -> Option<&Slot> {
    patch.iter().find(|(at, _)| *at == slot).map(|(_, content)| content)
}

/// The root and its children, one row each per record.
fn row_tables(entity: &Entity) -> impl Iterator<Item = usize> {
    entity.renaissance.tables.iter().enumerate().filter(|(_, table)| table.members.is_none()).map(|(n, _)| n)
}

/// Whether a plan writes to a table. Making rows that refer to the root also counts as touching the root: it must stay.
fn touches(entity: &Entity, plan: &RecordPlan, table: usize) -> bool {
    match &plan.rows {
        None | Some(RenaissanceChange::Insert(_)) => false,
        Some(RenaissanceChange::Delete(_)) => true,
        Some(RenaissanceChange::Update(version, patch)) => patch.iter().any(|(slot, _)| {
            let written = entity.renaissance.columns[*slot].table;
            let is_join = entity.renaissance.tables[written].members.is_some();
            written == table || (table == 0 && (is_join || version.0.get(written) == Some(&0)))
        }),
    }
}

/// Takes locks of the rows to be written, in id order, and drops plans whose rows changed, vanished or are held by
/// somebody else: waiting for an application's lock would hold up everybody in the batch. Rows that are only read need
/// no lock: every field is decided by its own columns, and a later change of others brings a hint of its own.
/// Returns what the join tables hold for the records that change there.
async fn lock(
    connection: &mut PgConnection,
    entity: &Entity,
    statements: &Statements,
    part: &mut Part<'_>,
) -> Result<Vec<(usize, Held)>> {
    for table in row_tables(entity) {
        let (mut ids, mut versions, mut who) = (Vec::new(), Vec::new(), Vec::new());
        for (n, plan, id) in part.living().filter(|(_, plan, _)| touches(entity, plan, table)) {
            let Some((version, id)) = expected(plan).zip(id) else { continue };
            let xmin = version.0.get(table).copied().unwrap_or(0);
            if xmin != 0 {
                ids.push(id);
                versions.push(i64::try_from(xmin).unwrap_or(0));
                who.push((n, id));
            }
        }
        if ids.is_empty() {
            continue;
        }
        let held: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(statements.lock[table].clone()))
            .bind(&ids)
            .bind(&versions)
            .fetch_all(&mut *connection)
            .await
            .map_err(Error::from)?;
        let held: HashSet<i64> = held.into_iter().collect();
        who.iter().filter(|(_, id)| !held.contains(id)).for_each(|(n, _)| part.alive[*n] = false);
    }
    let mut held = Vec::new();
    for table in members::join_tables(entity) {
        let rows = members::lock(connection, statements, part, table, |plan| touches(entity, plan, table)).await?;
        held.push((table, rows));
    }
    Ok(held)
}

async fn fill_missing_children(
    connection: &mut PgConnection,
    entity: &Entity,
    statements: &Statements,
    part: &mut Part<'_>,
    table: usize,
) -> Result<()> {
    let touches = |patch: &Patch| patch.iter().any(|(slot, _)| entity.renaissance.columns[*slot].table == table);
    let mut missing = Vec::new();
    for (n, plan, id) in part.living() {
        let Some(((version, patch), id)) = updated(plan).zip(id) else { continue };
        if version.0.get(table) == Some(&0) && touches(patch) {
            missing.push((n, id, patch));
        }
    }
    let rows: Vec<(RenaissanceId, &Patch)> = missing.iter().map(|(_, id, patch)| (*id, *patch)).collect();
    let made = insert_children(connection, entity, statements, (table, Collision::LeaveOut), &rows).await?;
    missing.iter().filter(|(_, id, _)| !made.contains(id)).for_each(|(n, ..)| part.alive[*n] = false);
    Ok(())
}

async fn set_columns(connection: &mut PgConnection, entity: &Entity, part: &Part<'_>, table: usize) -> Result<()> {
    let mut rows: Vec<(RenaissanceId, &Patch)> = Vec::new();
    for (_, plan, id) in part.living() {
        if let Some(((version, patch), id)) = updated(plan).zip(id)
            && version.0.get(table) != Some(&0)
        {
            rows.push((id, patch));
        }
    }
    let changed: BTreeSet<usize> = rows
        .iter()
        .flat_map(|(_, patch)| patch.iter().map(|(slot, _)| *slot))
        .filter(|slot| entity.renaissance.columns[*slot].table == table)
        .collect();
    let slots: Vec<usize> = changed.into_iter().collect();
    rows.retain(|(_, patch)| slots.iter().any(|slot| slot_of(patch, *slot).is_some()));
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let mut query = sqlx::query(statements::update(entity, table, &slots)).bind(ids);
    for slot in slots {
        let changes: Vec<bool> = rows.iter().map(|(_, patch)| slot_of(patch, slot).is_some()).collect();
        let content: Vec<Option<String>> = {
            let kind = statements::kind_of(entity, slot);
            rows.iter().map(|(_, patch)| codec::encode(slot_of(patch, slot), kind)).collect()
        };
        query = query.bind(changes).bind(content);
    }
    query.execute(connection).await.map_err(Error::from)?;
    Ok(())
}

/// Inserts new records; one that collides with an existing unique value is dropped from the batch (its next turn finds
/// the other row by natural key) or refused.
pub(super) async fn insert(
    connection: &mut PgConnection,
    entity: &Entity,
    statements: &Statements,
    part: &mut Part<'_>,
) -> Result<()> {
    let mut fresh = Vec::new();
    for (n, plan, _) in part.living() {
        if let (Some(RenaissanceChange::Insert(patch)), Some(legacy)) = (&plan.rows, plan.legacy) {
            fresh.push((n, legacy.to_string(), patch));
        }
    }
    if fresh.is_empty() {
        return Ok(());
    }
    let fills = statements::fills(statements, entity, 0);
    let legacy: Vec<&str> = fresh.iter().map(|(_, legacy, _)| legacy.as_str()).collect();
    let patches: Vec<&Patch> = fresh.iter().map(|(.., patch)| *patch).collect();
    let mut query = sqlx::query_as(statements::insert(entity, 0, &fills, part.collision)).bind(legacy);
    for column in parameters(&fills, &patches) {
        query = match column {
            Parameter::PerRow(texts) => query.bind(texts),
            Parameter::Scalar(text) => query.bind(text),
        };
    }
    let made: Vec<(String, i64)> = query.fetch_all(&mut *connection).await.map_err(Error::from)?;
    let made: HashMap<String, i64> = made.into_iter().collect();
    for (n, legacy, _) in &fresh {
        match made.get(legacy) {
            Some(id) => part.ids[*n] = Some(*id),
            None => part.alive[*n] = false,
        }
    }
    let rows: Vec<(RenaissanceId, &Patch)> =
        fresh.iter().filter_map(|(_, legacy, patch)| Some((*made.get(legacy)?, *patch))).collect();
    for table in row_tables(entity).skip(1) {
        insert_children(connection, entity, statements, (table, part.collision), &rows).await?;
    }
    for table in members::join_tables(entity) {
        members::write(connection, (entity, statements), (table, part.collision), &rows, &Held::new()).await?;
    }
    Ok(())
}

async fn insert_children(
    connection: &mut PgConnection,
    entity: &Entity,
    statements: &Statements,
    (table, collision): (usize, Collision),
    rows: &[(RenaissanceId, &Patch)],
) -> Result<HashSet<RenaissanceId>> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let fills = statements::fills(statements, entity, table);
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let patches: Vec<&Patch> = rows.iter().map(|(_, patch)| *patch).collect();
    let mut query = sqlx::query_scalar(statements::insert(entity, table, &fills, collision)).bind(ids);
    for column in parameters(&fills, &patches) {
        query = match column {
            Parameter::PerRow(texts) => query.bind(texts),
            Parameter::Scalar(text) => query.bind(text),
        };
    }
    let made: Vec<i64> = query.fetch_all(connection).await.map_err(Error::from)?;
    Ok(made.into_iter().collect())
}

/// A parameter of an INSERT.
pub(super) enum Parameter {
    PerRow(Vec<Option<String>>),
    Scalar(Option<String>),
}

pub(super) fn parameters(
    fills: &[(Fill<'_>, &crate::model::catalog::ColumnInfo)],
    patches: &[&Patch],
) -> Vec<Parameter> {
    let parameter = |(fill, info): &(Fill<'_>, &crate::model::catalog::ColumnInfo)| match fill {
        Fill::Slot(slot) => Some(Parameter::PerRow(
            patches.iter().map(|patch| codec::encode(slot_of(patch, *slot), info.limits.kind)).collect(),
        )),
        Fill::PerRow => Some(Parameter::PerRow(patches.iter().map(|_| Some(unusable_password())).collect())),
        Fill::Constant(InsertValue::Constant(value)) => {
            Some(Parameter::Scalar(codec::encode(Some(&Some(value.clone())), info.limits.kind)))
        }
        Fill::Constant(InsertValue::UnusablePassword | InsertValue::Now | InsertValue::Uuid)
        | Fill::Member
        | Fill::Now
        | Fill::Uuid => None,
    };
    fills.iter().filter_map(parameter).collect()
}

/// Django's unusable password: nobody can log in with it, and resets are refused until a password is set.
fn unusable_password() -> String {
    let mut random = rand::rng();
    let letters = (0..UNUSABLE_SUFFIX).map(|_| char::from(random.sample(rand::distr::Alphanumeric)));
    std::iter::once('!').chain(letters).collect()
}

/// Deletes rows of all tables that still have their version, leaving tombstones.
pub(super) async fn delete(
    connection: &mut PgConnection,
    entity: &Entity,
    statements: &Statements,
    part: &mut Part<'_>,
) -> Result<()> {
    let (mut ids, mut legacy, mut persons, mut who) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (n, plan, id) in part.living() {
        if let (Some(RenaissanceChange::Delete(_)), Some(id)) = (&plan.rows, id) {
            ids.push(id);
            legacy.push(plan.legacy.map(|legacy| legacy.to_string()));
            persons.push(plan.person.map(|person| person.to_string()));
            who.push((n, id));
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let gone: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(statements.delete.clone()))
        .bind(&ids)
        .bind(&entity.name)
        .bind(&legacy)
        .bind(&persons)
        .fetch_all(connection)
        .await
        .map_err(Error::from)?;
    let gone: HashSet<i64> = gone.into_iter().collect();
    who.iter().filter(|(_, id)| !gone.contains(id)).for_each(|(n, _)| part.alive[*n] = false);
    Ok(())
}
