//! The sample tables and people are what the two applications would have made.

use biograph_bridge::sandbox::{
    CONTENT, MongodOptions, Population, PostgresOptions, PostgresServer, ReplicaSet, USERS, load_people, people,
};
use mongodb::Client;
use mongodb::bson::{Document, doc};

async fn strings(server: &PostgresServer, sql: &'static str) -> Vec<String> {
    let mut connection = server.connect("renaissance").await.unwrap();
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn the_renaissance_tables_have_djangos_four_traits() {
    let server = PostgresServer::start(PostgresOptions::default()).await.unwrap();
    server.create_renaissance("renaissance").await.unwrap();

    let tables = strings(&server, "select tablename::text from pg_tables where schemaname = 'public' order by 1").await;
    let expected = "biographs books co_authors friendships notifications recorded_times social_accounts subscribers \
                    subscriptions user_profiles users";
    assert_eq!(tables.join(" "), expected);

    let defaults = "select table_name || '.' || column_name from information_schema.columns
                    where table_schema = 'public' and column_default is not null";
    assert_eq!(strings(&server, defaults).await, Vec::<String>::new(), "no column has a default");
    let identities = "select table_name::text from information_schema.columns
                      where table_schema = 'public' and column_name = 'id' and identity_generation = 'BY DEFAULT'";
    assert_eq!(strings(&server, identities).await.len(), tables.len() - 2, "all but the bridge's own two tables");
    let hard = "select conname::text from pg_constraint where contype = 'f' and (not condeferrable or not condeferred
                or (confdeltype = 'a') = (conrelid::regclass::text in ('friendships', 'subscribers')))";
    assert_eq!(
        strings(&server, hard).await,
        Vec::<String>::new(),
        "every foreign key is deferred; only those of the bridge's own tables cascade"
    );
    let unindexed = "select conname::text from pg_constraint c where contype = 'f' and not exists
                     (select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])";
    assert_eq!(strings(&server, unindexed).await, Vec::<String>::new(), "every foreign key has an index");
}

#[tokio::test]
async fn a_bad_reference_fails_at_commit_only() {
    let server = PostgresServer::start(PostgresOptions::default()).await.unwrap();
    server.create_renaissance("renaissance").await.unwrap();
    let mut connection = server.connect("renaissance").await.unwrap();
    let insert = "insert into social_accounts (provider, uid, user_id) values ('x', '1', 404)";
    sqlx::raw_sql("begin").execute(&mut connection).await.unwrap();
    sqlx::raw_sql(insert).execute(&mut connection).await.unwrap();
    let error = sqlx::raw_sql("commit").execute(&mut connection).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("23503"));
}

#[tokio::test]
async fn people_are_loaded_as_they_are_generated() {
    let set = ReplicaSet::start(1, MongodOptions::default()).await.unwrap();
    let database = Client::with_uri_str(set.uri("BioGraphDemo")).await.unwrap().default_database().unwrap();
    load_people(&database, 5, 2500).await.unwrap();
    let users = database.collection::<Document>(USERS);
    assert_eq!(users.count_documents(doc! {}).await.unwrap(), 2500);
    let last = people(5, 2500).last().unwrap();
    let stored = users.find_one(doc! { "_id": last.get_object_id("_id").unwrap() }).await.unwrap().unwrap();
    assert_eq!(stored, last);
}

#[tokio::test]
async fn the_tables_for_friends_can_be_installed_again_and_go_with_the_people() {
    let server = PostgresServer::start(PostgresOptions::default()).await.unwrap();
    server.create_renaissance("renaissance").await.unwrap();
    let mut connection = server.connect("renaissance").await.unwrap();
    let person = |id: i64| {
        format!(
            "insert into users select * from jsonb_populate_record(null::users, (select jsonb_object_agg(column_name,
             case data_type when 'boolean' then 'false'::jsonb when 'bigint' then '{id}'::jsonb
             when 'timestamp with time zone' then '\"2024-01-01\"'::jsonb when 'date' then 'null'::jsonb
             else '\"{id}\"'::jsonb end) from information_schema.columns where table_name = 'users'))"
        )
    };
    let befriended = format!(
        "begin; insert into friendships values (1, 2), (2, 1); insert into subscribers values (1, 2); {}; {}; commit",
        person(1),
        person(2)
    );
    for sql in [
        include_str!("../../deploy/renaissance/friendships.sql"),
        include_str!("../../deploy/renaissance/subscribers.sql"),
        &befriended,
        "delete from users where id = 2",
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    let left = "select user_id::text from friendships union all select user_id::text from subscribers";
    assert_eq!(strings(&server, left).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_whole_population_is_loaded_as_it_is_generated() {
    let set = ReplicaSet::start(1, MongodOptions::default()).await.unwrap();
    let database = Client::with_uri_str(set.uri("BioGraphDemo")).await.unwrap().default_database().unwrap();
    let population = Population { seed: 5, people: 300, broken: 0.05 };
    let loaded = population.load(&database).await.unwrap();
    let expected: Vec<(&str, Document)> = population.documents().collect();
    assert_eq!(usize::try_from(loaded).unwrap(), expected.len());
    assert!(CONTENT.iter().all(|collection| expected.iter().any(|(of, _)| of == collection)));
    for (collection, document) in expected.iter().step_by(20) {
        let stored = database.collection::<Document>(collection);
        let stored = stored.find_one(doc! { "_id": document.get_object_id("_id").unwrap() }).await.unwrap();
        assert_eq!(stored.as_ref(), Some(document));
    }
}
