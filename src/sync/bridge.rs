//! The bridge as a whole: positions first, then streams, sweeps, reconciling and checkpoints side by side; drains on
//! request.

mod comparing;

mod tasks;

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    cutover::Movers,
    follow::{Follower, Unaddressable},
    healing::{Healer, forget_bases},
    heartbeat::Heartbeat,
    pace::Pace,
    ports::{CutoverMirror, CutoverStore, HealingStore, LegacyStore, RenaissanceStore, Source, VerifyStore},
    queue::{HintQueue, InProcess},
    reconcile::{Limits, Reconciler},
    requests::{Executor, Inbox},
    resume::Resume,
    status::Status,
    sweep::unsupported,
    sweeps::{Ask, Backfill, Sweeps},
    tracker::Lane,
    verify::Watch,
    worker::Worker,
};
use crate::{
    drill,
    error::{Disposition, Error, Result},
    model::{
        fact::{DaemonState, Lag, PositionLoss},
        hint::{Position, Stray},
        key::EntityIndex,
        mapping::Entity,
        side::Side,
    },
    retry::{Policy, retry},
};

/// A quiet stream's position is saved this often: each save is itself a write.
const QUIET_CHECKPOINT: Duration = Duration::from_secs(10);

/// How often the lag is taken.
const PULSE: Duration = Duration::from_millis(100);

/// How the bridge uses memory and time.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Keys per batch at most.
    pub batch: usize,
    /// Bytes of records held at once as they are read: those of a batch and of the one that is read meanwhile, of both sides.
    pub batch_bytes: usize,
    /// Bytes of dirty keys held before captures wait.
    pub queue_bytes: usize,
    /// How often positions are saved while changes flow.
    pub checkpoint: Duration,
    /// How often heartbeats are left in both logs.
    pub heartbeat: Duration,
    /// How long a stop may take to settle what was already received.
    pub drain: Duration,
    /// How often keys are tried again that are parked for something outside of them.
    pub parked_retry: Duration,
    /// What to copy at the start.
    pub backfill: Backfill,
    /// Records a second that sweeps may walk; `None`: as many as they can.
    pub backfill_rate: Option<NonZeroU32>,
    /// Records per chunk of a sweep.
    pub sweep_chunk: u32,
    /// Records a second that a comparison may walk; `None`: as many as it can.
    pub verify_rate: Option<NonZeroU32>,
    /// The same for one that nobody asked for; `None`: there is none.
    pub verify_background: Option<NonZeroU32>,
    /// What is taken for a mistake.
    pub limits: Limits,
    /// How long applications may take to notice that they are to hold a person's writes.
    pub cutover_drain: Duration,
    /// Decide and journal, write nothing.
    pub shadow: bool,
}

/// A position that was saved.
struct Saved {
    position: Position,
    /// Hints received when it was saved.
    hints: u64,
    at: Instant,
}

impl Saved {
    /// Whether to save anew: at once while changes flow, now and then when only the log moved, and at the end.
    fn is_stale(&self, durable: &Position, hints: u64, last: bool) -> bool {
        self.position != *durable && (last || hints != self.hints || self.at.elapsed() >= QUIET_CHECKPOINT)
    }
}

/// Everything it takes to run.
pub struct Bridge<L, R, SL, SR> {
    reconciler: Reconciler<L, R>,
    sources: (SL, SR),
    entities: Arc<Vec<Entity>>,
    status: Arc<Status>,
    settings: Settings,
    /// Held while a position is saved: one that was lost meanwhile must not come back.
    saving: Mutex<()>,
    /// A position was lost: a sweep is due.
    lost: Notify,
    /// Keys that are being compared.
    watch: Watch,
    /// Somebody has asked for a comparison.
    verify: Notify,
}

