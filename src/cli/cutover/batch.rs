//! `cutover batch`: people go over to Renaissance together.

use std::{
    fs,
    io::{IsTerminal, stdout},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use crate::{
    cli::{Failure, ask, load, options::SettingFlags, person, print, who},
    config::Databases,
    error::Error,
    model::{
        cohort::{Share, lines},
        mapping::Entity,
    },
    postgres::{
        Pool,
        cohorts::{self, BatchReport, Failed},
        connect,
    },
    telemetry::Audience,
};

/// How often it is looked how far a batch is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a line says so where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// So many who did not move are named at the end; all of them with `--json`.
const NAMED: i64 = 50;

/// Move people to Renaissance together: those in a file, or a share of all; stops by itself when too much goes wrong
#[derive(Debug, Args)]
#[command(after_help = "\
A file names one person a line, as for `cutover start`; what follows a # is a comment. Every line has to name exactly one person,
or nothing begins. A share is of all linked people who are on BioGraph: by a hash of the legacy id, so that 5 % is inside 10 %.
Each person moves as with `cutover start`; so many at once as --concurrency says. To move 1,000 people in a minute it has to be
about 17 times the seconds that one move takes, of which `cutover_drain` (5 s unless set) is the most.
A batch pauses by itself above a limit, says why, and goes on with --resume. It survives restarts of the daemon.
Exit codes: 0 everybody is there, 2 the file or a percentage is wrong, 3 somebody stays, the batch was paused or stopped, or no
daemon is active.

Examples:
  biograph-bridge cutover batch --percent 0.5 --dry-run
  biograph-bridge cutover batch --percent 5 --reason \"second week\"
  biograph-bridge cutover batch --file volunteers.txt --concurrency 100
  biograph-bridge cutover batch --pause 3
  biograph-bridge cutover batch --resume 3")]
pub(in crate::cli) struct Batch {
    #[command(flatten)]
    what: What,
    /// Of a share, at most this many
    #[arg(long, value_name = "N", requires = "percent", value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// So many move at once
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    concurrency: u32,
    /// Pause once more than this many did not move [default: 1 % of all, but at least 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    max_failures: Option<i64>,
    /// Pause once more than this many keys were parked meanwhile
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(i64).range(0..))]
    max_parked: i64,
    /// Pause once more than this many conflicts came up meanwhile
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(0..))]
    max_conflicts: i64,
    /// Pause once a direction is further behind than this
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = crate::config::parse_duration)]
    max_lag: Duration,
    /// How long each move may take, beyond the time to drain: 60s, 2m
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_duration)]
    timeout: Option<Duration>,
    /// Only say how many would move
    #[arg(long)]
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

/// One of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The people whom a file names
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A share of all people
    #[arg(long, value_name = "N", value_parser = percentage)]
    percent: Option<String>,
    /// Begin with nobody else of this batch; who is on the way arrives
    #[arg(long, value_name = "BATCH")]
    pause: Option<i64>,
    /// Go on with this batch, and follow it
    #[arg(long, value_name = "BATCH")]
    resume: Option<i64>,
    /// End this batch; who is on the way arrives
    #[arg(long, value_name = "BATCH")]
    stop: Option<i64>,
}

fn percentage(text: &str) -> Result<String, String> {
    text.parse::<Share>().map(|_| text.to_owned())
}

