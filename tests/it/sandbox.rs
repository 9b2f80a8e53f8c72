//! The sandbox: its traffic is what two real applications would do, and its servers and commands behave as promised.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use biograph_bridge::model::{
    key::SideId,
    side::{Direction, Side},
};
use biograph_bridge::sandbox::{
    ChangeKind, ServerChoice, Stage, Traffic, TrafficOptions, USERS, mongod_program, postgres_folder,
};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// Generous: the machine may be building.
const LIMIT: Duration = Duration::from_secs(60);

async fn legacy_users(stage: &Stage) -> Collection<Document> {
    Client::with_uri_str(stage.legacy_uri()).await.unwrap().default_database().unwrap().collection(USERS)
}

async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn traffic_alone_keeps_both_databases_valid() {
    let stage = Stage::start(300, |_| ()).await.unwrap();
    let (users, spared) = (legacy_users(&stage).await, stage.example());
    let id = mongodb::bson::oid::ObjectId::from_bytes(spared.bytes());
    let example = users.find_one(doc! { "_id": id }).await.unwrap().unwrap();

    let options = TrafficOptions { seed: 7, spared: Some(spared), clashes: true, only: None };
    let mut traffic = Traffic::new(&stage.legacy_uri(), &stage.renaissance_url(), options).await.unwrap();
    for _ in 0..1500 {
        traffic.step().await.unwrap();
    }

    let made = |side, kind| traffic.counts().get(&(side, kind)).copied().unwrap_or(0);
    for side in Side::ALL {
        let settings = [ChangeKind::Edit, ChangeKind::Replace, ChangeKind::Join, ChangeKind::Leave, ChangeKind::Delete];
        let content = [ChangeKind::Publish, ChangeKind::Revise, ChangeKind::Withdraw, ChangeKind::Befriend];
        for kind in settings.into_iter().chain(content) {
            assert!(made(side, kind) > 0, "{side} {kind}: {:?}", traffic.counts());
        }
        assert!(traffic.made(side) > 600);
    }
    let people = |side, first| first + made(side, ChangeKind::Join) - made(side, ChangeKind::Delete);
    assert_eq!(users.count_documents(doc! {}).await.unwrap(), people(Side::Legacy, 300));
    assert_eq!(users.find_one(doc! { "_id": id }).await.unwrap().unwrap(), example, "nobody writes to the example");

    let mut connection = PgConnection::connect(&stage.renaissance_url()).await.unwrap();
    let rows = number(&mut connection, "SELECT count(*) FROM users").await;
    assert_eq!(rows, i64::try_from(people(Side::Renaissance, 0)).unwrap());
    let with_profile = "SELECT count(*) FROM users u JOIN user_profiles p ON p.user_id = u.id";
    assert_eq!(number(&mut connection, with_profile).await, rows, "everybody has a profile");
    let touched = "SELECT count(*) FROM users WHERE updated_at > created_at";
    assert!(number(&mut connection, touched).await > 0, "a save moves updated_at and leaves created_at");
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn traffic_of_one_side_is_the_same_for_the_same_seed_and_outlives_its_server() {
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let stage = Stage::start(50, |_| ()).await.unwrap();
        let options = TrafficOptions { seed: 3, only: Some(Side::Legacy), ..TrafficOptions::default() };
        let mut traffic = Traffic::new(&stage.legacy_uri(), &stage.renaissance_url(), options).await.unwrap();
        let mut done = Vec::new();
        for _ in 0..100 {
            let change = traffic.step().await.unwrap();
            assert!(matches!(change.id, SideId::Legacy(_)));
            done.push(change.kind);
        }
        kinds.push(done);
        stage.stop().await.unwrap();
        if kinds.len() == 2 {
            assert!(traffic.step().await.is_err(), "a server that is gone is an error for the caller to judge");
        }
    }
    assert_eq!(kinds[0], kinds[1]);
}

/// The command in a temporary folder of its own, so that what it leaves there can be seen.
struct CommandRun {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
}

impl CommandRun {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // the servers' unprivileged user passes through it
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_biograph-bridge"))
            .args(["sandbox", "--json", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .env("TMPDIR", folder.path())
            .env("BRIDGE_SANDBOX_POSTGRES", postgres_folder(&ServerChoice::Pinned).unwrap())
            .env("BRIDGE_SANDBOX_MONGOD", mongod_program(&ServerChoice::Pinned).unwrap())
            // not in the checkout: the mapping is the built-in one
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, output, folder }
    }

