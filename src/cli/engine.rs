//! The composition root of the daemon: lease, adapters and engine put together.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{identity, options::Reread, retention::Retention, standby};
use crate::{
    config::Databases,
    drill::{self, Mechanism},
    error::{Disposition, Error, Result},
    model::{
        catalog::Catalog,
        fact::{DaemonState, PositionLoss, RetryClass},
        mapping::Entity,
        side::Side,
    },
    mongo::Legacy,
    postgres::{
        Pool,
        capture::PostgresSource,
        catalog, cohorts, connect,
        lease::{self, Lease},
        moved, newest, pauses, preflight,
        request::Inbox,
        setup,
        store::Postgres,
    },
    retry::{Backoff, Failures, Policy, STEADY, retry},
    sync::{
        bridge::{Bridge, Settings},
        directory::Keeper,
        finding::Finding,
        identities::Identities,
        room::Room,
        status::Status,
    },
};

/// How often connection strings are read again while nothing is connected.
const REREAD: Duration = Duration::from_secs(1);
/// How often a standby asks for the lease.
const STANDBY: Duration = Duration::from_secs(1);
/// Two batches are written to MongoDB at once; another session is for what people order, or for the replacement of a broken one.
const SESSIONS: usize = 3;
/// How often the slower gauges are read: parked keys, slot, oplog.
const GAUGES: Duration = Duration::from_secs(5);

/// Counting people reads every link: for each time that it takes so long, a turn is left out.
const CHEAP: Duration = Duration::from_millis(50);
/// Turns left out at most.
const SKIPPED: u128 = 23;

/// What the engine is made from.
pub(super) struct Engine<'a> {
    pub(super) databases: Databases,
    pub(super) reread: Option<&'a Reread>,
    pub(super) entities: &'a [Entity],
    pub(super) settings: Settings,
    pub(super) retention: Retention,
    pub(super) status: Arc<Status>,
}

