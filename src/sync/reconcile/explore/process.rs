//! A running bridge: its tracker, how far it has read both logs, and a reconcile on its way.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use super::{
    super::{Door, Reconciler},
    Without,
    legacy::Documents,
    renaissance::Rows,
    shape::{Shape, document_id},
    stores::{Answered, Call, Databases, Fault},
    world::{World, at},
};
use crate::{
    error::Disposition,
    model::{
        hint::{Freshness, Hint, Position},
        key::{EntityIndex, Key, SideId},
        side::Side,
    },
    sync::tracker::{Lane, Taken, Tracker},
};

/// A reconcile that was begun.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct Run {
    pub(super) taken: Vec<Taken>,
    answered: Vec<Answered>,
    pub(super) waiting: Call,
    unused_document: u8,
}

/// What a crash takes away.
#[derive(Clone, Debug, Hash)]
pub(super) struct Process {
    pub(super) tracker: Tracker,
    /// How much of either log was received.
    pub(super) received: [usize; 2],
    /// An intent may be open.
    unsettled: bool,
    pub(super) run: Option<Run>,
    /// The most attempts a key needed.
    pub(super) attempts: u32,
    pub(super) halted: bool,
    epoch: u8,
}

/// What everybody knows.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) shape: Shape,
    pub(super) owner: Side,
    pub(super) without: Option<Without>,
    /// Whether the bridge's own changes come back to it.
    pub(super) echoes: bool,
}

impl Process {
    /// Starts from the saved positions.
    pub(super) fn start(world: &World) -> Self {
        let tracker = Tracker::new(1 << 20);
        let (received, epoch) = (world.saved, world.epoch);
        Self { tracker, received, unsettled: true, run: None, attempts: 0, halted: false, epoch }
    }

    /// Receives the next change of a side. False if there is none.
    pub(super) fn receive(&mut self, world: &World, side: Side, setting: &Setting) -> bool {
        let Some(entry) = world.logs[at(side)].get(self.received[at(side)]) else { return false };
        self.received[at(side)] += 1;
        let place = u32::try_from(self.received[at(side)]).unwrap_or(u32::MAX);
        let lane = Lane::Stream(side);
        let (id, freshness) = match side {
            Side::Legacy => (SideId::Legacy(document_id(entry.id)), Freshness::ClusterTime(place, 0)),
            Side::Renaissance => (SideId::Renaissance(i64::from(entry.id)), Freshness::Xid(place)),
        };
        let key = Key { entity: EntityIndex(0), id };
        let in_flight = self.run.as_ref().is_some_and(|run| run.taken.iter().any(|taken| taken.key == key));
        let forgotten = in_flight && setting.without == Some(Without::HintsInFlight);
        if (setting.echoes || !entry.by_bridge) && !forgotten {
            self.tracker.offer(lane, &Hint { key, freshness, committed_at: None }).unwrap();
        }
        self.tracker.position(lane, Position::Lsn(u64::from(place)));
        true
    }

    /// Takes what is dirty and begins to reconcile it. False if nothing is.
    pub(super) fn begin(&mut self, world: &mut World, setting: &Setting) -> bool {
        let taken = self.tracker.take(8, u64::MAX);
        let Some(most) = taken.iter().map(|one| one.attempts).max() else { return false };
        self.attempts = self.attempts.max(most);
        let unused_document = world.unused_name();
        let run = Run { taken, answered: Vec::new(), waiting: Call::Reads, unused_document };
        self.proceed(world, run, None, setting);
        true
    }

    /// Answers the call that the reconcile waits for.
    pub(super) fn step(&mut self, world: &mut World, fault: Fault, setting: &Setting) {
        if let Some(run) = self.run.take() {
            self.proceed(world, run, Some(fault), setting);
        }
    }

    fn proceed(&mut self, world: &mut World, mut run: Run, next: Option<Fault>, setting: &Setting) {
        let databases =
            Databases::new((world.clone(), run.unused_document, self.epoch), &run.answered, next, setting.without);
        let (documents, rows) = (
            Documents(databases.clone(), setting.shape.clone()),
            Rows(databases.clone(), setting.shape.clone(), setting.owner),
        );
        let reconciler = Reconciler::new(documents, rows, Arc::clone(&setting.shape.entities));
        reconciler.unsettled.store(self.unsettled, Ordering::Release);
        let door = Door::default();
        let outcome = {
            let reconciling = pin!(reconciler.reconcile(EntityIndex(0), &run.taken, None, &door));
            reconciling.poll(&mut Context::from_waker(Waker::noop()))
        };
        let mut script = databases.script();
        std::mem::swap(world, &mut script.world);
        match outcome {
            Poll::Pending => {
                run.answered = std::mem::take(&mut script.answered);
                run.waiting = script.waiting.unwrap_or(Call::Reads);
                self.run = Some(run);
            }
            Poll::Ready(Ok(report)) => {
                self.unsettled = reconciler.unsettled.load(Ordering::Acquire);
                self.tracker.put_back(report.lost.into_iter().chain(report.not_visible), 0);
                self.tracker.done(report.settled);
                // ledger documents that have served are removed beside the next batch
                let open: Vec<u8> = world.intents.iter().map(|intent| intent.number).collect();
                world.ledgers.retain(|number, _| open.contains(number));
            }
            Poll::Ready(Err(error)) => {
                self.unsettled = reconciler.unsettled.load(Ordering::Acquire);
                self.halted |= error.disposition() != Disposition::Retry;
                self.tracker.put_back(run.taken.into_iter().map(|one| one.key), 0);
            }
        }
    }

    /// The positions that may be saved now.
    pub(super) fn durable(&self, saved: [usize; 2], setting: &Setting) -> [usize; 2] {
        if setting.without == Some(Without::DurableOrder) {
            return self.received;
        }
        Side::ALL.map(|side| match self.tracker.durable(Lane::Stream(side)) {
            Some(Position::Lsn(place)) => usize::try_from(*place).unwrap_or(usize::MAX),
            Some(Position::Token(_)) | None => saved[at(side)],
        })
    }

    /// Whether nothing is left to do.
    pub(super) fn is_idle(&self, world: &World) -> bool {
        let received = (0..2).all(|side| self.received[side] == world.logs[side].len());
        received && self.run.is_none() && self.tracker.is_empty()
    }

    /// Whether a dirty key is kept for ever without being reconciled.
    pub(super) fn is_stuck(&self) -> bool {
        self.run.is_none() && !self.tracker.is_empty() && self.tracker.clone().take(8, u64::MAX).is_empty()
    }
}
