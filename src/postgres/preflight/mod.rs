//! Looks at the renaissance side before anything depends on it: one finding per thing looked at, each with its fix.

mod parts;
mod server;
mod tables;

use std::time::Duration;

use pgwire_replication::ReplicationClient;
use sqlx::{PgConnection, PgPool};
use tokio::time::timeout;

use super::{catalog, connect, fault::during, setup, sql::OWN_NAME};
use crate::{
    error::{Error, Result},
    model::mapping::{Entity, FieldOff, MappingError, circles},
    sync::finding::Finding,
};

/// Long enough for a login over a slow line.
const SESSION_LIMIT: Duration = Duration::from_secs(10);

/// Who asks: the role, as it is written in a GRANT.
struct Role {
    quoted: String,
    superuser: bool,
    bypasses_row_security: bool,
    replicates: bool,
}

/// Everything that `run` needs from Postgres, and what else should be looked at.
pub async fn check(pool: &PgPool, url: &str, entities: &[Entity]) -> Vec<Finding> {
    let mut session = match pool.acquire().await.map_err(Error::from) {
        Ok(session) => session,
        Err(error) => return vec![refused("Postgres", &error, "start the server, or correct the Renaissance URL")],
    };
    let mut findings = Vec::new();
    if let Err(error) = look(&mut session, pool, url, entities, &mut findings).await {
        findings.push(refused("Postgres", &error, "run `biograph-bridge check` again"));
    }
    findings
}

async fn look(
    session: &mut PgConnection,
    pool: &PgPool,
    url: &str,
    entities: &[Entity],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let role = role(session).await?;
    findings.extend(server::findings(session, &role).await?);
    findings.push(replication_session(url, &role).await);
    findings.extend(tables::findings(session, &role, entities).await?);
    findings.extend(tables::owner_indexes(session, entities).await?);
    findings.extend(mappings(pool, entities).await?);
    findings.extend(parts::findings(session, &role, setup::plan(pool, entities).await?).await?);
    findings.push(parts::fence_triggers(session, entities).await?);
    Ok(())
}

async fn role(session: &mut PgConnection) -> Result<Role> {
    let row: (String, bool, bool, bool) = sqlx::query_as(
        "SELECT quote_ident(current_user), rolsuper, rolbypassrls, rolreplication FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(session)
    .await
    .map_err(during("asking for the role's attributes"))?;
    let (quoted, superuser, bypasses_row_security, replicates) = row;
    Ok(Role { quoted, superuser, bypasses_row_security, replicates })
}

/// Really opens one: attributes, pg_hba.conf and provider-specific roles all have a say.
async fn replication_session(url: &str, role: &Role) -> Finding {
    let subject = "replication session";
    let open = async {
        let config = connect::replication_config(url, OWN_NAME, OWN_NAME)?;
        let mut client = ReplicationClient::connect_gated(config).await?;
        Ok::<_, Error>(client.identify_system().await?)
    };
    let limit = || Error::retry(format!("no answer within {} s", SESSION_LIMIT.as_secs()));
    match timeout(SESSION_LIMIT, open).await.unwrap_or_else(|_| Err(limit())) {
        Ok(_) => Finding::good(subject, "can be opened"),
        Err(error) if !role.replicates && !role.superuser => {
            let grant = "or the replication role that a managed server offers";
            let fix = format!("ALTER ROLE {} REPLICATION -- {grant}", role.quoted);
            Finding { fix: Some(fix), ..Finding::failed(subject, &error, grant) }
        }
        Err(error) => refused(subject, &error, "allow it in pg_hba.conf: host all … with the role's usual method"),
    }
}

async fn mappings(pool: &PgPool, entities: &[Entity]) -> Result<Vec<Finding>> {
    let names: Vec<&str> =
        entities.iter().flat_map(|e| &e.renaissance.tables).map(|table| table.name.as_str()).collect();
    let catalog = catalog::load(pool, &names).await?;
    let finding = |entity: &Entity| match entity.bind(&catalog) {
        Ok(_) => {
            let fits = Finding::good(format!("mapping {}", entity.name), "fits the tables");
            [fits]
                .into_iter()
                .chain(entity.fields_off(&catalog).iter().map(|off| field_off(entity, off)))
                .collect::<Vec<_>>()
        }
        Err(errors) => {
            let subject = || format!("mapping {}", entity.name);
            let fix =
                |hint: Option<String>| hint.unwrap_or_else(|| "correct the mapping, or migrate the database".into());
            let blocking = |error: MappingError| {
                let hint = error.hint.clone();
                Finding::blocking(subject(), MappingError { hint: None, ..error }.to_string(), fix(hint))
            };
            errors.into_iter().map(blocking).collect()
        }
    };
    let bound: Vec<Entity> = entities.iter().filter_map(|entity| entity.bind(&catalog).ok()).collect();
    let in_circles = if bound.len() == entities.len() { circles(&bound) } else { Vec::new() };
    Ok(entities.iter().flat_map(finding).chain(in_circles.iter().map(in_a_circle)).collect())
}

/// New records that name each other could never be made.
fn in_a_circle(circle: &MappingError) -> Finding {
    let fix = "let a column on the way be NULL, or keep new records from naming each other";
    Finding::warning("mappings", circle.to_string(), fix)
}

/// A field that is not synced, as the database has no table for it.
fn field_off(entity: &Entity, off: &FieldOff) -> Finding {
    Finding::warning(
        format!("mapping {}", entity.name),
        format!("field {} is off: there is no table {}", off.field, off.table),
        format!("create it (deploy/renaissance/{}.sql), then restart the bridge", off.table),
    )
}

fn refused(subject: &str, error: &Error, otherwise: &str) -> Finding {
    Finding::failed(subject, error, otherwise)
}
