//! How a command ends when it does not end well: what is printed, and the exit code.

use std::{io, process::ExitCode};

use super::paint::Paint;
use crate::{config::Problems, error::Error};

/// Usage and settings.
const WRONG_USAGE: u8 = 2;
/// A command's own "no", as its help says.
const NO: u8 = 3;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The settings are wrong.
    Settings(Problems),
    /// What was given on the command line cannot be meant.
    Usage(Box<Error>),
    /// Something failed.
    Failed(Box<Error>),
    /// The command worked and its answer is "no": no daemon is active.
    No(Box<Error>),
    /// The command has printed what it found, and that blocks.
    Found,
    /// Nobody reads what is printed any more (`status | head`).
    Unread,
}

impl Failure {
    /// Says what happened, to stderr; returns the exit code.
    pub fn report(&self) -> ExitCode {
        let paint = Paint::stderr();
        match self {
            Self::Settings(problems) => {
                for problem in problems.iter() {
                    say(paint, &problem.to_string(), problem.fix.as_deref());
                }
                ExitCode::from(WRONG_USAGE)
            }
            Self::Usage(error) => {
                say(paint, &error.to_string(), error.hint());
                ExitCode::from(WRONG_USAGE)
            }
            Self::Failed(error) => {
                say(paint, &error.to_string(), error.hint());
                ExitCode::FAILURE
            }
            Self::No(error) => {
                say(paint, &error.to_string(), error.hint());
                ExitCode::from(NO)
            }
            Self::Found => ExitCode::FAILURE,
            Self::Unread => ExitCode::SUCCESS,
        }
    }
}

fn say(paint: Paint, message: &str, fix: Option<&str>) {
    eprintln!("{} {message}", paint.bad("error:"));
    if let Some(fix) = fix {
        eprintln!("  {} {fix}", paint.bold("fix:"));
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Settings(problems)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Error::halt("cannot write to standard output").with_source(error).into(),
        }
    }
}
