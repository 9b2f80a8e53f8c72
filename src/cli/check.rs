//! `check`: everything that has to be in place, and the command that puts it there.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::{
    Failure, identity, load,
    options::SettingFlags,
    paint::{Paint, counted},
    print,
};
use crate::{
    config::{Config, Databases, redacted_uri},
    error::Result,
    model::mapping::Entity,
    mongo::Legacy,
    postgres::{connect, preflight},
    sync::finding::Finding,
    telemetry::Audience,
};

/// What to do where an error does not say it.
const LOOK_AGAIN: &str = "see the message; then run `biograph-bridge check` again";

/// Look at both databases and the mappings: what is missing, and the command that fixes it
#[derive(Debug, Args)]
#[command(after_help = "\
Changes nothing. Exit codes: 0 the bridge can run, 1 something blocks it.

Examples:
  biograph-bridge check --legacy-uri mongodb://bridge:PASSWORD@HOST/BioGraphDemo \\
                        --renaissance-url postgres://bridge:PASSWORD@HOST/renaissance
  biograph-bridge check --json")]
pub(super) struct Check {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let groups = print::block_on(async { Ok(look(&config, &databases).await) })?;
        let blocked = groups.iter().flat_map(|group| &group.findings).filter(|finding| finding.blocks).count();
        if self.json {
            print::json(&Document { ok: blocked == 0, groups: groups.iter().map(GroupDocument::from).collect() })?;
        } else {
            print::text(&render(&groups, Paint::stdout()))?;
        }
        if blocked == 0 { Ok(()) } else { Err(Failure::Found) }
    }
}

/// Findings about one thing.
struct Group {
    name: &'static str,
    place: String,
    findings: Vec<Finding>,
}

async fn look(config: &Config, databases: &Databases) -> Vec<Group> {
    let (mappings, entities) = mappings(config);
    let entities = Arc::new(entities);
    let (legacy, renaissance) = tokio::join!(legacy(databases, &entities), renaissance(databases, &entities));
    let mut identity = Vec::new();
    if let (Ok(_), Ok(_), Ok(pool)) = (&legacy, &renaissance, connect::pool(databases.renaissance_url.expose())) {
        // what cannot be asked is among their findings already
        identity.extend(identity::finding(databases, &entities, &pool).await.ok());
    }
    let or_failed = |found: Result<Vec<Finding>>| {
        found.unwrap_or_else(|error| vec![Finding::failed("connection", &error, LOOK_AGAIN)])
    };
    vec![
        Group { name: "mappings", place: config.mappings.display().to_string(), findings: mappings },
        Group { name: "legacy", place: redacted_uri(databases.legacy_uri.expose()), findings: or_failed(legacy) },
        Group {
            name: "renaissance",
            place: redacted_uri(databases.renaissance_url.expose()),
            findings: or_failed(renaissance),
        },
        Group { name: "both", place: "identity".to_owned(), findings: identity },
    ]
}

fn mappings(config: &Config) -> (Vec<Finding>, Vec<Entity>) {
    let report = match load::checked(&config.mappings) {
        Ok(report) => report,
        Err(error) => return (vec![Finding::failed("files", &error, LOOK_AGAIN)], Vec::new()),
    };
    let again = "correct the file, then run `biograph-bridge mappings check`";
    let mut findings: Vec<_> = report
        .errors
        .iter()
        .map(|error| Finding::blocking("mapping", error.to_string(), error.hint.as_deref().unwrap_or(again)))
        .chain(report.failures.iter().map(|failure| Finding::blocking("example", failure.to_string(), again)))
        .chain(report.warnings.iter().map(|warning| Finding::warning("mapping", warning, again)))
        .collect();
    if report.is_ok() {
        let counts = format!("{}, {} hold", counted(report.fields, "field"), counted(report.cases, "example"));
        findings.insert(0, Finding::good("files", counts));
    }
    (findings, report.entities)
}

