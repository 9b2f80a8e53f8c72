//! Comparing both sides under live traffic: every record of an entity, some of them, or all that one person owns.

mod repair;
mod rounds;
mod supply;
mod walk;
mod watch;

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

pub use self::watch::{Watch, Watching};
use super::{
    marks::Marks,
    pace::Pace,
    ports::{Asked, CutoverStore, HealingStore, LegacyStore, Part, RenaissanceStore, Run, Source, VerifyStore},
    queue::HintQueue,
    reconcile::Reconciler,
    status::Status,
};
use crate::{
    error::{Disposition, Error, Result},
    model::{
        key::EntityIndex,
        mapping::{Entity, dependency_order},
    },
    retry::{Backoff, Failures, Policy},
};

/// Between two looks at everything in the background.
const REST: Duration = Duration::from_secs(60);
/// How often it is looked whether a first copy or a healing is over.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Compares, one run at a time. What is asked for comes first; it goes on where a former daemon was.
pub struct Verifier<'a, L, R, SL, SR, Q> {
    /// What compares, and writes what is repaired.
    pub reconciler: &'a Reconciler<L, R>,
    /// Marks in both logs.
    pub marks: Marks<'a, SL, SR, Q>,
    /// Where keys go that are repaired.
    pub queue: &'a Q,
    /// What the streams say meanwhile.
    pub watch: &'a Watch,
    /// What people see.
    pub status: &'a Status,
    /// The mapped entities.
    pub entities: &'a [Entity],
    /// How fast what is asked for goes.
    pub pace: &'a Pace,
    /// How fast it goes in the background; `None`: not at all.
    pub background: Option<&'a Pace>,
    /// Tells of a new request.
    pub asked: &'a Notify,
}

impl<L, R, SL, SR, Q> Verifier<'_, L, R, SL, SR, Q>
where
    L: LegacyStore,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore,
    SL: Source,
    SR: Source,
    Q: HintQueue,
{
    /// Compares whatever is due until `stop`. What fails in passing is tried again; other failures end the run and are noted
    /// with it.
    pub async fn run(&self, stop: &CancellationToken) -> Result<()> {
        let (mut backoff, mut rested) = (Backoff::new(Policy::CONNECTION), Instant::now());
        let mut failures = Failures::default();
        loop {
            let turn = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                // something else is asked for: what was under way resumes where it was
                () = self.asked.notified() => continue,
                turn = self.turn(rested, stop) => turn,
            };
            match turn {
                Ok(()) => {
                    backoff.reset();
                    failures.succeeded("comparing");
                    rested = Instant::now() + REST;
                }
                Err(_) if stop.is_cancelled() => return Ok(()),
                Err(error) if error.disposition() == Disposition::Retry || error.is_blocked() => {
                    failures.failed("comparing", &error);
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(backoff.after(&error)) => {}
                    }
                }
                Err(error) => return Err(error.during("comparing")),
            }
        }
    }

    /// One run, from where it was to its end; in the background not before it has rested.
    async fn turn(&self, rested: Instant, stop: &CancellationToken) -> Result<()> {
        let store = self.reconciler.renaissance();
        self.status.verified(&store.last_verified().await?);
        let run = match (store.due_verify().await?, self.background) {
            (Some(run), _) if !run.background || self.background.is_some() => run,
            (Some(_) | None, None) => return std::future::pending().await,
            (Some(_) | None, Some(_)) => {
                sleep_until(rested).await;
                store.begin_background().await?
            }
        };
        let outcome = match self.compare_all(&run, stop).await {
            Ok(()) => "complete".to_owned(),
            Err(error) if error.disposition() == Disposition::Retry || error.is_blocked() => return Err(error),
            Err(error) if stop.is_cancelled() => return Err(error),
            Err(error) => {
                tracing::error!(%error, run = run.id, "comparing has stopped");
                format!("stopped: {error}")
            }
        };
        store.end_verify(run.id, &outcome).await?;
        self.status.verified(&store.last_verified().await?);
        tracing::info!(run = run.id, outcome, "compared both sides");
        Ok(())
    }

    async fn compare_all(&self, run: &Run, stop: &CancellationToken) -> Result<()> {
        if run.asked.person.is_some() {
            return self.compare_person(run, stop).await;
        }
        let wanted = |index: &EntityIndex| {
            let entity = self.entities.get(usize::from(index.0));
            run.asked.entities.is_empty() || entity.is_some_and(|entity| run.asked.entities.contains(&entity.name))
        };
        for entity in dependency_order(self.entities).into_iter().filter(wanted) {
            let parts = if run.asked.percent.is_some() { &Part::SAMPLED[..] } else { &Part::WHOLE[..] };
            // all at once: each is kept busy by what it reads, most of the time
            try_join_all(parts.iter().map(|part| self.walk(run, (entity, *part), stop))).await?;
        }
        Ok(())
    }

    /// Waits until nothing else walks all records: before that, differences are what is to be expected.
    async fn until_streaming(&self, stop: &CancellationToken) -> Result<()> {
        while !self.status.is_streaming() {
            if stop.is_cancelled() {
                return Err(Error::retry("the bridge is stopping"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    const fn pace(&self, run: &Run) -> &Pace {
        match self.background {
            Some(pace) if run.background => pace,
            Some(_) | None => self.pace,
        }
    }
}

/// The entities that a request may name.
pub fn known(asked: &Asked, entities: &[Entity]) -> Result<()> {
    let names = asked.entities.iter().chain(asked.person.iter().map(|person| &person.entity));
    for name in names {
        if !entities.iter().any(|entity| entity.name == *name) {
            return Err(Error::halt(format!("the daemon has no mapping for an entity `{name}`")));
        }
    }
    match asked.percent {
        Some(percent) if !(percent > 0.0 && percent <= 100.0) => {
            Err(Error::halt("the share is not within 0 and 100 %"))
        }
        Some(_) | None => Ok(()),
    }
}
