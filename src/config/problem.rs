//! What is wrong with the settings, collected so that all of it is reported together.

use std::fmt;

/// One thing that is wrong, where, and how to put it right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `bridge.toml:3: listen`, `--listen`, `BRIDGE_LISTEN`.
    pub place: String,
    /// What is wrong there; never a secret.
    pub message: String,
    /// What to do.
    pub fix: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Everything that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one more.
    pub fn push(&mut self, place: impl Into<String>, message: impl Into<String>, fix: Option<String>) {
        self.0.push(Problem { place: place.into(), message: message.into(), fix });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}
