//! Deciding without doing: a shadow reads and plans as the bridge would, journals the conflicts and writes nothing else.

use super::{BatchReport, Reconciler, hollow, outcome::settle, planned, references::Pull};
use crate::{
    error::Result,
    model::{
        conflict::ConflictKind,
        key::{EntityIndex, LegacyId},
    },
    sync::{
        ports::{LegacyStore, RecordPlan, RenaissanceStore},
        tracker::Taken,
    },
};

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// What became of these keys if they were reconciled now; each conflict is journalled as foreseen. Like
    /// [`Reconciler::rehearse`], references to records that exist on their side and are not linked yet count as linked.
    pub(super) async fn decide_only(&self, index: EntityIndex, taken: &[Taken]) -> Result<BatchReport> {
        let entity = self.entity(index)?;
        let gathered = self.gather(index, taken, &mut Pull::rehearsing()).await?;
        let given = self.given(index, &gathered.links);
        let mut report =
            BatchReport { lost: gathered.lost, not_visible: gathered.not_visible, ..BatchReport::default() };
        let records: Vec<LegacyId> = gathered.works.iter().map(|work| work.record.legacy_id).collect();
        let (mut works, mut plans): (Vec<_>, Vec<RecordPlan>) = (Vec::new(), Vec::new());
        for mut work in gathered.works {
            match planned(entity, &mut work.record, &given) {
                None => settle(entity, work, None, &mut report),
                Some(mut planned) => {
                    // nothing is parked by a shadow
                    planned.plan.conflicts.retain(|row| row.kind != ConflictKind::UniqueTaken);
                    plans.push(std::mem::replace(&mut planned.plan, hollow()));
                    work.planned = Some(planned);
                    works.push(work);
                }
            }
        }
        self.renaissance.foresee(index, &records, &plans).await?;
        for (work, plan) in works.into_iter().zip(plans) {
            settle(entity, work, Some(plan), &mut report);
        }
        Ok(report)
    }
}
