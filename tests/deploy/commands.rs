//! The commands in the runbook exist.

use std::process::Command;

use crate::files::text;

/// The lines of `sh` blocks that call the bridge, without comments.
fn commands(markdown: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            inside = line.trim() == "```sh";
        } else if inside && line.trim_start().starts_with("biograph-bridge ") {
            found.push(line.trim().split(" #").next().unwrap_or_default().trim().to_owned());
        }
    }
    found
}

/// Words as a shell splits them; single and double quotes hold together.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c == ' ' => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_in_the_runbook_is_understood() {
    let runbook = text("runbook.md");
    let commands = commands(&runbook);
    assert!(commands.len() > 30, "{} commands", commands.len());
    for command in commands {
        // help is printed once everything before it was understood
        let words = split(&command);
        let output =
            Command::new(env!("CARGO_BIN_EXE_biograph-bridge")).args(&words[1..]).arg("--help").output().unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_command_that_does_not_exist_is_found_out() {
    let found = commands("```sh\nbiograph-bridge status --wacth   # look\n```\n`biograph-bridge nothing`\n");
    assert_eq!(found, ["biograph-bridge status --wacth"]);
    assert_eq!(split("a --reason 'b c' \"d\" ''"), ["a", "--reason", "b c", "d", ""]);
    let output =
        Command::new(env!("CARGO_BIN_EXE_biograph-bridge")).args(["status", "--wacth", "--help"]).output().unwrap();
    assert!(!output.status.success());
}