    fn next(&mut self) -> Option<Value> {
        self.output.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
    }

    /// The next second in which this holds.
    fn wait_for(&mut self, condition: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        while let Some(second) = self.next() {
            if condition(&second) {
                return second;
            }
            assert!(started.elapsed() < LIMIT, "{second}");
        }
        panic!("it ended before that");
    }

    /// Another command, about the sandbox that runs here.
    fn by_hand(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_biograph-bridge"))
            .arg("sandbox")
            .args(arguments)
            .env("TMPDIR", self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Its own end: successful, with nothing left behind.
    fn end(mut self) {
        assert!(self.child.wait().unwrap().success());
        let left: Vec<_> = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(super::servers::processes_in(self.folder.path()), Vec::<String>::new());
    }
}

fn interrupt(run: &CommandRun) {
    kill(Pid::from_raw(i32::try_from(run.child.id()).unwrap()), Signal::SIGINT).unwrap();
}

fn applied(second: &Value, direction: Direction) -> u64 {
    second["bridge"]["directions"][direction.as_str()]["applied"].as_u64().unwrap()
}

fn people(second: &Value, side: Side) -> Option<u64> {
    second["people"][side.as_str()].as_u64()
}

#[test]
fn for_a_while_both_applications_write_and_both_directions_cross() {
    let mut run = CommandRun::start(&["--people", "200", "--rate", "20", "--for", "10s"]);
    let intro = run.next().unwrap();
    for (key, start) in [("legacy_uri", "mongodb://"), ("renaissance_url", "postgres://"), ("http", "http://127.")] {
        assert!(intro[key].as_str().unwrap().starts_with(start), "{intro}");
    }
    let mut last = Value::Null;
    while let Some(second) = run.next() {
        last = second;
    }
    assert_eq!(last["traffic"]["failed"], 0, "{last}");
    assert!(last["traffic"]["legacy"].as_u64().unwrap() > 10, "{last}");
    assert!(last["traffic"]["renaissance"].as_u64().unwrap() > 10, "{last}");
    assert!(applied(&last, Direction::LegacyToRenaissance) > 200, "the first copy and some changes: {last}");
    assert!(applied(&last, Direction::RenaissanceToLegacy) > 5, "{last}");
    run.end();
}

#[test]
fn a_change_by_hand_arrives_on_the_other_side() {
    let mut run = CommandRun::start(&["--people", "50", "--rate", "0"]);
    let intro = run.next().unwrap();
    let example = intro["example"].as_str().unwrap().to_owned();
    run.wait_for(|second| {
        second["bridge"]["state"] == "streaming" && Side::ALL.map(|side| people(second, side)) == [Some(50); 2]
    });

    let arrived = run.by_hand(&["edit", &example, "name=Ada Lovelace", "email_notification.all=false"]);
    assert!(arrived.contains("arrived in Postgres after ") && arrived.contains("\"Ada Lovelace\""), "{arrived}");

    let settings = ["--config", intro["settings"].as_str().unwrap(), "check"];
    // as whoever copies the line that the sandbox prints, wherever they are
    let mut anywhere = Command::new(env!("CARGO_BIN_EXE_biograph-bridge"));
    let done = anywhere.args(settings).current_dir(run.folder.path()).status().unwrap();
    assert!(done.success(), "any command takes its settings");

    let psql = postgres_folder(&ServerChoice::Pinned).unwrap().join("psql");
    if psql.exists() {
        let update = format!("UPDATE users SET first_name = 'Grace Hopper' WHERE old_user_id = '{example}'");
        let url = intro["renaissance_url"].as_str().unwrap();
        let output = Command::new(psql).args([url, "-c", &update]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "UPDATE 1\n");
        let started = Instant::now();
        while run.by_hand(&["show", &example]).matches("Grace Hopper").count() < 2 {
            assert!(started.elapsed() < LIMIT);
        }
    }
    assert_eq!(
        run.wait_for(|second| applied(second, Direction::RenaissanceToLegacy) > 0)["traffic"]["legacy"],
        0,
        "with a rate of 0 nobody else writes"
    );
    interrupt(&run);
    while run.next().is_some() {}
    run.end();
}

#[test]
fn ctrl_c_ends_the_command_promptly_with_nothing_left() {
    let mut run = CommandRun::start(&["--people", "100"]);
    run.wait_for(|second| second["traffic"]["legacy"].as_u64() > Some(0));
    let asked = Instant::now();
    interrupt(&run);
    while run.next().is_some() {}
    run.end();
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}