impl Batch {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            ask::refuse_without_daemon(&pool).await?;
            let What { pause, resume, stop, .. } = self.what;
            let changes = [(pause, "paused"), (resume, "running"), (stop, "stopped")];
            let id = match changes.into_iter().find_map(|(id, state)| Some((id?, state))) {
                Some((id, state)) => {
                    let answer =
                        ask::daemon(&pool, "cutover_batch_state", &json!({ "batch": id, "state": state })).await?;
                    if state != "running" {
                        let words = format!("batch {id} is {state}; who is on the way arrives\n");
                        return if self.json { print::json(&answer) } else { print::text(&words) };
                    }
                    id
                }
                None => match self.begin(&pool, &databases, &load::entities(&config.mappings)?).await? {
                    Some(id) => id,
                    None => return Ok(()),
                },
            };
            if self.no_wait {
                return if self.json { print::json(&json!({ "batch": id })) } else { Ok(()) };
            }
            tokio::select! {
                ended = self.follow(&pool, id) => self.report(&pool, &ended?).await,
                _ = tokio::signal::ctrl_c() => print::text(&format!(
                    "\nstopped watching; batch {id} goes on in the daemon: `biograph-bridge cutover list`, \
                     `cutover batch --pause {id}`\n"
                )),
            }
        })
    }

    /// The number of the batch that has begun; `None` after a dry run.
    async fn begin(&self, pool: &Pool, databases: &Databases, entities: &[Entity]) -> Result<Option<i64>, Failure> {
        let people = match &self.what.file {
            Some(file) => Some(people(file, databases, entities).await?),
            None => None,
        };
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let asked = json!({
            "people": people, "percent": self.what.percent, "limit": self.limit, "concurrency": self.concurrency,
            "max_failures": self.max_failures, "max_parked": self.max_parked, "max_conflicts": self.max_conflicts,
            "max_lag_ms": millis(self.max_lag), "timeout_ms": self.timeout.map(millis), "who": who::asks(),
            "reason": self.reason, "dry_run": self.dry_run,
        });
        let begun = ask::daemon(pool, "cutover_batch", &asked).await?;
        let number = |name: &str| begun.get(name).and_then(Json::as_i64);
        if let Some(taken) = number("taken").filter(|taken| *taken > 0) {
            let error = Error::halt(format!("{taken} people are in a batch that has not ended; nothing has begun"));
            return Err(Failure::No(Box::new(error.with_hint("biograph-bridge cutover list"))));
        }
        let count = number("people").unwrap_or_default();
        if self.dry_run || count == 0 {
            let words = format!("{count} people would move\n");
            (if self.json { print::json(&begun) } else { print::text(&words) })?;
            return Ok(None);
        }
        if let Some(id) = number("batch").filter(|_| !self.json) {
            print::text(&format!("batch {id}: {count} people\n"))?;
        }
        Ok(number("batch"))
    }

    /// Follows a batch until it runs no more.
    async fn follow(&self, pool: &Pool, id: i64) -> Result<BatchReport, Failure> {
        let (begun, bar) = (Instant::now(), stdout().is_terminal());
        let (mut first, mut said) = (None, begun);
        loop {
            let now = cohorts::batches(pool, Some(id), 1).await?.pop();
            let now = now.ok_or_else(|| Error::halt(format!("there is no batch {id}")))?;
            let done = now.people - now.left;
            let before = *first.get_or_insert(done);
            let line = progress(&now, done - before, begun.elapsed());
            if !self.json && (bar || said.elapsed() >= SAY_EVERY) {
                print::text(&if bar { format!("\r\x1b[K{line}") } else { format!("{line}\n") })?;
                said = Instant::now();
            }
            if now.state != "running" {
                if bar && !self.json {
                    print::text("\n")?;
                }
                return Ok(now);
            }
            ask::refuse_without_daemon(pool).await?;
            sleep(LOOK_EVERY).await;
        }
    }

    async fn report(&self, pool: &Pool, batch: &BatchReport) -> Result<(), Failure> {
        let failed = cohorts::failed(pool, batch.id, if self.json { i64::MAX } else { NAMED }).await?;
        if self.json {
            print::json(&json!({ "batch": batch, "failed": failed }))?;
        } else {
            print::text(&shown(batch, &failed))?;
        }
        if batch.failed == 0 && batch.left == 0 && batch.state == "ended" {
            return Ok(());
        }
        let why = batch.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let error = Error::halt(format!(
            "batch {} is {}{why}; {} did not move, {} are left",
            batch.id, batch.state, batch.failed, batch.left
        ));
        let error = if batch.state == "paused" {
            error.with_hint(format!("biograph-bridge cutover batch --resume {}", batch.id))
        } else {
            error
        };
        Err(Failure::No(Box::new(error)))
    }
}

/// `batch 3: 120 of 200 (60 %), 2 did not move, 7.5/s, 11 s left`.
fn progress(batch: &BatchReport, since: i64, took: Duration) -> String {
    let done = batch.people - batch.left;
    let mut line = format!("batch {}: {done} of {} ({} %)", batch.id, batch.people, done * 100 / batch.people.max(1));
    if batch.failed > 0 {
        line += &format!(", {} did not move", batch.failed);
    }
    let millis = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    if since > 0 && millis > 0 {
        let per_minute = since.saturating_mul(60_000) / millis;
        line += &format!(", {per_minute} a minute, {} s left", batch.left.saturating_mul(millis) / since / 1000);
    }
    line
}

fn shown(batch: &BatchReport, failed: &[Failed]) -> String {
    let mut lines = vec![format!(
        "{} moved, {} were there already, {} did not move, {} left, in {:.0} s",
        batch.moved, batch.already, batch.failed, batch.left, batch.seconds
    )];
    for one in failed {
        let findings = one.findings.as_ref().and_then(Json::as_array).into_iter().flatten();
        let words =
            |finding: &Json, name: &str| finding.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let places: Vec<_> =
            findings.map(|found| format!("{}: {}", words(found, "check"), words(found, "detail"))).collect();
        lines.push(format!("  legacy:{} {}: {}", one.legacy_id, one.outcome.replace('_', " "), places.join("; ")));
    }
    if i64::try_from(failed.len()).unwrap_or(i64::MAX) < batch.failed {
        lines.push("  and more: --json names all".to_owned());
    }
    lines.join("\n") + "\n"
}

/// The legacy ids of the people whom a file names. Every line that names nobody, or somebody twice, is named.
async fn people(file: &Path, databases: &Databases, entities: &[Entity]) -> Result<Vec<String>, Failure> {
    let usage = |what: String| Failure::Usage(Box::new(Error::halt(what)));
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| usage(format!("cannot read {name}: {error}")))?;
    let named = lines(&text);
    if named.is_empty() {
        return Err(usage(format!("{name} names nobody")));
    }
    let texts: Vec<&str> = named.iter().map(|(_, user)| *user).collect();
    let (mut ids, mut problems): (Vec<(String, usize)>, _) = (Vec::new(), Vec::new());
    for ((line, _), found) in named.iter().zip(person::each(&texts, databases, entities).await?) {
        match found {
            Ok(found) => match found.legacy_id {
                None => problems.push(format!("line {line}: this person is on renaissance only and not linked yet")),
                Some(id) => match ids.iter().find(|(known, _)| *known == id) {
                    Some((_, first)) => problems.push(format!("line {line}: the same person as in line {first}")),
                    None => ids.push((id, *line)),
                },
            },
            Err(Failure::Usage(error) | Failure::Failed(error)) => problems.push(format!("line {line}: {error}")),
            Err(other) => return Err(other),
        }
    }
    if problems.is_empty() {
        return Ok(ids.into_iter().map(|(id, _)| id).collect());
    }
    Err(usage(format!("{name}: nothing has begun\n  {}", problems.join("\n  "))))
}
