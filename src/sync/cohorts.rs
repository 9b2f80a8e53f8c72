//! People who move together: so many at once, until all are done or too much goes wrong.
//!
//! The state knows the members and what became of them, so a restart goes on with those of whom nothing is known. Each moves as
//! anybody does, by [`Movers`].

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    cutover::{Ended, Movers, Order, TIMEOUT, Verdict},
    ports::{Batch, CutoverStore, Toll},
    status::Status,
};
use crate::{
    error::{Error, Result},
    model::{cutover::Refusal, fact::PersonState, key::LegacyId, side::Side},
    retry::Failures,
};

/// What fails if it fails, for the log.
const NAME: &str = "going on with batches of people";
/// How often it is looked whom to begin with next.
const LOOK: Duration = Duration::from_millis(250);
/// So many looks lie between two at what came up, if nobody has arrived.
const LOOKS_PER_TOLL: u32 = 8;

/// A member whose move has ended; `None` if the daemon gave it up.
type Gone = (i64, LegacyId, Option<Ended>);

/// Moves people who move together.
pub(super) struct Cohorts<'a, R> {
    store: &'a R,
    movers: &'a Movers,
    status: &'a Status,
}

impl<'a, R: CutoverStore> Cohorts<'a, R> {
    pub(super) const fn new(store: &'a R, movers: &'a Movers, status: &'a Status) -> Self {
        Self { store, movers, status }
    }

    /// Goes on with batches until `stop`. What fails is tried again.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let (mut moves, mut begun, mut ended) = (FuturesUnordered::new(), HashSet::new(), Vec::new());
        let mut failures = Failures::that_follow();
        for looks in 0_u32.. {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            while let Some(Some(gone)) = futures_util::FutureExt::now_or_never(moves.next()) {
                ended.push(gone);
            }
            let news = !ended.is_empty() || looks.is_multiple_of(LOOKS_PER_TOLL);
            let turn = async {
                self.settle(&mut ended, &mut begun).await?;
                for batch in self.store.running_batches().await? {
                    if news && self.pauses(&batch).await? {
                        continue;
                    }
                    for person in self.next(&batch, &begun).await? {
                        let order = order(&batch, person);
                        let told = self.movers.begin(order).await?;
                        begun.insert((batch.id, person));
                        let id = batch.id;
                        moves.push(async move { (id, person, told.await.ok()) });
                    }
                }
                Ok::<_, Error>(())
            };
            match turn.await {
                Ok(()) => failures.succeeded(NAME),
                Err(error) => failures.failed(NAME, &error),
            }
        }
    }

    /// Notes what became of those whose moves have ended.
    async fn settle(&self, ended: &mut Vec<Gone>, begun: &mut HashSet<(i64, LegacyId)>) -> Result<()> {
        while let Some((batch, person, end)) = ended.last() {
            if let Some(end) = end {
                let findings = json!(end.findings);
                // on the way at somebody else's wish: whether it arrives is looked at later
                if end.verdict != Verdict::Already || !self.is_draining(*person).await? {
                    self.store.end_member(*batch, *person, end.verdict.as_str(), &findings).await?;
                }
            }
            begun.remove(&(*batch, *person));
            ended.pop();
        }
        Ok(())
    }

    async fn is_draining(&self, person: LegacyId) -> Result<bool> {
        let standings = self.store.standings(&[person]).await?;
        Ok(standings.iter().any(|standing| standing.row.state == PersonState::Draining))
    }

    /// Who is to begin now. Who is there already is noted, and who is on the way waits; the batch ends with its last member.
    async fn next(&self, batch: &Batch, begun: &HashSet<(i64, LegacyId)>) -> Result<Vec<LegacyId>> {
        let under_way: Vec<_> = begun.iter().filter(|(id, _)| *id == batch.id).map(|(_, person)| *person).collect();
        let free = batch.concurrency.saturating_sub(u32::try_from(under_way.len()).unwrap_or(u32::MAX));
        if free == 0 {
            return Ok(Vec::new());
        }
        let mut next = self.store.waiting_members(batch.id, &under_way, free).await?;
        if next.is_empty() && under_way.is_empty() && self.store.set_batch_state(batch.id, "ended", None).await? {
            tracing::info!(batch = batch.id, "a batch of people has ended");
        }
        for standing in self.store.standings(&next).await? {
            if let Err(refusal) = standing.row.draining(batch.to) {
                next.retain(|person| *person != standing.person);
                if refusal == Refusal::AlreadyThere {
                    self.store.end_member(batch.id, standing.person, Verdict::Already.as_str(), &json!([])).await?;
                }
            }
        }
        Ok(next)
    }

    /// Pauses a batch that passed one of its limits.
    async fn pauses(&self, batch: &Batch) -> Result<bool> {
        let Some(why) = over(batch, self.store.batch_toll(batch.id).await?).or_else(|| self.behind(batch)) else {
            return Ok(false);
        };
        tracing::warn!(batch = batch.id, why, "a batch of people pauses");
        self.store.set_batch_state(batch.id, "paused", Some(&why)).await
    }

    fn behind(&self, batch: &Batch) -> Option<String> {
        let limit = Duration::from_millis(u64::try_from(batch.max_lag_ms).unwrap_or_default()).as_secs_f64();
        let now = self.status.snapshot();
        let lag =
            now.directions.iter().find_map(|(way, report)| Some((way, report.lag_seconds.filter(|lag| *lag > limit)?)));
        lag.map(|(way, lag)| format!("{way} is {lag:.0} s behind, more than {limit:.0} s"))
    }
}

fn order(batch: &Batch, person: LegacyId) -> Order {
    let timeout = batch.timeout_ms.and_then(|ms| u64::try_from(ms).ok()).map_or(TIMEOUT, Duration::from_millis);
    let to: Side = batch.to;
    Order { person, to, by: batch.by.clone(), batch: Some(batch.id), request: None, timeout }
}

/// The limit that was passed, in words.
fn over(batch: &Batch, toll: Toll) -> Option<String> {
    let Toll { failures, parked, conflicts } = batch.limits;
    let passed =
        |came: i64, limit: i64, what: &str| (came > limit).then(|| format!("{came} {what}, more than {limit}"));
    passed(toll.failures, failures, "people did not move")
        .or_else(|| passed(toll.parked, parked, "keys were parked meanwhile"))
        .or_else(|| passed(toll.conflicts, conflicts, "conflicts came up meanwhile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_pauses_above_a_limit_and_says_which() {
        let limits = Toll { failures: 1, parked: 0, conflicts: 5 };
        let batch = Batch {
            id: 1,
            to: Side::Renaissance,
            concurrency: 1,
            limits,
            max_lag_ms: 1000,
            timeout_ms: None,
            by: Default::default(),
        };
        assert_eq!(over(&batch, limits), None);
        let said = over(&batch, Toll { failures: 2, ..limits });
        assert_eq!(said.as_deref(), Some("2 people did not move, more than 1"));
        assert!(over(&batch, Toll { parked: 1, ..limits }).is_some_and(|said| said.contains("parked")));
        assert!(over(&batch, Toll { conflicts: 6, ..limits }).is_some_and(|said| said.contains("conflicts")));
    }
}
