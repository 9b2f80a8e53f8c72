//! Having people moved by the active daemon, and following how it goes.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use crate::{
    cli::{Failure, ask, paint::Paint, person, print, who},
    config::Databases,
    error::Error,
    model::{mapping::Entity, side::Side},
    postgres::{
        Pool,
        cutover::history::{self, PastStep},
    },
    sync::cutover::{Finding, TIMEOUT, Verdict},
};

/// How often the history is read while people move.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// How much longer than its own limit a move may take before nothing is expected any more.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the mirror may take to follow before the end is reported without it.
const FOLLOWS: Duration = Duration::from_secs(5);

/// How a move is asked for.
#[derive(Debug, Args)]
pub(super) struct MoveFlags {
    /// Only say what would be done, and what is in the way
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How long it may take, beyond the time to drain, until it is cancelled: 60s, 2m
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_duration)]
    pub(super) timeout: Option<Duration>,
    /// Do not wait for the end
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Somebody who was named.
#[derive(Debug, Serialize)]
pub(super) struct Named {
    /// As it was typed.
    pub(super) user: String,
    pub(super) legacy_id: Option<String>,
    pub(super) renaissance_id: Option<i64>,
    /// What became of it.
    pub(super) outcome: Option<String>,
    /// What was in the way, or differs.
    pub(super) findings: Vec<Finding>,
    #[serde(skip)]
    request: Option<i64>,
    /// The last step that was seen.
    #[serde(skip)]
    seen: i64,
    #[serde(skip)]
    ended: Option<Instant>,
    #[serde(skip)]
    mirrored: bool,
}

impl Named {
    fn refused(user: &str, error: &Error) -> Self {
        let finding = Finding { fix: error.hint().map(str::to_owned), ..Finding::new("user", error.to_string()) };
        let outcome = Some(Verdict::Refused.as_str().to_owned());
        Self { outcome, findings: vec![finding], ended: Some(Instant::now()), ..Self::new(user) }
    }

    fn new(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            legacy_id: None,
            renaissance_id: None,
            outcome: None,
            findings: Vec::new(),
            request: None,
            seen: 0,
            ended: None,
            mirrored: false,
        }
    }

    fn refuse(&mut self, finding: Finding) {
        self.outcome = Some(Verdict::Refused.as_str().to_owned());
        self.findings.push(finding);
        self.ended = Some(Instant::now());
    }

    fn is_moved(&self) -> bool {
        self.outcome.as_deref() == Some(Verdict::Moved.as_str())
    }

    /// Whether there is nothing more to wait for.
    fn is_over(&self) -> bool {
        let late = self.ended.is_some_and(|ended| ended.elapsed() >= FOLLOWS);
        self.ended.is_some() && (self.request.is_none() || self.mirrored || late || !self.was_held())
    }

    /// Whether the writes of the person were held, so that a mirror has to follow.
    fn was_held(&self) -> bool {
        let never = [Verdict::Refused, Verdict::Already].map(Verdict::as_str);
        self.outcome.as_deref().is_some_and(|outcome| !never.contains(&outcome))
    }
}

/// Everybody who was named, each once. A name that cannot be one is wrong usage; one that nobody has is refused.
pub(super) async fn named(users: &[String], databases: &Databases, entities: &[Entity]) -> Result<Vec<Named>, Failure> {
    let (texts, mut all): (Vec<&str>, Vec<Named>) = (users.iter().map(String::as_str).collect(), Vec::new());
    // a database that cannot be asked refuses nobody: that is a failure
    for (user, found) in users.iter().zip(person::each(&texts, databases, entities).await?) {
        match found {
            Ok(found) if found.legacy_id.is_some() && all.iter().any(|one| one.legacy_id == found.legacy_id) => {}
            Ok(found) => {
                let mut one = Named { renaissance_id: found.renaissance_id, ..Named::new(user) };
                if found.legacy_id.is_none() {
                    one.refuse(Finding::new("link", "this person is on renaissance only and not linked yet"));
                }
                one.legacy_id = found.legacy_id;
                all.push(one);
            }
            Err(Failure::Failed(error)) => all.push(Named::refused(user, &error)),
            Err(other) => return Err(other),
        }
    }
    Ok(all)
}

/// What would be in the way of each.
pub(super) async fn look(pool: &Pool, people: &mut [Named], to: Side) -> Result<(), Failure> {
    for one in people.iter_mut().filter(|one| one.ended.is_none()) {
        let arguments = json!({ "person": one.legacy_id, "to": to.as_str() });
        let answer = ask::daemon(pool, "cutover_look", &arguments).await?;
        let findings = answer.get("findings").cloned().unwrap_or_default();
        one.findings = serde_json::from_value(findings).map_err(|_| not_understood())?;
        if answer.get("begins").and_then(Json::as_bool) == Some(false) {
            let state = answer.get("state").and_then(Json::as_str).unwrap_or_default();
            one.findings.insert(0, Finding::new("state", format!("this person is {state} already")));
        }
        let stands = one.findings.iter().all(|finding| finding.warning);
        one.outcome = Some(if stands { "would_move" } else { Verdict::Refused.as_str() }.to_owned());
    }
    Ok(())
}

