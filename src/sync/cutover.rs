//! Moving people: wishes come in, each is carried out step by step, and what was left of a former run is taken up again.

mod checks;
mod compare;
mod loss;
mod mover;
mod repair;
mod steps;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

pub use loss::{Extent, LossReport, Lost, LostField};
pub use mover::Mover;

use super::ports::By;
use crate::{
    error::{Error, Result},
    model::{key::LegacyId, side::Side},
};

/// How long a move may take, beyond the time to drain, if nobody says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A wish that a person moves.
#[derive(Clone, Debug)]
pub struct Order {
    /// The person's legacy id.
    pub person: LegacyId,
    /// Where to.
    pub to: Side,
    /// Who wants it so.
    pub by: By,
    /// The batch it is part of.
    pub batch: Option<i64>,
    /// The request that asked for it.
    pub request: Option<i64>,
    /// How long it may take, beyond the time to drain, until it is cancelled.
    pub timeout: Duration,
}

/// How a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The person is on the other side.
    Moved,
    /// It did not begin; nothing was changed.
    Refused,
    /// The person is on that side, or on the way, already.
    Already,
    /// The person stays, as the sides differ.
    Differed,
    /// The person stays, as it took too long.
    TimedOut,
    /// Another daemon, or another wish, has the person in hand.
    Overtaken,
}

impl Verdict {
    /// The word in the history.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Refused => "refused",
            Self::Already => "already",
            Self::Differed => "differed",
            Self::TimedOut => "timed_out",
            Self::Overtaken => "overtaken",
        }
    }
}

/// Something that is in the way of a move, or that differs: names and ids, no values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: `lag`, `parked`, `conflicts`, an entity.
    pub check: String,
    /// What is wrong.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Whether the person may move all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
}

impl Finding {
    pub(crate) fn new(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: check.into(), detail: detail.into(), fix: None, warning: false }
    }

    pub(super) fn failed(check: impl Into<String>, error: &Error) -> Self {
        Self { fix: error.hint().map(str::to_owned), ..Self::new(check, error.to_string()) }
    }

    #[must_use]
    pub(super) fn with_fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// How a move ended, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub verdict: Verdict,
    /// What was in the way, or differs.
    pub findings: Vec<Finding>,
}

/// What is asked of the [`Mover`], and where the answer goes. Who asked may have given up.
#[derive(Debug)]
pub(super) enum Wish {
    /// Move somebody.
    Move(Order, oneshot::Sender<Ended>),
    /// Say what would be in the way of that.
    Look(LegacyId, Side, oneshot::Sender<Vec<Finding>>),
}

/// Where wishes go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Movers(mpsc::Sender<Wish>);

impl Movers {
    /// The door, and where the wishes come out.
    pub(super) fn new() -> (Self, mpsc::Receiver<Wish>) {
        let (wishes, come) = mpsc::channel(16);
        (Self(wishes), come)
    }

    /// Has a person moved and waits for the end. As many at once as anybody likes; each takes as long as its steps.
    pub async fn move_person(&self, order: Order) -> Result<Ended> {
        self.begin(order).await?.await.map_err(|_| stopping())
    }

    /// The same without waiting: the end is told to who asks for it.
    pub async fn begin(&self, order: Order) -> Result<oneshot::Receiver<Ended>> {
        let (tell, told) = oneshot::channel();
        self.0.send(Wish::Move(order, tell)).await.map_err(|_| stopping())?;
        Ok(told)
    }

    /// What would be in the way of a move. Changes nothing.
    pub async fn look(&self, person: LegacyId, to: Side) -> Result<Vec<Finding>> {
        let (tell, told) = oneshot::channel();
        self.0.send(Wish::Look(person, to, tell)).await.map_err(|_| stopping())?;
        told.await.map_err(|_| stopping())
    }
}

fn stopping() -> Error {
    Error::retry("the bridge is stopping")
}
