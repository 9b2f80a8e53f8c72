//! Settings as people write them, and their mistakes.

use super::*;

struct Case {
    folder: tempfile::TempDir,
    given: Given,
}

fn file(text: &str) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.toml");
    std::fs::write(&path, text).unwrap();
    Case { folder, given: Given { file: Some(path), values: BTreeMap::new() } }
}

impl Case {
    fn with(mut self, setting: Setting, text: &str) -> Self {
        self.given.values.insert(setting, Sourced::new(text.to_owned(), setting.flag()));
        self
    }

    fn load(self) -> Result<(Config, Databases), String> {
        let environment = |name: &str| (name == "PW").then(|| "hunter2".to_owned());
        let folder = format!("{}/", self.folder.path().display());
        load_with_databases(self.given, &environment).map_err(|problems| {
            problems.iter().map(|problem| problem.to_string().replace(&folder, "") + "\n").collect()
        })
    }
}

const URIS: &str = "legacy_uri = \"mongodb://ada:${PW}@h/BioGraphDemo\"\nrenaissance_url = \"postgres://h/db\"\n";

#[test]
fn defaults_fill_what_is_not_given() {
    let (config, databases) = file(URIS).load().unwrap();
    assert_eq!(config.listen.to_string(), DEFAULT_LISTEN);
    assert_eq!(config.mappings, PathBuf::from("mappings"));
    assert_eq!(config.engine, EngineSettings::default());
    assert_eq!(databases.legacy_uri.expose(), "mongodb://ada:hunter2@h/BioGraphDemo");
    assert!(!format!("{config:?} {databases:?}").contains("hunter2"));
}

#[test]
fn a_flag_wins_over_the_file_and_paths_in_the_file_are_relative_to_it() {
    let case = file(&format!("{URIS}listen = \"127.0.0.1:1\"\nmappings = \"maps\"\nbatch_size = 5\n"));
    let expected = case.folder.path().join("maps");
    let (config, _) = case.with(Setting::Listen, "localhost:2").load().unwrap();
    assert_eq!((config.listen.port(), config.mappings, config.engine.batch_size), (2, expected, 5));
}

#[test]
fn sizes_and_times_have_units() {
    let text =
        "queue_bytes = \"128 MiB\"\nbatch_bytes = \"1GiB\"\ndrain_timeout = \"1m\"\ncheckpoint_interval = \"500ms\"\n";
    let (config, _) = file(&format!("{URIS}{text}")).load().unwrap();
    assert_eq!((config.engine.queue_bytes, config.engine.batch_bytes), (128 << 20, 1 << 30));
    assert_eq!(config.engine.drain_timeout, Duration::from_secs(60));
    assert_eq!(config.engine.checkpoint_interval, Duration::from_millis(500));
}

#[test]
fn every_problem_is_reported_with_file_line_and_key() {
    let text = "legacy_uri = \"mongodb://ada:${PW}@h\"\n\nlisen = 1\nlog_format = \"xml\"\nmappings = [1]\n\
                batch_size = 0\ndrain_timeout = \"soon\"\nqueue_bytes = \"${NOPE}\"\n";
    let problems = file(text).with(Setting::Listen, "0.0.0.0:80").load().unwrap_err();
    assert_eq!(
        problems,
        "b.toml:3: lisen: is not a setting\n\
         b.toml:5: mappings: holds an array; text in quotes is expected\n\
         b.toml:8: queue_bytes: the environment variable NOPE is not set\n\
         --listen: 0.0.0.0:80 can be reached from other machines, so readers must present a token\n\
         b.toml:4: log_format: `xml` is neither `text` nor `json`\n\
         b.toml:6: batch_size: 0 is not between 1 and 10000\n\
         b.toml:7: drain_timeout: `soon` is not a time such as 500ms, 30s or 2m\n\
         b.toml:1: legacy_uri: names no database after the host\n\
         --renaissance-url: is not set\n"
    );
}

#[test]
fn a_setting_that_cannot_be_read_is_not_called_missing_as_well() {
    let text = "legacy_uri = \"mongodb://h/db\"\nrenaissance_url = \"postgres://ada:${NOPE}@h/db\"\n";
    let problems = file(text).load().unwrap_err();
    assert_eq!(problems, "b.toml:2: renaissance_url: the environment variable NOPE is not set\n");
}

#[test]
fn a_syntax_error_names_the_line_and_never_quotes_it() {
    let problems = file("log_format = \"text\"\nlegacy_uri = mongodb://ada:hunter2@h/db\n").load().unwrap_err();
    assert!(problems.starts_with("b.toml:2: "), "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn a_token_makes_other_machines_welcome() {
    let case = file(&format!("{URIS}listen = \"0.0.0.0:80\"\ntoken_file = \"token\"\n"));
    std::fs::write(case.folder.path().join("token"), "0123456789abcdef\n").unwrap();
    let (config, _) = case.load().unwrap();
    assert_eq!(config.token.unwrap().expose(), "0123456789abcdef");
}

#[test]
fn a_named_file_must_exist() {
    let given = Given { file: Some(PathBuf::from("/nowhere/b.toml")), values: BTreeMap::new() };
    let problems = load(given, &|_| None).unwrap_err();
    assert_eq!(problems.iter().next().unwrap().to_string(), "/nowhere/b.toml: there is no such file");
}

#[test]
fn commands_that_do_not_touch_the_databases_do_not_ask_for_their_secrets() {
    let case = file("log_format = \"json\"\nlegacy_uri = \"${NOT_SET_HERE}\"\n");
    assert_eq!(load(case.given, &|_| None).unwrap().log_format, Some(LogFormat::Json));
}
