//! Join tables around the writing: binding, fields that are off, rights, publication and capture.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use biograph_bridge::{
    model::{
        catalog::ColumnKind,
        digest::{Base, Digest},
        fact::SweepKind,
        hint::{Captured, Hint, Position},
        key::{Key, SideId},
        side::Side,
        value::Value,
    },
    postgres::{
        capture::{PostgresCapture, PostgresSource},
        connect, preflight, setup,
        store::Postgres,
    },
    sync::ports::{Capture, Outcome, RenaissanceChange, RenaissanceStore, Source, SweepState},
};

use crate::{
    bed::PATIENCE,
    postgres_fixture::{every_postgres, fixture},
    town::{FRIENDS, PEOPLE, PERSON, commit, entity, ids, legacy, load, open, plan, read},
};

#[tokio::test]
async fn an_optional_table_that_is_missing_turns_its_field_off_until_it_is_there() {
    let on = fixture(Default::default()).await;
    on.sql(PEOPLE).await;
    on.sql("INSERT INTO people (id, name, nick) VALUES (1, 'One', 'I'), (2, 'Two', 'II')").await;
    setup::init(&on.pool, &[entity()], false).await.unwrap();
    let catalog = load(&on).await;
    let off = entity().fields_off(&catalog);
    assert_eq!(
        off.iter().map(|off| (off.field.as_str(), off.table.as_str())).collect::<Vec<_>>(),
        [("friends", "friends")]
    );
    let store = open(&on).await;
    let names: Vec<&str> = store.entities()[0].fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["name", "nick"]);
    let image = read(&store, 1).await;
    let text = |text: &str| Value::Text(text.into());
    assert!(image.slots == [Some(text("One")), Some(text("I"))]);
    let mut base = Base::empty(2);
    base.set(0, Some(Digest::of(&text("One"))));
    base.set(1, Some(Digest::of(&text("First"))));
    let mut renamed = plan(1, Some(RenaissanceChange::Update(image.version, vec![(1, Some(text("First")))])));
    (renamed.linked, renamed.base) = (false, Some(base.clone()));
    assert_eq!(commit(&store, vec![renamed]).await, [Outcome::Written]);
    assert_eq!(on.ask::<String>("SELECT nick FROM people WHERE id = 1").await, "First");

    let swept = SweepState { done: true, records: 2, ..SweepState::default() };
    store.save_sweep(PERSON, Side::Legacy, SweepKind::Backfill, &swept).await.unwrap();
    let sweep = async |store: &Postgres| store.sweep(PERSON, Side::Legacy, SweepKind::Backfill).await.unwrap();
    assert!(sweep(&open(&on).await).await.done, "the same fields as before");

    on.sql(FRIENDS).await;
    on.sql("INSERT INTO friends VALUES (1, 2, now())").await;
    setup::init(&on.pool, &[entity()], false).await.unwrap();
    let published = "SELECT count(*) FROM pg_publication_tables WHERE tablename = 'friends'";
    assert_eq!(on.ask::<i64>(published).await, 1, "init publishes it now");
    let store = open(&on).await;
    let [resolved] = &store.resolve(PERSON, &[legacy(1)], &[]).await.unwrap()[..] else { panic!("one link") };
    let kept = resolved.link.base.as_ref().unwrap();
    assert_eq!([kept.get(0), kept.get(1), kept.get(2)], [base.get(0), None, base.get(1)], "by name, not by place");
    assert!(read(&store, 1).await.slots[1] == Some(ids(&[2])));
    assert!(!sweep(&store).await.done, "nobody has looked at the friends of those who are linked");
    store.save_sweep(PERSON, Side::Legacy, SweepKind::Backfill, &swept).await.unwrap();
    on.sql("DROP TABLE friends").await;
    assert!(sweep(&open(&on).await).await.done, "a field less is nothing to look at");
}

#[tokio::test]
async fn check_warns_of_a_field_that_is_off_and_blocks_nothing() {
    let on = fixture(Default::default()).await;
    on.sql(PEOPLE).await;
    let findings = preflight::check(&on.pool, &on.url, &[entity()]).await;
    assert!(findings.iter().all(|finding| finding.ok || !finding.blocks), "{findings:#?}");
    let off =
        findings.iter().find(|finding| finding.detail == "field friends is off: there is no table friends").unwrap();
    assert!(!off.ok && off.fix.as_ref().unwrap().contains("deploy/renaissance/friends.sql"), "{off:?}");

    on.sql(FRIENDS).await;
    on.sql("CREATE ROLE limited LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA public TO limited; GRANT SELECT ON friends TO limited")
        .await;
    let (_, rest) = on.url.split_once('@').unwrap();
    let url = format!("postgres://limited:secret@{rest}");
    let findings = preflight::check(&connect::pool(&url).unwrap(), &url, &[entity()]).await;
    let rights = findings.iter().find(|finding| finding.subject == "rights on friends").unwrap();
    assert!(
        rights.fix.as_ref().unwrap().contains("GRANT INSERT, UPDATE, DELETE ON \"public\".\"friends\""),
        "{rights:?}"
    );
}

