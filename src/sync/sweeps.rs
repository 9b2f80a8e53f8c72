//! Which sweeps run when: the first copy of every entity in the order of their references, again on request, and all of it
//! once more when a position was lost.

use std::{collections::BTreeSet, time::Instant};

use serde_json::{Value as Json, json};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    pace::Pace,
    ports::{Healing, HealingStore, LegacyStore, RenaissanceStore},
    queue::HintQueue,
    reconcile::Reconciler,
    status::Status,
    sweep::Sweep,
};
use crate::{
    drill::{self, Mechanism},
    error::{Error, Result},
    model::{
        fact::{DaemonState, SweepKind},
        key::EntityIndex,
        mapping::{Entity, dependency_order},
        side::Side,
    },
    retry::{Policy, retry},
};

/// What to copy when the bridge starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backfill {
    /// Nothing.
    Off,
    /// Whatever was never copied.
    Missing,
    /// What is missing of these entities; then the bridge settles everything and ends.
    Only(Vec<EntityIndex>),
}

/// A request for a first copy.
pub struct Ask {
    /// Of which entities.
    pub entities: Vec<EntityIndex>,
    /// Whether what is copied already is copied again.
    pub restart: bool,
    /// Where to say what was begun.
    pub answer: oneshot::Sender<Result<Json>>,
}

/// The sweeps of a bridge.
pub struct Sweeps<'a, L, R, Q> {
    /// The stores, and who must know of first passes.
    pub reconciler: &'a Reconciler<L, R>,
    /// Where keys go.
    pub queue: &'a Q,
    /// What people see.
    pub status: &'a Status,
    /// The mapped entities.
    pub entities: &'a [Entity],
    /// How fast.
    pub pace: &'a Pace,
    /// Tells of a lost position; `None` if nothing is healed.
    pub lost: Option<&'a Notify>,
}

