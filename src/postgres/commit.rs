//! Making a batch of decisions durable: rows, links, bases, journal, parked keys and intents in one transaction that
//! opens with the bridge's logical message.

use std::ops::Range;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Transaction};
use uuid::Uuid;

use super::{
    journal,
    refusal::refusal,
    sql::{FENCE_TRIGGER, HEARD, OWN_NAME, WRITER, quote_ident, quote_literal},
    statements::Collision,
    store::Postgres,
    waiting::Arrived,
    write,
};
use crate::{
    drill::{self, Mechanism},
    error::{Disposition, Error, Result},
    model::key::{EntityIndex, RenaissanceId},
    sync::ports::{Committed, Outcome, RecordPlan, RenaissanceChange},
};

/// How long a write waits for a lock that an application holds, as Postgres writes it.
const LOCK_WAIT: &str = "200ms";
/// The SQLSTATE of statements in a transaction that has failed and was not ended.
const OPEN_AND_FAILED: &str = "25P02";
/// After so many waits in one batch it is no single record's lock (a migration at work?): all is tried again later.
const MOST_WAITS: u32 = 24;
/// From so many records on a batch is worth a first attempt that a single collision fails.
const MANY: usize = 32;

/// Whether a plan was written, and its record's id.
type Written = (bool, Option<RenaissanceId>);

/// The plans of one transaction: which are still in the race, and the ids of the rows they made.
pub(super) struct Part<'a> {
    pub(super) plans: Vec<&'a RecordPlan>,
    pub(super) alive: Vec<bool>,
    pub(super) ids: Vec<Option<RenaissanceId>>,
    /// What its INSERTs do about values that are taken.
    pub(super) collision: Collision,
}

impl<'a> Part<'a> {
    pub(super) fn new(plans: Vec<&'a RecordPlan>, collision: Collision) -> Self {
        let ids = plans.iter().map(|plan| plan.renaissance).collect();
        Self { alive: vec![true; plans.len()], plans, ids, collision }
    }

    /// The plans still in the race, with their record's id.
    pub(super) fn living(&self) -> impl Iterator<Item = (usize, &'a RecordPlan, Option<RenaissanceId>)> {
        (0..self.plans.len()).filter(|n| self.alive[*n]).map(|n| (n, self.plans[n], self.ids[n]))
    }
}

impl Postgres {
    /// The call that fails if another daemon has become active, and the word by which fence triggers let a transaction pass.
    fn fence(&self) -> String {
        let call = if drill::lacks(Mechanism::Fence) {
            "NULL".to_owned()
        } else {
            format!("biograph_bridge.fence({})", self.epoch())
        };
        format!("{call}, set_config({}, 'on', true)", quote_literal(WRITER))
    }

