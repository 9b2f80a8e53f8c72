//! What a former run left: people on the way, wishes that never began, and mirrors that are behind.

use std::{collections::HashMap, time::Duration};

use super::Mover;
use crate::{
    error::Result,
    model::{fact::PersonState, key::LegacyId},
    retry::Failures,
    sync::ports::{
        By, CutoverMirror, CutoverStore, HealingStore, Journey, LegacyStore, RenaissanceStore, Source, Standing,
        VerifyStore,
    },
    sync::queue::HintQueue,
};

/// Rows looked at together.
const PAGE: u32 = 1000;
/// How often all mirrors are held against their rows.
const REPAIR: Duration = Duration::from_mins(30);
/// How soon again, if that has failed.
const AGAIN: Duration = Duration::from_secs(5);

impl<L, R, SL, SR, Q> Mover<'_, L, R, SL, SR, Q>
where
    L: LegacyStore + CutoverMirror,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore,
    SL: Source,
    SR: Source,
    Q: HintQueue,
{
    /// Those on the way whom nobody has in hand, and at whose wish they are. A failure only means later.
    pub(super) async fn left_on_the_way(&self, failures: &mut Failures) -> Vec<(Standing, Journey)> {
        const NAME: &str = "looking for people on the way";
        match self.unattended().await {
            Ok(left) => {
                failures.succeeded(NAME);
                left
            }
            Err(error) => {
                failures.failed(NAME, &error);
                Vec::new()
            }
        }
    }

    async fn unattended(&self) -> Result<Vec<(Standing, Journey)>> {
        let mut draining = self.store().walk_standings(None, true, PAGE).await?;
        draining.retain(|standing| !self.has_in_hand(standing.person));
        if draining.is_empty() {
            return Ok(Vec::new());
        }
        let persons: Vec<LegacyId> = draining.iter().map(|standing| standing.person).collect();
        let wished = self.store().last_journeys(&persons).await?;
        let mut wished: HashMap<LegacyId, Journey> = wished.into_iter().map(|one| (one.person, one)).collect();
        let unknown = |standing: &Standing| Journey {
            person: standing.person,
            renaissance: standing.renaissance,
            to: standing.row.owner.other(),
            by: By::default(),
            batch: None,
            request: None,
            timeout: None,
        };
        let joined = draining.into_iter().map(|standing| {
            let journey = wished.remove(&standing.person).unwrap_or_else(|| unknown(&standing));
            (standing, journey)
        });
        Ok(joined.collect())
    }

    /// Wishes that a former daemon took and never began are over.
    pub(super) async fn forget_unbegun(&self) {
        match self.store().end_unbegun().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "moves were asked for that a former daemon never began"),
            Err(error) => tracing::warn!(%error, "wishes that never began could not be ended"),
        }
    }

    /// Holds all mirrors against their rows, at once and then now and then.
    pub(super) async fn repair_mirror(&self) -> Result<()> {
        let (name, mut failures) = ("repairing the mirror of who is where", Failures::that_follow());
        loop {
            let pause = match self.see_to_rows().await {
                Ok(repaired) => {
                    failures.succeeded(name);
                    if repaired > 0 {
                        tracing::warn!(repaired, "mirrors of cutover rows were behind and are repaired");
                    }
                    REPAIR
                }
                Err(error) => {
                    failures.failed(name, &error);
                    AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whoever was born in Renaissance has a row, and each row a mirror. How many mirrors were behind.
    async fn see_to_rows(&self) -> Result<u64> {
        let born = self.store().enter_born().await?;
        if born > 0 {
            tracing::info!(born, "people who were born in Renaissance had no cutover row and have one now");
        }
        self.repair_all().await
    }

    /// How many were behind.
    async fn repair_all(&self) -> Result<u64> {
        let (mut after, mut repaired, mut ahead) = (None, 0, 0_u64);
        loop {
            let page = self.store().walk_standings(after, false, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.person);
            let persons: Vec<LegacyId> = page.iter().map(|standing| standing.person).collect();
            let mirrored: HashMap<LegacyId, i64> = self.legacy().mirrored(&persons).await?.into_iter().collect();
            for standing in page {
                let (state, says) = (standing.row.state, mirrored.get(&standing.person));
                ahead += u64::from(says.is_some_and(|epoch| *epoch > standing.row.epoch));
                // those on the way are seen to by their moves
                if says.is_some_and(|epoch| *epoch >= standing.row.epoch)
                    || state == PersonState::Draining
                    || self.has_in_hand(standing.person)
                {
                    continue;
                }
                self.legacy().mirror(&standing).await?;
                repaired += 1;
            }
        }
        if ahead > 0 {
            tracing::error!(
                ahead,
                "mirrors in MongoDB are ahead of their cutover rows and follow them no more: was Postgres put back to an earlier \
                 state? Look at these people with cutover show"
            );
        }
        Ok(repaired)
    }
}
