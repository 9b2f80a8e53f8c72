//! The tasks beside the bridge: traffic at its rate, and somebody who counts people.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    model::{fact::DaemonState, side::Side},
    sandbox::{Counter, Traffic},
    sync::status::Status,
};

/// After a failed write an application waits before the next.
const AFTER_FAILURE: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the applications did so far.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Tally {
    /// Writes by BioGraph.
    pub(super) legacy: u64,
    /// Writes by Renaissance.
    pub(super) renaissance: u64,
    /// Writes that failed.
    pub(super) failed: u64,
}

/// How many people there are; `None` where a server does not answer.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct People {
    /// In BioGraph.
    pub(super) legacy: Option<u64>,
    /// In Renaissance.
    pub(super) renaissance: Option<u64>,
}

/// Lets the applications write once the first copy is complete.
pub(super) fn traffic(
    mut traffic: Traffic,
    rate: f64,
    status: Arc<Status>,
    stop: CancellationToken,
) -> (watch::Receiver<Tally>, JoinHandle<()>) {
    let (send, tally) = watch::channel(Tally::default());
    let task = async move {
        if rate <= 0.0 {
            return;
        }
        while status.snapshot().state != DaemonState::Streaming.as_str() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut turns = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let step = traffic.step().await;
            let made = (traffic.made(Side::Legacy), traffic.made(Side::Renaissance));
            send.send_modify(|tally| {
                (tally.legacy, tally.renaissance) = made;
                tally.failed += u64::from(step.is_err());
            });
            if let Err(error) = step {
                tracing::debug!("an application could not write: {error}");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    };
    let until_stopped = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = task => {}
        }
    };
    (tally, tokio::spawn(until_stopped))
}

/// Counts people once a second until nobody wants to know.
pub(super) fn count(counter: Counter) -> watch::Receiver<People> {
    let (send, people) = watch::channel(People::default());
    tokio::spawn(async move {
        loop {
            let (legacy, renaissance) = counter.count().await;
            if send.send(People { legacy, renaissance }).is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    people
}
