//! `run`: the daemon.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::{signal::unix::SignalKind, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Failure,
    engine::Engine,
    load,
    options::{Reread, SettingFlags},
    retention::Retention,
};
use crate::{
    admin::Admin,
    config::{Config, Databases, EngineSettings, redacted_uri},
    error::{Error, Result},
    metrics::EntityLabels,
    model::mapping::Entity,
    sync::{bridge::Settings, reconcile::Limits, status::Status, sweeps::Backfill},
    telemetry::Audience,
};

/// How long readers of the status may finish after the engine has stopped.
const LAST_READERS: Duration = Duration::from_secs(2);
/// How often lag is noted for the status page.
const SAMPLE: Duration = Duration::from_secs(2);
/// How much longer than its drain the engine may take to let go of its connections.
const AFTER_DRAIN: Duration = Duration::from_secs(5);

/// Run the bridge: set up if needed, backfill what was never swept, then stream until stopped
#[derive(Debug, Args)]
#[command(after_help = "\
SIGTERM or Ctrl-C finishes what has begun (at most --drain-timeout) and stops; a second one stops at once. Nothing is
lost either way: what was not durable is done again at the next start.

Examples:
  biograph-bridge run
  biograph-bridge run --shadow
  biograph-bridge run --config /etc/biograph-bridge/bridge.toml --log-format json")]
pub(super) struct Run {
    /// Decide about every change and journal the conflicts, and write nothing to either side; a later `run` without this does
    /// all of it
    #[arg(long)]
    shadow: bool,
    /// Only stream; do not walk records that were never swept
    #[arg(long)]
    no_backfill: bool,
}

impl Run {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases, reread) = settings.rereading(Audience::Daemon)?;
        let entities = load::entities(&config.mappings)?;
        let (listen, token) = (config.listen, config.token.clone());
        let backfill = if self.no_backfill { Backfill::Off } else { Backfill::Missing };
        let mut daemon = Daemon::new(config, databases, entities, backfill);
        daemon.shadow(self.shadow);
        daemon.reread = Some(reread);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::halt("cannot start the runtime").with_source(error))?;
        let outcome = runtime.block_on(async {
            let cancel = CancellationToken::new();
            let admin = Admin::bind(listen, token).await?;
            stop_on_signal(cancel.clone())?;
            daemon.run(admin, cancel).await
        });
        // A task that hangs in a driver must not keep a stopped daemon alive.
        runtime.shutdown_timeout(LAST_READERS);
        Ok(outcome?)
    }
}

/// Everything a daemon consists of, before it runs.
pub(super) struct Daemon {
    config: Config,
    databases: Databases,
    entities: Vec<Entity>,
    backfill: Backfill,
    shadow: bool,
    /// Reads the connection strings again, as secrets may have been replaced.
    reread: Option<Reread>,
    status: Arc<Status>,
}

impl Daemon {
    /// A daemon for these entities.
    pub(super) fn new(config: Config, databases: Databases, entities: Vec<Entity>, backfill: Backfill) -> Self {
        let status = Status::new(entities.iter().map(EntityLabels::from).collect()).knowing(&entities);
        let status = Arc::new(status);
        Self { config, databases, entities, backfill, shadow: false, reread: None, status }
    }

    /// Whether it decides and journals and writes nothing.
    pub(super) fn shadow(&mut self, shadow: bool) {
        self.shadow = shadow;
        self.status.shadow(shadow);
    }