    /// Opens a transaction that changes nothing but the bridge's state. Fails if another daemon has become active.
    pub(super) async fn begin_on_state(&self) -> Result<Transaction<'static, sqlx::Postgres>> {
        let mut transaction = self.pool.begin().await.map_err(Error::from)?;
        let fence = AssertSqlSafe(format!("SELECT {}", self.fence()));
        sqlx::query(fence).execute(&mut *transaction).await.map_err(Error::from)?;
        Ok(transaction)
    }

    /// How such a transaction opens on a session that is seen to after a failure.
    pub(super) fn opening_on_state(&self) -> AssertSqlSafe<String> {
        AssertSqlSafe(format!("BEGIN; SELECT {}", self.fence()))
    }

    /// Leaves a session in order for the next one after a bridge transaction on it has failed. The driver takes a transaction that
    /// failed to open for none, so it does not end it.
    pub(super) async fn after_failure(session: &mut PgConnection) {
        // The server reports an error before it lets go of the locks: what is tried next must not find them.
        let mut left = sqlx::raw_sql("SELECT").execute(&mut *session).await.map(drop).map_err(Error::from);
        if left.as_ref().is_err_and(|error| error.fault().is_some_and(|fault| fault.code == OPEN_AND_FAILED)) {
            left = sqlx::raw_sql("ROLLBACK").execute(session).await.map(drop).map_err(Error::from);
        }
        if let Err(error) = left {
            tracing::debug!(%error, "the connection went with the transaction");
        }
    }

    /// How a bridge transaction opens: it fails if another daemon has become active, and none can until it has ended.
    pub(super) fn opening(&self) -> AssertSqlSafe<String> {
        AssertSqlSafe(format!("BEGIN; SELECT {}, {}", self.fence(), self.announcement()))
    }

    /// What a transaction selects before it writes to mapped tables. The capture drops those that start with its message. Where
    /// the application has triggers on these tables the message is another one: what they change during our write has to be
    /// heard.
    pub(super) fn announcement(&self) -> String {
        let tables = self.all().flat_map(|(entity, _)| entity.table_names());
        let tables: Vec<String> = tables.map(|table| quote_literal(&quote_ident(table))).collect();
        format!(
            "set_config('lock_timeout', {}, true), CASE WHEN NOT EXISTS (SELECT FROM pg_trigger \
             WHERE tgrelid = ANY(ARRAY(SELECT to_regclass(name) FROM unnest(ARRAY[{}]::text[]) AS mapped (name))) \
               AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgname <> {}) \
             THEN pg_logical_emit_message(true, {}, '') ELSE pg_logical_emit_message(true, {}, '') END",
            quote_literal(LOCK_WAIT),
            tables.join(", "),
            quote_literal(FENCE_TRIGGER),
            quote_literal(if drill::lacks(Mechanism::Echoes) { "drill" } else { OWN_NAME }),
            quote_literal(HEARD)
        )
    }

    /// Commits all plans, bisecting around those the database refuses.
    pub(super) async fn commit_plans(
        &self,
        index: EntityIndex,
        intent: Uuid,
        plans: &[RecordPlan],
    ) -> Result<Committed> {
        let (entity, _) = self.entity(index)?;
        let mut arrived: Vec<Arrived<'_>> = Vec::new();
        let mut outcomes = vec![Outcome::LostRace; plans.len()];
        let mut parts: Vec<(Range<usize>, Collision)> = Vec::new();
        if !plans.is_empty() {
            let many = plans.len() >= MANY;
            parts.push((0..plans.len(), if many { Collision::Unexpected } else { Collision::LeaveOut }));
        }
        let (mut waits, mut blocked) = (0, None);
        while let Some((range, collision)) = parts.pop() {
            let held = |n: &usize| blocked.is_some() && plans[*n].rows.is_some();
            range.clone().filter(held).for_each(|n| outcomes[n] = Outcome::Blocked);
            let chosen: Vec<usize> = range.clone().filter(|n| !held(n)).collect();
            if chosen.is_empty() {
                continue;
            }
            let of_part = chosen.iter().map(|n| &plans[*n]).collect();
            let error = match self.commit_part(index, intent, of_part, collision).await {
                Ok(written) => {
                    for (n, (written, id)) in chosen.into_iter().zip(written) {
                        if written {
                            outcomes[n] = Outcome::Written;
                            arrived.extend(arrival(&entity.name, &plans[n], id));
                        } else if collision != Collision::Refuse
                            && plans[n].insists
                            && matches!(plans[n].rows, Some(RenaissanceChange::Insert(_)))
                        {
                            parts.push((n..n + 1, Collision::Refuse));
                        }
                    }
                    continue;
                }
                Err(error) => error,
            };
            // No record is at fault: what needs no row of theirs goes on.
            if error.is_blocked() && chosen.iter().any(|n| plans[*n].rows.is_some()) {
                blocked = Some(error);
                parts.push((range, collision));
                continue;
            }
            // Whoever holds a lock that one record needs must not hold up the others; its race is lost.
            let locked = is_locked(&error) && waits < MOST_WAITS;
            waits += u32::from(locked);
            if !locked && error.disposition() != Disposition::Park {
                return Err(error);
            }
            if !locked && collision == Collision::Unexpected {
                parts.push((range, Collision::LeaveOut));
                continue;
            }
            if range.len() > 1 {
                let middle = range.start + range.len() / 2;
                parts.extend([(range.start..middle, collision), (middle..range.end, collision)]);
            } else if !locked {
                outcomes[range.start] = refusal(entity, &plans[range.start], &error);
            }
        }
        self.grown(arrived.len() as u64).await;
        Ok(Committed { outcomes, blocked, woken: self.waiting_for(&arrived).await? })
    }

    async fn commit_part(
        &self,
        index: EntityIndex,
        intent: Uuid,
        plans: Vec<&RecordPlan>,
        collision: Collision,
    ) -> Result<Vec<Written>> {
        let mut session = self.pool.acquire().await.map_err(Error::from)?;
        let written = self.write_part(&mut session, index, intent, plans, collision).await;
        if written.is_err() {
            Self::after_failure(&mut session).await;
        }
        written
    }

    async fn write_part(
        &self,
        session: &mut PgConnection,
        index: EntityIndex,
        intent: Uuid,
        plans: Vec<&RecordPlan>,
        collision: Collision,
    ) -> Result<Vec<Written>> {
        let (entity, statements) = self.entity(index)?;
        let mut part = Part::new(plans, collision);
        if part.plans.iter().any(|plan| plan.is_born(entity)) {
            self.anybody_moved().note();
        }
        let mut transaction = session.begin_with(self.opening()).await.map_err(Error::from)?;
        self.hold_owners(&mut transaction, entity, &mut part).await?;
        write::update(&mut transaction, entity, statements, &mut part).await?;
        write::insert(&mut transaction, entity, statements, &mut part).await?;
        write::delete(&mut transaction, entity, statements, &mut part).await?;
        let shape = self.shapes().current(index)?;
        journal::record(&mut transaction, (self.entities(), entity), shape, intent, &part).await?;
        drill::crash_point("before the commit");
        // foreign keys that are deferred are looked at here, and a refusal names the constraint
        transaction.commit().await.map_err(Error::from)?;
        Ok(part.alive.into_iter().zip(part.ids).collect())
    }
}

/// Whether a written plan makes a record complete on both sides that was not before.
fn arrival<'a>(entity: &'a str, plan: &RecordPlan, id: Option<RenaissanceId>) -> Option<Arrived<'a>> {
    let made = !plan.linked || matches!(plan.rows, Some(RenaissanceChange::Insert(_)));
    let (legacy, renaissance) = plan.legacy.zip(id).filter(|_| made && plan.base.is_some())?;
    Some(Arrived { entity, legacy, renaissance })
}

fn is_locked(error: &Error) -> bool {
    error.fault().is_some_and(|fault| fault.code == "55P03")
}
