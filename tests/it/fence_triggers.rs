//! Triggers that refuse what Renaissance writes for people who are in BioGraph or moving, and let everything else pass.

use std::path::Path;

use biograph_bridge::{
    postgres::{
        connect, preflight,
        setup::{self, FenceTriggers, StepState},
    },
    sandbox::Population,
};
use mongodb::bson::oid::ObjectId;
use sqlx::AssertSqlSafe;

use crate::{
    bed::Bed,
    postgres_fixture::{every_postgres, fixture, user},
};

const MOVING: &str = "BB002";
const IN_BIOGRAPH: &str = "BB003";

/// Each mapped table with a column to touch, and what of it is the person's whose id stands for `$`.
const TABLES: [(&str, &str, &str); 10] = [
    ("users", "bio", "id = $"),
    ("user_profiles", "theme", "user_id = $"),
    ("biographs", "title", "user_id = $"),
    ("co_authors", "is_removed", "biograph_id IN (SELECT id FROM biographs WHERE user_id = $)"),
    ("books", "title", "user_id = $"),
    ("notifications", "is_read", "to_user_id = $"),
    ("recorded_times", "listening_time", "user_id = $"),
    ("subscriptions", "duration", "user_id = $"),
    ("friendships", "friend_id", "user_id = $"),
    ("subscribers", "subscriber_id", "user_id = $"),
];

impl Bed {
    /// How many rows an application's statement changed, or the SQLSTATE with which it was refused.
    async fn try_sql(&self, sql: &str) -> Result<u64, String> {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(&self.pool).await;
        done.map(|done| done.rows_affected()).map_err(|error| {
            error.into_database_error().and_then(|error| error.code().map(Into::into)).unwrap_or_default()
        })
    }

