//! Making a batch of decisions durable: rows, links, bases, journal, parked keys and intents in one transaction that
//! opens with the bridge's logical message.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{journal, sql::OWN_NAME, store::Postgres, write};
use crate::{
    error::{Disposition, Error, Result},
    model::{
        key::{EntityIndex, RenaissanceId},
        problem::{Problem, Reason},
    },
    sync::ports::{Outcome, RecordPlan},
};

/// The plans of one transaction: which are still in the race, and the ids of the rows they made.
pub(super) struct Part<'a> {
    pub(super) plans: Vec<&'a RecordPlan>,
    pub(super) alive: Vec<bool>,
    pub(super) ids: Vec<Option<RenaissanceId>>,
}

impl<'a> Part<'a> {
    fn new(plans: Vec<&'a RecordPlan>) -> Self {
        let ids = plans.iter().map(|plan| plan.renaissance).collect();
        Self { alive: vec![true; plans.len()], plans, ids }
    }

    /// The plans still in the race, with their record's id.
    pub(super) fn living(&self) -> impl Iterator<Item = (usize, &'a RecordPlan, Option<RenaissanceId>)> {
        (0..self.plans.len()).filter(|n| self.alive[*n]).map(|n| (n, self.plans[n], self.ids[n]))
    }
}

impl Postgres {
    /// Commits all plans, bisecting around those the database refuses.
    pub(super) async fn commit_plans(
        &self,
        index: EntityIndex,
        intent: Uuid,
        plans: &[RecordPlan],
    ) -> Result<Vec<Outcome>> {
        let mut outcomes = vec![Outcome::LostRace; plans.len()];
        let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
        if !plans.is_empty() {
            parts.push(0..plans.len());
        }
        while let Some(range) = parts.pop() {
            match self.commit_part(index, intent, plans[range.clone()].iter().collect()).await {
                Ok(written) => {
                    for (outcome, written) in outcomes[range].iter_mut().zip(written) {
                        *outcome = if written { Outcome::Written } else { Outcome::LostRace };
                    }
                }
                Err(error) if error.disposition() != Disposition::Park => return Err(error),
                Err(error) if range.len() == 1 => outcomes[range.start] = self.refusal(index, &error)?,
                Err(_) => {
                    let middle = range.start + range.len() / 2;
                    parts.push(range.start..middle);
                    parts.push(middle..range.end);
                }
            }
        }
        Ok(outcomes)
    }

    async fn commit_part(&self, index: EntityIndex, intent: Uuid, plans: Vec<&RecordPlan>) -> Result<Vec<bool>> {
        let (entity, statements) = self.entity(index)?;
        let mut part = Part::new(plans);
        let mut transaction = self.pool.begin().await.map_err(Error::from)?;
        mark_as_ours(&mut transaction).await?;
        write::update(&mut transaction, entity, statements, &mut part).await?;
        write::insert(&mut transaction, entity, statements, &mut part).await?;
        write::delete(&mut transaction, entity, statements, &mut part).await?;
        let shape = self.shapes().current(index)?;
        journal::record(&mut transaction, &entity.name, shape, intent, &part).await?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(part.alive)
    }

    /// Names the field and the reason behind a refusal of a single record.
    fn refusal(&self, index: EntityIndex, error: &Error) -> Result<Outcome> {
        let (entity, _) = self.entity(index)?;
        let Some(fault) = error.fault() else {
            return Ok(Outcome::Refused(None, Problem::new(Reason::Constraint, error.to_string())));
        };
        let reason = match fault.code.as_str() {
            "22001" => Reason::TooLong,
            "22021" | "22P05" => Reason::NulCharacter,
            "22003" | "22008" => Reason::OutOfRange,
            "23502" => Reason::NotNull,
            "23503" => Reason::MissingReference,
            "23505" => Reason::UniqueTaken,
            code if code.starts_with("22") => Reason::WrongType,
            _ => Reason::Constraint,
        };
        let table = fault.table.as_deref().unwrap_or_default();
        let by_column = fault.column.as_deref().and_then(|column| entity.field_of_column(table, column));
        let field = by_column.or_else(|| entity.field_of_constraint(table, fault.constraint.as_deref()?));
        Ok(Outcome::Refused(field, Problem::new(reason, error.to_string())))
    }
}

/// Opens a bridge transaction: the capture drops transactions that start so.
pub(super) async fn mark_as_ours(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("SELECT pg_logical_emit_message(true, $1, '')")
        .bind(OWN_NAME)
        .execute(connection)
        .await
        .map_err(Error::from)?;
    Ok(())
}
