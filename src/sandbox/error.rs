//! Why a sandbox server could not be had, and what to do about it.

use std::fmt;

use mongodb::error::{ErrorKind, WriteFailure};

/// What failed and what the person at the terminal can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxError {
    what: String,
    hint: String,
}

impl SandboxError {
    /// An error with its advice; an empty hint prints nothing.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }

    /// What failed.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to install, set or remove.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// An error of the system: what was tried, then the system's words.
    pub(super) fn io(tried: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(format!("{tried}: {error}"), "")
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hint.is_empty() { f.write_str(&self.what) } else { write!(f, "{}; {}", self.what, self.hint) }
    }
}

impl std::error::Error for SandboxError {}

impl From<SandboxError> for crate::error::Error {
    fn from(error: SandboxError) -> Self {
        let SandboxError { what, hint } = error;
        if hint.is_empty() { Self::halt(what) } else { Self::halt(what).with_hint(hint) }
    }
}

impl From<mongodb::error::Error> for SandboxError {
    fn from(error: mongodb::error::Error) -> Self {
        let words = match error.kind.as_ref() {
            ErrorKind::Write(WriteFailure::WriteError(refused)) => refused.message.clone(),
            ErrorKind::Command(refused) => refused.message.clone(),
            kind => kind.to_string(),
        };
        Self::new(format!("mongod answered: {words}"), "")
    }
}

impl From<sqlx::Error> for SandboxError {
    fn from(error: sqlx::Error) -> Self {
        Self::new(format!("postgres answered: {error}"), "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_follows_what_failed() {
        let error = SandboxError::new("python3 is missing", "install it");
        assert_eq!(error.to_string(), "python3 is missing; install it");
        assert_eq!(SandboxError::new("gone", "").to_string(), "gone");
    }
}
