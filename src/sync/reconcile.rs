//! The one verb: read both sides of dirty keys as they are now, merge, write the side that is behind.

mod ahead;
mod breaker;
mod circles;
mod claims;
mod compare;
mod gather;
mod glance;
mod guard;
mod identity;
mod ordered;
mod outcome;
mod pauses;
mod references;
mod rehearse;
mod report;
mod rewritten;
mod shadow;
mod structure;
mod work;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

pub use self::{
    ahead::{Ahead, Door, Footprint},
    claims::Claim,
    compare::{Compared, Difference, Moved, Standing},
    glance::{Both, Glance},
    guard::Limits,
    rehearse::{Foreseen, Rehearsed},
    report::{BatchReport, Crossing, Journalled, Parked},
};
use self::{
    breaker::Breaker,
    gather::Gathered,
    guard::Guard,
    outcome::{exclude, hollow, settle, take_document},
    references::Pull,
    rewritten::Rewrites,
    work::{Work, planned},
};
use super::{
    orders::Orders,
    pauses::Present,
    plan::{self, Given, Planned, Record},
    ports::{Committed, LegacyStore, LegacyWrite, Outcome, RecordPlan, RenaissanceChange, RenaissanceStore, Wrote},
    stops::{Stop, Stops},
    tracker::Taken,
    trail::Trail,
};
use crate::{
    drill,
    error::{Error, Result},
    model::{
        key::{EntityIndex, Key, LegacyId},
        links::Links,
        mapping::Entity,
        side::Side,
    },
};

/// Records of a batch beside which others are worked on take so many bytes at most: more are in memory once at a time.
const LIGHT: usize = 4 << 20;

/// Reconciles batches of dirty keys: it is the single writer. Batches that are written at once have nothing in common.
pub struct Reconciler<L, R> {
    legacy: L,
    renaissance: R,
    entities: Arc<Vec<Entity>>,
    /// An intent may be open that no batch is about to settle: one failed after its plans were committed.
    unsettled: AtomicBool,
    /// Settled intents whose ledger documents have served.
    served: Mutex<Vec<Uuid>>,
    /// Keys that settling after a failure woke.
    woken: Mutex<Vec<Key>>,
    /// In these entities members of sets that are not linked yet are left for a second pass instead of being parked.
    sets_later: Mutex<Vec<EntityIndex>>,
    /// What people order, until it is carried out.
    orders: Orders,
    /// What was done lately.
    trail: Trail,
    /// Whether it only decides.
    shadow: bool,
    /// What is not even tried at the moment.
    stops: Stops,
    /// What must not be written now.
    pauses: Present,
    /// What may be deleted in a minute.
    guard: Guard,
    /// What it writes again and again.
    breaker: Breaker,
    /// Tables that may have been emptied.
    rewrites: Rewrites,
}

/// An intent on its way; if it is not settled in the end, whether its documents have landed has to be found out.
struct OpenIntent<'a>(&'a AtomicBool);

impl OpenIntent<'_> {
    /// There is nothing to find out.
    fn settled(self) {
        std::mem::forget(self);
    }
}