impl Engine<'_> {
    /// Runs until `stop` has drained it. Waits as standby while another daemon is active; a lost lease ends the work at
    /// once and starts over.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<()> {
        let mut pool = connect::pool(self.databases.renaissance_url.expose())?;
        let (mut backoff, mut failures) = (Backoff::new(Policy::CONNECTION), Failures::default());
        let (worked, answered) = (OnceLock::new(), OnceLock::new());
        while !stop.is_cancelled() {
            let mut lease = match self.lease(&pool, &answered, stop).await {
                Ok(Some(lease)) => lease,
                Ok(None) => break,
                Err(error) if passes(&error, answered.get().is_some()) => {
                    failures.failed("the engine", &error);
                    self.wait(backoff.after(&error), &mut pool, stop).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (session, epoch) = (lease.session(), OnceLock::new());
            let began = Instant::now();
            let outcome = tokio::select! {
                outcome = self.lead(&pool, (session, &epoch), (&worked, &mut failures), stop) => outcome,
                lost = lease.lost(&epoch) => Err(lost),
            };
            self.status.let_go();
            lease.release().await;
            if began.elapsed() >= STEADY {
                backoff.reset();
            }
            // who had the lease was let in by Postgres
            let was_let_in = |error: &Error| worked.get().is_some() || error.side() == Some(Side::Renaissance);
            match outcome {
                Err(error) if passes(&error, was_let_in(&error)) && !stop.is_cancelled() => {
                    self.status.failed("engine", &error);
                    failures.failed("the engine", &error);
                    self.wait(backoff.after(&error), &mut pool, stop).await?;
                }
                other => return other,
            }
        }
        Ok(())
    }

    /// Waits before everything is connected anew, but no longer than until other connection strings are found: a secret may
    /// be replaced while the daemon runs.
    async fn wait(&mut self, wait: Duration, pool: &mut Pool, stop: &CancellationToken) -> Result<()> {
        let (end, mut said) = (Instant::now() + wait, false);
        loop {
            let found = self.reread.map(|reread| reread());
            let unusable = match found {
                Some(Ok(found)) if found != self.databases => match connect::pool(found.renaissance_url.expose()) {
                    Ok(new) => {
                        info!("the connection strings have changed; connecting with the new ones");
                        (*pool, self.databases) = (new, found);
                        return Ok(());
                    }
                    Err(error) => Some(error.to_string()),
                },
                Some(Err(problems)) => {
                    Some(problems.iter().map(ToString::to_string).collect::<Vec<String>>().join("; "))
                }
                Some(Ok(_)) | None => None,
            };
            if let Some(why) = unusable.filter(|_| !said) {
                said = true;
                warn!("the connection strings cannot be read again, so the former ones are used: {why}");
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(left.min(REREAD)) => {}
            }
        }
    }

    /// Shows what keeps the daemon from beginning, until that works.
    fn report(&self, error: Error) -> Error {
        self.status.failed("engine", &error);
        error
    }

    /// The lease, once it is free; `None` if told to stop meanwhile. Notes that Postgres has `answered`.
    async fn lease(&self, pool: &Pool, answered: &OnceLock<()>, stop: &CancellationToken) -> Result<Option<Lease>> {
        self.status.state(DaemonState::Starting);
        let mut waiting = false;
        let mut looking = std::pin::pin!(standby::watch_legacy(&self.databases, &self.status));
        loop {
            let acquire = async || Lease::acquire(pool).await.map_err(|error| self.report(error));
            let attempt = retry("connecting to renaissance", Policy::CONNECTION, stop, acquire).await;
            if attempt.is_ok() {
                answered.get_or_init(|| ());
            }
            match attempt {
                Ok(Some(lease)) => {
                    standby::forget(&self.status);
                    self.status.recovered("engine");
                    return Ok(Some(lease));
                }
                Ok(None) => {}
                Err(_) if stop.is_cancelled() => return Ok(None),
                Err(error) => return Err(error),
            }
            if !waiting {
                info!("another daemon is active; waiting as standby");
                self.status.state(DaemonState::Standby);
                waiting = true;
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(STANDBY) => {}
                never = &mut looking => match never {},
            }
        }
    }

    /// Sets up, takes a new epoch, connects both sides and runs the bridge.
    async fn lead(
        &self,
        pool: &Pool,
        lease: (i32, &OnceLock<i64>),
        (worked, failures): (&OnceLock<()>, &mut Failures),
        stop: &CancellationToken,
    ) -> Result<()> {
        let prepared = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            prepared = self.prepare(pool, lease, stop) => prepared,
        };
        let (legacy, store, entities, identities) = match prepared {
            Err(_) if stop.is_cancelled() => return Ok(()),
            other => other?,
        };
        self.status.recovered("engine");
        failures.succeeded("the engine");
        worked.get_or_init(|| ());
        let bound = if drill::lacks(Mechanism::ByteBounds) { usize::MAX } else { self.settings.batch_bytes };
        let room = Room::quarter_of(bound);
        let (legacy, store) = (legacy.with_room(room), store.with_room(room));
        let source = PostgresSource::new(self.databases.renaissance_url.expose(), pool.clone(), &entities)?
            .only_on(identities.renaissance.clone());
        let identify = || identity::settle(&identities, (&legacy, &store), &source, self.settings.shadow);
        let mark = match retry("identifying the databases", Policy::CONNECTION, stop, identify).await {
            Err(_) if stop.is_cancelled() => return Ok(()),
            other => other?,
        };
        let marks = identity::count((&legacy, &store), mark, self.settings.shadow);
        let gauges = self.gauges(pool, &legacy, &store);
        let bound = Arc::clone(&entities);
        let keeper = Keeper {
            directory: self.status.directory(),
            legacy: &legacy,
            store: &store,
            entities: &bound,
            is_behind: &|| self.status.is_behind(),
        };
        keeper.directory.begin(lease.1.get().copied().unwrap_or_default());
        let status = Arc::clone(&self.status);
        let bridge = Bridge::new(
            (legacy.clone(), store.clone()),
            (legacy.clone(), source),
            entities,
            status,
            self.settings.clone(),
        );
        let keeping = async {
            // a first copy reads everybody itself, and nobody has moved before it
            while self.status.is_copying() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            keeper.keep(moved::News::new(pool)).await;
        };
        tokio::select! {
            outcome = bridge.run(Inbox::new(pool), stop.clone()) => match outcome {
                // what a foreign database says is explained by its being foreign
                Err(error) if error.disposition() == Disposition::Halt => {
                    identity::explain(&self.databases, self.entities, pool).await?;
                    Err(error)
                }
                other => other,
            },
            never = gauges => never,
            () = keeping => Ok(()),
            failed = marks => failed,
            never = self.retention.keep(&store) => never,
        }
    }

    async fn prepare(
        &self,
        pool: &Pool,
        (session, known): (i32, &OnceLock<i64>),
        stop: &CancellationToken,
    ) -> Result<(Legacy, Postgres, Arc<Vec<Entity>>, Identities)> {
        let starting = Policy::CONNECTION;
        let report = |error: Error| self.report(error);
        let identities = retry("identifying the databases", starting, stop, || async {
            let identities = identity::look(&self.databases, self.entities, pool).await.map_err(report)?;
            identities.refuse_others().map_err(report).map(|()| identities)
        })
        .await?;
        retry("preparing renaissance", starting, stop, || async {
            let url = self.databases.renaissance_url.expose();
            // A finding made while the server came or went says nothing about the server.
            connect::ping(pool).await.map_err(report)?;
            let findings = preflight::check(pool, url, self.entities).await;
            connect::ping(pool).await.map_err(report)?;
            refuse_blocking(findings)?;
            setup::init_to_run(pool, self.entities).await.map_err(report)
        })
        .await?;
        let epoch = lease::raise(pool, session).await?;
        let epoch = *known.get_or_init(|| epoch);
        info!(epoch, "this daemon is the active one");
        let tables: Vec<&str> = self.entities.iter().flat_map(Entity::table_names).collect();
        let load = async || catalog::load(pool, &tables).await.map_err(report);
        let catalog = retry("reading the tables", starting, stop, load).await?;
        let entities = Arc::new(bound(self.entities, &catalog)?);
        for (entity, off) in self
            .entities
            .iter()
            .flat_map(|entity| entity.fields_off(&catalog).into_iter().map(move |off| (entity, off)))
        {
            warn!(
                "{}: field {} is off: there is no table {table}; deploy/renaissance/{table}.sql creates it",
                entity.name,
                off.field,
                table = off.table
            );
        }
        let uri = self.databases.legacy_uri.expose();
        let resolve = async || Legacy::connect(uri, Arc::clone(&entities)).await.map_err(report);
        let legacy = retry("resolving legacy", starting, stop, resolve).await?;
        let linked = retry("reading the state", starting, stop, || pauses::linked(pool, &entities)).await?;
        retry("preparing legacy", starting, stop, || async {
            legacy.ping().await.map_err(report)?;
            // one that is gone is paused, and the others go on
            let findings = legacy.check_but(&linked).await;
            legacy.ping().await.map_err(report)?;
            refuse_blocking(findings)?;
            legacy.init().await.map_err(report)
        })
        .await?;
        let store = retry("opening the state", starting, stop, || {
            Postgres::open(pool.clone(), Arc::clone(&entities), &catalog, epoch)
        })
        .await?;
        let store = if self.settings.shadow { store.in_shadow() } else { store };
        if !self.settings.shadow {
            retry("forgetting what a shadow foresaw", starting, stop, || store.forget_foreseen()).await?;
        }
        retry("registering sessions", starting, stop, || async {
            let sessions = legacy.open_sessions(SESSIONS).await?;
            let former = store.register_sessions(&sessions.ids()).await?;
            legacy.know_sessions(&former);
            legacy.kill_sessions(&former).await?;
            legacy.raise_fence(epoch).await?;
            legacy.use_sessions(sessions);
            Ok(())
        })
        .await?;
        Ok((legacy, store, entities, identities))
    }

    /// Reads the slower gauges now and then; a failure only leaves them as they are.
    async fn gauges(&self, pool: &Pool, legacy: &Legacy, store: &Postgres) -> Result<()> {
        const READING: &str = "counting what is parked, people and batches";
        let (mut turn, mut failures) = (tokio::time::interval(GAUGES), Failures::default());
        let mut turns_to_skip = 0;
        loop {
            turn.tick().await;
            match self.count(pool, store, &mut turns_to_skip).await {
                Ok(()) => failures.succeeded(READING),
                Err(error) => failures.failed(READING, &error),
            }
            self.status.slot(setup::slot_headroom(pool).await.unwrap_or_default());
            self.status.oplog_window(legacy.oplog_window().await.ok());
        }
    }

    /// Counts what only the state knows.
    async fn count(&self, pool: &Pool, store: &Postgres, turns_to_skip: &mut u128) -> Result<()> {
        self.status.parked(&store.parked_counts().await?);
        let (conflicts, parked) = newest::entries(pool).await?;
        self.status.newest(conflicts, parked);
        if *turns_to_skip > 0 {
            *turns_to_skip -= 1;
            return Ok(());
        }
        let started = Instant::now();
        let people = match self.status.directory().counts() {
            Some(counted) => counted,
            None => store.people().await?,
        };
        people.iter().for_each(|(state, count)| self.status.people(*state, *count));
        self.status.batches(cohorts::open(pool).await?);
        *turns_to_skip = (started.elapsed().as_millis() / CHEAP.as_millis()).min(SKIPPED);
        Ok(())
    }
}

