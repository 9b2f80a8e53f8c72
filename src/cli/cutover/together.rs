//! Having people moved together by the active daemon, and following how it goes.

use std::{
    io::{IsTerminal, stdout},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use super::{limits::Limits, losing::count};
use crate::{
    cli::{Failure, ask, paint::Paint, print, who},
    error::Error,
    model::side::Side,
    postgres::{
        Pool,
        cohorts::{self, BatchReport, Failed, draft},
        lease,
    },
    sync::cutover::Finding,
};

/// How often it is looked how far a batch is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a line says so where there is no terminal.
pub(super) const SAY_EVERY: Duration = Duration::from_secs(10);
/// A daemon that is restarted, or that another one takes over from, may be away for so long.
const AWAY: Duration = Duration::from_secs(15);
/// How long it may take to note a million people.
const PATIENCE: Duration = Duration::from_secs(600);
/// So many who do not move are named; all of them with `--json`.
const NAMED: usize = 50;

/// A batch to ask for.
pub(super) struct Wanted<'a> {
    pub(super) to: Side,
    /// The draft that names the people; without one it is everybody on the other side.
    pub(super) draft: Option<i64>,
    /// Who they are, in words.
    pub(super) words: String,
    pub(super) percent: Option<&'a str>,
    pub(super) limit: Option<i64>,
    pub(super) limits: &'a Limits,
    pub(super) timeout: Option<Duration>,
    pub(super) reason: Option<&'a str>,
    pub(super) dry_run: bool,
}

/// The daemon's answer to it.
#[derive(Deserialize)]
pub(super) struct Begun {
    /// Its number; `None` if nobody is in it or it was only tried.
    pub(super) batch: Option<i64>,
    pub(super) people: i64,
    taken: i64,
    /// Who cannot move now; only if it was tried.
    #[serde(default)]
    hindered: Vec<String>,
    /// One of the others.
    #[serde(default)]
    easy: Option<String>,
}

/// Has the daemon begin, or try. The draft is gone then.
pub(super) async fn begin(pool: &Pool, wanted: &Wanted<'_>) -> Result<Begun, Failure> {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let limits = wanted.limits;
    let asked = json!({
        "to": wanted.to.as_str(), "draft": wanted.draft, "words": wanted.words, "percent": wanted.percent,
        "limit": wanted.limit, "concurrency": limits.concurrency(), "max_failures": limits.max_failures(),
        "max_parked": limits.max_parked(), "max_conflicts": limits.max_conflicts(), "max_lag_ms": millis(limits.max_lag()),
        "timeout_ms": wanted.timeout.map(millis), "who": who::asks(), "reason": wanted.reason, "dry_run": wanted.dry_run,
    });
    let answer = ask::daemon_within(PATIENCE, pool, "cutover_batch", &asked).await;
    if let Some(draft) = wanted.draft {
        draft::discard(pool, draft).await?;
    }
    let begun: Begun =
        serde_json::from_value(answer?).map_err(|_| Error::halt("the daemon's answer is not understood"))?;
    if begun.taken > 0 {
        let taken = count(u64::try_from(begun.taken).unwrap_or(0), "person is", "people are");
        let error = Error::halt(format!("{taken} in a batch that has not ended; nothing has begun"));
        return Err(Failure::No(Box::new(error.with_hint("biograph-bridge cutover list"))));
    }
    Ok(begun)
}

/// Says how it would go, with `more` in the document: a "no" if somebody would stay.
pub(super) async fn rehearsed(pool: &Pool, to: Side, begun: &Begun, json: bool, more: Json) -> Result<(), Failure> {
    let findings = match &begun.easy {
        Some(person) => {
            let answer = ask::daemon(pool, "cutover_look", &json!({ "person": person, "to": to.as_str() })).await?;
            let findings = answer.get("findings").cloned().unwrap_or_else(|| json!([]));
            serde_json::from_value(findings).map_err(|_| Error::halt("the daemon's answer is not understood"))?
        }
        None => Vec::new(),
    };
    let Begun { people, hindered, easy, .. } = begun;
    if json {
        let document =
            json!({ "batch": null, "people": people, "hindered": hindered, "tried": easy, "findings": findings });
        print::json(&with(document, more))?;
    } else {
        print::text(&foreseen(begun, &findings, Paint::stdout()))?;
    }
    if hindered.is_empty() && findings.iter().all(|finding| finding.warning) {
        return Ok(());
    }
    Err(Failure::No(Box::new(Error::halt("not everybody would move now"))))
}