/// Has the daemon begin each move.
pub(super) async fn begin(pool: &Pool, people: &mut [Named], to: Side, flags: &MoveFlags) -> Result<(), Failure> {
    let timeout = flags.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    for one in people.iter_mut().filter(|one| one.ended.is_none()) {
        let arguments = json!({
            "person": one.legacy_id, "to": to.as_str(), "timeout_ms": timeout, "who": who::asks(), "reason": flags.reason,
        });
        let answer = ask::daemon(pool, "cutover", &arguments).await?;
        one.request = Some(answer.get("request").and_then(Json::as_i64).ok_or_else(not_understood)?);
    }
    Ok(())
}

/// Follows the moves to their ends.
pub(super) async fn follow(pool: &Pool, people: &mut [Named], flags: &MoveFlags) -> Result<(), Failure> {
    let limit = Instant::now() + flags.timeout.unwrap_or(TIMEOUT) + PATIENCE;
    while people.iter().any(|one| !one.is_over()) {
        for one in people.iter_mut().filter(|one| !one.is_over()) {
            let Some(request) = one.request else { continue };
            for step in history::of_request(pool, request, one.seen).await? {
                one.see(&step)?;
                if !flags.json {
                    print::text(&format!("{}: {}\n", one.user, said(&step)))?;
                }
            }
        }
        if Instant::now() >= limit {
            return Err(Error::halt("the daemon has not ended every move in time; it goes on with them")
                .with_hint("biograph-bridge cutover show USER")
                .into());
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

impl Named {
    fn see(&mut self, step: &PastStep) -> Result<(), Failure> {
        self.seen = step.id;
        self.renaissance_id = step.renaissance_id.or(self.renaissance_id);
        if let Some(outcome) = &step.outcome {
            self.outcome = Some(outcome.clone());
            self.ended = Some(Instant::now());
            let findings = step.findings.clone().unwrap_or_else(|| json!([]));
            self.findings = serde_json::from_value(findings).map_err(|_| not_understood())?;
        } else if step.step == "mirrored" {
            self.mirrored = self.ended.is_some();
        }
        Ok(())
    }
}

/// `fenced (draining, epoch 1)`.
fn said(step: &PastStep) -> String {
    let detail = step.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{} ({}, epoch {}){detail}", step.step.replace('_', " "), step.state, step.epoch)
}

/// What came of it: a "no" unless everybody is where they were to be.
pub(super) fn report(people: &[Named], flags: &MoveFlags, loss: Option<Json>, paint: Paint) -> Result<(), Failure> {
    if flags.json {
        let document = match loss {
            Some(loss) => json!({ "people": people, "loss": loss }),
            None => json!({ "people": people }),
        };
        print::json(&document)?;
    } else {
        print::text(&people.iter().map(|one| shown(one, paint)).collect::<String>())?;
    }
    let fine = |one: &Named| one.is_moved() || one.outcome.as_deref() == Some("would_move") || one.outcome.is_none();
    let refused = people.iter().filter(|one| !fine(one)).count();
    if refused == 0 {
        return Ok(());
    }
    let error = Error::halt(format!("{refused} of {} cannot or did not move", people.len()));
    Err(Failure::No(Box::new(error)))
}

fn shown(one: &Named, paint: Paint) -> String {
    let legacy = one.legacy_id.as_deref().map(|id| format!("legacy:{id}"));
    let renaissance = one.renaissance_id.map(|id| format!("renaissance:{id}"));
    // whoever was named by an id is not named by it twice
    let ids = [legacy, renaissance].into_iter().flatten().filter(|id| *id != one.user);
    let ids: String = ids.map(|id| format!(" {id}")).collect();
    let (mark, word) = match one.outcome.as_deref() {
        Some("moved") => (paint.good("✓"), "moved".to_owned()),
        Some("would_move") => (paint.good("✓"), "nothing is in the way".to_owned()),
        Some(other) => (paint.bad("✗"), other.replace('_', " ")),
        None => (paint.dim("…"), "begun".to_owned()),
    };
    let mut lines = vec![format!("{mark} {}{ids}: {word}", one.user)];
    for finding in &one.findings {
        let warning = if finding.warning { "warning: " } else { "" };
        lines.push(format!("    {warning}{}: {}", finding.check, finding.detail));
        lines.extend(finding.fix.as_ref().map(|fix| format!("      {} {fix}", paint.bold("fix:"))));
    }
    lines.join("\n") + "\n"
}

fn not_understood() -> Error {
    Error::halt("the daemon's answer is not understood")
}
