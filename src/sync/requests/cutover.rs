//! `cutover`: people who are to move. A request only begins a move; how it goes on is in the history.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Executor;
use crate::{
    error::{Error, Result},
    model::{cutover::CutoverRow, key::LegacyId, side::Side},
    sync::{
        cutover::{Order, TIMEOUT},
        ports::{By, CutoverStore, Journey, LegacyStore, RenaissanceStore, Step, VerifyStore},
        queue::HintQueue,
    },
};

/// Arguments of `cutover` and `cutover_look`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CutoverArguments {
    /// The legacy id of a person.
    person: String,
    /// The side they are to be on.
    to: String,
    /// How long it may take beyond the time to drain.
    timeout_ms: Option<u64>,
    who: Option<String>,
    reason: Option<String>,
}

impl CutoverArguments {
    fn whom(&self) -> Result<(LegacyId, Side)> {
        let person = self.person.parse().map_err(|_| Error::halt("a person is named by their legacy id"))?;
        let to = Side::ALL.into_iter().find(|side| side.as_str() == self.to);
        Ok((person, to.ok_or_else(|| Error::halt(format!("there is no side `{}`", self.to)))?))
    }
}

impl<L: LegacyStore, R: RenaissanceStore + VerifyStore + CutoverStore, Q: HintQueue> Executor<'_, L, R, Q> {
    /// Begins a move, once, and says under which number its steps are found.
    pub(super) async fn cut_over(&self, request: i64, arguments: CutoverArguments) -> Result<Json> {
        let (person, to) = arguments.whom()?;
        let answer = json!({ "request": request });
        if self.store.is_begun(request).await? {
            return Ok(answer);
        }
        let timeout = arguments.timeout_ms.map_or(TIMEOUT, Duration::from_millis);
        let by = By { who: arguments.who, reason: arguments.reason };
        let request = Some(request);
        let journey =
            Journey { person, renaissance: None, to, by: by.clone(), batch: None, request, timeout: Some(timeout) };
        let row = self.store.standings(&[person]).await?.first().map_or(CutoverRow::UNMOVED, |standing| standing.row);
        self.store.note(&journey, row, &Step { name: "asked", ..Step::default() }).await?;
        // its end is in the history
        drop(self.movers.begin(Order { person, to, by, batch: None, request, timeout }).await?);
        Ok(answer)
    }

    /// What would be in the way of a move.
    pub(super) async fn look_at_cutover(&self, arguments: CutoverArguments) -> Result<Json> {
        let (person, to) = arguments.whom()?;
        let row = self.store.standings(&[person]).await?.first().map_or(CutoverRow::UNMOVED, |standing| standing.row);
        let findings = self.movers.look(person, to).await?;
        let begins = row.draining(to).is_ok();
        Ok(
            json!({ "state": row.state.as_str(), "owner": row.owner.as_str(), "epoch": row.epoch, "begins": begins, "findings": findings }),
        )
    }
}
