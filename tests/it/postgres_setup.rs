//! `init` puts everything in place once, `teardown` takes all of it away, on real servers.

use biograph_bridge::{
    error::{Disposition, Error},
    postgres::setup::{self, StateVersion, StepState},
};
use sqlx::Connection;

use crate::postgres_fixture::{Fixture, every_postgres, fixture, user};

async fn version(on: &Fixture) -> StateVersion {
    setup::state_version(&mut on.pool.acquire().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn init_puts_everything_in_place_and_a_second_one_changes_nothing() {
    for on in every_postgres().await {
        let planned = setup::init(&on.pool, &user(), true).await.unwrap();
        assert!(planned.iter().any(|step| step.state == StepState::Planned && !step.sql.is_empty()));
        assert_eq!(on.ask::<i64>("SELECT count(*) FROM pg_replication_slots").await, 0, "a dry run changes nothing");
        assert_eq!(version(&on).await, StateVersion::Missing);

        let done = setup::init(&on.pool, &user(), false).await.unwrap();
        let unlike =
            |a: &[setup::Step], b: &[setup::Step]| a.iter().zip(b).any(|(a, b)| (&a.what, &a.sql) != (&b.what, &b.sql));
        assert!(!unlike(&planned, &done), "the dry run told the truth\n{planned:#?}\n{done:#?}");
        assert_eq!(version(&on).await, StateVersion::Current);
        let lists: Vec<String> = sqlx::query_scalar(
            "SELECT tablename || '(' || array_to_string(attnames, ',') || ')' FROM pg_publication_tables
             WHERE pubname = 'biograph_bridge' ORDER BY 1",
        )
        .fetch_all(&on.pool)
        .await
        .unwrap();
        let joined = ["friendships(user_id,friend_id)", "subscribers(user_id,subscriber_id)"];
        assert_eq!(lists, [&joined[..], &["user_profiles(id,user_id)", "users(id)"]].concat());
        assert_eq!(
            on.ask::<String>("SELECT relreplident::text FROM pg_class WHERE relname = 'user_profiles'").await,
            "i"
        );
        let index = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'biograph_bridge_users_old_user_id'::regclass";
        assert!(on.ask::<bool>(index).await);

        let again = setup::init(&on.pool, &user(), false).await.unwrap();
        assert!(again.iter().all(|step| step.state == StepState::Present), "{again:#?}");
        assert_eq!(again.len(), done.len());
    }
}

#[tokio::test]
async fn inits_at_the_same_time_take_turns() {
    for on in every_postgres().await {
        let entities = user();
        let (a, b, c) = tokio::join!(
            setup::init(&on.pool, &entities, false),
            setup::init(&on.pool, &entities, false),
            setup::upgrade(&on.pool),
        );
        a.unwrap();
        b.unwrap();
        c.unwrap();
    }
}

#[tokio::test]
async fn teardown_leaves_nothing_that_init_made() {
    const TRACES: &str = "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)
        + (SELECT count(*) FROM pg_namespace WHERE nspname = 'biograph_bridge')
        + (SELECT count(*) FROM pg_class WHERE relname LIKE 'biograph_bridge%')
        + (SELECT count(*) FROM pg_class WHERE relname IN ('users', 'user_profiles') AND relreplident <> 'd')";
    for on in every_postgres().await {
        setup::init(&on.pool, &user(), false).await.unwrap();
        assert!(on.ask::<i64>(TRACES).await > 4);
        let report = setup::teardown(&on.pool).await.unwrap();
        assert_eq!(report.remains, Vec::<String>::new());
        assert_eq!(report.removed.len(), 5, "{report:?}");
        assert_eq!(on.ask::<i64>(TRACES).await, 0);
        assert_eq!(setup::teardown(&on.pool).await.unwrap(), setup::Teardown::default());
    }
}

#[tokio::test]
async fn teardown_restores_only_what_init_changed() {
    let on = fixture(Default::default()).await;
    on.sql("ALTER TABLE users REPLICA IDENTITY FULL").await;
    setup::init(&on.pool, &user(), false).await.unwrap();
    let published = "SELECT array_length(attnames, 1) FROM pg_publication_tables WHERE tablename = 'users'";
    assert!(on.ask::<i32>(published).await > 20, "a full identity needs all columns");
    on.sql("UPDATE users SET bio = ''").await;
    setup::teardown(&on.pool).await.unwrap();
    assert_eq!(on.ask::<String>("SELECT relreplident::text FROM pg_class WHERE relname = 'users'").await, "f");
    assert_eq!(on.ask::<String>("SELECT relreplident::text FROM pg_class WHERE relname = 'user_profiles'").await, "d");
}

#[tokio::test]
async fn a_publication_somebody_changed_is_put_right() {
    for on in every_postgres().await {
        setup::init(&on.pool, &user(), false).await.unwrap();
        on.sql("ALTER PUBLICATION biograph_bridge SET TABLE users (id, bio) WHERE (id > 5), biographs").await;
        on.sql("ALTER PUBLICATION biograph_bridge SET (publish = 'insert')").await;
        let steps = setup::init(&on.pool, &user(), false).await.unwrap();
        let changed: Vec<_> = steps.iter().filter(|step| step.state == StepState::Done).collect();
        assert_eq!(changed.len(), 1, "{changed:?}");
        assert!(
            setup::init(&on.pool, &user(), false).await.unwrap().iter().all(|step| step.state == StepState::Present)
        );
        let report = setup::teardown(&on.pool).await.unwrap();
        assert!(report.removed.iter().any(|what| what.contains("replica identity")), "the note survived: {report:?}");
    }
}

#[tokio::test]
async fn state_of_a_newer_bridge_is_refused() {
    let on = fixture(Default::default()).await;
    setup::init(&on.pool, &user(), false).await.unwrap();
    on.sql("INSERT INTO biograph_bridge._sqlx_migrations VALUES (9000, 'future', now(), true, '', 0)").await;
    assert_eq!(version(&on).await, StateVersion::Newer(9000));
    let refused = |error: Error| {
        assert_eq!(error.disposition(), Disposition::Halt);
        assert!(error.to_string().contains("newer biograph-bridge"), "{error}");
    };
    refused(setup::init(&on.pool, &user(), false).await.unwrap_err());
    refused(setup::init(&on.pool, &user(), true).await.unwrap_err());
    refused(setup::upgrade(&on.pool).await.unwrap_err());
}

#[tokio::test]
async fn a_missing_table_is_named() {
    let on = fixture(Default::default()).await;
    on.sql("DROP TABLE user_profiles").await;
    let error = setup::init(&on.pool, &user(), false).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Halt);
    assert!(error.to_string().contains("user_profiles"), "{error}");
}

#[tokio::test]
async fn a_half_built_index_is_built_again() {
    let on = fixture(Default::default()).await;
    on.sql("CREATE INDEX biograph_bridge_users_old_user_id ON users (old_user_id) WHERE old_user_id IS NOT NULL").await;
    on.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'biograph_bridge_users_old_user_id'::regclass")
        .await;
    setup::init(&on.pool, &user(), false).await.unwrap();
    let index = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'biograph_bridge_users_old_user_id'::regclass";
    assert!(on.ask::<bool>(index).await);
}

#[tokio::test]
async fn a_server_without_logical_decoding_is_refused_with_the_reason() {
    let options = biograph_bridge::sandbox::PostgresOptions { wal_level: "replica", ..Default::default() };
    let on = fixture(options).await;
    let error = setup::init(&on.pool, &user(), false).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Halt);
    assert!(error.to_string().contains("wal_level"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_down_is_tried_again() {
    let mut on = fixture(Default::default()).await;
    on.server.stop().await.unwrap();
    let error = setup::init(&on.pool, &user(), true).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry, "{error}");
    on.server.start_again().await.unwrap();
    setup::init(&on.pool, &user(), true).await.unwrap();
    on.pool.acquire().await.unwrap().ping().await.unwrap();
}
