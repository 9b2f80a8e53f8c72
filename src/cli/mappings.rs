//! `mappings`: the mapping files, without a database.

mod attempt;
mod show;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Failure, load,
    options::SettingFlags,
    paint::{Paint, counted},
    print,
};
use crate::{
    model::mapping::{CaseFailure, MappingError, check::CheckReport},
    telemetry::Audience,
};

/// Work on the mapping files
#[derive(Debug, Subcommand)]
pub(super) enum Mappings {
    Check(Check),
    Show(show::Show),
    Try(attempt::Try),
}

/// Validate the mapping files and run their [[case]] examples; needs no database
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 the mappings are usable, 1 they are not.

Examples:
  biograph-bridge mappings check
  biograph-bridge mappings check --mappings /etc/biograph-bridge/mappings --json")]
pub(super) struct Check {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Mappings {
    pub(super) fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        match self {
            Self::Check(check) => check.run(settings),
            Self::Show(show) => show.run(settings),
            Self::Try(attempt) => attempt.run(settings),
        }
    }
}

impl Check {
    fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let config = settings.local(Audience::Command)?;
        let report = load::checked(&config.mappings)?;
        if self.json {
            print::json(&Document::from(&report))?;
        } else {
            print::text(&render(&report, Paint::stdout()))?;
        }
        if report.is_ok() { Ok(()) } else { Err(Failure::Found) }
    }
}

fn render(report: &CheckReport, paint: Paint) -> String {
    let mut lines = Vec::new();
    for error in &report.errors {
        lines.push(format!("{} {}", paint.bad("✗"), place(error)));
        lines.extend(error.hint.iter().map(|hint| format!("    {} {hint}", paint.bold("fix:"))));
    }
    lines.extend(report.failures.iter().map(|failure| format!("{} {failure}", paint.bad("✗"))));
    lines.extend(report.warnings.iter().map(|warning| format!("{} {warning}", paint.attention("!"))));
    let counts = [(report.files, "file"), (report.fields, "field"), (report.cases, "example")];
    let counts = counts.map(|(number, word)| counted(number, word)).join(", ");
    match report.errors.len() + report.failures.len() {
        0 => lines.push(format!("{} {counts}: all good", paint.good("✓"))),
        wrong => lines.push(format!("{counts}: {}", counted(wrong, "problem"))),
    }
    lines.join("\n") + "\n"
}

/// The error without its hint, which gets a line of its own.
fn place(error: &MappingError) -> String {
    MappingError { hint: None, ..error.clone() }.to_string()
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document {
    ok: bool,
    files: usize,
    fields: usize,
    cases: usize,
    entities: Vec<String>,
    errors: Vec<Entry>,
    failures: Vec<Entry>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Entry {
    file: String,
    line: usize,
    field: Option<String>,
    case: Option<String>,
    message: String,
    fix: Option<String>,
}

impl From<&CheckReport> for Document {
    fn from(report: &CheckReport) -> Self {
        Self {
            ok: report.is_ok(),
            files: report.files,
            fields: report.fields,
            cases: report.cases,
            entities: report.entities.iter().map(|entity| entity.name.clone()).collect(),
            errors: report.errors.iter().map(Entry::from).collect(),
            failures: report.failures.iter().map(Entry::from).collect(),
            warnings: report.warnings.clone(),
        }
    }
}

impl From<&MappingError> for Entry {
    fn from(error: &MappingError) -> Self {
        let MappingError { file, line, field, message, hint } = error.clone();
        Self { file, line, field, case: None, message, fix: hint }
    }
}

impl From<&CaseFailure> for Entry {
    fn from(failure: &CaseFailure) -> Self {
        let CaseFailure { file, line, case, message } = failure.clone();
        Self { file, line, field: None, case: Some(case), message, fix: None }
    }
}
