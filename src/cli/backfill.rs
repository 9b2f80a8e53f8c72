//! `backfill`: the first copy of every record, watched.

mod dry_run;
mod watch;

use std::sync::Arc;

use clap::Args;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use self::watch::{Ended, Watch};
use super::{
    Failure, ask,
    engine::{Engine, bound},
    load,
    options::SettingFlags,
    print,
    retention::Retention,
    run::{settings, stop_on_signal},
};
use crate::{
    config::{Config, Databases},
    error::{Error, Result},
    metrics::EntityLabels,
    model::{key::EntityIndex, mapping::Entity},
    postgres::{Pool, catalog, connect, lease, sweeps},
    sync::{status::Status, sweeps::Backfill as First},
    telemetry::Audience,
};

/// Copy what was never copied, and watch; rehearse it with --dry-run
#[derive(Debug, Args)]
#[command(after_help = "\
With a daemon, the daemon does it beside streaming, and this only watches: Ctrl-C ends the watching. Without one, the bridge
runs here until everything is copied. Either way it can be interrupted anywhere and goes on where it was.

--dry-run reads everything and writes nothing, anywhere; it works before `init` and beside a daemon.

Examples:
  biograph-bridge backfill --dry-run               what would happen, by entity and reason
  biograph-bridge backfill
  biograph-bridge backfill --entity user --restart  walk all people again")]
pub(super) struct Backfill {
    /// Only this entity; may be given several times
    #[arg(long, value_name = "E")]
    entity: Vec<String>,
    /// Also what was copied already
    #[arg(long, conflicts_with = "dry_run")]
    restart: bool,
    /// Report what would happen and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until it is complete
    #[arg(long, conflicts_with = "dry_run")]
    no_wait: bool,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

impl Backfill {
    pub(super) fn run(&self, flags: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = flags.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        let wanted = self.wanted(&entities)?;
        if self.dry_run {
            return dry_run::run(&config, &databases, &entities, &wanted, self.json);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::halt("cannot start the runtime").with_source(error))?;
        runtime.block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            // which sweeps there are depends on the tables: a set whose optional table is missing is off
            let tables: Vec<&str> = entities.iter().flat_map(Entity::table_names).collect();
            let bound = bound(&entities, &catalog::load(&pool, &tables).await?)?;
            let watch = Watch::new(&pool, &bound, &wanted, self.json);
            if lease::is_held(&pool).await? {
                self.by_the_daemon(&pool, &entities, &wanted, watch).await
            } else {
                self.by_itself((config, databases), entities, wanted, watch).await
            }
        })
    }

    fn wanted(&self, entities: &[Entity]) -> Result<Vec<EntityIndex>, Failure> {
        if self.entity.is_empty() {
            return Ok((0..=u16::MAX).map(EntityIndex).take(entities.len()).collect());
        }
        self.entity.iter().map(|name| Ok(load::named(entities, name)?.0)).collect()
    }

    async fn by_the_daemon(
        &self,
        pool: &Pool,
        entities: &[Entity],
        wanted: &[EntityIndex],
        mut watch: Watch<'_>,
    ) -> Result<(), Failure> {
        let names: Vec<&str> = wanted.iter().map(|index| entities[usize::from(index.0)].name.as_str()).collect();
        let asked = json!({ "entities": names, "restart": self.restart });
        let begun = ask::daemon(pool, "backfill", &asked).await?;
        if !self.json {
            print::text(&announced(&begun))?;
            if is_complete(&begun) {
                return Ok(());
            }
        }
        if self.no_wait {
            return if self.json { print::json(&begun) } else { Ok(()) };
        }
        let ended = tokio::select! {
            ended = watch.until_complete(true) => ended?,
            _ = tokio::signal::ctrl_c() => {
                let words = "\nstopped watching; the backfill goes on in the daemon: `biograph-bridge status --watch`\n";
                return if self.json { Ok(()) } else { print::text(words) };
            }
        };
        match ended {
            Ended::Complete => watch.finish().await,
            Ended::NoDaemon => Err(Error::halt("the daemon has stopped; nothing is lost")
                .with_hint("start it again: the backfill goes on where it was")
                .into()),
        }
    }

    /// No daemon: the bridge runs in this process until everything is copied and settled.
    async fn by_itself(
        &self,
        (config, databases): (Config, Databases),
        entities: Vec<Entity>,
        wanted: Vec<EntityIndex>,
        mut watch: Watch<'_>,
    ) -> Result<(), Failure> {
        if self.no_wait {
            let error = Error::halt("no daemon is active, so there is nobody to leave the backfill to");
            return Err(Failure::No(Box::new(error.with_hint("start one with `biograph-bridge run`"))));
        }
        if self.restart {
            watch.forget().await?;
        } else if watch.is_complete().await? {
            if !self.json {
                print::text("complete; --restart to do it again\n")?;
            }
            return watch.finish().await;
        }
        if !self.json {
            print::text("no daemon is active: the bridge runs here until everything is copied\n")?;
        }
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        let settings = settings(&config.engine, First::Only(wanted));
        let status = Arc::new(Status::new(entities.iter().map(EntityLabels::from).collect()));
        let retention = Retention { journal: None, tombstones: None };
        let engine = Engine { databases, reread: None, entities: &entities, settings, retention, status };
        let running = engine.run(&stop);
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => ended?,
            watched = watch.until_complete(false) => {
                watched?;
                // a daemon that was started meanwhile may have done it, with this one as standby
                stop.cancel();
                running.await?;
            }
        }
        if watch.is_complete().await? {
            return watch.finish().await;
        }
        Err(Error::halt("stopped before everything was copied")
            .with_hint("it goes on where it was: run it again")
            .into())
    }
}

/// What the daemon says it began.
fn announced(begun: &Json) -> String {
    let entities = begun.get("entities").and_then(Json::as_object).into_iter().flatten();
    let line = |(name, word): (&String, &Json)| match word.as_str() {
        Some("complete") => format!("{name}: complete; --restart to do it again\n"),
        Some("running") => format!("{name}: the daemon is at it already\n"),
        _ => format!("{name}: started\n"),
    };
    entities.map(line).collect()
}

/// Whether there was nothing to begin.
fn is_complete(begun: &Json) -> bool {
    let entities = begun.get("entities").and_then(Json::as_object);
    entities.is_some_and(|entities| entities.values().all(|word| word == "complete"))
}

/// Forgets progress, if there is any.
async fn forget(pool: &Pool, names: &[String]) -> Result<()> {
    if sweeps::progress(pool).await?.is_empty() { Ok(()) } else { sweeps::forget(pool, names).await }
}
