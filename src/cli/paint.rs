//! Colour where somebody sees it: on a terminal, unless NO_COLOR is set.

use std::io::{self, IsTerminal};

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    /// For what is printed.
    pub(super) fn stdout() -> Self {
        Self(io::stdout().is_terminal() && wanted())
    }

    /// For messages.
    pub(super) fn stderr() -> Self {
        Self(io::stderr().is_terminal() && wanted())
    }

    /// Never; for tests.
    #[cfg(test)]
    pub(super) const fn plain() -> Self {
        Self(false)
    }

    /// As it should be.
    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// Worth a look.
    pub(super) fn attention(self, text: &str) -> String {
        self.with("33", text)
    }

    /// Wrong.
    pub(super) fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// A heading.
    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Less important.
    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn wanted() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// "1 file", "2 files".
pub(super) fn counted(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