async fn legacy(databases: &Databases, entities: &Arc<Vec<Entity>>) -> Result<Vec<Finding>> {
    let legacy = Legacy::connect(databases.legacy_uri.expose(), Arc::clone(entities)).await?;
    Ok(legacy.check().await)
}

async fn renaissance(databases: &Databases, entities: &[Entity]) -> Result<Vec<Finding>> {
    let url = databases.renaissance_url.expose();
    Ok(preflight::check(&connect::pool(url)?, url, entities).await)
}

fn render(groups: &[Group], paint: Paint) -> String {
    let mut lines = Vec::new();
    // nothing was asked of both while one of them cannot be reached
    for group in groups.iter().filter(|group| !group.findings.is_empty()) {
        lines.push(format!("{}  {}", paint.bold(group.name), paint.dim(&group.place)));
        for finding in &group.findings {
            let mark = match (finding.ok, finding.blocks) {
                (true, _) => paint.good("✓"),
                (false, true) => paint.bad("✗"),
                (false, false) => paint.attention("!"),
            };
            lines.push(format!("  {mark} {}: {}", finding.subject, finding.detail));
            for (index, line) in finding.fix.iter().flat_map(|fix| fix.lines()).enumerate() {
                let label = if index == 0 { paint.bold("fix:") } else { "    ".to_owned() };
                lines.push(format!("      {label} {line}"));
            }
        }
        lines.push(String::new());
    }
    let all = || groups.iter().flat_map(|group| &group.findings).filter(|finding| !finding.ok);
    let (blocking, rest) =
        (all().filter(|finding| finding.blocks).count(), all().filter(|finding| !finding.blocks).count());
    lines.push(match (blocking, rest) {
        (0, 0) => paint.good("The bridge can run."),
        (0, rest) => format!("{} Worth a look: {rest}.", paint.good("The bridge can run.")),
        (blocking, rest) => {
            format!("{} Blocking: {blocking}. Worth a look: {rest}.", paint.bad("The bridge cannot run yet."))
        }
    });
    lines.join("\n") + "\n"
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    ok: bool,
    groups: Vec<GroupDocument<'a>>,
}

#[derive(Serialize)]
struct GroupDocument<'a> {
    name: &'a str,
    place: &'a str,
    findings: Vec<FindingDocument<'a>>,
}

#[derive(Serialize)]
struct FindingDocument<'a> {
    subject: &'a str,
    ok: bool,
    blocks: bool,
    detail: &'a str,
    fix: Option<&'a str>,
}

impl<'a> From<&'a Group> for GroupDocument<'a> {
    fn from(group: &'a Group) -> Self {
        let finding = |finding: &'a Finding| FindingDocument {
            subject: &finding.subject,
            ok: finding.ok,
            blocks: finding.blocks,
            detail: &finding.detail,
            fix: finding.fix.as_deref(),
        };
        Self { name: group.name, place: &group.place, findings: group.findings.iter().map(finding).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_grouped_with_the_command_that_fixes_them() {
        let findings = vec![
            Finding::good("version", "MongoDB 6.0.5"),
            Finding::warning("oplog window", "3 h", "replSetResizeOplog"),
            Finding::blocking("topology", "standalone", "mongod --replSet rs0\nrs.initiate()"),
        ];
        let group = Group { name: "legacy", place: "mongodb://***@h/db".into(), findings };
        let nothing_asked = Group { name: "both", place: "identity".into(), findings: Vec::new() };
        assert_eq!(
            render(&[group, nothing_asked], Paint::plain()),
            "legacy  mongodb://***@h/db\n  ✓ version: MongoDB 6.0.5\n  ! oplog window: 3 h\n      fix: replSetResizeOplog\n  \
             ✗ topology: standalone\n      fix: mongod --replSet rs0\n           rs.initiate()\n\n\
             The bridge cannot run yet. Blocking: 1. Worth a look: 1.\n"
        );
    }
}
