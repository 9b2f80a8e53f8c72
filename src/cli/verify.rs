//! `verify`: compare both sides under live traffic, watched.

mod independent;
mod report;
mod watch;

use clap::Args;
use serde_json::json;

use self::{
    report::Report,
    watch::{Ended, Watch},
};
use super::{Failure, ask, load, options::SettingFlags, person, print, who};
use crate::{
    config::Databases,
    error::{Error, Result},
    model::mapping::Entity,
    postgres::{Pool, connect, verify::report as past},
    sync::ports::{Asked, PersonIds},
    telemetry::Audience,
};

/// Compare both sides under live traffic and say which side moved; repair with --repair
#[derive(Debug, Args)]
#[command(after_help = "\
The daemon does it beside streaming, at --verify-rate records a second, and goes on after a restart; this watches, and Ctrl-C ends
the watching only. A difference counts once it outlives a mark in both change logs with nothing heard of the record meanwhile. A
record that is changed all the time is told as unsettled: that is neither different nor known to be equal. What is parked or
paused is counted by itself. --repair writes what `run` would have written, with all that comes with it: compare-and-set, journal,
tombstones, guards.
Exit codes: 0 no differences (there may be unsettled records; the report says so), 3 differences are left, or no daemon is active.

Examples:
  biograph-bridge verify
  biograph-bridge verify --entity user --sample 5
  biograph-bridge verify --user phone:+18475550100
  biograph-bridge verify --repair --dry-run          which side each repair would write
  biograph-bridge verify --repair
  biograph-bridge verify --attach                    the one under way, or the last one")]
pub(super) struct Verify {
    /// Only this entity; may be given several times
    #[arg(long, value_name = "E")]
    entity: Vec<String>,
    /// Only this person and what they own: legacy:ID, phone:NUMBER, … as for `parked list`
    #[arg(long, value_name = "USER", conflicts_with_all = ["entity", "sample"])]
    user: Option<String>,
    /// Only so many percent of the records, the same ones each time
    #[arg(long, value_name = "PCT", value_parser = percent)]
    sample: Option<f64>,
    /// Reconcile what differs, and compare it again
    #[arg(long)]
    repair: bool,
    /// Only say what --repair would write
    #[arg(long, requires = "repair")]
    dry_run: bool,
    /// Follow the one that is under way, or show the last one
    #[arg(long, conflicts_with_all = ["entity", "user", "sample", "repair", "no_wait"])]
    attach: bool,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
    /// Differences of each entity that are shown
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    limit: u16,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        Ok(_) | Err(_) => Err("a share is more than 0 and at most 100 (percent)".to_owned()),
    }
}

impl Verify {
    pub(super) fn run(&self, flags: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = flags.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        for name in &self.entity {
            load::named(&entities, name)?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::halt("cannot start the runtime").with_source(error))?;
        runtime.block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            let run = if self.attach {
                match past::run(&pool, None).await? {
                    Some(run) => run.run,
                    None => return Err(Failure::No(Box::new(Error::halt("nothing was ever compared")))),
                }
            } else {
                self.begin(&pool, &databases, &entities).await?
            };
            self.follow(&pool, run, (&databases, &entities)).await
        })
    }

    /// Has the daemon begin; the number of the run.
    async fn begin(&self, pool: &Pool, databases: &Databases, entities: &[Entity]) -> Result<i64, Failure> {
        ask::refuse_without_daemon(pool).await?;
        let person = match &self.user {
            Some(user) => {
                let found = person::filter(user, databases, entities).await?;
                let (legacy_id, renaissance_id) = (found.legacy_id, found.renaissance_id);
                Some(PersonIds { entity: found.entity, legacy_id, renaissance_id })
            }
            None => None,
        };
        let asked = Asked {
            entities: self.entity.clone(),
            person,
            percent: self.sample,
            repair: self.repair,
            dry_run: self.dry_run,
            by: who::asks(),
        };
        let begun = ask::daemon(pool, "verify", &json!(asked)).await?;
        begun.get("run").and_then(serde_json::Value::as_i64).ok_or_else(|| {
            Error::halt("the daemon's answer is not understood").with_hint("it may be of another version").into()
        })
    }

    async fn follow(
        &self,
        pool: &Pool,
        run: i64,
        (databases, entities): (&Databases, &[Entity]),
    ) -> Result<(), Failure> {
        if self.no_wait {
            let words = format!("begun; `biograph-bridge verify --attach` follows number {run}\n");
            return if self.json { print::json(&json!({ "run": run })) } else { print::text(&words) };
        }
        let mut watch = Watch::new(pool, run, self.json);
        let ended = tokio::select! {
            ended = watch.until_ended() => ended?,
            _ = tokio::signal::ctrl_c() => {
                let words = "\nstopped watching; it goes on in the daemon: `biograph-bridge verify --attach`\n";
                return if self.json { Ok(()) } else { print::text(words) };
            }
        };
        if matches!(ended, Ended::NoDaemon) {
            return Err(Error::halt("the daemon has stopped; what was compared is kept")
                .with_hint("start it again: it goes on where it was, and `biograph-bridge verify --attach` follows it")
                .into());
        }
        let mut report = Report::load(pool, run, i64::from(self.limit)).await?;
        if report.is_of_everybody() {
            report.independent = independent::look(databases, entities, report.entities_asked()).await?;
        }
        if self.json {
            print::json(&report)?;
        } else {
            print::text(&report.text())?;
        }
        report.verdict()
    }
}