    /// What the daemon knows about itself, also while it runs.
    pub(super) fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Serves its status through `admin` and syncs until cancelled, then drains.
    pub(super) async fn run(self, admin: Admin, cancel: CancellationToken) -> Result<()> {
        info!(
            version = env!("CARGO_PKG_VERSION"),
            legacy = redacted_uri(self.databases.legacy_uri.expose()),
            renaissance = redacted_uri(self.databases.renaissance_url.expose()),
            shadow = self.shadow.then_some(true),
            "starting; status at http://{}/",
            admin.address()
        );
        let readers = CancellationToken::new();
        let mut serving = tokio::spawn(admin.serve(self.status(), readers.clone()));
        let outcome = tokio::select! {
            outcome = self.engine_until_drained(&cancel) => outcome,
            never = self.keep_history() => never,
            served = &mut serving => return Err(ended(served)),
        };
        readers.cancel();
        if timeout(LAST_READERS, serving).await.is_err() {
            warn!("a reader of the status did not finish in time");
        }
        if outcome.is_ok() {
            info!("stopped");
        }
        outcome
    }

    /// Notes now and then how things are, for those who look later.
    async fn keep_history(&self) -> Result<()> {
        let mut turn = tokio::time::interval(SAMPLE);
        loop {
            turn.tick().await;
            self.status.sample(Instant::now());
        }
    }

    async fn engine_until_drained(&self, cancel: &CancellationToken) -> Result<()> {
        let engine = self.engine(cancel.clone());
        tokio::pin!(engine);
        tokio::select! {
            outcome = &mut engine => return outcome,
            () = cancel.cancelled() => {}
        }
        let drain = self.config.engine.drain_timeout;
        info!("stopping: finishing what has begun, at most {drain:?}");
        timeout(drain + AFTER_DRAIN, engine).await.unwrap_or_else(|_| {
            warn!("not everything was finished in time; it is done again at the next start");
            Ok(())
        })
    }

    /// The engine: returns when it has drained after `cancel`, or cannot go on.
    async fn engine(&self, cancel: CancellationToken) -> Result<()> {
        let settings = Settings { shadow: self.shadow, ..settings(&self.config.engine, self.backfill.clone()) };
        let status = Arc::clone(&self.status);
        let engine = &self.config.engine;
        let retention = Retention { journal: engine.journal_retention, tombstones: engine.tombstone_retention };
        let (databases, reread) = (self.databases.clone(), self.reread.as_ref());
        Engine { databases, reread, entities: &self.entities, settings, retention, status }.run(&cancel).await
    }
}

/// How the bridge uses memory and time, and what it copies first.
pub(super) const fn settings(engine: &EngineSettings, backfill: Backfill) -> Settings {
    Settings {
        batch: engine.batch_size,
        batch_bytes: engine.batch_bytes,
        queue_bytes: engine.queue_bytes,
        checkpoint: engine.checkpoint_interval,
        heartbeat: engine.heartbeat_interval,
        drain: engine.drain_timeout,
        parked_retry: engine.parked_retry,
        backfill,
        backfill_rate: engine.backfill_rate,
        cutover_drain: engine.cutover_drain,
        sweep_chunk: engine.sweep_chunk,
        verify_rate: engine.verify_rate,
        verify_background: engine.verify_background,
        limits: Limits { deletions: engine.delete_guard_share, loops: engine.loop_limit },
        shadow: false,
    }
}

/// The status is how operators see the daemon: without it there is no daemon.
fn ended(served: Result<Result<()>, tokio::task::JoinError>) -> Error {
    match served {
        Ok(Ok(())) => Error::halt("the HTTP server ended"),
        Ok(Err(error)) => error,
        Err(error) => Error::halt("the HTTP server failed").with_source(error),
    }
}

/// The first SIGTERM or SIGINT asks the daemon to stop, the second ends the process.
pub(super) fn stop_on_signal(cancel: CancellationToken) -> Result<()> {
    let listen = |kind| tokio::signal::unix::signal(kind);
    let failed = |error: std::io::Error| Error::halt("cannot listen for signals").with_source(error);
    let mut terminate = listen(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = listen(SignalKind::interrupt()).map_err(failed)?;
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                _ = terminate.recv() => 143,
                _ = interrupt.recv() => 130,
            };
            if cancel.is_cancelled() {
                warn!("stopped at once by a second signal");
                std::process::exit(code);
            }
            cancel.cancel();
        }
    });
    Ok(())
}
