//! The state schema and its migrations, embedded in the binary.

use std::borrow::Cow;

use sqlx::{
    PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
};

use super::{
    Part,
    session::{Session, execute},
};
use crate::{
    error::{Error, Result},
    postgres::{fault::during, sql::OWN_NAME},
};

const MIGRATIONS_TABLE: &str = "biograph_bridge._sqlx_migrations";

/// How the state in the database relates to this binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateVersion {
    /// There is none.
    Missing,
    /// Some migrations of this binary are not applied.
    Older,
    /// It is what this binary expects.
    Current,
    /// A newer binary has migrated it; the version that this one does not know.
    Newer(i64),
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("src/postgres/migrations");
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}

/// How the state in the database relates to this binary; changes nothing.
pub async fn state_version(connection: &mut PgConnection) -> Result<StateVersion> {
    let applied = applied(connection).await?;
    let migrator = migrator();
    let unknown = applied.iter().flatten().find(|version| !migrator.version_exists(**version));
    Ok(match (applied.as_deref(), unknown) {
        (None, _) => StateVersion::Missing,
        (_, Some(version)) => StateVersion::Newer(*version),
        (Some(applied), None) if applied.len() < migrator.iter().count() => StateVersion::Older,
        (Some(_), None) => StateVersion::Current,
    })
}

/// Brings existing or missing state up to this binary; refuses state that a newer one wrote.
pub async fn upgrade(pool: &PgPool) -> Result<()> {
    let mut session = Session::open(pool, false).await?;
    step(&mut session).await?;
    session.close().await.map(drop)
}

/// The state schema with all migrations applied.
pub(super) async fn step(session: &mut Session) -> Result<()> {
    let version = state_version(session.connection()).await?;
    match version {
        StateVersion::Newer(version) => return Err(newer(version)),
        StateVersion::Current => {
            session.present(Part::State, "state schema biograph_bridge");
            return Ok(());
        }
        StateVersion::Missing | StateVersion::Older => {}
    }
    let applied = applied(session.connection()).await?.unwrap_or_default();
    let migrator = migrator();
    let pending = migrator.iter().filter(|migration| !applied.contains(&migration.version));
    let mut sql = vec![format!("CREATE SCHEMA IF NOT EXISTS {OWN_NAME}")];
    sql.extend(pending.map(|migration| migration.sql.as_str().trim().to_owned()));
    if !session.dry_run() {
        run(session.connection(), &migrator).await?;
    }
    session.record(Part::State, "state schema biograph_bridge", sql);
    Ok(())
}

async fn run(connection: &mut PgConnection, migrator: &Migrator) -> Result<()> {
    // CREATE SCHEMA IF NOT EXISTS needs the right to create even if the schema is there
    if !schema_exists(connection).await? {
        let hint = format!("run as a superuser: GRANT CREATE ON DATABASE … TO {}", login(connection).await?);
        execute(connection, &format!("CREATE SCHEMA {OWN_NAME}"))
            .await
            .map_err(|error| error.during("creating the state schema").with_hint(hint))?;
    }
    execute(connection, &format!("SET search_path = {OWN_NAME}")).await?;
    // qualified: `run` wants an owned acquisition, this works on the session that holds the set-up lock
    migrator.run_direct(None, connection, false).await.map_err(explain)?;
    execute(connection, "RESET search_path").await
}

async fn schema_exists(connection: &mut PgConnection) -> Result<bool> {
    let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)").bind(OWN_NAME);
    found.fetch_one(connection).await.map_err(during("looking for the state schema"))
}

async fn login(connection: &mut PgConnection) -> Result<String> {
    Ok(sqlx::query_scalar("SELECT quote_ident(current_user)").fetch_one(connection).await?)
}

/// Whose the state is and who asks, if it is somebody else's and closed.
async fn foreign_owner(connection: &mut PgConnection) -> Result<Option<(String, String)>> {
    let asked = sqlx::query_as(
        "SELECT nspowner::regrole::text, quote_ident(current_user) FROM pg_namespace \
         WHERE nspname = $1 AND NOT has_schema_privilege(oid, 'USAGE')",
    );
    asked.bind(OWN_NAME).fetch_optional(connection).await.map_err(during("looking for the state"))
}

async fn applied(connection: &mut PgConnection) -> Result<Option<Vec<i64>>> {
    if let Some((owner, role)) = foreign_owner(connection).await? {
        let error =
            Error::halt(format!("the state schema {OWN_NAME} belongs to {owner}, and {role} has no right to it"));
        return Err(
            error.with_hint(format!("log in as {owner}; or, unless that is a superuser: GRANT {owner} TO {role}"))
        );
    }
    let table: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(MIGRATIONS_TABLE)
        .fetch_one(&mut *connection)
        .await
        .map_err(during("looking for the state"))?;
    if !table {
        return Ok(None);
    }
    let versions = sqlx::query_scalar("SELECT version FROM biograph_bridge._sqlx_migrations ORDER BY version");
    versions.fetch_all(connection).await.map(Some).map_err(during("reading the version of the state"))
}

fn newer(version: i64) -> Error {
    Error::halt(format!("the state was written by a newer biograph-bridge (migration {version})"))
        .with_hint("run that version, or `biograph-bridge teardown` with it and `init` with this one")
}

fn explain(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            Error::from(error).during("migrating the state")
        }
        MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => newer(version),
        MigrateError::VersionMismatch(version) => Error::halt(format!(
            "migration {version} of the state was applied in another form than this biograph-bridge holds"
        ))
        .with_hint("run the version that wrote it; released migrations never change"),
        other => Error::halt(format!("the state cannot be migrated: {}", Cow::from(other.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_in_the_order_of_their_numbers() {
        let versions: Vec<i64> = migrator().iter().map(|migration| migration.version).collect();
        assert!(versions.is_sorted_by(|one, next| one < next) && versions.first() == Some(&1), "{versions:?}");
    }
}
