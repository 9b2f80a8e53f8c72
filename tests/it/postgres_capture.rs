//! The renaissance capture on real servers: what is written arrives as hints, once durable it is confirmed, and nothing
//! is lost between two captures.

use std::time::{Duration, Instant};

use biograph_bridge::{
    error::{Disposition, Error},
    model::{
        hint::{Captured, Freshness, Position},
        key::SideId,
    },
    postgres::{
        capture::{PostgresCapture, PostgresSource, SLOT_AHEAD},
        setup,
    },
    sync::ports::{Capture, Source},
};

use crate::postgres_fixture::{Fixture, every_postgres, fixture, insert_profile, insert_users, user};

const LIMIT: Duration = Duration::from_secs(30);
/// What opens every transaction of the bridge.
const OWN: &str = "SELECT pg_logical_emit_message(true, 'biograph_bridge', '')";

/// A set-up server with an open capture.
struct Stream {
    on: Fixture,
    source: PostgresSource,
    capture: PostgresCapture,
}

/// What a capture delivered up to some position.
#[derive(Debug, Default)]
struct Seen {
    ids: Vec<i64>,
    echoes: u64,
    structure: Vec<String>,
    xids: Vec<u32>,
    committed_at: Vec<i64>,
    positions: Vec<u64>,
    idle: bool,
}

async fn source(on: &Fixture) -> PostgresSource {
    setup::init(&on.pool, &user(), false).await.unwrap();
    PostgresSource::new(&on.url, on.pool.clone(), &user()).unwrap()
}

async fn open(on: Fixture) -> Stream {
    let source = source(&on).await;
    let capture = source.open(&source.tip().await.unwrap()).await.unwrap();
    Stream { on, source, capture }
}

async fn every_stream() -> Vec<Stream> {
    let mut streams = Vec::new();
    for on in every_postgres().await {
        streams.push(open(on).await);
    }
    streams
}

async fn next(capture: &mut PostgresCapture) -> Captured {
    tokio::time::timeout(LIMIT, capture.next()).await.expect("the capture says something").unwrap()
}

fn lsn(position: &Position) -> u64 {
    match position {
        Position::Lsn(lsn) => *lsn,
        Position::Token(_) => panic!("a token from Postgres"),
    }
}

/// Reads until everything committed before the call has arrived.
async fn catch_up(source: &PostgresSource, capture: &mut PostgresCapture) -> Seen {
    let end = lsn(&source.tip().await.unwrap());
    let mut seen = Seen::default();
    loop {
        match next(capture).await {
            Captured::Hint(hint) => {
                let SideId::Renaissance(id) = hint.key.id else { panic!("a legacy id from Postgres") };
                let Freshness::Xid(xid) = hint.freshness else { panic!("no xid") };
                seen.ids.push(id);
                seen.xids.push(xid);
                seen.committed_at.push(hint.committed_at.unwrap());
            }
            Captured::Position(position) => seen.positions.push(lsn(&position)),
            Captured::Idle(position) => {
                seen.positions.push(lsn(&position));
                seen.idle = true;
            }
            Captured::Echo(count) => seen.echoes += count,
            Captured::Structure(found) => seen.structure.push(found.what),
            Captured::Unaddressable(..) => panic!("every row has an id"),
        }
        if seen.positions.last().is_some_and(|last| *last >= end) {
            assert!(seen.positions.is_sorted(), "{seen:?}");
            return seen;
        }
    }
}

