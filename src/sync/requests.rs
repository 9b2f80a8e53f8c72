//! What commands ask of the daemon while it runs: each request is carried out and answered.
//!
//! A daemon that dies in between leaves a request to the next one: whatever is asked for must be safe to do twice. They are
//! carried out one after the other, but for those that take long: others go on meanwhile.

mod cohorts;
mod cutover;
mod pauses;
mod verify;

use std::{collections::BTreeSet, future::Future, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::Instrument;

use super::{
    cutover::Movers,
    orders::Orders,
    pauses::Present,
    ports::{CutoverStore, LegacyStore, RenaissanceStore, VerifyStore},
    queue::HintQueue,
    resolve::Resolver,
    stops::Stops,
    sweeps::Ask,
    tracker::Lane,
    trail::Trail,
};
use crate::{
    error::{Disposition, Error, Result},
    model::{
        calendar::to_iso,
        hint::{Freshness, Hint},
        key::{EntityIndex, Key},
        mapping::Entity,
        side::Side,
    },
    retry::{Backoff, Failures, Policy},
};

/// What fails while requests cannot be read or answered.
const ANSWERING: &str = "answering requests";
/// How soon a request is looked at again that could not be carried out.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a request to retry waits for the outcome.
const SETTLED: Duration = Duration::from_secs(10);

/// What a command asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its number; later ones are greater.
    pub id: i64,
    /// What to do: `backfill`, `parked_retry`, `parked_drop`, `conflict_resolve`, `tombstone_restore`, `explain`, `pause`,
    /// `resume`, `verify`, `cutover`, `cutover_look`,
    /// `cutover_batch`, `cutover_batch_state`.
    pub command: String,
    /// With what; an object.
    pub arguments: Json,
}

impl Request {
    /// Whether carrying it out takes long: it waits until records have been reconciled, or notes very many people. Of the others,
    /// each sees what those before it did.
    fn takes_long(&self) -> bool {
        let slow = ["parked_retry", "conflict_resolve", "tombstone_restore", "cutover_look", "cutover_batch"];
        slow.contains(&self.command.as_str())
    }
}

/// Where requests come from and their outcomes go.
pub trait Inbox: Send {
    /// Waits until there are requests without an outcome, but for those that are `under_way`, and returns all of them, oldest
    /// first. Cancel safe.
    fn next(&mut self, under_way: &BTreeSet<i64>) -> impl Future<Output = Result<Vec<Request>>> + Send;
    /// Stores the outcome of a request: `{"ok": …}` or `{"error": …}`.
    fn finish(&mut self, id: i64, outcome: &Json) -> impl Future<Output = Result<()>> + Send;
}

/// Arguments of `backfill`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackfillArguments {
    /// Names; none means all.
    #[serde(default)]
    entities: Vec<String>,
    #[serde(default)]
    restart: bool,
}

/// Arguments of `parked_retry` and `parked_drop`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParkedArguments {
    /// Numbers; none means all.
    ids: Option<Vec<i64>>,
}

/// Arguments of `explain`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainArguments {
    entity: String,
    legacy_id: Option<String>,
    renaissance_id: Option<i64>,
}

/// Carries out requests.
pub struct Executor<'a, L, R, Q> {
    /// The legacy store.
    pub legacy: &'a L,
    /// The renaissance store with the state.
    pub store: &'a R,
    /// Where keys go that are to be looked at again.
    pub queue: &'a Q,
    /// What the reconciler is to carry out.
    pub orders: &'a Orders,
    /// What the reconciler did lately.
    pub trail: &'a Trail,
    /// Who sweeps.
    pub sweeps: mpsc::Sender<Ask>,
    /// The mapped entities.
    pub entities: &'a [Entity],
    /// Lets a key be tried again that was given up.
    pub forgive: &'a (dyn Fn(Key) + Send + Sync),
    /// What is paused.
    pub pauses: &'a Present,
    /// Who moves people.
    pub movers: &'a Movers,
    /// Told of each comparison that is asked for.
    pub verify: &'a Notify,
    /// What a database refuses for everybody.
    pub stops: &'a Stops,
    /// Whether this daemon changes nothing.
    pub shadow: bool,
}

