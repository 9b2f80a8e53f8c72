//! The binary from outside: help, settings, exit codes, what it never prints.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use crate::cli_harness::{Bridge, USER_MAPPING};

const COMMANDS: [&str; 32] = [
    "check",
    "init",
    "run",
    "backfill",
    "verify",
    "status",
    "cutover start",
    "cutover batch",
    "cutover rollback",
    "cutover show",
    "cutover list",
    "cutover history",
    "conflicts list",
    "conflicts show",
    "conflicts resolve",
    "explain",
    "tombstones list",
    "tombstones show",
    "tombstones restore",
    "parked list",
    "parked show",
    "parked retry",
    "parked drop",
    "mappings check",
    "mappings show",
    "mappings try",
    "pause",
    "resume",
    "teardown",
    "sandbox",
    "completions",
    "man",
];
const URIS: [(&str, &str); 2] = [
    ("BRIDGE_LEGACY_URI", "mongodb://ada:hunter2@127.0.0.1:9/db"),
    ("BRIDGE_RENAISSANCE_URL", "postgres://ada:hunter2@127.0.0.1:9/db"),
];

#[test]
fn every_command_has_help_with_examples() {
    for command in COMMANDS {
        let answer = Bridge::new().run(&format!("{command} --help"));
        assert_eq!(answer.code, Some(0), "{command}: {}", answer.err);
        assert!(answer.out.contains("Examples:\n  biograph-bridge "), "{command} shows no example:\n{}", answer.out);
    }
    let overview = Bridge::new().run("--help").out;
    for command in COMMANDS {
        let name = command.split(' ').next().unwrap();
        assert!(overview.contains(&format!("\n  {name}")), "{name} is missing from\n{overview}");
    }
}

#[test]
fn reading_commands_offer_json() {
    let others = ["run", "sandbox", "completions", "man"];
    for command in COMMANDS.into_iter().filter(|command| !others.contains(command)) {
        assert!(Bridge::new().run(&format!("{command} -h")).out.contains("--json"), "{command}");
    }
}

