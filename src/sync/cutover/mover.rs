//! The part of the daemon that moves people: many at once, each in its own steps.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Ended, Finding, Order, TIMEOUT, Verdict, Wish, steps::Travel};
use crate::{
    error::Result,
    model::{
        cutover::{CutoverRow, Move, Refusal},
        key::LegacyId,
        mapping::Entity,
    },
    retry::Failures,
    sync::{
        marks::{Mark, Marks},
        ports::{
            CutoverMirror, CutoverStore, HealingStore, Journey, LegacyStore, RenaissanceStore, Source, Standing, Step,
            VerifyStore,
        },
        queue::HintQueue,
        reconcile::Reconciler,
        status::Status,
    },
};

/// How often it is looked for somebody on the way whom nobody has in hand.
const LOOK: Duration = Duration::from_secs(10);

/// Moves people.
pub struct Mover<'a, L, R, SL, SR, Q> {
    /// Both stores, and who compares.
    pub(super) reconciler: &'a Reconciler<L, R>,
    /// The change streams of both sides: legacy, renaissance.
    pub(super) sources: (&'a SL, &'a SR),
    /// Who knows how far they have come.
    pub(super) queue: &'a Q,
    /// What the daemon knows of itself.
    pub(super) status: &'a Status,
    /// The mapped entities.
    pub(super) entities: &'a [Entity],
    /// How long applications may take to notice that they are to hold a person's writes.
    pub(super) drain: Duration,
    /// Who is in hand.
    in_hand: Mutex<HashSet<LegacyId>>,
    /// The last mark, and when it was begun.
    last_mark: tokio::sync::Mutex<Option<(Instant, Mark)>>,
    /// When the way back was last seen to be open.
    pub(super) proven: tokio::sync::Mutex<Option<Instant>>,
}

