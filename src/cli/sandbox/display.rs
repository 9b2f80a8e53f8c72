//! Where the sandbox shows itself: a block redrawn in place on a terminal, a line or a JSON object a second elsewhere.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use serde_json::json;
use terminal_size::{Height, Width, terminal_size_of};

use super::super::{Failure, paint::Paint, print};
use super::{
    intro::Intro,
    screen::{self, View},
};
use crate::telemetry::Audience;

/// Where a terminal does not say how large it is.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A block redrawn in place.
    Block,
    /// One line a second.
    Lines,
    /// One JSON object a second.
    Json,
}

impl Form {
    /// A log on the same terminal would tear the block apart, so who asks for one gets lines.
    pub(super) fn choose(json: bool) -> Self {
        let logs = env::var_os("RUST_LOG").is_some_and(|value| !value.is_empty()) && io::stderr().is_terminal();
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        match json {
            true => Self::Json,
            false if io::stdout().is_terminal() && !logs && !dumb => Self::Block,
            false => Self::Lines,
        }
    }

    pub(super) const fn audience(self) -> Audience {
        match self {
            Self::Block => Audience::Screen,
            Self::Lines | Self::Json => Audience::Command,
        }
    }
}

/// Standard output in one of its forms.
pub(super) struct Display {
    form: Form,
    paint: Paint,
    /// Lines of the block that stands above the cursor.
    drawn: usize,
}

impl Display {
    pub(super) fn new(form: Form) -> Self {
        Self { form, paint: Paint::stdout(), drawn: 0 }
    }

    /// What is being done, to stderr: whoever reads the output does not wait for it.
    pub(super) fn progress(&self, doing: &str) {
        let paint = Paint::stderr();
        eprintln!("{}", paint.dim(doing));
    }

    /// Where everything is.
    pub(super) fn intro(&self, intro: &Intro) -> Result<(), Failure> {
        match self.form {
            Form::Block | Form::Lines => print::text(&intro.text(self.paint)),
            Form::Json => print::text(&format!("{}\n", json!(intro))),
        }
    }

    /// What is going on now.
    pub(super) fn show(&mut self, view: &View<'_>) -> Result<(), Failure> {
        match self.form {
            Form::Block => self.draw(view),
            Form::Lines => print::text(&format!("{}\n", screen::line(view))),
            Form::Json => print::text(&format!("{}\n", screen::object(view))),
        }
    }

    /// What has been done.
    pub(super) fn end(&mut self, view: &View<'_>) -> Result<(), Failure> {
        self.drawn = 0;
        match self.form {
            Form::Block | Form::Lines => print::text(&format!("{}\n", screen::summary(view))),
            Form::Json => print::text(&format!("{}\n", screen::object(view))),
        }
    }

    fn draw(&mut self, view: &View<'_>) -> Result<(), Failure> {
        let size = terminal_size_of(io::stdout());
        let (width, height) = size.map_or(USUAL_SIZE, |(Width(width), Height(height))| (width.into(), height.into()));
        let mut lines = screen::block(view);
        lines.truncate(height.saturating_sub(1).max(1));
        let mut text = String::from("\x1b[?7l\r"); // no wrapping while drawing: wide letters may exceed our count
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in &lines {
            text.push_str("\x1b[2K");
            text.push_str(&line.painted(self.paint, width));
            text.push('\n');
        }
        text.push_str("\x1b[J\x1b[?7h");
        self.drawn = lines.len();
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}