#[tokio::test]
async fn rows_of_a_join_table_hint_the_records_they_belong_to() {
    for on in every_postgres().await {
        on.sql(&format!("{PEOPLE}; {FRIENDS}")).await;
        on.sql("INSERT INTO people (name) SELECT 'Person ' || n FROM generate_series(1, 5) n").await;
        let entities = [entity()];
        setup::init(&on.pool, &entities, false).await.unwrap();
        let lists = "SELECT array_to_string(attnames, ',') FROM pg_publication_tables WHERE tablename = 'friends'";
        assert_eq!(on.ask::<String>(lists).await, "person_id,friend_id");
        assert_eq!(on.ask::<String>("SELECT relreplident::text FROM pg_class WHERE relname = 'friends'").await, "d");
        let source = PostgresSource::new(&on.url, on.pool.clone(), &entities).unwrap();
        let mut capture = source.open(&source.tip().await.unwrap()).await.unwrap();
        for (sql, expected) in [
            ("INSERT INTO friends VALUES (1, 3, now()), (1, 2, now()), (2, 1, now())", "1 2"),
            ("UPDATE friends SET since = now() WHERE friend_id = 3", "1"),
            ("UPDATE friends SET friend_id = 4 WHERE friend_id = 3", "1"),
            ("UPDATE friends SET person_id = 5 WHERE friend_id = 4", "1 5"),
            ("DELETE FROM friends WHERE person_id = 5", "5"),
            ("TRUNCATE friends", "table friends was truncated"),
        ] {
            on.sql(sql).await;
            assert_eq!(heard(&source, &mut capture).await, expected, "{sql}");
        }
        drop(capture);
        // the server takes a moment to notice
        let started = Instant::now();
        while on.ask::<bool>("SELECT active FROM pg_replication_slots").await {
            assert!(started.elapsed() < PATIENCE, "the server never noticed that the stream is closed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let gone = setup::teardown(&on.pool).await.unwrap();
        assert_eq!(gone.remains, Vec::<String>::new());
    }
}

/// The records hinted at, in order, or what happened to a structure; up to everything committed before the call.
async fn heard(source: &PostgresSource, capture: &mut PostgresCapture) -> String {
    let Position::Lsn(end) = source.tip().await.unwrap() else { panic!("an LSN") };
    let (mut ids, mut structure) = (BTreeSet::new(), Vec::new());
    loop {
        let captured = tokio::time::timeout(PATIENCE, capture.next()).await.unwrap().unwrap();
        match captured {
            Captured::Hint(Hint { key: Key { id: SideId::Renaissance(id), .. }, .. }) => _ = ids.insert(id),
            Captured::Structure(seen) => structure.push(seen.what),
            Captured::Position(Position::Lsn(at)) | Captured::Idle(Position::Lsn(at)) if at >= end => break,
            _ => {}
        }
    }
    let ids = ids.iter().map(ToString::to_string);
    ids.chain(structure).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_join_table_that_does_not_fit_is_named_with_what_to_do() {
    let on = fixture(Default::default()).await;
    on.sql(PEOPLE).await;
    let problems = async |ddl: &str| {
        on.sql(&format!("DROP TABLE IF EXISTS friends; {ddl}")).await;
        let errors = entity().bind(&load(&on).await).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let pair =
        problems("CREATE TABLE friends (person_id bigint NOT NULL, friend_id bigint NOT NULL, since timestamptz)")
            .await;
    let fix = "ALTER TABLE friends ADD PRIMARY KEY (person_id, friend_id)";
    assert!(pair.len() == 1 && pair[0].contains(fix) && pair[0].contains("field friends"), "{pair:?}");
    let found =
        problems("CREATE TABLE friends (person_id text, since text NOT NULL, more int NOT NULL)").await.join("\n");
    for part in [
        "friends.person_id of a join table must be an integer, NOT NULL",
        "column friends.friend_id does not exist",
        "column more is NOT NULL without default",
        "insert value of friends",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    assert_eq!(problems(FRIENDS).await, Vec::<String>::new());
    let bound = entity().bind(&load(&on).await).unwrap_or_else(|errors| panic!("{errors:?}"));
    let slot = bound.renaissance.columns[1].info.as_ref().unwrap();
    assert_eq!((slot.limits.kind, slot.limits.nullable), (ColumnKind::Ids, false));
    assert_eq!(bound.field_of_constraint("friends", "friends_friend"), Some(1));
    assert_eq!(bound.field_of_constraint("friends", "friends_person"), None, "that is the record itself");
}
