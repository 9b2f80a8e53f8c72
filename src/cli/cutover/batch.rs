//! `cutover batch`: people go over to Renaissance together.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::json;

use super::{
    choose::{self, Chosen},
    limits::Limits,
    together::{self, Wanted},
};
use crate::{
    cli::{Failure, ask, load, options::SettingFlags, print},
    error::Error,
    model::{cohort::Share, side::Side},
    postgres::{Pool, cohorts::BatchReport, connect},
    telemetry::Audience,
};

/// Move people to Renaissance together: those in a file, a share of all, those who meet a condition; pauses by itself when too much goes wrong
#[derive(Debug, Args)]
#[command(after_help = "\
A file names one person a line, as for `cutover start`; what follows a # is a comment. Every line has to name exactly one person,
or nothing begins. A share is of all linked people who are on BioGraph: by a hash of the legacy id, so that 5 % is inside 10 %.
A condition is about the fields that the mapping of people declares, as both sides agree on them (`mappings show`): =, !=, <, <=, >, >=,
in ('a', 'b'), starts with 'a', is missing; and, or, not, parentheses; texts, dates and telephones in quotes. Everybody on BioGraph is
looked at, and who is chosen is settled before anything begins; with --percent or --limit it is a share of those.
Each person moves as with `cutover start`; so many at once as --concurrency says. For 1,000 people in a minute it has to be about 17 times
the seconds that one move takes among the others: `cutover_drain` (5 s unless set) and some more. The default is made for that.
A batch pauses by itself above a limit, says why, and goes on with --resume. It survives restarts of the daemon.
Back: `cutover rollback --batch N`.
Exit codes: 0 everybody is there, 2 the file, the condition or a percentage is wrong, 3 somebody stays (with --dry-run: would stay),
the batch was paused or stopped or is not there, or no daemon is active.

Examples:
  biograph-bridge cutover batch --percent 0.5 --dry-run
  biograph-bridge cutover batch --percent 5 --reason \"second week\"
  biograph-bridge cutover batch --where \"created >= '2024-01-01' and not premium = true\" --dry-run
  biograph-bridge cutover batch --where \"email is not missing\" --percent 10
  biograph-bridge cutover batch --file volunteers.txt --concurrency 20
  biograph-bridge cutover batch --pause 3
  biograph-bridge cutover batch --resume 3")]
pub(in crate::cli) struct Batch {
    #[command(flatten)]
    what: What,
    /// Of a share, or of those who meet the condition, at most this many
    #[arg(long, value_name = "N", conflicts_with_all = ["file", "pause", "resume", "stop"],
        value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    #[command(flatten)]
    limits: Limits,
    /// How long each move may take, beyond the time to drain: 60s, 2m
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_duration)]
    timeout: Option<Duration>,
    /// Only say how many would move, and what is in the way
    #[arg(long, conflicts_with_all = ["pause", "resume", "stop", "no_wait"])]
    dry_run: bool,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

/// What to do, and with whom.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct What {
    /// The people whom a file names
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The people who meet a condition on their fields
    #[arg(long = "where", value_name = "CONDITION", conflicts_with = "file")]
    condition: Option<String>,
    /// A share of all people, or of those who meet the condition
    #[arg(long, value_name = "N", conflicts_with = "file", value_parser = percentage)]
    percent: Option<String>,
    /// Begin with nobody else of this batch; who is on the way arrives
    #[arg(long, value_name = "BATCH", conflicts_with_all = ["file", "condition", "percent"])]
    pause: Option<i64>,
    /// Go on with this batch, and follow it
    #[arg(long, value_name = "BATCH", conflicts_with_all = ["file", "condition", "percent", "pause"])]
    resume: Option<i64>,
    /// End this batch; who is on the way arrives
    #[arg(long, value_name = "BATCH", conflicts_with_all = ["file", "condition", "percent", "pause", "resume"])]
    stop: Option<i64>,
}

fn percentage(text: &str) -> Result<String, String> {
    text.parse::<Share>().map(|_| text.to_owned())
}

impl Batch {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let What { pause, resume, stop, .. } = self.what;
        let changes = [(pause, "paused"), (resume, "running"), (stop, "stopped")];
        match changes.into_iter().find_map(|(id, state)| Some((id?, state))) {
            Some((id, state)) => self.change(id, state, settings),
            None => self.begin(settings),
        }
    }

    /// Pauses, resumes or stops a batch.
    fn change(&self, id: i64, state: &str, settings: SettingFlags) -> Result<(), Failure> {
        self.limits.refuse("are said when a batch begins")?;
        let (_, databases) = settings.with_databases(Audience::Command)?;
        print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            ask::refuse_without_daemon(&pool).await?;
            refuse_ended(&together::known(&pool, id).await?)?;
            let answer = ask::daemon(&pool, "cutover_batch_state", &json!({ "batch": id, "state": state })).await?;
            if state == "running" && !self.no_wait {
                return together::watched(&pool, id, self.json, json!({})).await;
            }
            let words = match state {
                "running" => format!("batch {id} is running\n"),
                _ => format!("batch {id} is {state}; who is on the way arrives\n"),
            };
            if self.json { print::json(&answer) } else { print::text(&words) }
        })
    }

    fn begin(&self, settings: SettingFlags) -> Result<(), Failure> {
        let condition = self.what.condition.as_deref().map(choose::condition).transpose()?;
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            ask::refuse_without_daemon(&pool).await?;
            let from = (&databases, &entities[..]);
            let chosen = match (&self.what.file, self.what.condition.as_deref().zip(condition.as_ref())) {
                (Some(file), _) => Some(choose::listed(file, &pool, from).await?),
                (None, Some(asked)) => Some(choose::meeting(asked, &pool, from, self.json).await?),
                (None, None) => None,
            };
            self.go(&pool, chosen.as_ref()).await
        })
    }

    async fn go(&self, pool: &Pool, chosen: Option<&Chosen>) -> Result<(), Failure> {
        let percent = self.what.percent.as_deref();
        let words = match (chosen, percent) {
            (Some(chosen), None) => chosen.words.clone(),
            (Some(chosen), Some(percent)) => format!("{percent} % {}", chosen.words),
            (None, percent) => format!("{} %", percent.unwrap_or_default()),
        };
        let wanted = Wanted {
            to: Side::Renaissance,
            draft: chosen.map(|chosen| chosen.draft),
            words,
            percent,
            limit: self.limit,
            limits: &self.limits,
            timeout: self.timeout,
            reason: self.reason.as_deref(),
            dry_run: self.dry_run,
        };
        let begun = together::begin(pool, &wanted).await?;
        let more = chosen.map_or_else(|| json!({}), |chosen| json!({ "choice": chosen }));
        if self.dry_run {
            return together::rehearsed(pool, wanted.to, &begun, self.json, more).await;
        }
        together::begun(pool, &begun, (self.json, self.no_wait), more).await
    }
}

fn refuse_ended(batch: &BatchReport) -> Result<(), Failure> {
    if ["running", "paused"].contains(&batch.state.as_str()) {
        return Ok(());
    }
    let error = Error::halt(format!("batch {} is {} already", batch.id, batch.state));
    Err(Failure::No(Box::new(error.with_hint(format!("biograph-bridge cutover list --batch {}", batch.id)))))
}
