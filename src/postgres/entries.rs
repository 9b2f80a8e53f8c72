//! What the lists of parked keys, conflicts and deleted records have in common: what they are narrowed to, and how that is bound.

use sqlx::{PgPool, postgres::PgArguments, query::QueryAs};

use super::parked::Person;
use crate::error::{Error, Result};

/// Which entries of a list are wanted.
#[derive(Clone, Debug, Default)]
pub struct Narrow {
    /// Only the one with this number.
    pub id: Option<i64>,
    /// Only of this entity.
    pub entity: Option<String>,
    /// Only of this person and of what belongs to them.
    pub person: Option<Person>,
    /// Only from then on, in microseconds since 1970.
    pub since: Option<i64>,
    /// Only before that, in microseconds since 1970.
    pub until: Option<i64>,
}

/// A query whose `$1` to `$9` are bound: the limit, the number, the entity, whether a person is meant, their legacy id, renaissance
/// id and entity, from when, until when.
pub(super) fn narrowed<'q, T>(
    sql: &'static str,
    narrow: &'q Narrow,
    limit: i64,
) -> QueryAs<'q, sqlx::Postgres, T, PgArguments>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
{
    let person = narrow.person.as_ref();
    sqlx::query_as(sql)
        .bind(limit)
        .bind(narrow.id)
        .bind(&narrow.entity)
        .bind(person.is_some())
        .bind(person.and_then(|person| person.legacy_id.as_deref()))
        .bind(person.and_then(|person| person.renaissance_id))
        .bind(person.map(|person| person.entity.as_str()))
        .bind(narrow.since)
        .bind(narrow.until)
}

/// Refuses a database in which this is missing, a table or an index of the state.
pub(super) async fn insist(pool: &PgPool, relation: &str, refusal: &str) -> Result<()> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('biograph_bridge.' || $1) IS NOT NULL")
        .bind(relation)
        .fetch_one(pool)
        .await?;
    if there {
        return Ok(());
    }
    Err(Error::halt(refusal.to_owned()).with_hint("is it the right one? `biograph-bridge run` sets up and begins"))
}