fn foreseen(begun: &Begun, findings: &[Finding], paint: Paint) -> String {
    let Begun { people, hindered, easy, .. } = begun;
    let mut lines = vec![format!("{} would move", people_of(*people))];
    if !hindered.is_empty() {
        let named: Vec<String> = hindered.iter().take(NAMED).map(|id| format!("legacy:{id}")).collect();
        let more = if hindered.len() > NAMED { " and more" } else { "" };
        lines.push(format!(
            "{} {} of them would stay, as something of theirs is parked or in conflict: {}{more}",
            paint.bad("✗"),
            hindered.len(),
            named.join(", ")
        ));
        lines.extend(named.first().map(|one| format!("    biograph-bridge cutover start {one} --dry-run says what")));
    }
    for finding in findings {
        let mark = if finding.warning { paint.attention("!") } else { paint.bad("✗") };
        lines.push(format!("{mark} {}: {}", finding.check, finding.detail));
        lines.extend(finding.fix.as_ref().map(|fix| format!("    {} {fix}", paint.bold("fix:"))));
    }
    if findings.is_empty() && easy.is_some() {
        lines.push(format!("{} nothing else is in the way", paint.good("✓")));
    }
    lines.join("\n") + "\n"
}

/// Says what has begun and follows it, unless nobody is in it or nobody waits.
pub(super) async fn begun(
    pool: &Pool,
    begun: &Begun,
    (json, no_wait): (bool, bool),
    more: Json,
) -> Result<(), Failure> {
    let Begun { batch, people, .. } = begun;
    let Some(id) = batch else {
        return if json {
            print::json(&with(json!({ "batch": null, "people": 0 }), more))
        } else {
            print::text("nobody is to move\n")
        };
    };
    if !json {
        print::text(&format!("batch {id}: {}\n", people_of(*people)))?;
    }
    match (no_wait, json) {
        (true, true) => print::json(&with(json!({ "batch": id, "people": people }), more)),
        (true, false) => Ok(()),
        (false, _) => watched(pool, *id, json, more).await,
    }
}

/// Follows a batch to its end and reports, with `more` in the document; Ctrl-C ends the watching only.
pub(super) async fn watched(pool: &Pool, id: i64, json: bool, more: Json) -> Result<(), Failure> {
    tokio::select! {
        ended = follow(pool, id, json) => report(pool, &ended?, json, more).await,
        _ = tokio::signal::ctrl_c() => {
            let words = format!(
                "\nstopped watching; batch {id} goes on in the daemon: `biograph-bridge cutover list`, `cutover batch --pause {id}`\n"
            );
            if json { Ok(()) } else { print::text(&words) }
        }
    }
}

fn people_of(number: i64) -> String {
    count(u64::try_from(number).unwrap_or(0), "person", "people")
}

/// A document with what else there is to say.
fn with(mut document: Json, more: Json) -> Json {
    if let (Some(document), Json::Object(more)) = (document.as_object_mut(), more) {
        document.extend(more);
    }
    document
}

/// A batch by its number; a "no" if there is none.
pub(super) async fn known(pool: &Pool, id: i64) -> Result<BatchReport, Failure> {
    cohorts::batches(pool, Some(id), 1).await?.pop().ok_or_else(|| {
        let error = Error::halt(format!("there is no batch {id}")).with_hint("biograph-bridge cutover list");
        Failure::No(Box::new(error))
    })
}