impl<L: LegacyStore, R: RenaissanceStore + VerifyStore + CutoverStore, Q: HintQueue> Executor<'_, L, R, Q> {
    /// Answers requests for ever; failing to read them is tried again.
    pub async fn run(&self, mut inbox: impl Inbox) -> Result<()> {
        let (mut backoff, mut failures) = (Backoff::new(Policy::CONNECTION), Failures::that_follow());
        let (mut under_way, mut waiting) = (BTreeSet::new(), FuturesUnordered::new());
        loop {
            let answered = tokio::select! {
                Some((request, outcome)) = waiting.next() => {
                    let request: Request = request;
                    under_way.remove(&request.id);
                    match outcome {
                        Some(outcome) => finish(&mut inbox, &request, outcome).await,
                        None => Ok(()),
                    }
                }
                requests = inbox.next(&under_way) => match requests {
                    Ok(requests) => {
                        let (slow, quick): (Vec<_>, Vec<_>) = requests.into_iter().partition(Request::takes_long);
                        under_way.extend(slow.iter().map(|request| request.id));
                        waiting.extend(slow.into_iter().map(|request| self.wait(request)));
                        self.answer_all(&mut inbox, quick).await
                    }
                    Err(error) => Err(error),
                },
            };
            match answered {
                Ok(()) => {
                    backoff.reset();
                    failures.succeeded(ANSWERING);
                }
                Err(error) if error.disposition() == Disposition::Retry => {
                    failures.failed(ANSWERING, &error);
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                Err(error) => return Err(error.during(ANSWERING)),
            }
        }
    }

    async fn answer_all(&self, inbox: &mut impl Inbox, requests: Vec<Request>) -> Result<()> {
        for request in requests {
            let outcome = match self.carry_out(&request).instrument(span(&request)).await {
                // the database is gone for a moment: the request stays open
                Err(error) if error.disposition() == Disposition::Retry => return Err(error),
                outcome => outcome,
            };
            finish(inbox, &request, outcome).await?;
        }
        Ok(())
    }

    /// Carries out a request that takes its time. One that cannot be now has no outcome: it is looked at again if it is still
    /// wanted then.
    async fn wait(&self, request: Request) -> (Request, Option<Result<Json>>) {
        match self.carry_out(&request).instrument(span(&request)).await {
            Err(error) if error.disposition() == Disposition::Retry => {
                tracing::debug!(id = request.id, command = request.command, %error, "a request waits");
                tokio::time::sleep(AGAIN).await;
                (request, None)
            }
            outcome => (request, Some(outcome)),
        }
    }

    async fn carry_out(&self, request: &Request) -> Result<Json> {
        if request.command == "explain" {
            return self.explain(&arguments(request)?);
        }
        if self.shadow {
            return Err(Error::halt("this daemon runs with --shadow: it decides and journals, and changes nothing"));
        }
        match request.command.as_str() {
            "backfill" => self.backfill(arguments(request)?).await,
            "parked_retry" => self.retry_parked(arguments(request)?).await,
            "parked_drop" => self.drop_parked(arguments(request)?).await,
            "conflict_resolve" => self.resolver().resolve(request.id, &arguments(request)?).await,
            "tombstone_restore" => self.resolver().put_back(&arguments(request)?).await,
            "verify" => self.verify(request.id, &arguments(request)?).await,
            "pause" => self.pause(arguments(request)?).await,
            "resume" => self.resume(arguments(request)?).await,
            "cutover" => self.cut_over(request.id, arguments(request)?).await,
            "cutover_batch" => self.begin_batch(request.id, arguments(request)?).await,
            "cutover_batch_state" => self.change_batch(&arguments(request)?).await,
            "cutover_look" => self.look_at_cutover(arguments(request)?).await,
            other => Err(Error::halt(format!("this daemon does not know the request `{other}`"))),
        }
    }

    /// What was done lately about one record; no values.
    fn explain(&self, arguments: &ExplainArguments) -> Result<Json> {
        let index = self.named(std::slice::from_ref(&arguments.entity))?.into_iter().next();
        let entity = index.and_then(|index| Some((index, self.entities.get(usize::from(index.0))?)));
        let (index, entity) = entity.ok_or_else(|| Error::halt("the entity is not mapped"))?;
        let legacy = arguments.legacy_id.as_deref().and_then(|id| id.parse().ok());
        let (steps, since) = self.trail.about(index, legacy, arguments.renaissance_id);
        let name = |n: usize| entity.fields.get(n).map(|field| field.name.clone());
        let steps = steps.iter().map(|trace| {
            let (what, detail) = trace.step.shown(name, trace.key.id.side());
            json!({ "at": to_iso(trace.at / 1000 * 1000), "what": what, "detail": detail })
        });
        Ok(json!({ "steps": steps.collect::<Vec<_>>(), "since": since.map(|at| to_iso(at / 1000 * 1000)) }))
    }

    const fn resolver(&self) -> Resolver<'_, L, R, Q> {
        let Self { legacy, store, queue, orders, entities, pauses, stops, .. } = *self;
        Resolver { legacy, store, queue, orders, entities, pauses, stops }
    }

    async fn backfill(&self, arguments: BackfillArguments) -> Result<Json> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask { entities: self.named(&arguments.entities)?, restart: arguments.restart, answer };
        let stopping = || Error::retry("the bridge is stopping");
        self.sweeps.send(ask).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    fn named(&self, names: &[String]) -> Result<Vec<EntityIndex>> {
        let known = || (0..=u16::MAX).map(EntityIndex).zip(self.entities);
        if names.is_empty() {
            return Ok(known().map(|(index, _)| index).collect());
        }
        let find = |name: &String| {
            let found = known().find(|(_, entity)| entity.name == *name).map(|(index, _)| index);
            found.ok_or_else(|| Error::halt(format!("the daemon has no mapping for an entity `{name}`")))
        };
        names.iter().map(find).collect()
    }

    /// Brings parked records back and waits a moment for what becomes of them.
    async fn retry_parked(&self, arguments: ParkedArguments) -> Result<Json> {
        let rows = self.store.parked_keys(arguments.ids.as_deref()).await?;
        let (mut last, mut retried) = ([0; 2], Vec::new());
        for (id, key) in &rows {
            let Some(key) = key else { continue };
            let side = key.id.side();
            (self.forgive)(*key);
            let hint = Hint { key: *key, freshness: Freshness::Any, committed_at: None };
            last[usize::from(side == Side::Renaissance)] = self.queue.offer(Lane::Sweep(side), hint).await;
            retried.push(*id);
        }
        let settled = async {
            self.queue.until_durable(Lane::Sweep(Side::Legacy), last[0]).await;
            self.queue.until_durable(Lane::Sweep(Side::Renaissance), last[1]).await;
        };
        let in_time = tokio::time::timeout(SETTLED, settled).await.is_ok();
        let still = self.store.parked_keys(Some(&retried)).await?.len();
        Ok(json!({
            "retried": retried.len(),
            "settled": in_time,
            "still_parked": still,
            "without_key": rows.len() - retried.len(),
            "unknown": unknown(arguments.ids, rows.iter().map(|(id, _)| *id)),
        }))
    }

    async fn drop_parked(&self, arguments: ParkedArguments) -> Result<Json> {
        let ids = arguments.ids.ok_or_else(|| Error::halt("a request to drop names no parked entry"))?;
        let dropped = self.store.drop_parked(&ids).await?;
        Ok(json!({ "dropped": dropped.len(), "unknown": unknown(Some(ids), dropped.into_iter()) }))
    }
}

