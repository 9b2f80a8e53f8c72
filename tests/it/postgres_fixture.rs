//! What the Postgres tests share: every available server version, the `user` entity, sessions and people in SQL.

use std::path::Path;

use biograph_bridge::{
    model::mapping::Entity,
    postgres::connect,
    sandbox::{PostgresOptions, PostgresServer, ServerChoice},
};
use sqlx::{AssertSqlSafe, PgPool};

/// Debian's package of the oldest version the tests know.
const POSTGRES_15: &str = "/usr/lib/postgresql/15/bin";

/// A server with the Renaissance tables in the database `renaissance`.
pub(crate) struct Fixture {
    pub(crate) server: PostgresServer,
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
    Fixture { server, pool }
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
    vec![
        biograph_bridge::model::mapping::parse("mappings/user.toml", include_str!("../../mappings/user.toml")).unwrap(),
    ]
}
