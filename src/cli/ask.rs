//! Having the active daemon do something.

use std::time::Duration;

use serde_json::Value as Json;

use super::Failure;
use crate::{
    error::{Error, Result},
    postgres::{Pool, lease, request},
};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has the active daemon carry out a request and returns what it says. Nobody active is a "no".
pub(super) async fn daemon(pool: &Pool, command: &str, arguments: &Json) -> Result<Json, Failure> {
    daemon_within(PATIENCE, pool, command, arguments).await
}

/// The same for what may take so long.
pub(super) async fn daemon_within(
    patience: Duration,
    pool: &Pool,
    command: &str,
    arguments: &Json,
) -> Result<Json, Failure> {
    let late = || {
        Error::halt(format!("the daemon has not answered for {} s; the request is withdrawn", patience.as_secs()))
            .with_hint("see `biograph-bridge status`")
    };
    let begun = || {
        Error::halt("the daemon has begun what was asked for, and has not said so in time")
            .with_hint("see `biograph-bridge cutover list`")
    };
    refuse_without_daemon(pool).await?;
    let id = request::submit(pool, command, arguments).await?;
    let outcome = match request::wait(pool, id, patience).await? {
        Some(outcome) => outcome,
        // withdrawn, so that no daemon does it when nobody expects it any more
        None if request::withdraw(pool, id).await? => return Err(late().into()),
        // it has begun, perhaps in a daemon that died: the answer comes with the next one
        None => request::wait(pool, id, patience).await?.ok_or_else(begun)?,
    };
    if let Some(done) = outcome.get("ok") {
        return Ok(done.clone());
    }
    let why = outcome.get("error").and_then(Json::as_str).unwrap_or("its answer is not understood");
    Err(Error::halt(format!("the daemon refused: {why}")).into())
}

/// Says so if there is nobody to carry anything out.
pub(super) async fn refuse_without_daemon(pool: &Pool) -> Result<(), Failure> {
    if lease::is_held(pool).await? {
        return Ok(());
    }
    let error = Error::halt("no daemon is active, and this is carried out by the daemon");
    Err(Failure::No(Box::new(error.with_hint("start one with `biograph-bridge run`"))))
}
