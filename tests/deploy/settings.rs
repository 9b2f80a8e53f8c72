//! The example of `bridge.toml`, and what manifests give as environment, are settings that exist.

use std::collections::{BTreeMap, BTreeSet};

use biograph_bridge::config::{Config, Databases, EngineSettings, Given, Setting, load_with_databases};

use crate::files::text;

/// Where the unit has systemd put the secrets.
const CREDENTIALS: &str = "/run/credentials/biograph-bridge.service";

/// Loads a text as `bridge.toml` is loaded, with the secrets it refers to.
fn loaded(toml: &str) -> (Config, Databases) {
    let folder = tempfile::tempdir().unwrap();
    for secret in ["legacy", "renaissance", "token"] {
        std::fs::write(folder.path().join(secret), "0123456789abcdef0123456789abcdef\n").unwrap();
    }
    let file = folder.path().join("bridge.toml");
    std::fs::write(&file, toml.replace(CREDENTIALS, &folder.path().display().to_string())).unwrap();
    let given = Given { file: Some(file), values: BTreeMap::new() };
    load_with_databases(given, &|_| None).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())
    })
}

/// The key that a line sets, also where it is commented out.
fn key(line: &str) -> Option<&str> {
    line.trim_start_matches("# ").split_once(" = ").map(|(key, _)| key).filter(|key| !key.contains(' '))
}

#[test]
fn the_example_is_accepted_and_changes_no_default() {
    let (config, _) = loaded(&text("bridge.toml"));
    assert_eq!(config.engine, EngineSettings::default());
    assert!(config.listen.ip().is_loopback());
}

#[test]
fn what_the_example_has_commented_out_is_the_default() {
    let example = text("bridge.toml");
    let shown: BTreeSet<_> = example.lines().filter_map(key).collect();
    assert!(shown.len() >= 20, "{shown:?}");
    let uncommented =
        |line: &str| key(line).map_or_else(String::new, |_| line.trim_start_matches("# ").to_owned() + "\n");
    let (config, _) = loaded(&example.lines().map(uncommented).collect::<String>());
    assert_eq!(config.engine, EngineSettings::default());
    assert!(config.token.is_some());
}

#[test]
fn every_setting_is_in_the_example_and_in_the_readme() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let example = text("bridge.toml");
    let shown: BTreeSet<_> = example.lines().filter_map(key).collect();
    for setting in Setting::ALL {
        let key = setting.key();
        assert!(shown.contains(key), "{key} is not in deploy/bridge.toml");
        assert!(
            readme.lines().any(|line| line.starts_with(&format!("| `{key}` |"))),
            "{key} is not in the README's table"
        );
    }
}

#[test]
fn manifests_set_variables_that_exist() {
    let known: BTreeSet<_> =
        Setting::ALL.into_iter().map(Setting::variable).chain(["BRIDGE_CONFIG".to_owned()]).collect();
    for name in ["compose.yml", "Dockerfile", "kubernetes/bridge.yml", "systemd/biograph-bridge.service"] {
        let text = text(name);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let unknown: Vec<_> = words.filter(|word| word.starts_with("BRIDGE_") && !known.contains(*word)).collect();
        assert_eq!(unknown, [""; 0], "{name}");
    }
}