impl<L, R, SL, SR> Bridge<L, R, SL, SR>
where
    L: LegacyStore + CutoverMirror + 'static,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore + 'static,
    SL: Source + 'static,
    SR: Source + 'static,
{
    /// A bridge over two stores and the change streams of both sides (legacy, renaissance).
    pub fn new(
        (legacy, renaissance): (L, R),
        sources: (SL, SR),
        entities: Arc<Vec<Entity>>,
        status: Arc<Status>,
        settings: Settings,
    ) -> Self {
        let reconciler = Reconciler::new(legacy, renaissance, Arc::clone(&entities)).within(settings.limits);
        let reconciler = if settings.shadow { reconciler.in_shadow() } else { reconciler };
        Self {
            reconciler,
            sources,
            entities,
            status,
            settings,
            saving: Mutex::default(),
            lost: Notify::new(),
            watch: Watch::default(),
            verify: Notify::new(),
        }
    }

    /// Runs until `stop`, then settles what was received and saves the positions. Dropping it instead is safe at any
    /// point: the next run settles what was left open. An error is one that retrying cannot cure.
    pub async fn run(self, inbox: impl Inbox + 'static, stop: CancellationToken) -> Result<()> {
        self.status.state(DaemonState::Starting);
        let bridge = Arc::new(self);
        let starting = Policy::CONNECTION;
        retry("settling what a former run left open", starting, &stop, || bridge.reconciler.recover()).await?;
        if !bridge.settings.shadow {
            let (store, entities) = (bridge.reconciler.renaissance(), bridge.entities.len());
            forget_bases(store, entities, bridge.settings.sweep_chunk, &stop).await?;
        }
        retry("reading what is paused", starting, &stop, || bridge.know_pauses()).await?;
        let legacy = bridge.start_position(Side::Legacy, &stop).await?;
        let renaissance = bridge.start_position(Side::Renaissance, &stop).await?;

        let queue = Arc::new(InProcess::new(bridge.settings.queue_bytes));
        let (intake, work, save) = (stop.child_token(), CancellationToken::new(), CancellationToken::new());
        let (strays, mut stray) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        let legacy_stream = (Side::Legacy, (|bridge: &Self| &bridge.sources.0) as fn(&Self) -> &SL);
        let renaissance_stream = (Side::Renaissance, (|bridge: &Self| &bridge.sources.1) as fn(&Self) -> &SR);
        let (follower, to, stop_following) = (Arc::clone(&bridge), Arc::clone(&queue), intake.clone());
        tasks.spawn(follower.follow(legacy_stream, to, strays.clone(), legacy, stop_following));
        let (follower, to, stop_following) = (Arc::clone(&bridge), Arc::clone(&queue), intake.clone());
        tasks.spawn(follower.follow(renaissance_stream, to, strays, renaissance, stop_following));
        let (ask, asks) = mpsc::channel(1);
        tasks.spawn(Arc::clone(&bridge).sweep(Arc::clone(&queue), asks, intake.clone()));
        tasks.spawn(Arc::clone(&bridge).resume(Arc::clone(&queue), ask.clone(), intake.clone()));
        let (movers, wishes) = Movers::new();
        tasks.spawn(Arc::clone(&bridge).move_people(Arc::clone(&queue), wishes, intake.clone()));
        tasks.spawn(Arc::clone(&bridge).move_cohorts(movers.clone(), intake.clone()));
        tasks.spawn(Arc::clone(&bridge).answer(Arc::clone(&queue), inbox, (ask, movers), intake.clone()));
        tasks.spawn(Arc::clone(&bridge).verify(Arc::clone(&queue), intake.clone()));
        tasks.spawn(Arc::clone(&bridge).parked_again(Arc::clone(&queue), intake.clone()));
        tasks.spawn(Arc::clone(&bridge).heartbeats(Arc::clone(&queue), intake.clone()));
        let mut tail = JoinSet::new();
        tail.spawn(Arc::clone(&bridge).work(Arc::clone(&queue), work.clone()));
        tail.spawn(Arc::clone(&bridge).checkpoints(Arc::clone(&queue), save.clone()));

        let ended = loop {
            tokio::select! {
                biased;
                Some(ended) = tail.join_next() => break flatten(ended),
                () = intake.cancelled() => break Ok(()),
                Some(ended) = tasks.join_next() => if let Err(error) = flatten(ended) { break Err(error) },
                Some((entity, found)) = stray.recv() => bridge.see_stray(entity, &found, &stop).await?,
            }
        };
        intake.cancel();
        stray.close();
        while tasks.join_next().await.is_some() {}
        let drained = if ended.is_ok() { bridge.drain(&queue, &mut tail).await } else { Ok(()) };
        work.cancel();
        while tail.len() > 1 && tail.join_next().await.is_some() {}
        save.cancel();
        while tail.join_next().await.is_some() {}
        ended.and(drained)
    }

    async fn follow<S: Source>(
        self: Arc<Self>,
        (side, source): (Side, fn(&Self) -> &S),
        queue: Arc<InProcess>,
        unaddressable: mpsc::Sender<Unaddressable>,
        mut from: Position,
        stop: CancellationToken,
    ) -> Result<()> {
        let (source, status, reconciler) = (source(&self), &*self.status, &self.reconciler);
        let follower = Follower { side, source, queue: &*queue, status, reconciler, watch: &self.watch, unaddressable };
        loop {
            let Err(error) = follower.run(&mut from, &stop).await else { return Ok(()) };
            match self.heal((side, source), &error, &mut from, (&queue, &stop)).await {
                Some(Err(_)) if stop.is_cancelled() => return Ok(()),
                Some(healed) => healed?,
                None => return Err(error),
            }
        }
    }

    /// Goes over to a new position if that is what failed; `None` if not.
    async fn heal<S: Source>(
        &self,
        (side, source): (Side, &S),
        error: &Error,
        from: &mut Position,
        (queue, stop): (&InProcess, &CancellationToken),
    ) -> Option<Result<()>> {
        // the bases of a restored database are forgotten before anything else is done: the bridge starts over
        let loss = error.position_lost().filter(|loss| *loss != PositionLoss::Restored)?;
        let (store, status, shadow) = (self.reconciler.renaissance(), &*self.status, self.settings.shadow);
        let healer = Healer { side, source, store, status, shadow };
        let healed = async {
            let position = healer.renew(loss, error, stop).await?;
            let held = self.saving.lock().await;
            healer.note(loss, (from, &position), stop).await?;
            queue.restart(Lane::Stream(side));
            drop(held);
            *from = position;
            self.lost.notify_one();
            Ok(())
        };
        Some(healed.await)
    }

    async fn sweep(
        self: Arc<Self>,
        queue: Arc<InProcess>,
        asks: mpsc::Receiver<Ask>,
        stop: CancellationToken,
    ) -> Result<()> {
        let pace = Pace::new(self.settings.sweep_chunk, self.settings.backfill_rate);
        let (reconciler, queue, status) = (&self.reconciler, &*queue, &*self.status);
        let lost = (!self.settings.shadow).then_some(&self.lost);
        let sweeps = Sweeps { reconciler, queue, status, entities: &self.entities, pace: &pace, lost };
        sweeps.run(&self.settings.backfill, asks, &stop).await
    }

    /// What is paused, and what has to be: both before anything is read.
    async fn know_pauses(&self) -> Result<()> {
        if self.settings.shadow {
            return Ok(());
        }
        self.reconciler.pauses().load(self.reconciler.renaissance()).await?;
        self.reconciler.look_at_structures().await
    }

    /// Ends pauses.
    async fn resume(
        self: Arc<Self>,
        queue: Arc<InProcess>,
        sweeps: mpsc::Sender<Ask>,
        stop: CancellationToken,
    ) -> Result<()> {
        if self.settings.shadow {
            return Ok(());
        }
        let (reconciler, status) = (&self.reconciler, &*self.status);
        Resume { reconciler, queue: &*queue, status, sweeps }.run(&stop).await
    }

    /// Carries out what commands ask for.
    async fn answer(
        self: Arc<Self>,
        queue: Arc<InProcess>,
        inbox: impl Inbox,
        (sweeps, movers): (mpsc::Sender<Ask>, Movers),
        stop: CancellationToken,
    ) -> Result<()> {
        let (legacy, store, entities) = (self.reconciler.legacy(), self.reconciler.renaissance(), &self.entities[..]);
        let (orders, shadow) = (self.reconciler.orders(), self.settings.shadow);
        let executor = Executor {
            legacy,
            store,
            queue: &*queue,
            orders,
            trail: self.reconciler.trail(),
            sweeps,
            entities,
            pauses: self.reconciler.pauses(),
            stops: self.reconciler.stops(),
            movers: &movers,
            forgive: &|key| self.reconciler.forgive(key),
            verify: &self.verify,
            shadow,
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            failed = executor.run(inbox) => failed,
        }
    }

    async fn heartbeats(self: Arc<Self>, queue: Arc<InProcess>, stop: CancellationToken) -> Result<()> {
        let (queue, status, every, shadow) = (&*queue, &*self.status, self.settings.heartbeat, self.settings.shadow);
        let legacy = Heartbeat { side: Side::Legacy, source: &self.sources.0, queue, status, every, shadow };
        let renaissance = Heartbeat { side: Side::Renaissance, source: &self.sources.1, queue, status, every, shadow };
        tokio::join!(legacy.run(&stop), renaissance.run(&stop));
        Ok(())
    }

    async fn work(self: Arc<Self>, queue: Arc<InProcess>, stop: CancellationToken) -> Result<()> {
        let (reconciler, status, entities) = (&self.reconciler, &*self.status, &self.entities);
        Worker { reconciler, queue: &*queue, status, entities, batch: self.settings.batch }.run(&stop).await
    }

    /// The saved position, or the end of the log, saved before anything is read.
    async fn start_position(&self, side: Side, stop: &CancellationToken) -> Result<Position> {
        let store = self.reconciler.renaissance();
        let doing = "reading the saved position";
        let saved = retry(doing, Policy::CONNECTION, stop, || store.checkpoint(side)).await?;
        let position = match saved {
            Some(position) => position,
            None => {
                let tip = async || match side {
                    Side::Legacy => self.sources.0.tip().await,
                    Side::Renaissance => self.sources.1.tip().await,
                };
                let position = retry("taking a first position", Policy::CONNECTION, stop, tip).await?;
                let saved = [(side, position.clone())];
                retry("saving a first position", Policy::CONNECTION, stop, || store.save_checkpoint(&saved)).await?;
                position
            }
        };
        self.status.checkpoint(side, &position);
        Ok(position)
    }

    /// Saves positions once their hints are durable, and only then lets the source forget.
    async fn checkpoints(self: Arc<Self>, queue: Arc<InProcess>, stop: CancellationToken) -> Result<()> {
        let mut saved: [Option<Saved>; 2] = [None, None];
        let keep = self.settings.shadow && !self.has_everything_to_copy(&stop).await?;
        loop {
            let last = stop.is_cancelled();
            self.pulse(&queue);
            for (side, saved) in Side::ALL.into_iter().zip(&mut saved).filter(|_| !keep) {
                let lane = Lane::Stream(side);
                let _held = self.saving.lock().await;
                let Some(position) = queue.durable(lane) else { continue };
                let hints = queue.offered(lane);
                if saved.as_ref().is_none_or(|saved| saved.is_stale(&position, hints, last))
                    && self.save(side, &position, &stop).await?
                {
                    *saved = Some(Saved { position, hints, at: Instant::now() });
                }
            }
            if last {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.pulses(&queue, self.settings.checkpoint) => {}
            }
        }
    }

    /// Whether a shadow may let positions go on: nobody has relied on them yet, and a first copy looks at everything. Else what
    /// the shadow has seen is still to be done, and both logs are kept until then.
    async fn has_everything_to_copy(&self, stop: &CancellationToken) -> Result<bool> {
        let store = self.reconciler.renaissance();
        let fresh = retry("reading what was synced before", Policy::CONNECTION, stop, || store.is_fresh()).await?;
        if !fresh {
            tracing::warn!(
                "positions stay where they are while a shadow runs: watch slot_retained_bytes and oplog_window_seconds"
            );
        }
        Ok(fresh)
    }

    async fn save(&self, side: Side, position: &Position, stop: &CancellationToken) -> Result<bool> {
        let store = self.reconciler.renaissance();
        drill::crash_point("before saving a position");
        match store.save_checkpoint(&[(side, position.clone())]).await {
            Ok(()) => {
                drill::crash_point("after saving a position");
                match side {
                    Side::Legacy => self.sources.0.confirm(position),
                    Side::Renaissance => self.sources.1.confirm(position),
                }
                drill::crash_point("after confirming a position");
                self.status.checkpoint(side, position);
                self.status.recovered("saving positions");
                Ok(true)
            }
            Err(error) if error.disposition() == Disposition::Retry || error.is_blocked() || stop.is_cancelled() => {
                self.status.failed("saving positions", &error);
                Ok(false)
            }
            Err(error) => Err(error.during("saving positions")),
        }
    }

    /// Pulses for a while.
    async fn pulses(&self, queue: &InProcess, time: Duration) {
        let started = Instant::now();
        while let Some(left) = time.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
            self.pulse(queue);
            tokio::time::sleep(left.min(PULSE)).await;
        }
    }

    /// Tells how far behind each direction is. A stream that never rests says nothing of being idle, so what is durable
    /// counts too.
    fn pulse(&self, queue: &InProcess) {
        for side in Side::ALL {
            match queue.backlog(Lane::Stream(side)) {
                (0, Some(newest)) => self.status.durable_up_to(side.outbound(), newest),
                (_, Some(oldest)) => self.status.lag(side.outbound(), Lag::Since(oldest)),
                (_, None) => {}
            }
        }
        let (keys, bytes) = queue.size();
        self.status.queue(keys, bytes);
        self.status.pauses(&self.reconciler.pauses().now());
    }

    /// Waits until everything received is settled but for what a database refuses for everybody, or the time for it is up.
    async fn drain(&self, queue: &InProcess, tail: &mut JoinSet<Result<()>>) -> Result<()> {
        let deadline = tokio::time::Instant::now() + self.settings.drain;
        while queue.moving() > 0 {
            tokio::select! {
                biased;
                Some(ended) = tail.join_next() => return flatten(ended),
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!(keys = queue.size().0, "stopping before everything is settled; the rest follows at the next start");
                    return Ok(());
                }
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
        let held = queue.size().0;
        if held > 0 {
            tracing::warn!(
                keys = held,
                "what a database refuses for everybody follows at a start after it is put right"
            );
        }
        Ok(())
    }

    /// A document that no key can name is parked while it is there.
    async fn see_stray(&self, entity: EntityIndex, stray: &Stray, stop: &CancellationToken) -> Result<()> {
        if self.settings.shadow {
            return Ok(());
        }
        let (store, row) = (self.reconciler.renaissance(), unsupported(stray.kind));
        let see = async || {
            if stray.gone {
                store.unpark(entity, &stray.shown).await
            } else {
                store.park(entity, &row, &stray.shown).await
            }
        };
        retry("parking a record", Policy::RUNNING, stop, see).await
    }
}

fn flatten(ended: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    ended.map_err(|error| Error::halt("a part of the bridge ended unexpectedly").with_source(error))?
}