impl Stream {
    async fn after(&mut self, sql: &[&str]) -> Seen {
        for sql in sql {
            self.on.sql(sql).await;
        }
        catch_up(&self.source, &mut self.capture).await
    }
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn refused(source: &PostgresSource, from: &Position) -> Error {
    match source.open(from).await {
        Ok(_) => panic!("the capture opened"),
        Err(error) => error,
    }
}

async fn confirmed(on: &Fixture) -> u64 {
    let sql = "SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::int8 FROM pg_replication_slots";
    u64::try_from(on.ask::<i64>(sql).await).unwrap()
}

#[tokio::test]
async fn inserts_updates_and_deletes_arrive_with_their_transaction() {
    for mut stream in every_stream().await {
        let before = stream.on.ask::<i64>("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8").await;
        let seen = stream.after(&[&insert_users(1..=3), "UPDATE users SET bio = 'x' WHERE id = 2"]).await;
        assert_eq!(seen.ids, [1, 2, 3, 2]);
        assert!(seen.xids[0] == seen.xids[2] && seen.xids[2] != seen.xids[3], "{:?}", seen.xids);
        assert!(seen.committed_at.iter().all(|at| (before..before + 60_000_000).contains(at)), "{seen:?}");
        let newest = stream.on.ask::<i64>("SELECT xmin::text::int8 FROM users WHERE id = 2").await;
        assert_eq!(i64::from(seen.xids[3]), newest);
        assert_eq!(stream.after(&["DELETE FROM users WHERE id = 3"]).await.ids, [3]);
        assert!(stream.after(&["UPDATE biographs SET title = ''"]).await.ids.is_empty());
    }
}

#[tokio::test]
async fn a_child_row_hints_its_parent_also_when_it_goes_or_moves() {
    for mut stream in every_stream().await {
        stream.after(&[&insert_users(1..=2)]).await;
        assert_eq!(stream.after(&[&insert_profile(1)]).await.ids, [1]);
        assert_eq!(stream.after(&["UPDATE user_profiles SET theme = 'dark'"]).await.ids, [1]);
        let mut moved = stream.after(&["UPDATE user_profiles SET user_id = 2"]).await.ids;
        moved.sort_unstable();
        assert_eq!(moved, [1, 2]);
        assert_eq!(stream.after(&["DELETE FROM user_profiles"]).await.ids, [2]);
        let mut moved = stream.after(&["UPDATE users SET id = 20 WHERE id = 2"]).await.ids;
        moved.sort_unstable();
        assert_eq!(moved, [2, 20], "a changed key hints both");
    }
}

#[tokio::test]
async fn a_person_and_her_profile_written_together_are_one_hint() {
    let mut stream = open(fixture(Default::default()).await).await;
    let both = format!("BEGIN; {}; {}; COMMIT", insert_users(1..=1), insert_profile(1));
    assert_eq!(stream.after(&[&both]).await.ids, [1]);
}

#[tokio::test]
async fn a_child_without_a_usable_index_is_captured_by_its_whole_row() {
    for on in every_postgres().await {
        on.sql("ALTER TABLE user_profiles DROP CONSTRAINT user_profiles_user_id_key; ALTER TABLE user_profiles ALTER user_id DROP NOT NULL").await;
        let mut stream = open(on).await;
        stream.after(&[&insert_users(1..=1), &insert_profile(1)]).await;
        assert_eq!(stream.after(&["DELETE FROM user_profiles"]).await.ids, [1]);
        assert!(stream.after(&[&insert_profile(1).replace("1)", "NULL)")]).await.ids.is_empty(), "nobody's profile");
    }
}

#[tokio::test]
async fn the_bridges_own_transactions_are_dropped_and_counted() {
    for mut stream in every_stream().await {
        let own = format!("BEGIN; {OWN}; {}; {}; COMMIT", insert_users(1..=3), insert_profile(1));
        let seen = stream.after(&[&own, &insert_users(4..=4)]).await;
        assert_eq!((seen.echoes, seen.ids), (4, vec![4]));
        let late = format!("BEGIN; {}; {OWN}; {}; COMMIT", insert_users(5..=5), insert_users(6..=6));
        let seen = stream.after(&[&late]).await;
        assert_eq!((seen.echoes, seen.ids), (0, vec![5, 6]), "a transaction that does not open with it is not ours");
        let undone = format!("BEGIN; {OWN}; {}; ROLLBACK", insert_users(7..=7));
        let seen = stream.after(&[&undone, &format!("BEGIN; {OWN}; COMMIT"), &insert_users(8..=8)]).await;
        assert_eq!((seen.echoes, seen.ids), (0, vec![8]));
    }
}

#[tokio::test]
async fn a_big_transaction_streams_its_hints_in_bounded_memory() {
    const ROWS: i64 = 100_000;
    for mut stream in every_stream().await {
        stream.on.sql(&insert_users(1..=ROWS)).await;
        let (mut hints, mut held) = (0, false);
        loop {
            match next(&mut stream.capture).await {
                Captured::Hint(_) => hints += 1,
                Captured::Position(_) | Captured::Idle(_) if hints < ROWS => {}
                Captured::Position(_) => break,
                other => panic!("{other:?}"),
            }
            if hints == 10 && !held {
                // a consumer that is busy for longer than the buffers last: the session must live on
                held = true;
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        }
        assert_eq!(hints, ROWS);
    }
}

#[tokio::test]
async fn a_truncated_table_is_reported() {
    for mut stream in every_stream().await {
        let seen = stream.after(&["TRUNCATE user_profiles", "TRUNCATE books"]).await;
        assert_eq!(seen.structure, ["table user_profiles was truncated"]);
    }
}

#[tokio::test]
async fn a_quiet_stream_keeps_up_with_what_others_write() {
    for mut stream in every_stream().await {
        let before = confirmed(&stream.on).await;
        stream.on.sql("CREATE TABLE other (n int); INSERT INTO other SELECT generate_series(1, 10000)").await;
        let end = lsn(&stream.source.tip().await.unwrap());
        let started = Instant::now();
        let position = loop {
            match next(&mut stream.capture).await {
                Captured::Idle(position) if lsn(&position) >= end => break position,
                Captured::Idle(_) | Captured::Position(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        stream.source.confirm(&position);
        let on = &stream.on;
        eventually("the slot moves", async || confirmed(on).await >= end && end > before).await;
        let started = Instant::now();
        for _ in 0..3 {
            assert!(matches!(next(&mut stream.capture).await, Captured::Idle(_)));
        }
        assert!(started.elapsed() < Duration::from_secs(5), "about once a second");
    }
}

#[tokio::test]
async fn what_was_not_confirmed_is_delivered_again_and_what_was_is_not() {
    for mut stream in every_stream().await {
        let first = stream.after(&[&insert_users(1..=1)]).await;
        let safe = Position::Lsn(*first.positions.last().unwrap());
        stream.source.confirm(&safe);
        stream.source.confirm(&Position::Lsn(0));
        stream.after(&[&insert_users(2..=2)]).await;
        let on = &stream.on;
        eventually("the confirmation arrives", async || confirmed(on).await >= lsn(&safe)).await;
        drop(stream.capture);

        // as a new process would: a new source that has confirmed nothing yet
        let source = PostgresSource::new(&stream.on.url, stream.on.pool.clone(), &user()).unwrap();
        let mut capture = source.open(&safe).await.unwrap();
        assert_eq!(catch_up(&source, &mut capture).await.ids, [2]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(confirmed(&stream.on).await, lsn(&safe), "opening confirms nothing and takes nothing back");
        drop(capture);
        let mut capture = source.open(&Position::Lsn(0)).await.unwrap();
        assert_eq!(catch_up(&source, &mut capture).await.ids, [2], "position zero is where the slot is");
    }
}

#[tokio::test]
async fn confirmations_reach_the_server_while_nobody_reads_the_capture() {
    let mut stream = open(fixture(Default::default()).await).await;
    let seen = stream.after(&[&insert_users(1..=1)]).await;
    stream.on.sql(&insert_users(2..=20_000)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let safe = Position::Lsn(*seen.positions.last().unwrap());
    stream.source.confirm(&safe);
    let on = &stream.on;
    eventually("the slot moves", async || confirmed(on).await >= lsn(&safe)).await;
}

#[tokio::test]
async fn a_restarted_server_is_tried_again_and_nothing_is_lost() {
    for on in every_postgres().await {
        let mut stream = open(on).await;
        let first = stream.after(&[&insert_users(1..=1)]).await;
        stream.on.server.restart().await.unwrap();
        let error = loop {
            match tokio::time::timeout(LIMIT, stream.capture.next()).await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.disposition(), Disposition::Retry, "{error}");
        eventually("the pool comes back", async || sqlx::query("SELECT 1").execute(&stream.on.pool).await.is_ok())
            .await;
        stream.on.sql(&insert_users(2..=2)).await;
        stream.on.server.kill().await.unwrap();
        stream.on.server.start_again().await.unwrap();
        eventually("the pool comes back", async || sqlx::query("SELECT 1").execute(&stream.on.pool).await.is_ok())
            .await;
        let last = Position::Lsn(*first.positions.last().unwrap());
        let mut capture = stream.source.open(&last).await.unwrap();
        assert_eq!(catch_up(&stream.source, &mut capture).await.ids, [2]);
    }
}

#[tokio::test]
async fn a_session_the_server_ends_is_tried_again() {
    let mut stream = open(fixture(Default::default()).await).await;
    stream.on.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots").await;
    let error = loop {
        match tokio::time::timeout(LIMIT, stream.capture.next()).await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.disposition(), Disposition::Retry, "{error}");
}

#[tokio::test]
async fn a_slot_that_cannot_serve_is_refused_by_its_reason() {
    for on in every_postgres().await {
        let source = source(&on).await;
        let tip = source.tip().await.unwrap();
        let capture = source.open(&tip).await.unwrap();
        let busy = refused(&source, &tip).await;
        assert_eq!(busy.disposition(), Disposition::Retry, "{busy}");
        assert!(busy.to_string().contains("is active for PID"), "{busy}");
        drop(capture);

        let code = |error: &Error| error.fault().map(|fault| fault.code.clone());
        on.sql(&insert_users(1..=1)).await;
        eventually("the slot is free", async || {
            on.ask::<i64>("SELECT count(*) FROM pg_replication_slots WHERE active").await == 0
        })
        .await;
        setup::recreate_slot(&mut on.pool.acquire().await.unwrap()).await.unwrap();
        let ahead = refused(&source, &tip).await;
        assert_eq!((ahead.disposition(), code(&ahead)), (Disposition::Halt, Some(SLOT_AHEAD.to_owned())), "{ahead}");

        on.sql("SELECT pg_drop_replication_slot('biograph_bridge')").await;
        let missing = refused(&source, &tip).await;
        assert_eq!((missing.disposition(), code(&missing)), (Disposition::Halt, Some("42704".to_owned())), "{missing}");
        assert_eq!(missing.hint(), Some("biograph-bridge init"));

        setup::init(&on.pool, &user(), false).await.unwrap();
        on.sql("ALTER PUBLICATION biograph_bridge DROP TABLE user_profiles").await;
        let incomplete = refused(&source, &Position::Lsn(0)).await;
        assert_eq!(incomplete.disposition(), Disposition::Halt);
        assert!(incomplete.to_string().contains("user_profiles"), "{incomplete}");
        on.sql("DROP PUBLICATION biograph_bridge").await;
        assert_eq!(code(&refused(&source, &Position::Lsn(0)).await), Some("42704".to_owned()));
    }
}

#[tokio::test]
async fn a_slot_whose_log_was_removed_is_refused_as_lost() {
    let settings = [("max_slot_wal_keep_size", "1MB"), ("max_wal_size", "32MB"), ("min_wal_size", "32MB")];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let on = fixture(biograph_bridge::sandbox::PostgresOptions { settings, ..Default::default() }).await;
    let source = source(&on).await;
    let tip = source.tip().await.unwrap();
    on.sql("CREATE TABLE filler (t text)").await;
    eventually("the slot is lost", async || {
        on.sql("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 30000)").await;
        on.sql("SELECT pg_switch_wal()").await;
        on.sql("CHECKPOINT").await;
        on.ask::<String>("SELECT wal_status FROM pg_replication_slots").await == "lost"
    })
    .await;
    let lost = refused(&source, &tip).await;
    assert_eq!(lost.disposition(), Disposition::Halt, "{lost}");
    assert_eq!(lost.fault().map(|fault| fault.code.as_str()), Some("55000"));
    let error = setup::init(&on.pool, &user(), false).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Halt, "init does not paper over it: {error}");
}

#[tokio::test]
async fn an_open_capture_keeps_teardown_away() {
    let stream = open(fixture(Default::default()).await).await;
    let error = setup::teardown(&stream.on.pool).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Halt);
    assert!(error.to_string().contains("in use by process"), "{error}");
    assert_eq!(stream.on.ask::<i64>("SELECT count(*) FROM pg_publication").await, 1, "nothing was removed");
}

#[tokio::test]
async fn a_mark_comes_after_what_was_written_before_it_and_an_idle_stream_passes_it() {
    for mut stream in every_stream().await {
        stream.on.sql(&insert_users(1..=1)).await;
        let (first, started) = (stream.source.mark().await.unwrap(), Instant::now());
        let mut hints = 0;
        loop {
            match next(&mut stream.capture).await {
                Captured::Hint(_) => hints += 1,
                Captured::Position(position) | Captured::Idle(position) if position.has_passed(&first) => break,
                _ => {}
            }
        }
        assert_eq!(hints, 1, "before the mark");
        let second = stream.source.mark().await.unwrap();
        assert!(second.has_passed(&first) && !first.has_passed(&second));
        loop {
            match next(&mut stream.capture).await {
                Captured::Position(position) | Captured::Idle(position) if position.has_passed(&second) => break,
                Captured::Position(_) | Captured::Idle(_) => {}
                other => panic!("a mark is no change: {other:?}"),
            }
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