#[test]
fn all_mistakes_in_the_settings_are_reported_at_once() {
    let bridge = Bridge::new()
        .file("bridge.toml", "lisen = \"127.0.0.1:1\"\nlog_format = \"xml\"\nlegacy_uri = \"${NOT_SET}\"\n")
        .with("BRIDGE_RENAISSANCE_URL", "mysql://ada:hunter2@h/db");
    let answer = bridge.run("check --batch-size many");
    assert_eq!(answer.code, Some(2));
    for expected in [
        "error: bridge.toml:1: lisen: is not a setting\n  fix: did you mean `listen`?\n",
        "error: bridge.toml:2: log_format: `xml` is neither `text` nor `json`\n",
        "error: bridge.toml:3: legacy_uri: the environment variable NOT_SET is not set\n",
        "error: BRIDGE_RENAISSANCE_URL: is not a Postgres connection string\n",
        "error: --batch-size: `many` is not a whole number",
    ] {
        assert!(answer.err.contains(expected), "{expected:?} is missing from\n{}", answer.err);
    }
    assert!(!answer.err.contains("hunter2"), "{}", answer.err);
    assert_eq!(answer.out, "");
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in ["", "frobnicate", "status --nope", "completions tcl"] {
        assert_eq!(Bridge::new().run(arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn a_named_file_that_is_missing_is_an_error_and_the_default_file_may_be_missing() {
    let answer = Bridge::new().run("status --config elsewhere.toml");
    assert_eq!((answer.code, answer.err.contains("elsewhere.toml: there is no such file")), (Some(2), true));
    assert_eq!(Bridge::new().with("BRIDGE_CONFIG", "elsewhere.toml").run("status").code, Some(2));
    assert_eq!(Bridge::new().run("status --listen 127.0.0.1:9").code, Some(3));
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let asked = |bridge: &Bridge, arguments: &str| bridge.run(arguments).err.lines().next().unwrap().to_owned();
    let bridge = Bridge::new().file("bridge.toml", "listen = \"127.0.0.1:11\"\n");
    assert!(asked(&bridge, "status").ends_with("127.0.0.1:11"));
    let bridge = bridge.with("BRIDGE_LISTEN", "127.0.0.1:12");
    assert!(asked(&bridge, "status").ends_with("127.0.0.1:12"));
    assert!(asked(&bridge, "status --listen 127.0.0.1:13").ends_with("127.0.0.1:13"));
}

#[test]
fn without_a_daemon_status_exits_with_3_and_says_what_to_do() {
    let answer = Bridge::new().run("status --listen 127.0.0.1:9");
    assert_eq!(answer.code, Some(3));
    assert_eq!(
        answer.err,
        "error: no daemon is active at 127.0.0.1:9\n  fix: start one with `biograph-bridge run`, or name its address with --listen\n"
    );
}

#[test]
fn secrets_are_never_printed() {
    let bridge = URIS.iter().fold(Bridge::new(), |bridge, (name, value)| bridge.with(name, value));
    for arguments in ["--help", "check --help", "check", "check --json", "init", "init --dry-run", "teardown --yes"] {
        let answer = bridge.run(arguments);
        let printed = answer.out + &answer.err;
        assert!(!printed.contains("hunter2"), "{arguments}: {printed}");
    }
}

#[test]
fn a_broken_mapping_is_named_by_file_and_line() {
    let whole = Bridge::new().file("mappings/user.toml", USER_MAPPING).run("mappings check");
    assert_eq!(whole.code, Some(0), "{}{}", whole.out, whole.err);
    let line = USER_MAPPING.lines().count() + 1;
    let bridge = Bridge::new().file("mappings/user.toml", &format!("{USER_MAPPING}\n[nonsense\n"));
    let answer = bridge.run("mappings check");
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.out.contains(&format!("user.toml:{line}")) || answer.out.contains(&format!("user.toml:{}", line + 1)),
        "{}",
        answer.out
    );
    let json: serde_json::Value = serde_json::from_str(&bridge.run("mappings check --json").out).unwrap();
    assert_eq!((&json["ok"], json["errors"].as_array().unwrap().is_empty()), (&false.into(), false));
}

#[test]
fn a_missing_mappings_directory_is_named() {
    let answer = Bridge::new().run("mappings check --mappings nowhere");
    assert_eq!(answer.code, Some(1));
    assert!(answer.err.contains("the mappings directory nowhere does not exist"), "{}", answer.err);
    assert!(answer.err.contains("fix: name the directory of the mapping files with --mappings"), "{}", answer.err);
}

#[test]
fn teardown_refuses_where_nobody_can_answer() {
    let bridge = URIS.iter().fold(Bridge::new(), |bridge, (name, value)| bridge.with(name, value));
    let answer = bridge.run("teardown");
    assert_eq!(
        (answer.code, answer.err.contains("fix: biograph-bridge teardown --yes")),
        (Some(1), true),
        "{}",
        answer.err
    );
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let answer = Bridge::new().run(&format!("completions {shell}"));
        assert!(answer.code == Some(0) && answer.out.contains("teardown"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let answer = Bridge::new().run(&format!("man --dir {}", folder.path().display()));
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    for command in COMMANDS {
        let page = folder.path().join(format!("biograph-bridge-{}.1", command.replace(' ', "-")));
        let page = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(page.contains(".SH SYNOPSIS") && page.contains("Examples:"), "{command}:\n{page}");
    }
    assert!(Bridge::new().run("man").out.starts_with(".ie"));
    let answer = Bridge::new().run("man --dir /nowhere/at/all");
    assert!(answer.code == Some(1) && answer.err.contains("/nowhere/at/all"), "{}", answer.err);
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let answer = Bridge::new().run("status --listen 0.0.0.0:9464");
    assert_eq!(answer.code, Some(2));
    assert!(answer.err.contains("readers must present a token") && answer.err.contains("token_file"), "{}", answer.err);
}

#[test]
fn a_daemon_serves_its_status_and_stops_on_sigterm_while_its_databases_are_down() {
    let bridge = Bridge::new().file("mappings/user.toml", USER_MAPPING);
    let bridge = URIS.iter().fold(bridge, |bridge, (name, value)| bridge.with(name, value));
    let mut daemon =
        bridge.command("run --listen 127.0.0.1:0 --log-format text").stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(daemon.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let address = line
        .split("status at http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .unwrap_or_else(|| panic!("{line}"));
    let status = bridge.run(&format!("status --json --listen {address}"));
    let report: serde_json::Value = serde_json::from_str(&status.out).unwrap_or_else(|_| panic!("{}", status.err));
    assert_eq!(report["sides"]["legacy"]["feed"], "down");
    assert!(bridge.run(&format!("status --listen {address}")).out.contains("legacy → renaissance"));
    terminate(daemon.id());
    assert!(daemon.wait().unwrap().success());
    log.read_to_string(&mut line).unwrap();
    assert!(line.contains("stopped") && !line.contains("hunter2"), "{line}");
}

fn terminate(process: u32) {
    let sent = Command::new("kill").args(["-TERM", &process.to_string()]).status().unwrap();
    assert!(sent.success());
}
