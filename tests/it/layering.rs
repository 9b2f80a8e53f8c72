//! The house law, enforced: who may name what, and how long a file may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lines of a source file, in-file tests not counted.
const LONGEST: usize = 500;

/// A word, the places that may use it (a trailing `/` means everything below), and why.
struct Rule {
    word: &'static str,
    allowed: &'static [&'static str],
}

const RULES: [Rule; 6] = [
    Rule { word: "mongodb::", allowed: &["mongo/", "sandbox/"] },
    Rule { word: "sqlx::", allowed: &["postgres/", "sandbox/"] },
    Rule { word: "pgwire_replication::", allowed: &["postgres/"] },
    Rule { word: "prometheus::", allowed: &["metrics.rs"] },
    Rule { word: "backoff::", allowed: &["retry.rs"] },
    Rule { word: "clap::", allowed: &["cli/", "main.rs"] },
];

/// What the pure core never names.
const IMPURE: [&str; 12] = [
    "tokio",
    "sqlx",
    "mongodb",
    "prometheus",
    "axum",
    "reqwest",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "SystemTime",
    "Instant::now",
];

/// What orchestration never names: it knows the databases through its own traits.
const CONCRETE: [&str; 4] = ["crate::mongo", "crate::postgres", "crate::cli", "crate::admin"];

struct Source {
    /// Relative to `src`.
    path: String,
    text: String,
}

impl Source {
    /// The lines that are code: no comments, nothing from the in-file tests on.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.take_while(|(_, line)| *line != "#[cfg(test)]").filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn naming(&self, word: &str) -> Vec<String> {
        let names = |line: &str| line.match_indices(word).any(|(at, _)| !line[..at].ends_with(is_name_part));
        self.code()
            .filter(|(_, line)| names(line))
            .map(|(number, line)| format!("{}:{number}: {}", self.path, line.trim()))
            .collect()
    }

    fn is_below(&self, places: &[&str]) -> bool {
        places.iter().any(|place| if place.ends_with('/') { self.path.starts_with(place) } else { self.path == *place })
    }
}

fn is_name_part(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == ':'
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(&root).unwrap().display().to_string(), text });
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn offences(offends: impl Fn(&Source) -> Vec<String>) -> String {
    sources().iter().flat_map(offends).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_driver_is_named_in_its_own_place_only() {
    for Rule { word, allowed } in RULES {
        let found = offences(|source| if source.is_below(allowed) { Vec::new() } else { source.naming(word) });
        assert!(found.is_empty(), "`{word}` may be named only in {allowed:?}:\n{found}");
    }
}

#[test]
fn the_core_is_pure() {
    for word in IMPURE {
        let found = offences(|source| if source.is_below(&["model/"]) { source.naming(word) } else { Vec::new() });
        assert!(found.is_empty(), "src/model must not name `{word}`:\n{found}");
    }
}

#[test]
fn the_two_databases_never_see_each_other() {
    let found = offences(|source| match () {
        () if source.is_below(&["mongo/"]) => source.naming("crate::postgres"),
        () if source.is_below(&["postgres/"]) => source.naming("crate::mongo"),
        () => Vec::new(),
    });
    assert!(found.is_empty(), "{found}");
}

#[test]
fn orchestration_knows_the_databases_only_through_its_own_traits() {
    for word in CONCRETE {
        let found = offences(|source| if source.is_below(&["sync/"]) { source.naming(word) } else { Vec::new() });
        assert!(found.is_empty(), "src/sync must not name `{word}`:\n{found}");
    }
}

#[test]
fn files_stay_short() {
    let found = offences(|source| {
        let lines = source.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > LONGEST { vec![format!("{}: {lines} lines", source.path)] } else { Vec::new() }
    });
    assert!(found.is_empty(), "longer than {LONGEST} lines:\n{found}");
}

#[test]
fn no_module_is_named_after_nothing() {
    const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "manager", "common"];
    let found = offences(|source| {
        let parts = source.path.trim_end_matches(".rs").split('/');
        if parts.clone().any(|part| EMPTY_NAMES.contains(&part)) { vec![source.path.clone()] } else { Vec::new() }
    });
    assert!(found.is_empty(), "say what it does:\n{found}");
}
