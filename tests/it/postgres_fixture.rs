//! What the Postgres tests share: every available server version, the `user` entity, sessions and people in SQL.

use std::path::Path;

use biograph_bridge::{
    model::mapping::{self, Entity},
    postgres::connect,
    sandbox::{PostgresOptions, PostgresServer, ServerChoice},
};
use sqlx::{AssertSqlSafe, PgPool};

/// Debian's package of the oldest version the tests know.
pub(crate) const POSTGRES_15: &str = "/usr/lib/postgresql/15/bin";

/// A server with the Renaissance tables in the database `renaissance`.
pub(crate) struct Fixture {
    pub(crate) server: PostgresServer,
    pub(crate) url: String,
    pub(crate) pool: PgPool,
}

/// Postgres 18 (the pinned wheel), and 15 where Debian's package is installed.
pub(crate) async fn every_postgres() -> Vec<Fixture> {
    let mut fixtures = vec![fixture(PostgresOptions::default()).await];
    if Path::new(POSTGRES_15).exists() {
        let server = ServerChoice::At(POSTGRES_15.into());
        fixtures.push(fixture(PostgresOptions { server, ..PostgresOptions::default() }).await);
    } else {
        println!("NOTICE: no Postgres 15 in {POSTGRES_15}: tested on the pinned version only");
    }
    fixtures
}

pub(crate) async fn fixture(options: PostgresOptions) -> Fixture {
    let server = PostgresServer::start(options).await.unwrap();
    let url = server.create_renaissance("renaissance").await.unwrap();
    let pool = connect::pool(&url).unwrap();
    Fixture { server, url, pool }
}

impl Fixture {
    pub(crate) async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub(crate) async fn ask<T>(&self, sql: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let answer = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await;
        answer.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

/// The part of the `user` mapping that capture and set-up look at.
pub(crate) fn user() -> Vec<Entity> {
    let user = mapping::parse("mappings/user.toml", include_str!("../../mappings/user.toml"));
    let mut entities = vec![user.unwrap()];
    assert_eq!(mapping::connect(&mut entities), []);
    entities
}

/// INSERTs people with these ids, without profiles.
pub(crate) fn insert_users(ids: std::ops::RangeInclusive<i64>) -> String {
    format!(
        "INSERT INTO users (id, password, is_superuser, username, first_name, last_name, is_staff, is_active,
             date_joined, country_code, is_phone_verified, migrated_from_old_system, bio, profile_picture, google_id,
             apple_id, is_verified, subscription_status, created_at, updated_at)
         SELECT n, '!', false, 'user' || n, 'Person ' || n, '', false, true, now(), '1', false, false, '', '', '', '',
             false, 'free', now(), now()
         FROM generate_series({}, {}) AS n",
        ids.start(),
        ids.end()
    )
}

/// INSERTs the profile of a person.
pub(crate) fn insert_profile(user: i64) -> String {
    format!(
        "INSERT INTO user_profiles (profile_visibility, email_notifications, push_notifications, sms_notifications,
             theme, created_at, updated_at, user_id)
         VALUES ('public', true, true, false, 'auto', now(), now(), {user})"
    )
}