    fn init(&self, flag: &str) {
        let done = self.command(&["init", flag]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_writes_is_refused_for_whoever_is_elsewhere_and_the_bridge_passes() {
    let bed = Bed::new().await;
    for script in ["friendships", "subscribers"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("deploy/renaissance/{script}.sql"));
        drop(bed.try_sql(&std::fs::read_to_string(path).unwrap()).await);
    }
    let loaded = Population { seed: 7, people: 12, broken: 0.0 }.load(&bed.legacy).await.unwrap();
    bed.init("--fence-triggers");
    let daemon = bed.start().await;
    bed.until("the first copy", async || bed.count_of("biograph_bridge.link").await == loaded.cast_signed()).await;
    bed.until("and its second pass", async || bed.count_of("friendships, subscribers").await > 0).await;

    for (table, column, _) in TABLES {
        assert!(bed.count_of(table).await > 0, "{table} has rows to refuse");
        let refused = Err(IN_BIOGRAPH.to_owned());
        assert_eq!(bed.try_sql(&format!("UPDATE {table} SET {column} = {column}")).await, refused, "{table}");
        assert_eq!(bed.try_sql(&format!("DELETE FROM {table}")).await, refused, "{table}");
    }
    bed.sql(
        "INSERT INTO biograph_bridge.cutover (legacy_id, renaissance_id, state, epoch) \
         SELECT legacy_id, renaissance_id, 'renaissance', 2 FROM biograph_bridge.link WHERE entity = 'user'",
    )
    .await;
    for (table, column, _) in TABLES {
        let done = bed.try_sql(&format!("UPDATE {table} SET {column} = {column}")).await;
        assert!(done.as_ref().is_ok_and(|rows| *rows > 0), "{table}: {done:?}");
    }

    // somebody who has a biograph with a co-author
    let (id, row): (String, i64) = sqlx::query_as(
        "SELECT u.old_user_id, u.id FROM users u JOIN biographs b ON b.user_id = u.id JOIN co_authors c ON c.biograph_id = b.id \
         JOIN notifications n ON n.to_user_id = u.id ORDER BY u.id LIMIT 1",
    )
    .fetch_one(&bed.pool)
    .await
    .unwrap();
    bed.sql(&format!("UPDATE biograph_bridge.cutover SET state = 'draining', epoch = 3 WHERE legacy_id = '{id}'"))
        .await;
    for (table, column, of_person) in TABLES {
        let theirs = of_person.replace('$', &row.to_string());
        let touch = |whose: &str| format!("UPDATE {table} SET {column} = {column} WHERE {whose}");
        if bed.count_of(&format!("{table} WHERE {theirs}")).await > 0 {
            assert_eq!(bed.try_sql(&touch(&theirs)).await, Err(MOVING.to_owned()), "{table}");
        }
        assert!(bed.try_sql(&touch(&format!("NOT ({theirs})"))).await.is_ok(), "{table} of others");
    }
    let given = format!("UPDATE biographs SET user_id = {row} WHERE user_id <> {row}");
    assert_eq!(bed.try_sql(&given).await, Err(MOVING.to_owned()), "nothing is given to a person who moves");
    let friend = format!("INSERT INTO subscribers SELECT {row}, max(id) FROM users");
    assert_eq!(bed.try_sql(&friend).await, Err(MOVING.to_owned()));

    let echoes = daemon.metric_of("echoes_total", &["side=\"renaissance\""]).await.unwrap();
    let id = ObjectId::parse_str(&id).unwrap();
    bed.set(id, "name", "Written through").await;
    bed.until_name(id, "Written through").await;
    bed.until("a write past a fence trigger is known for the bridge's own", async || {
        daemon.metric_of("echoes_total", &["side=\"renaissance\""]).await.is_some_and(|now| now > echoes)
    })
    .await;

    let born = bed.register("grace", "Grace").await;
    bed.until_document(mongodb::bson::doc! { "username": "grace" }, |_| true).await;
    assert_eq!(bed.try_sql(&format!("UPDATE users SET bio = 'here' WHERE id = {born}")).await, Ok(1), "born here");

    bed.init("--no-fence-triggers");
    assert_eq!(bed.try_sql(&format!("UPDATE users SET bio = 'let' WHERE id = {row}")).await, Ok(1));
    bed.init("--fence-triggers");
    assert_eq!(daemon.stop().await, Some(0));
    let done = bed.command(&["teardown", "--yes"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("removed fence trigger on co_authors"), "{said}");
    assert_eq!(bed.count("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal").await, 0);
}

impl Bed {
    async fn count_of(&self, rows: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {rows}");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn fence_triggers_are_installed_once_shown_by_check_and_kept_up_to_date() {
    for on in every_postgres().await {
        let step = async |wanted, dry_run| setup::fence_triggers(&on.pool, &user(), wanted, dry_run).await.unwrap();
        let finding = async || {
            let findings = preflight::check(&on.pool, &on.url, &user()).await;
            assert!(!findings.iter().any(|finding| finding.subject.starts_with("triggers on")), "{findings:#?}");
            findings.into_iter().find(|finding| finding.subject == "fence triggers").unwrap()
        };
        setup::init(&on.pool, &user(), false).await.unwrap();
        assert!(finding().await.detail.starts_with("none"));
        let planned = step(FenceTriggers::On, true).await;
        assert!(planned.iter().all(|step| step.state == StepState::Planned && step.sql.len() == 2), "{planned:#?}");
        assert!(finding().await.detail.starts_with("none"), "a dry run changes nothing");
        let done = step(FenceTriggers::On, false).await;
        assert!(done.iter().all(|step| step.state == StepState::Done), "{done:#?}");
        assert!(step(FenceTriggers::On, false).await.iter().all(|step| step.state == StepState::Present));
        assert!(finding().await.ok);
        on.sql("ALTER TABLE users DISABLE TRIGGER biograph_bridge_fence").await;
        assert!(!finding().await.ok && finding().await.detail.contains("users"));
        step(FenceTriggers::On, false).await;
        assert!(finding().await.ok, "{:?}", finding().await);
        assert_eq!(step(FenceTriggers::Off, false).await.len(), done.len());
        let left = "SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
            WHERE NOT tgisinternal AND c.relnamespace = 'public'::regnamespace";
        assert_eq!(on.ask::<i64>(left).await, 0);
    }
}

#[tokio::test]
async fn a_role_that_may_not_create_triggers_is_told_what_to_grant() {
    let on = fixture(Default::default()).await;
    setup::init(&on.pool, &user(), false).await.unwrap();
    on.sql("CREATE ROLE plain LOGIN PASSWORD 'secret'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain").await;
    let (_, rest) = on.url.split_once('@').unwrap();
    let pool = connect::pool(&format!("postgres://plain:secret@{rest}")).unwrap();
    let refused = setup::fence_triggers(&pool, &user(), FenceTriggers::On, false).await.unwrap_err();
    let hint = refused.hint().unwrap();
    assert!(hint.contains("GRANT TRIGGER ON") && hint.contains("user_profiles") && hint.contains("TO plain"), "{hint}");
}
