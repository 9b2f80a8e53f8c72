//! `check` finds each broken precondition of the renaissance side and prints what fixes it.

use biograph_bridge::{
    postgres::{capture::PostgresSource, connect, preflight, setup},
    sandbox::PostgresOptions,
    sync::{
        finding::Finding,
        ports::{Capture, Source},
    },
};

use crate::postgres_fixture::{Fixture, every_postgres, fixture, insert_profile, insert_users, user};

async fn check(on: &Fixture) -> Vec<Finding> {
    preflight::check(&on.pool, &on.url, &user()).await
}

fn blocking(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.blocks && !finding.ok).collect()
}

fn the<'a>(findings: &'a [Finding], subject: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.subject == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}: {findings:#?}"))
}

/// The same server as another role.
fn as_role(on: &Fixture, role: &str) -> (String, sqlx::PgPool) {
    let (_, rest) = on.url.split_once('@').unwrap();
    let url = format!("postgres://{role}:secret@{rest}");
    let pool = connect::pool(&url).unwrap();
    (url, pool)
}

#[tokio::test]
async fn a_good_server_blocks_nothing_before_and_after_init() {
    for on in every_postgres().await {
        let before = check(&on).await;
        assert!(blocking(&before).is_empty(), "{before:#?}");
        assert!(!the(&before, "publication biograph_bridge").ok, "but something is still to do");
        setup::init(&on.pool, &user(), false).await.unwrap();
        let after = check(&on).await;
        assert!(after.iter().all(|finding| finding.ok), "{after:#?}");
        let source = PostgresSource::new(&on.url, on.pool.clone(), &user()).unwrap();
        let _capture = source.open(&source.tip().await.unwrap()).await.unwrap();
        assert!(the(&check(&on).await, "slot in use").ok);
    }
}

#[tokio::test]
async fn what_is_missing_in_the_database_is_named_with_its_fix() {
    let on = fixture(PostgresOptions { wal_level: "replica", ..Default::default() }).await;
    on.sql("ALTER TABLE users DROP COLUMN email; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'").await;
    on.sql("CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION f()").await;
    let findings = check(&on).await;
    let level = the(&findings, "wal_level");
    assert!(level.blocks && level.fix.as_ref().unwrap().contains("ALTER SYSTEM SET wal_level"), "{level:?}");
    assert!(
        blocking(&findings).iter().any(|f| f.subject == "mapping user" && f.detail.contains("email")),
        "{findings:#?}"
    );
    assert!(the(&findings, "triggers on users").detail.contains("touch"));
    on.sql("DROP TABLE user_profiles").await;
    let findings = check(&on).await;
    assert!(blocking(&findings).iter().any(|finding| finding.detail.contains("user_profiles")), "{findings:#?}");
}

#[tokio::test]
async fn a_server_without_a_free_slot_is_found_out() {
    let settings = vec![("max_replication_slots".to_owned(), "1".to_owned())];
    let on = fixture(PostgresOptions { settings, ..Default::default() }).await;
    on.sql("SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')").await;
    let findings = check(&on).await;
    let slots = the(&findings, "replication slots");
    assert!(slots.blocks && slots.fix.as_ref().unwrap().contains("max_replication_slots"), "{slots:?}");
}

#[tokio::test]
async fn a_server_that_is_down_or_refuses_the_login_is_one_finding() {
    let mut on = fixture(Default::default()).await;
    on.sql("CREATE ROLE stranger LOGIN PASSWORD 'other'").await;
    let (url, pool) = as_role(&on, "stranger");
    let findings = preflight::check(&pool, &url, &user()).await;
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    assert!(finding.blocks && finding.detail.contains("28P01") && !finding.detail.contains("secret"), "{finding:?}");
    on.server.stop().await.unwrap();
    let findings = check(&on).await;
    assert!(findings.len() == 1 && findings[0].blocks, "{findings:#?}");
}

#[tokio::test]
async fn newer_state_and_a_foreign_slot_block() {
    let on = fixture(Default::default()).await;
    setup::init(&on.pool, &user(), false).await.unwrap();
    on.sql("INSERT INTO biograph_bridge._sqlx_migrations VALUES (9000, 'future', now(), true, '', 0)").await;
    on.sql("SELECT pg_drop_replication_slot('biograph_bridge')").await;
    on.sql("SELECT pg_create_physical_replication_slot('biograph_bridge')").await;
    let findings = check(&on).await;
    assert!(the(&findings, "state schema biograph_bridge").detail.contains("newer"));
    assert!(the(&findings, "replication slot biograph_bridge").blocks);
}

#[tokio::test]
async fn a_role_with_the_documented_rights_can_do_everything() {
    for on in every_postgres().await {
        on.sql("CREATE ROLE bridge LOGIN PASSWORD 'secret'; CREATE ROLE app NOLOGIN; ALTER TABLE users OWNER TO app; ALTER TABLE user_profiles OWNER TO app").await;
        on.sql("GRANT CREATE ON DATABASE renaissance TO app; GRANT CREATE ON SCHEMA public TO app").await;
        on.sql("ALTER TABLE users ENABLE ROW LEVEL SECURITY").await;
        let (url, pool) = as_role(&on, "bridge");
        let check = async || preflight::check(&pool, &url, &user()).await;

        // every fix is a command that works; after all of them nothing blocks
        let findings = check().await;
        for subject in [
            "replication session",
            "rights on users",
            "rights on user_profiles",
            "row security of users",
            "state schema biograph_bridge",
            "replica identity of user_profiles",
            "publication biograph_bridge",
        ] {
            assert!(the(&findings, subject).blocks, "{subject}: {findings:#?}");
        }
        for finding in findings.iter().filter(|finding| !finding.ok) {
            let fix = finding.fix.as_ref().unwrap();
            if fix.contains("biograph-bridge init") {
                continue;
            }
            for statement in fix.split("; ") {
                on.sql(statement).await;
            }
        }
        let findings = check().await;
        assert!(blocking(&findings).is_empty(), "{findings:#?}");

        setup::init(&pool, &user(), false).await.unwrap();
        setup::upgrade(&pool).await.unwrap();
        assert!(check().await.iter().all(|finding| finding.ok));
        let source = PostgresSource::new(&url, pool.clone(), &user()).unwrap();
        let mut capture = source.open(&source.tip().await.unwrap()).await.unwrap();
        on.sql(&insert_users(1..=1)).await;
        while !matches!(capture.next().await.unwrap(), biograph_bridge::model::hint::Captured::Hint(_)) {}
        sqlx::query("SELECT pg_logical_emit_message(true, 'biograph_bridge', '')").execute(&pool).await.unwrap();
        // identity columns need no right on their sequence
        sqlx::raw_sql(sqlx::AssertSqlSafe(insert_profile(1))).execute(&pool).await.unwrap();
        drop(capture);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;

        let report = setup::teardown(&pool).await.unwrap();
        assert!(report.removed.iter().any(|what| what.contains("slot")), "{report:?}");
        assert!(report.removed.iter().any(|what| what.contains("schema")), "{report:?}");
        assert_eq!(report.remains.len(), 3, "what the owner made is the owner's: {report:#?}");
    }
}
