//! Which sweeps run when: the first copy of every entity in the order of their references, and again on request.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    pace::Pace,
    ports::{LegacyStore, RenaissanceStore},
    queue::HintQueue,
    reconcile::Reconciler,
    status::Status,
    sweep::Sweep,
};
use crate::{
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
}

impl<L: LegacyStore, R: RenaissanceStore, Q: HintQueue> Sweeps<'_, L, R, Q> {
    /// Sweeps what is missing at the start and what is asked for later, until `stop`; which it pulls itself once it is
    /// through with [`Backfill::Only`].
    pub async fn run(&self, first: &Backfill, mut asks: mpsc::Receiver<Ask>, stop: &CancellationToken) -> Result<()> {
        let mut wanted: BTreeSet<EntityIndex> = match first {
            Backfill::Off => BTreeSet::new(),
            Backfill::Missing => dependency_order(self.entities).into_iter().collect(),
            Backfill::Only(entities) => entities.iter().copied().collect(),
        };
        loop {
            let ask = if wanted.is_empty() {
                self.status.state(DaemonState::Streaming);
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    ask = asks.recv() => ask,
                }
            } else {
                self.status.state(DaemonState::Backfilling);
                // a sweep that is dropped resumes where it was
                tokio::select! {
                    biased;
                    ask = asks.recv() => ask,
                    swept = self.copy(&wanted, stop) => {
                        match swept {
                            Err(_) if stop.is_cancelled() => return Ok(()),
                            other => other?,
                        }
                        wanted.clear();
                        if matches!(first, Backfill::Only(_)) {
                            stop.cancel();
                        }
                        continue;
                    }
                }
            };
            // nobody can ask any more: the bridge stops
            let Some(ask) = ask else { return Ok(()) };
            let answered = self.begin(&ask, &mut wanted).await;
            // who asked may have gone
            drop(ask.answer.send(answered));
        }
    }

    /// First every record of every entity, those that others refer to first; then the sets of references, whose members
    /// have all been met by then.
    async fn copy(&self, wanted: &BTreeSet<EntityIndex>, stop: &CancellationToken) -> Result<()> {
        let order: Vec<EntityIndex> =
            dependency_order(self.entities).into_iter().filter(|entity| wanted.contains(entity)).collect();
        // members that are still to come are no reason to park a set that is visited again
        self.reconciler.postpone_sets(self.with_sets_to_fill(&order, stop).await?);
        for entity in &order {
            self.pass(*entity, SweepKind::Backfill, stop).await?;
        }
        self.reconciler.postpone_sets(Vec::new());
        for entity in order.into_iter().filter(|entity| self.has_sets(*entity)) {
            self.pass(entity, SweepKind::References, stop).await?;
        }
        Ok(())
    }

    /// Renaissance first: rows that an earlier script copied are linked by the id they carry before their documents come
    /// up, and rows the legacy sweep makes need no second look.
    async fn pass(&self, entity: EntityIndex, kind: SweepKind, stop: &CancellationToken) -> Result<()> {
        for side in [Side::Renaissance, Side::Legacy] {
            let (legacy, renaissance) = (self.reconciler.legacy(), self.reconciler.renaissance());
            let (queue, status, pace) = (self.queue, self.status, self.pace);
            Sweep { legacy, renaissance, queue, status, pace, entity, side, kind }.run(stop).await?;
        }
        Ok(())
    }

    /// The entities whose second pass has not begun.
    async fn with_sets_to_fill(&self, order: &[EntityIndex], stop: &CancellationToken) -> Result<Vec<EntityIndex>> {
        let (store, mut found) = (self.reconciler.renaissance(), Vec::new());
        for entity in order.iter().filter(|entity| self.has_sets(**entity)) {
            let mut begun = false;
            for side in Side::ALL {
                let saved = || store.sweep(*entity, side, SweepKind::References);
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