/// Around whatever is logged while a request is carried out.
fn span(request: &Request) -> tracing::Span {
    tracing::info_span!("request", id = request.id, command = request.command)
}

async fn finish(inbox: &mut impl Inbox, request: &Request, outcome: Result<Json>) -> Result<()> {
    let outcome = match outcome {
        Ok(done) => json!({ "ok": done }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    inbox.finish(request.id, &outcome).await?;
    if changes_nothing(request) {
        tracing::debug!(id = request.id, command = request.command, "answered a request");
    } else {
        tracing::info!(id = request.id, command = request.command, "carried out a request");
    }
    Ok(())
}

/// Whether it only asked.
fn changes_nothing(request: &Request) -> bool {
    let dry = request.arguments.get("dry_run").and_then(Json::as_bool).unwrap_or_default();
    request.command == "cutover_look" || (dry && request.command != "verify")
}

fn arguments<T: for<'de> Deserialize<'de>>(request: &Request) -> Result<T> {
    T::deserialize(&request.arguments)
        .map_err(|error| Error::halt(format!("the arguments of a `{}` request: {error}", request.command)))
}

/// Numbers that were asked for and are not there.
fn unknown(asked: Option<Vec<i64>>, found: impl Iterator<Item = i64>) -> Vec<i64> {
    let found: Vec<i64> = found.collect();
    asked.unwrap_or_default().into_iter().filter(|id| !found.contains(id)).collect()
}