impl<'a, L, R, SL, SR, Q> Mover<'a, L, R, SL, SR, Q>
where
    L: LegacyStore + CutoverMirror,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore,
    SL: Source,
    SR: Source,
    Q: HintQueue,
{
    /// A mover that has nobody in hand.
    pub fn new(
        reconciler: &'a Reconciler<L, R>,
        sources: (&'a SL, &'a SR),
        queue: &'a Q,
        (status, entities): (&'a Status, &'a [Entity]),
        drain: Duration,
    ) -> Self {
        let (in_hand, last_mark, proven) =
            (Mutex::default(), tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Self { reconciler, sources, queue, status, entities, drain, in_hand, last_mark, proven }
    }

    pub(super) const fn store(&self) -> &R {
        self.reconciler.renaissance()
    }

    pub(super) const fn legacy(&self) -> &L {
        self.reconciler.legacy()
    }

    pub(super) const fn marks(&self) -> Marks<'_, SL, SR, Q> {
        Marks { sources: self.sources, queue: self.queue }
    }

    /// Moves whoever is asked for, and first whom a former run left on the way, until `stop`. Then whoever is on the way is sent
    /// back to where they were, or left to the next run.
    pub(in crate::sync) async fn run(&self, wishes: mpsc::Receiver<Wish>, stop: &CancellationToken) -> Result<()> {
        let moving = async { tokio::join!(self.fulfil(wishes, stop), self.go_on(stop)) };
        tokio::select! {
            biased;
            _ = moving => Ok(()),
            never = self.repair_mirror() => never,
        }
    }

    /// Nothing is waited for here but all of it: what is not polled may hold what the others wait for.
    async fn fulfil(&self, mut wishes: mpsc::Receiver<Wish>, stop: &CancellationToken) {
        let mut moves = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(()) = moves.next() => {}
                Some(wish) = wishes.recv() => moves.push(self.grant(wish, stop)),
            }
        }
        // they hear that it is too late, and the row and its mirror follow
        while moves.next().await.is_some() {}
    }

    /// Goes on with whoever was left on the way, at once and then now and then.
    async fn go_on(&self, stop: &CancellationToken) {
        self.forget_unbegun().await;
        let mut failures = Failures::that_follow();
        while !stop.is_cancelled() {
            let left = self.left_on_the_way(&mut failures).await;
            let mut moves: FuturesUnordered<_> =
                left.into_iter().map(|(standing, journey)| self.take_up(standing, journey, stop)).collect();
            while moves.next().await.is_some() {}
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn grant(&self, wish: Wish, stop: &CancellationToken) {
        match wish {
            Wish::Move(order, tell) => {
                let (person, batch) = (order.person, order.batch);
                let Some(ended) = self.move_person(order, stop).await else { return };
                let verdict = ended.verdict.as_str();
                match batch {
                    None => tracing::info!(%person, verdict, "a move has ended"),
                    // of a batch, its beginning and end are said, and `cutover list --batch` has the rest
                    Some(batch) => tracing::debug!(%person, batch, verdict, "a move has ended"),
                }
                // who asked may have given up
                if tell.send(ended).is_err() {
                    tracing::debug!("nobody waits for the end of a move any more");
                }
            }
            Wish::Look(person, to, tell) => {
                let journey = Journey {
                    person,
                    renaissance: None,
                    to,
                    by: Default::default(),
                    batch: None,
                    request: None,
                    timeout: None,
                };
                let findings = match self.checked(&journey).await {
                    Ok((.., findings)) => findings,
                    Err(error) => vec![Finding::failed("state", &error)],
                };
                if tell.send(findings).is_err() {
                    tracing::debug!("nobody waits for what is in the way of a move any more");
                }
            }
        }
    }

    /// `None`: it was given up in the middle, and the next run goes on.
    async fn move_person(&self, order: Order, stop: &CancellationToken) -> Option<Ended> {
        let Order { person, to, by, batch, request, timeout } = order;
        let mut journey = Journey { person, renaissance: None, to, by, batch, request, timeout: Some(timeout) };
        let Some(_hand) = self.take_in_hand(person) else {
            return Some(self.refuse(&journey, None, (Verdict::Already, vec![moving()])).await);
        };
        let checked = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            checked = self.checked(&journey) => checked,
        };
        let (standing, findings) = match checked {
            Ok((standing, renaissance, findings)) => {
                journey.renaissance = renaissance;
                (standing, findings)
            }
            Err(error) => (None, vec![Finding::failed("state", &error)]),
        };
        let row = standing.as_ref().map_or(CutoverRow::UNMOVED, |standing| standing.row);
        let begun = Move::begin(row, to);
        if let Err(refusal) = begun {
            let finding = match refusal {
                Refusal::AlreadyThere => Finding::new("state", format!("this person is on {to} already")),
                Refusal::Moving => moving(),
            };
            return Some(self.refuse(&journey, standing.as_ref(), (Verdict::Already, vec![finding])).await);
        }
        let moving = begun.ok().filter(|_| findings.iter().all(|finding| finding.warning));
        let Some(moving) = moving else {
            return Some(self.refuse(&journey, standing.as_ref(), (Verdict::Refused, findings)).await);
        };
        let now = Instant::now();
        let travel =
            Travel { journey, person: moving, standing, findings: Vec::new(), timeout, fenced: now, deadline: now };
        self.travel(travel, stop).await.ok()
    }

    /// Goes on with somebody whom a former run left on the way.
    async fn take_up(&self, standing: Standing, journey: Journey, stop: &CancellationToken) {
        let Some(_hand) = self.take_in_hand(standing.person) else { return };
        tracing::info!(person = %standing.person, "going on with a move that was left in the middle");
        let (fenced, timeout) = (Instant::now(), journey.timeout.unwrap_or(TIMEOUT));
        let travel = Travel {
            journey,
            person: Move::resume(standing.row),
            standing: Some(standing),
            findings: Vec::new(),
            timeout,
            fenced,
            deadline: fenced + self.drain + timeout,
        };
        self.note(&travel, "resumed", None).await;
        if let Ok(ended) = self.travel(travel, stop).await {
            tracing::info!(verdict = ended.verdict.as_str(), "a move has ended");
        }
    }

    /// Notes that a wish is not fulfilled, and why.
    async fn refuse(
        &self,
        journey: &Journey,
        standing: Option<&Standing>,
        (verdict, findings): (Verdict, Vec<Finding>),
    ) -> Ended {
        let row = standing.map_or(CutoverRow::UNMOVED, |standing| standing.row);
        let detail = findings.iter().find(|finding| !finding.warning).map(|finding| finding.detail.clone());
        let (name, outcome) = ("refused", Some(verdict.as_str()));
        let step = Step { name, outcome, detail, findings: serde_json::to_value(&findings).ok() };
        if let Err(error) = self.store().note(journey, row, &step).await {
            tracing::warn!(%error, "that a move was refused could not be noted");
        }
        Ended { verdict, findings }
    }

    /// A position on both sides after everything before this call. Whoever asks meanwhile gets the next one, all the same one.
    pub(super) async fn mark(&self) -> Result<Mark> {
        let asked = Instant::now();
        let mut last = self.last_mark.lock().await;
        if let Some((begun, mark)) = &*last
            && *begun >= asked
        {
            return Ok(mark.clone());
        }
        let begun = Instant::now();
        let mark = self.marks().leave().await?;
        *last = Some((begun, mark.clone()));
        Ok(mark)
    }

    /// Tells who keeps in memory where people are: those who ask know it at once, the database's own news come a moment later.
    pub(super) fn changed(&self, standing: &Standing) {
        self.status.directory().moved(standing.person, standing.row);
        tracing::debug!(person = %standing.person, state = %standing.row.state, epoch = standing.row.epoch, "a person's state has changed");
    }

    fn take_in_hand(&self, person: LegacyId) -> Option<Hand<'_>> {
        let free = self.hands().insert(person);
        // not made at all where it is not free: dropping it lets go of the person
        free.then(|| Hand { person, all: &self.in_hand })
    }

    pub(super) fn has_in_hand(&self, person: LegacyId) -> bool {
        self.hands().contains(&person)
    }

    fn hands(&self) -> MutexGuard<'_, HashSet<LegacyId>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn moving() -> Finding {
    Finding::new("state", "this person is on the way already").with_fix("biograph-bridge cutover show USER")
}

/// Somebody in hand, until this is dropped.
struct Hand<'a> {
    person: LegacyId,
    all: &'a Mutex<HashSet<LegacyId>>,
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.person);
    }
}