/// The mappings tied to the tables as they are; all differences at once.
pub(super) fn bound(entities: &[Entity], catalog: &Catalog) -> Result<Vec<Entity>> {
    let (mut bound, mut errors) = (Vec::new(), Vec::new());
    for entity in entities {
        match entity.bind(catalog) {
            Ok(entity) => bound.push(entity),
            Err(problems) => errors.extend(problems.iter().map(ToString::to_string)),
        }
    }
    if errors.is_empty() {
        return Ok(bound);
    }
    Err(Error::halt(format!("the mappings do not fit the tables:\n  {}", errors.join("\n  ")))
        .with_hint("run `biograph-bridge check`"))
}

/// Whether to start over after an error. A login that was accepted before is being changed: it is tried again, slowly.
fn passes(error: &Error, worked: bool) -> bool {
    if error.position_lost() == Some(PositionLoss::Restored) {
        return true;
    }
    error.disposition() == Disposition::Retry || worked && error.class() == RetryClass::Login
}

/// Turns what blocks into one error that says how to fix it.
fn refuse_blocking(findings: Vec<Finding>) -> Result<()> {
    let (mut problems, mut fixes) = (Vec::new(), Vec::new());
    if let Some(failed) = findings.iter().find(|finding| finding.passing) {
        return Err(Error::retry(format!("{}: {}", failed.subject, failed.detail)));
    }
    for finding in findings.into_iter().filter(|finding| finding.blocks) {
        problems.push(format!("{}: {}", finding.subject, finding.detail));
        fixes.push(finding.fix.unwrap_or_else(|| "run `biograph-bridge check`".to_owned()));
    }
    if problems.is_empty() {
        return Ok(());
    }
    fixes.dedup();
    Err(Error::halt(problems.join("\n  ")).with_hint(fixes.join("\n  fix: ")))
}
