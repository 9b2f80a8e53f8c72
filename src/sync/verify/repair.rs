//! Mending differences the way everything else is written: by reconciling the record.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Verifier, rounds::Candidate};
use crate::{
    error::Result,
    model::{
        hint::{Freshness, Hint},
        key::{EntityIndex, Key},
        side::Side,
    },
    sync::{
        ports::{CutoverStore, Found, HealingStore, LegacyStore, RenaissanceStore, Run, Source, State, VerifyStore},
        queue::HintQueue,
        reconcile::Standing,
        tracker::Lane,
    },
};

/// How long reconciling them may take.
const SETTLED: Duration = Duration::from_secs(30);

impl<L, R, SL, SR, Q> Verifier<'_, L, R, SL, SR, Q>
where
    L: LegacyStore,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore,
    SL: Source,
    SR: Source,
    Q: HintQueue,
{
    /// Reconciles records that differ and compares them again. Whatever differs on both sides has something that reconciling
    /// writes: the plan by which a difference is told is the one that is carried out, with all that comes with it
    /// (compare-and-set, journal, tombstones, guards).
    pub(super) async fn repair(
        &self,
        run: &Run,
        entity: EntityIndex,
        differing: &[Candidate],
        stop: &CancellationToken,
    ) -> Result<Vec<Found>> {
        self.pace(run).spend(differing.len() as u64, stop).await;
        let mut last = [0; 2];
        for one in differing {
            let Some(key) = one.key(entity) else { continue };
            let hint = Hint { key, freshness: Freshness::Any, committed_at: None };
            let side = key.id.side();
            last[usize::from(side == Side::Renaissance)] = self.queue.offer(Lane::Sweep(side), hint).await;
        }
        let settled = async {
            for (side, seq) in Side::ALL.into_iter().zip(last) {
                self.queue.until_durable(Lane::Sweep(side), seq).await;
            }
        };
        // what is not settled by then is told as it stands
        drop(tokio::time::timeout(SETTLED, settled).await);
        let keys: Vec<Key> = differing.iter().filter_map(|one| one.key(entity)).collect();
        let after = self.reconciler.compare(entity, &keys).await?;
        let mut found = Vec::with_capacity(differing.len());
        for one in differing {
            let key = one.key(entity);
            let now = after.iter().find(|seen| key.is_some_and(|key| seen.keys.contains(&key)));
            let state = match now.map(|seen| &seen.standing) {
                Some(Standing::Equal) => State::Repaired,
                Some(Standing::Waiting) => State::Parked,
                Some(Standing::Differs(_) | Standing::NotVisible) | None => State::Differs,
            };
            let told = self.found(entity, one, state);
            tracing::info!(
                run = run.id,
                by = run.asked.by,
                legacy_id = one.legacy.map(|id| id.to_string()),
                renaissance_id = one.renaissance,
                what = told.what,
                state = state.as_str(),
                "repaired a difference"
            );
            found.push(told);
        }
        Ok(found)
    }
}
