//! Links inside the README and the runbook, and the files that the README names, lead somewhere.

use std::{collections::BTreeSet, path::Path};

/// Where a heading can be linked to, as GitHub has it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

/// The text outside of code blocks.
fn prose(markdown: &str) -> Vec<&str> {
    let mut inside = false;
    let outside = markdown.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !fence && !inside
    });
    outside.collect()
}

/// Targets of links that do not exist.
fn broken(markdown: &str, folder: &Path) -> Vec<String> {
    let lines = prose(markdown);
    let headings = lines.iter().filter(|line| line.starts_with('#'));
    let known: BTreeSet<_> = headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
    let targets = lines.iter().flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    let there = |target: &str| match target.strip_prefix('#') {
        Some(heading) => known.contains(heading),
        None => target.starts_with("https://") || folder.join(target).exists(),
    };
    targets.filter(|target| !there(target)).map(str::to_owned).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["README.md", "deploy/runbook.md"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(text.contains("](#"), "{file} has links");
        assert_eq!(broken(&text, root.join(file).parent().unwrap()), [""; 0], "{file}");
    }
}

#[test]
fn files_that_are_named_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let named = readme.split(['`', ' ', '\n']).filter(|word| word.starts_with("deploy/") && word.len() > 7);
    let missing: Vec<_> = named.filter(|name| !root.join(name).exists()).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn a_link_that_leads_nowhere_is_found_out() {
    let text = "# One & two\n[a](#one--two) [b](#one) [c](src)\n```sh\n[d](#none)\n```\n[e](nothing.md)\n";
    assert_eq!(broken(text, Path::new(env!("CARGO_MANIFEST_DIR"))), ["#one", "nothing.md"]);
}
