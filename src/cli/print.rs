//! Writing to standard output, and waiting for a task.

use std::{
    future::Future,
    io::{self, Write},
};

use serde::Serialize;

use super::Failure;
use crate::error::Error;

/// Prints a text as it is.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints one object.
pub(super) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string_pretty(document);
    let line = line.map_err(|error| Error::halt("cannot write the answer as JSON").with_source(error))?;
    text(&(line + "\n"))
}

/// Runs a short command to its end.
pub(super) fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::halt("cannot start the runtime").with_source(error))?.block_on(task)
}