/// Follows a batch until it runs no more.
async fn follow(pool: &Pool, id: i64, json: bool) -> Result<BatchReport, Failure> {
    let (begun, bar) = (Instant::now(), stdout().is_terminal());
    let (mut first, mut said, mut active) = (None, begun, begun);
    loop {
        let now = known(pool, id).await?;
        let done = now.people - now.left;
        let before = *first.get_or_insert(done);
        let line = progress(&now, done - before, begun.elapsed());
        if !json && (bar || said.elapsed() >= SAY_EVERY) {
            print::text(&if bar { format!("\r\x1b[K{line}") } else { format!("{line}\n") })?;
            said = Instant::now();
        }
        if now.state != "running" {
            if bar && !json {
                print::text("\n")?;
            }
            return Ok(now);
        }
        if lease::is_held(pool).await? {
            active = Instant::now();
        } else if active.elapsed() > AWAY {
            let error = Error::halt(format!("no daemon is active any more; the next one goes on with batch {id}"));
            let hint = format!(
                "start one with `biograph-bridge run`; how far it is: `biograph-bridge cutover list --batch {id}`"
            );
            return Err(Failure::No(Box::new(error.with_hint(hint))));
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn report(pool: &Pool, batch: &BatchReport, json: bool, more: Json) -> Result<(), Failure> {
    let named = if json { i64::MAX } else { NAMED as i64 };
    let failed = cohorts::failed(pool, batch.id, named).await?;
    if json {
        print::json(&with(json!({ "batch": batch, "failed": failed }), more))?;
    } else {
        print::text(&shown(batch, &failed))?;
    }
    if batch.failed == 0 && batch.left == 0 && batch.state == "ended" {
        return Ok(());
    }
    let why = batch.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let error = Error::halt(format!(
        "batch {} is {}{why}; {} did not move, {} are left{}",
        batch.id,
        batch.state,
        batch.failed,
        batch.left,
        never_began(batch)
    ));
    let error = if batch.state == "paused" {
        error.with_hint(format!("biograph-bridge cutover batch --resume {}", batch.id))
    } else {
        error
    };
    Err(Failure::No(Box::new(error)))
}

/// `batch 3: 120 of 200 (60 %), 2 did not move, 450 a minute, 11 s left`.
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
        "{} moved, {} were there already, {} did not move, {} left{}, in {:.0} s",
        batch.moved,
        batch.already,
        batch.failed,
        batch.left,
        never_began(batch),
        batch.seconds
    )];
    lines.extend(failed.iter().map(failed_line));
    if i64::try_from(failed.len()).unwrap_or(i64::MAX) < batch.failed {
        lines.push("  and more: --json names all".to_owned());
    }
    lines.join("\n") + "\n"
}

/// `, 28 never began`: of a batch that was stopped.
pub(super) fn never_began(batch: &BatchReport) -> String {
    if batch.stopped > 0 { format!(", {} never began", batch.stopped) } else { String::new() }
}

/// `  legacy:65f0… refused: parked: user legacy:65f0…, field name: too_long`.
pub(super) fn failed_line(one: &Failed) -> String {
    let findings: Vec<Finding> =
        one.findings.clone().and_then(|all| serde_json::from_value(all).ok()).unwrap_or_default();
    let in_the_way = findings.iter().filter(|finding| !finding.warning);
    let places: Vec<_> = in_the_way.map(|finding| format!("{}: {}", finding.check, finding.detail)).collect();
    format!("  legacy:{} {}: {}", one.legacy_id, one.outcome.replace('_', " "), places.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_not_move_is_named_with_what_is_in_the_way_and_without_warnings() {
        let failed = Failed {
            legacy_id: "65f0c0ffee00000000000abc".into(),
            outcome: "timed_out".into(),
            findings: Some(json!([
                { "check": "lag", "detail": "12 s behind" },
                { "check": "verify", "detail": "never verified", "warning": true },
            ])),
        };
        assert_eq!(failed_line(&failed), "  legacy:65f0c0ffee00000000000abc timed out: lag: 12 s behind");
    }
}