impl Drop for OpenIntent<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// A reconciler that first settles what a former run left open.
    pub fn new(legacy: L, renaissance: R, entities: Arc<Vec<Entity>>) -> Self {
        Self {
            legacy,
            renaissance,
            entities,
            unsettled: AtomicBool::new(true),
            served: Mutex::new(Vec::new()),
            woken: Mutex::new(Vec::new()),
            sets_later: Mutex::new(Vec::new()),
            orders: Orders::new(),
            trail: Trail::new(),
            shadow: false,
            stops: Stops::new(),
            pauses: Present::default(),
            guard: Guard::new(Limits::default().deletions),
            breaker: Breaker::new(Limits::default().loops),
            rewrites: Rewrites::default(),
        }
    }

    /// The same, but it decides and journals and writes nothing else.
    #[must_use]
    pub const fn in_shadow(mut self) -> Self {
        self.shadow = true;
        self
    }

    /// The same with other limits than the usual ones.
    #[must_use]
    pub fn within(mut self, limits: Limits) -> Self {
        self.guard = Guard::new(limits.deletions);
        self.breaker = Breaker::new(limits.loops);
        self
    }

    /// From now on members of sets of references that are not linked are left where they are without parking their field,
    /// in these entities and no others: the first pass of a backfill says so, as a second one visits the sets once everybody
    /// is linked.
    pub fn postpone_sets(&self, entities: Vec<EntityIndex>) {
        *self.sets_later.lock().unwrap_or_else(PoisonError::into_inner) = entities;
    }

    /// Whether the sets of an entity are left for later.
    fn leaves_sets(&self, index: EntityIndex) -> bool {
        self.sets_later.lock().unwrap_or_else(PoisonError::into_inner).contains(&index)
    }

    /// What was done lately.
    pub const fn trail(&self) -> &Trail {
        &self.trail
    }

    /// What people order.
    pub const fn orders(&self) -> &Orders {
        &self.orders
    }

    /// The legacy store.
    pub const fn legacy(&self) -> &L {
        &self.legacy
    }

    /// The renaissance store.
    pub const fn renaissance(&self) -> &R {
        &self.renaissance
    }

    /// What a database refuses for everybody at the moment. Who drives the reconciler keeps it.
    pub const fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Settles open intents by looking at the ledger: landed or not, never guessed. A shadow leaves them.
    pub async fn recover(&self) -> Result<()> {
        if self.shadow || !self.unsettled.load(Ordering::Acquire) {
            return Ok(());
        }
        let open = self.renaissance.open_intents().await?;
        for intent in &open {
            let landed = self.legacy.settle(*intent).await?;
            let woken = self.renaissance.settle(*intent, landed.as_deref().unwrap_or_default()).await?;
            self.woken.lock().unwrap_or_else(PoisonError::into_inner).extend(woken);
        }
        self.legacy.forget(&open).await?;
        self.unsettled.store(false, Ordering::Release);
        Ok(())
    }

    /// Reconciles dirty keys of one entity in a constant number of round trips. `ahead` is what was read of them while others
    /// were written; beside all of those it has to [stand](Self::stands), and none of them may have failed. From when `door`
    /// opens, a batch that stands beside this one may be reconciled as well: once it is decided if nothing is made, deleted or
    /// parked, else once only documents are left to be written. On an error nothing is settled; whatever was
    /// already written is found equal next time, once all others have ended.
    pub async fn reconcile(
        &self,
        index: EntityIndex,
        taken: &[Taken],
        ahead: Option<Ahead>,
        door: &Door,
    ) -> Result<BatchReport> {
        if self.shadow {
            return self.decide_only(index, taken).await;
        }
        if ahead.is_some() && self.unsettled.load(Ordering::Acquire) {
            // another batch has just failed: that is settled first, and not while anything is under way
            return Ok(BatchReport { lost: taken.iter().map(|one| one.key).collect(), ..BatchReport::default() });
        }
        let _batch = self.pauses.batch().await;
        self.recover().await?;
        drill::crash_point("before reading");
        let mut pull = Pull::default();
        let reconciling = async {
            match ahead {
                Some(Ahead { gathered, footprint, .. }) => self.complete(index, gathered, footprint, door).await,
                None => self.reconcile_pulling(index, taken, &mut pull, door).await,
            }
        };
        let (report, ()) = tokio::join!(reconciling, self.forget_served());
        let mut report = match report {
            // nothing was written: these keys are parked when they come again
            Err(error) if self.pause_what_is_gone(&error).await? => {
                BatchReport { lost: taken.iter().map(|one| one.key).collect(), ..BatchReport::default() }
            }
            report => report?,
        };
        report.woken.append(&mut self.woken.lock().unwrap_or_else(PoisonError::into_inner));
        let batch: HashSet<Key> = taken.iter().map(|one| one.key).collect();
        for (_, first) in &mut pull.reports {
            // this batch was read again after they were written
            first.woken.retain(|key| !batch.contains(key));
            report.woken.append(&mut first.woken);
            report.woken.extend(first.lost.drain(..).chain(first.not_visible.drain(..)));
            report.woken.extend(first.held.drain(..).map(|(_, key)| key));
        }
        report.pulled = pull.reports;
        Ok(report)
    }

    async fn reconcile_pulling(
        &self,
        index: EntityIndex,
        taken: &[Taken],
        pull: &mut Pull,
        door: &Door,
    ) -> Result<BatchReport> {
        if let Some(closure) = self.pauses.now().entirely(index) {
            return self.park_unread(index, taken, closure).await;
        }
        let gathered = self.gather(index, taken, pull).await?;
        let mut footprint = Footprint::of(index, self.entity(index)?, &gathered.works);
        // what had to be brought in before is part of it
        pull.reports.iter().for_each(|(_, report)| footprint.extend(&report.footprint));
        self.complete(index, gathered, footprint, door).await
    }

    /// Decides and writes what was read.
    async fn complete(
        &self,
        index: EntityIndex,
        gathered: Gathered,
        footprint: Footprint,
        door: &Door,
    ) -> Result<BatchReport> {
        drill::crash_point("after reading");
        let Gathered { works: mut pending, links, lost, not_visible, version } = gathered;
        let shut = Door::default();
        let door = if pending.iter().map(Work::weight).sum::<usize>() <= LIGHT { door } else { &shut };
        let footprint = Arc::new(footprint);
        let mut report = BatchReport { not_visible, lost, footprint: Arc::clone(&footprint), ..BatchReport::default() };
        // Each round parks at least one more field of every record that comes back, so this ends.
        while !pending.is_empty() {
            pending = self.round(index, pending, (&links, version), (&mut report, door)).await?;
        }
        self.orders.done(index, std::mem::take(&mut report.orders));
        self.guard.note(index, report.deleted, &report.settled);
        self.breaker.note(index, &report.own, &report.settled);
        Ok(report)
    }

    /// Removes ledger documents of closed intents while something else is waited for. What fails here, or is left at the
    /// end, costs nothing: they expire.
    async fn forget_served(&self) {
        let served = std::mem::take(&mut *self.served.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = self.legacy.forget(&served).await {
            tracing::debug!(%error, "settled ledger documents stay until they expire");
        }
    }

    fn entity(&self, index: EntityIndex) -> Result<&Entity> {
        let entity = self.entities.get(usize::from(index.0));
        entity.ok_or_else(|| Error::halt("a hint names an entity that is not mapped"))
    }

    /// Plans and writes; returns the records a database refused, to be planned again without what it refused.
    async fn round(
        &self,
        index: EntityIndex,
        mut works: Vec<Work>,
        (links, version): (&Links, u64),
        (report, door): (&mut BatchReport, &Door),
    ) -> Result<Vec<Work>> {
        let entity = self.entity(index)?;
        self.read_whole_documents(index, entity, &mut works).await?;
        let given = self.given(index, links);
        let mut writing = Vec::new();
        let mut plans: Vec<RecordPlan> = Vec::new();
        for work in &mut works {
            work.decide(entity, &given);
            work.approved = self.guard.is_approved(&work.keys);
        }
        let doubtful = self.guard(index, entity, &works).await?;
        for mut work in works {
            if doubtful && work.loses_unasked(entity) {
                report.not_visible.extend(work.keys);
                continue;
            }
            let insists = work.insists;
            match &mut work.planned {
                None => settle(entity, work, None, report),
                Some(planned) => match self.stopped(index, planned) {
                    Some(side) => report.hold(side, work),
                    None => {
                        planned.plan.insists = insists;
                        plans.push(std::mem::replace(&mut planned.plan, hollow()));
                        writing.push(work);
                    }
                },
            }
        }
        if plans.is_empty() {
            return Ok(Vec::new());
        }
        drill::crash_point("after deciding");
        if !self.pauses.is_current(version) {
            // a pause began meanwhile: read and decide again
            report.lost.extend(writing.into_iter().flat_map(|work| work.keys));
            return Ok(Vec::new());
        }
        let intent = Uuid::new_v4();
        let has_intents = plans.iter().any(|plan| plan.intent.is_some());
        let open = has_intents.then(|| OpenIntent(&self.unsettled));
        if plans.iter().all(RecordPlan::concerns_nobody_else) {
            door.open(&report.footprint);
        }
        // the guard counts deletions batch by batch
        let deletes = plans.iter().any(RecordPlan::deletes);
        let Committed { outcomes, blocked, woken } = self.renaissance.commit(index, intent, &plans).await?;
        drill::crash_point("after the commit");
        report.woken.extend(woken);
        report.blocked.extend(blocked.map(|why| (Side::Renaissance, why)));
        let (mut documents, mut writers, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for ((work, plan), outcome) in writing.into_iter().zip(plans).zip(outcomes) {
            match outcome {
                Outcome::LostRace => report.lost.extend(work.keys),
                Outcome::Blocked => report.hold(Side::Renaissance, work),
                Outcome::Refused(field, problem) => again.push(exclude(work, field, problem)),
                Outcome::Written => match take_document(work) {
                    (work, Some(change)) => {
                        let born = plan.renaissance.filter(|_| plan.is_born(entity));
                        documents.push(LegacyWrite { id: work.record.legacy_id, change, born });
                        writers.push((work, plan));
                    }
                    (work, None) => settle(entity, work, Some(plan), report),
                },
            }
        }
        if let Some(open) = open {
            if !deletes {
                door.open(&report.footprint);
            }
            self.write_documents(index, intent, &documents, writers, (report, &mut again)).await?;
            open.settled();
        }
        Ok(again)
    }

    /// The side that takes no writes at the moment, if the plan needs one there. A row whose document is made is told its id.
    fn stopped(&self, index: EntityIndex, planned: &Planned) -> Option<Side> {
        let [to_legacy, to_renaissance] = planned.effect().writes;
        let needs = [(Side::Legacy, to_legacy), (Side::Renaissance, to_renaissance || planned.creates(Side::Legacy))];
        let held = |side| self.stops.holds(index, Stop::WritingTo(side)).is_some();
        needs.into_iter().find_map(|(side, needed)| (needed && held(side)).then_some(side))
    }

    /// What decisions need besides their records.
    fn given<'a>(&self, index: EntityIndex, links: &'a Links) -> Given<'a> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let sets_later = self.leaves_sets(index);
        Given { links, sets_later, now: i64::try_from(now.as_micros()).unwrap_or(i64::MAX), new_uuid: Uuid::new_v4 }
    }

    async fn write_documents(
        &self,
        index: EntityIndex,
        intent: Uuid,
        documents: &[LegacyWrite],
        writers: Vec<(Work, RecordPlan)>,
        (report, again): (&mut BatchReport, &mut Vec<Work>),
    ) -> Result<()> {
        let entity = self.entity(index)?;
        let (mut outcomes, mut blocked) = (Vec::new(), None);
        if !documents.is_empty() {
            Wrote { outcomes, blocked } = self.legacy.write(index, intent, documents).await?;
        }
        report.blocked.extend(blocked.map(|why| (Side::Legacy, why)));
        drill::crash_point("after the documents");
        let landed: Vec<LegacyId> = documents
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| **outcome == Outcome::Written)
            .map(|(document, _)| document.id)
            .collect();
        report.woken.extend(self.renaissance.settle(intent, &landed).await?);
        drill::crash_point("after settling");
        if !documents.is_empty() {
            self.served.lock().unwrap_or_else(PoisonError::into_inner).push(intent);
        }
        for ((mut work, plan), outcome) in writers.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Written => settle(entity, work, Some(plan), report),
                Outcome::LostRace => report.lost.extend(work.keys),
                Outcome::Blocked => {
                    // of an order whose rows are written nobody can say that nothing was
                    work.record.order = work.record.order.take().filter(|_| plan.rows.is_none());
                    report.hold(Side::Legacy, work);
                }
                // its rows are there now: what is known about it is out of date
                Outcome::Refused(..) if matches!(plan.rows, Some(RenaissanceChange::Insert(_))) => {
                    report.lost.extend(work.keys);
                }
                Outcome::Refused(field, problem) => again.push(exclude(work, field, problem)),
            }
        }
        Ok(())
    }

    async fn read_whole_documents(&self, index: EntityIndex, entity: &Entity, works: &mut [Work]) -> Result<()> {
        let doomed: Vec<LegacyId> = works
            .iter()
            .filter(|w| !w.decided && plan::deletes_document(entity, &w.record))
            .map(|w| w.record.legacy_id)
            .collect();
        if doomed.is_empty() {
            return Ok(());
        }
        let whole = self.legacy.whole(index, &doomed).await?;
        let mut whole: std::collections::HashMap<LegacyId, _> = doomed.into_iter().zip(whole).collect();
        for work in works {
            if let Some(document) = whole.remove(&work.record.legacy_id) {
                work.record.whole = document;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod explore;
