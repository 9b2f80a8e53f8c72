//! The rights in `deploy/` are enough, and are no more than what they say.

use mongodb::bson::doc;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    bed::{Bed, holds},
    cutover::user,
};

/// The statements of a file, one by one: an index is built beside traffic, which no transaction may hold.
fn statements(file: &str) -> Vec<String> {
    let code = file.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// Hands the database over to somebody who is no superuser, where one of those may make a role that replicates.
async fn owner(bed: &Bed) -> PgConnection {
    let recent = bed.count("SELECT current_setting('server_version_num')::int8 / 160000").await > 0;
    if !recent {
        return PgConnection::connect(&bed.renaissance_url).await.unwrap();
    }
    bed.sql(
        "CREATE ROLE keeper LOGIN CREATEROLE REPLICATION PASSWORD 'secret'; ALTER DATABASE renaissance OWNER TO keeper;
         DO $$ DECLARE name text; BEGIN
             FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                 EXECUTE format('ALTER TABLE %I OWNER TO keeper', name);
             END LOOP;
         END $$",
    )
    .await;
    let (_, address) = bed.renaissance_url.split_once('@').unwrap();
    PgConnection::connect(&format!("postgres://keeper:secret@{address}")).await.unwrap()
}

async fn run(session: &mut PgConnection, statement: &str) {
    let outcome = sqlx::raw_sql(AssertSqlSafe(statement)).execute(session).await;
    outcome.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_lives_with_the_rights_in_deploy_and_applications_see_who_is_where() {
    let mut bed = Bed::new().await;
    let mut owner = owner(&bed).await;
    for file in [include_str!("../../deploy/rights.sql"), include_str!("../../deploy/rights-friends.sql")] {
        for statement in statements(file) {
            run(&mut owner, &statement).await;
        }
    }
    bed.sql("ALTER ROLE bridge PASSWORD 'secret'; CREATE ROLE renaissance_app LOGIN").await;
    let (_, address) = bed.renaissance_url.split_once('@').unwrap();
    bed.renaissance_url = format!("postgres://bridge:secret@{address}");
    let init = bed.command(&["init"]).output().unwrap();
    assert!(init.status.success(), "init needs no more");
    // what it advises is what the file says
    let advised = String::from_utf8_lossy(&init.stdout).into_owned();
    for statement in statements(include_str!("../../deploy/rights-applications.sql")) {
        assert!(advised.contains(&format!("    {statement};\n")), "{statement} is not in {advised}");
    }
    let right =
        "[{ resource: { db: \"BioGraphDemo\", collection: \"biograph_bridge_cutover\" }, actions: [\"find\"] }]";
    assert!(advised.contains(right), "{advised}");
    let check = bed.command(&["check"]).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));

    bed.settings.push(("BRIDGE_CUTOVER_DRAIN", "100ms".to_owned()));
    let daemon = bed.start().await;
    let (ada, row) = bed.shared_person("Ada").await;
    bed.sql(&format!("UPDATE users SET first_name = 'Grace' WHERE id = {row}")).await;
    bed.until_document(doc! { "_id": ada }, |person| holds(person, "name", "Grace")).await;

    let (code, moved) = bed.cutover(&["start", &user(ada)]);
    assert_eq!(code, 0, "{moved}");
    let (code, losing) = bed.cutover(&["rollback", &user(ada), "--dry-run"]);
    let unread = losing["loss"]["unread"].as_array().unwrap();
    assert!(code == 0 && unread.iter().any(|table| table == "social_accounts"), "{losing}");

    for statement in statements(include_str!("../../deploy/rights-applications.sql")) {
        bed.sql(&format!("SET ROLE bridge; {statement}; RESET ROLE")).await;
    }
    for (privilege, expected) in [
        ("has_table_privilege('renaissance_app', 'biograph_bridge.cutover', 'SELECT')", 1),
        ("has_table_privilege('renaissance_app', 'biograph_bridge.cutover', 'INSERT, UPDATE, DELETE')", 0),
        ("has_table_privilege('renaissance_app', 'biograph_bridge.conflict', 'SELECT')", 0),
        ("has_table_privilege('bridge', 'social_accounts', 'SELECT, INSERT, UPDATE, DELETE')", 0),
        ("(SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls FROM pg_roles WHERE rolname = 'bridge')", 0),
    ] {
        let held: i32 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT ({privilege})::int")))
            .fetch_one(&bed.pool)
            .await
            .unwrap();
        assert_eq!(held, expected, "{privilege}");
    }
    assert_eq!(daemon.stop().await, Some(0));

    // as the runbook ends, once nothing runs any more
    let runbook = include_str!("../../deploy/runbook.md");
    let farewell = "GRANT bridge TO CURRENT_USER; DROP OWNED BY bridge; DROP ROLE bridge;";
    assert!(runbook.contains(farewell));
    for statement in farewell.split_terminator(';') {
        run(&mut owner, statement).await;
    }
}
