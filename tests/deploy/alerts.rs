//! Alerts are complete, tested, and explained in the runbook.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

use crate::files::{list, one_yaml, path, string, text};

/// Every alert.
pub(crate) fn rules() -> Vec<Value> {
    list(&one_yaml("prometheus/alerts.yml"), "/groups")
        .iter()
        .flat_map(|group| list(group, "/rules").to_vec())
        .collect()
}

fn names() -> BTreeSet<String> {
    rules().iter().map(|rule| string(rule, "/alert").to_owned()).collect()
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on() {
    for rule in rules() {
        let name = string(&rule, "/alert");
        assert!(["page", "warn"].contains(&string(&rule, "/labels/severity")), "{name}");
        assert!(!string(&rule, "/annotations/summary").is_empty(), "{name}");
        assert!(string(&rule, "/annotations/description").ends_with('.'), "{name}");
        assert_eq!(string(&rule, "/annotations/runbook_url"), format!("runbook.md#{}", name.to_lowercase()));
    }
}

#[test]
fn the_runbook_has_a_section_for_each_alert_and_for_no_other() {
    let runbook = text("runbook.md");
    let sections: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("### Bridge")).collect();
    let explained: BTreeSet<_> = sections.iter().map(|rest| format!("Bridge{rest}")).collect();
    assert_eq!(explained, names());
    assert_eq!(explained.len(), sections.len(), "a section is there twice");
}

#[test]
fn every_alert_fires_in_a_test() {
    let tests = one_yaml("prometheus/alerts.test.yml");
    let expected = list(&tests, "/tests").iter().filter_map(|test| test["promql_expr_test"].as_array()).flatten();
    let samples = expected.flat_map(|expected| list(expected, "/exp_samples"));
    let labels: String = samples.map(|sample| string(sample, "/labels").to_owned()).collect();
    let untested: Vec<_> =
        names().into_iter().filter(|name| !labels.contains(&format!("alertname=\"{name}\""))).collect();
    assert_eq!(untested, [""; 0]);
}

fn promtool(arguments: &[&str]) -> Option<Output> {
    let program = std::env::var_os("PROMTOOL").map_or_else(|| PathBuf::from("promtool"), PathBuf::from);
    match Command::new(program).args(arguments).current_dir(path("prometheus")).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("not checked: promtool is not installed (Debian's package prometheus; or set PROMTOOL)");
            None
        }
        Err(error) => panic!("promtool: {error}"),
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    let checks: [&[&str]; 3] = [
        &["check", "config", "prometheus.yml"],
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts.test.yml"],
    ];
    for arguments in checks {
        let Some(output) = promtool(arguments) else { return };
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}
