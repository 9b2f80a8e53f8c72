//! `cutover batch`: people who are to move together. A request only notes them; how it goes on is in the state.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Executor;
use crate::{
    error::{Error, Result},
    model::{cohort::Share, side::Side},
    sync::{
        ports::{By, Chosen, CutoverStore, LegacyStore, NewBatch, RenaissanceStore, VerifyStore},
        queue::HintQueue,
    },
};

/// Arguments of `cutover_batch`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchArguments {
    /// Where to.
    to: String,
    /// The draft that names the people; else all are moved.
    draft: Option<i64>,
    /// Who they are, in words.
    words: String,
    /// Only this share of them.
    percent: Option<String>,
    limit: Option<i64>,
    concurrency: u32,
    max_failures: Option<i64>,
    max_parked: i64,
    max_conflicts: i64,
    max_lag_ms: i64,
    timeout_ms: Option<i64>,
    who: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// Arguments of `cutover_batch_state`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateArguments {
    batch: i64,
    /// `running`, `paused`, `stopped`.
    state: String,
}

impl<L: LegacyStore, R: RenaissanceStore + VerifyStore + CutoverStore, Q: HintQueue> Executor<'_, L, R, Q> {
    /// Begins a batch, once, and says under which number.
    pub(super) async fn begin_batch(&self, request: i64, arguments: BatchArguments) -> Result<Json> {
        let to = Side::ALL.into_iter().find(|side| side.as_str() == arguments.to);
        let to = to.ok_or_else(|| Error::halt(format!("there is no side `{}`", arguments.to)))?;
        let share = arguments.percent.map(|percent| percent.parse::<Share>().map_err(Error::halt)).transpose()?;
        let batch = NewBatch {
            to,
            chosen: arguments.draft.map_or(Chosen::Everybody, Chosen::Drafted),
            share,
            limit: arguments.limit,
            words: arguments.words,
            concurrency: arguments.concurrency,
            max_failures: arguments.max_failures,
            max_parked: arguments.max_parked,
            max_conflicts: arguments.max_conflicts,
            max_lag_ms: arguments.max_lag_ms,
            timeout_ms: arguments.timeout_ms,
            by: By { who: arguments.who, reason: arguments.reason },
            request,
        };
        let begun = self.store.begin_batch(&batch, arguments.dry_run).await?;
        if !arguments.dry_run {
            tracing::info!(batch = begun.id, people = begun.people, "a batch of people begins");
        }
        let mut answer = json!({ "batch": begun.id, "people": begun.people, "taken": begun.taken });
        if arguments.dry_run {
            let hindered: Vec<String> = begun.hindered.iter().map(ToString::to_string).collect();
            answer["hindered"] = json!(hindered);
            answer["easy"] = json!(begun.easy.map(|id| id.to_string()));
        }
        Ok(answer)
    }

    /// Pauses, resumes or stops a batch.
    pub(super) async fn change_batch(&self, arguments: &StateArguments) -> Result<Json> {
        let StateArguments { batch, state } = arguments;
        if !["running", "paused", "stopped"].contains(&state.as_str()) {
            return Err(Error::halt(format!("a batch cannot be made `{state}`")));
        }
        if self.store.set_batch_state(*batch, state, None).await? {
            Ok(json!({ "batch": batch, "state": state }))
        } else {
            Err(Error::halt(format!("there is no batch {batch}, or it has ended")))
        }
    }
}
