//! The sample tables and people are what the two applications would have made.

use biograph_bridge::sandbox::{
    MongodOptions, PostgresOptions, PostgresServer, ReplicaSet, USERS, load_people, people,
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
    let expected = "biographs books co_authors notifications recorded_times social_accounts subscriptions \
                    user_profiles users";
    assert_eq!(tables.join(" "), expected);

    let defaults = "select table_name || '.' || column_name from information_schema.columns
                    where table_schema = 'public' and column_default is not null";
    assert_eq!(strings(&server, defaults).await, Vec::<String>::new(), "no column has a default");
    let identities = "select table_name::text from information_schema.columns
                      where table_schema = 'public' and column_name = 'id' and identity_generation = 'BY DEFAULT'";
    assert_eq!(strings(&server, identities).await.len(), tables.len());
    let hard = "select conname::text from pg_constraint where contype = 'f'
                and (not condeferrable or not condeferred or confdeltype <> 'a')";
    assert_eq!(
        strings(&server, hard).await,
        Vec::<String>::new(),
        "every foreign key is deferred and cascades nothing"
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