impl<L: LegacyStore, R: RenaissanceStore + HealingStore, Q: HintQueue> Sweeps<'_, L, R, Q> {
    /// Sweeps what is missing at the start, what is asked for later and what a lost position makes due, until `stop`; which it
    /// pulls itself once it is through with [`Backfill::Only`].
    pub async fn run(&self, first: &Backfill, mut asks: mpsc::Receiver<Ask>, stop: &CancellationToken) -> Result<()> {
        let mut wanted: BTreeSet<EntityIndex> = match first {
            Backfill::Off => BTreeSet::new(),
            Backfill::Missing => dependency_order(self.entities).into_iter().collect(),
            Backfill::Only(entities) => entities.iter().copied().collect(),
        };
        loop {
            let due = match self.due(stop).await {
                Err(_) if stop.is_cancelled() => return Ok(()),
                other => other?,
            };
            // a sweep that is dropped resumes where it was
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.another_loss() => {}
                ask = asks.recv() => {
                    // nobody can ask any more: the bridge stops
                    let Some(ask) = ask else { return Ok(()) };
                    let answered = self.begin(&ask, &mut wanted).await;
                    // who asked may have gone
                    drop(ask.answer.send(answered));
                }
                swept = self.sweep(&due, (&wanted, first), stop) => {
                    let copied = match swept {
                        Err(_) if stop.is_cancelled() => return Ok(()),
                        other => other?,
                    };
                    if copied {
                        wanted.clear();
                        if matches!(first, Backfill::Only(_)) {
                            stop.cancel();
                        }
                    }
                }
            }
        }
    }

    /// The healings whose sweep is due. A shadow heals nothing.
    async fn due(&self, stop: &CancellationToken) -> Result<Vec<Healing>> {
        if self.lost.is_none() {
            return Ok(Vec::new());
        }
        let store = self.reconciler.renaissance();
        let mut healings = retry("reading what to heal", Policy::RUNNING, stop, || store.healings()).await?;
        self.status.healings(&healings);
        healings.retain(|healing| healing.ended_at.is_none());
        Ok(healings)
    }

    async fn another_loss(&self) {
        match self.lost {
            Some(lost) => lost.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Heals first what is not paused, then copies what is wanted; for ever if there is nothing to do. Whether what is wanted is
    /// copied; if not, there is something to heal.
    async fn sweep(
        &self,
        due: &[Healing],
        (wanted, first): (&BTreeSet<EntityIndex>, &Backfill),
        stop: &CancellationToken,
    ) -> Result<bool> {
        let pauses = self.reconciler.pauses();
        let version = pauses.version();
        if !due.is_empty() && self.heal(due, stop).await? {
            return Ok(false);
        }
        let copying = async {
            if wanted.is_empty() {
                self.status.state(DaemonState::Streaming);
                return std::future::pending().await;
            }
            self.copy_and_say(wanted, matches!(first, Backfill::Only(_)), stop).await.map(|()| true)
        };
        tokio::select! {
            copied = copying => copied,
            () = pauses.changed_since(version), if !due.is_empty() => Ok(false),
        }
    }

    /// Looks at every record of every entity, and at the links whose rows are gone, as nobody knows which of them changed. A
    /// position that is lost meanwhile makes it begin again. Whether all is healed: an entity of which nothing crosses is left
    /// until it does.
    async fn heal(&self, due: &[Healing], stop: &CancellationToken) -> Result<bool> {
        self.status.state(DaemonState::Healing);
        let before = self.status.written();
        let everything: BTreeSet<EntityIndex> = dependency_order(self.entities).into_iter().collect();
        if !drill::lacks(Mechanism::HealSweep) {
            let [records, references, links] = SweepKind::HEALING;
            let paused = self.copy_unpaused(&everything, [records, references], stop).await?;
            for entity in dependency_order(self.entities).into_iter().filter(|entity| !paused.contains(entity)) {
                self.one(entity, (Side::Legacy, links), stop).await?;
            }
            if !paused.is_empty() {
                let names: Vec<&str> = paused.iter().map(|entity| self.name(*entity)).collect();
                tracing::warn!(
                    entities = names.join(", "),
                    "healed what is not paused; a lost position is healed once these are resumed"
                );
                return Ok(false);
            }
        }
        let (store, changed) = (self.reconciler.renaissance(), self.status.written() - before);
        let ids: Vec<i64> = due.iter().map(|healing| healing.id).collect();
        retry("noting what was healed", Policy::RUNNING, stop, || store.end_healing(&ids, changed)).await?;
        for healing in due {
            tracing::warn!(side = %healing.side, cause = %healing.cause, changed, "a lost position is healed");
        }
        Ok(true)
    }

    /// Copies what is wanted, and logs when it begins and ends if there is something to do.
    async fn copy_and_say(
        &self,
        wanted: &BTreeSet<EntityIndex>,
        at_once: bool,
        stop: &CancellationToken,
    ) -> Result<()> {
        let (begun, mut names) = (Instant::now(), Vec::new());
        for entity in wanted {
            let copied = || self.is_copied(*entity);
            if !retry("reading what to sweep", Policy::RUNNING, stop, copied).await? {
                names.push(self.name(*entity));
            }
        }
        if names.is_empty() {
            return self.copy(wanted, at_once, stop).await;
        }
        self.status.state(DaemonState::Backfilling);
        let entities = names.join(", ");
        tracing::info!(entities, "sweeping what was never swept to its end");
        self.copy(wanted, at_once, stop).await?;
        tracing::info!(entities, seconds = begun.elapsed().as_secs(), "swept: both sides were met whole");
        Ok(())
    }

    /// Copies what is wanted; what is paused when that is over, unless it must not wait.
    async fn copy(&self, wanted: &BTreeSet<EntityIndex>, at_once: bool, stop: &CancellationToken) -> Result<()> {
        let (pauses, mut left) = (self.reconciler.pauses(), wanted.clone());
        loop {
            let version = pauses.version();
            left = self.copy_unpaused(&left, SweepKind::FIRST_COPY, stop).await?;
            let Some(entity) = left.first() else { return Ok(()) };
            if at_once {
                let error = Error::halt(format!("{} is paused", self.name(*entity)));
                return Err(error.with_hint("biograph-bridge status; then resume"));
            }
            self.status.state(DaemonState::Streaming);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = pauses.changed_since(version) => {}
            }
            self.status.state(DaemonState::Backfilling);
        }
    }

    /// Walks what is wanted but for what is paused; says what that is.
    async fn copy_unpaused(
        &self,
        wanted: &BTreeSet<EntityIndex>,
        kinds: [SweepKind; 2],
        stop: &CancellationToken,
    ) -> Result<BTreeSet<EntityIndex>> {
        let pauses = self.reconciler.pauses();
        loop {
            let (paused, open): (BTreeSet<_>, BTreeSet<_>) =
                wanted.iter().copied().partition(|entity| pauses.now().entirely(*entity).is_some());
            let Err(error) = self.copy_open(&open, kinds, stop).await else { return Ok(paused) };
            let gone = self.reconciler.pause_what_is_gone(&error).await?;
            if !gone && !open.iter().any(|entity| pauses.now().entirely(*entity).is_some()) {
                return Err(error);
            }
        }
    }

    fn name(&self, entity: EntityIndex) -> &str {
        self.entities.get(usize::from(entity.0)).map_or("", |entity| entity.name.as_str())
    }

    /// First every record of every entity, those that others refer to first; then the sets of references, whose members
    /// have all been met by then.
    async fn copy_open(
        &self,
        wanted: &BTreeSet<EntityIndex>,
        [records, references]: [SweepKind; 2],
        stop: &CancellationToken,
    ) -> Result<()> {
        let order: Vec<EntityIndex> =
            dependency_order(self.entities).into_iter().filter(|entity| wanted.contains(entity)).collect();
        // members that are still to come are no reason to park a set that is visited again
        self.reconciler.postpone_sets(self.with_sets_to_fill(&order, references, stop).await?);
        for entity in &order {
            self.pass(*entity, records, stop).await?;
        }
        self.reconciler.postpone_sets(Vec::new());
        for entity in order.into_iter().filter(|entity| self.has_sets(*entity)) {
            self.pass(entity, references, stop).await?;
        }
        Ok(())
    }

    /// Renaissance first: rows that an earlier script copied are linked by the id they carry before their documents come
    /// up, and rows the legacy sweep makes need no second look.
    async fn pass(&self, entity: EntityIndex, kind: SweepKind, stop: &CancellationToken) -> Result<()> {
        for side in [Side::Renaissance, Side::Legacy] {
            self.one(entity, (side, kind), stop).await?;
        }
        Ok(())
    }

    async fn one(&self, entity: EntityIndex, (side, kind): (Side, SweepKind), stop: &CancellationToken) -> Result<()> {
        let (legacy, renaissance) = (self.reconciler.legacy(), self.reconciler.renaissance());
        let (queue, status, pace) = (self.queue, self.status, self.pace);
        Sweep { legacy, renaissance, queue, status, pace, entity, side, kind }.run(stop).await
    }

    /// The entities whose second pass has not begun.
    async fn with_sets_to_fill(
        &self,
        order: &[EntityIndex],
        kind: SweepKind,
        stop: &CancellationToken,
    ) -> Result<Vec<EntityIndex>> {
        let (store, mut found) = (self.reconciler.renaissance(), Vec::new());
        for entity in order.iter().filter(|entity| self.has_sets(**entity)) {
            let mut begun = false;
            for side in Side::ALL {
                let saved = || store.sweep(*entity, side, kind);
                let state = retry("reading what to sweep", Policy::RUNNING, stop, saved).await?;
                begun |= state.done || state.after.is_some();
            }
            found.extend((!begun).then_some(*entity));
        }
        Ok(found)
    }

    fn has_sets(&self, entity: EntityIndex) -> bool {
        self.entities.get(usize::from(entity.0)).is_some_and(Entity::has_linked_sets)
    }

    /// Decides what a request begins: per entity `complete`, `running` or `started`.
    async fn begin(&self, ask: &Ask, wanted: &mut BTreeSet<EntityIndex>) -> Result<Json> {
        if ask.restart {
            self.reconciler.renaissance().forget_sweeps(&ask.entities).await?;
            self.status.sweeps_forgotten(&ask.entities);
        }
        let mut begun = serde_json::Map::new();
        for entity in &ask.entities {
            let known = self.entities.get(usize::from(entity.0));
            let name = &known.ok_or_else(|| Error::halt("a request names an entity that is not mapped"))?.name;
            let word = if self.is_copied(*entity).await? {
                "complete"
            } else if wanted.insert(*entity) || ask.restart {
                "started"
            } else {
                "running"
            };
            begun.insert(name.clone(), json!(word));
        }
        Ok(json!({ "entities": begun }))
    }

    async fn is_copied(&self, entity: EntityIndex) -> Result<bool> {
        for kind in SweepKind::FIRST_COPY {
            if kind == SweepKind::References && !self.has_sets(entity) {
                continue;
            }
            for side in Side::ALL {
                if !self.reconciler.renaissance().sweep(entity, side, kind).await?.done {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
