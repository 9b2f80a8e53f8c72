//! What a preflight look at a side found: one line of `check`.

use crate::error::{Disposition, Error};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: "MongoDB topology", "collection authapp_usermodel".
    pub subject: String,
    /// Whether the bridge cannot run while this is not as it should be.
    pub blocks: bool,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// The command or setting that fixes it.
    pub fix: Option<String>,
    /// Whether the look itself failed in passing: that says nothing, and another look may find all as it should be.
    pub passing: bool,
}

impl Finding {
    /// It is as it should be.
    pub fn good(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), blocks: false, ok: true, detail: detail.into(), fix: None, passing: false }
    }

    /// It is not, and the bridge can run nevertheless.
    pub fn warning(subject: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            blocks: false,
            ok: false,
            detail: detail.into(),
            fix: Some(fix.into()),
            passing: false,
        }
    }

    /// Nobody could look: the error says why.
    pub fn failed(subject: impl Into<String>, error: &Error, otherwise: &str) -> Self {
        let passing = error.disposition() == Disposition::Retry;
        Self { passing, ..Self::blocking(subject, error.to_string(), error.hint().unwrap_or(otherwise)) }
    }

    /// It is not, and the bridge cannot run.
    pub fn blocking(subject: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            blocks: true,
            ok: false,
            detail: detail.into(),
            fix: Some(fix.into()),
            passing: false,
        }
    }
}
