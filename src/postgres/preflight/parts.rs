//! What `init` puts in place: there already, to come, or beyond the role's rights; then the owner gets the statements.

use sqlx::PgConnection;

use super::{Role, refused};
use crate::{
    error::Result,
    model::mapping::Entity,
    postgres::{
        fault::during,
        setup::{self, Part, Plan, SlotStatus, Step, StepState},
    },
    sync::finding::Finding,
};

const INIT: &str = "biograph-bridge init (or `run`, which begins with it)";

const HEALS: &str = "raise max_slot_wal_keep_size; `biograph-bridge run` makes a new slot and sweeps";

const FENCE_TRIGGERS: &str = "fence triggers";
const FENCES: &str = "biograph-bridge init --fence-triggers";

/// What the role may do about what is not in place.
struct Abilities {
    create_in_database: bool,
    own_tables: bool,
    own_publication: bool,
}

pub(super) async fn findings(session: &mut PgConnection, role: &Role, plan: Plan) -> Result<Vec<Finding>> {
    let able = abilities(session, &plan).await?;
    let mut findings: Vec<Finding> = plan.steps.iter().map(|step| finding(step, &able, role)).collect();
    findings.extend(plan.refusals.iter().map(|(part, error)| match error.position_lost() {
        Some(_) => Finding::warning(subject(*part), error.to_string(), HEALS),
        None => refused(subject(*part), error, INIT),
    }));
    if let Some(slot) = setup::slot_status(session).await? {
        findings.extend(slot_state(&slot));
    }
    Ok(findings)
}

fn finding(step: &Step, able: &Abilities, role: &Role) -> Finding {
    if step.state == StepState::Present {
        return Finding::good(&step.what, "in place");
    }
    let sql = step.sql.join("; ");
    let (allowed, fix) = match step.part {
        Part::State if able.create_in_database => (true, String::new()),
        Part::State => {
            (false, format!("CREATE SCHEMA biograph_bridge AUTHORIZATION {} -- as a superuser", role.quoted))
        }
        Part::Slot => (true, String::new()),
        Part::ReplicaIdentity | Part::Index | Part::FenceTrigger => {
            (able.own_tables, format!("{sql} -- as the owner of the table"))
        }
        Part::Publication => {
            let allowed = able.own_tables && able.own_publication;
            (allowed, format!("{sql} -- as the owner of the tables, with CREATE on the database"))
        }
    };
    match (allowed || role.superuser, step.part) {
        (true, _) => Finding::warning(&step.what, "not in place yet", INIT),
        // finding rows by their legacy id is slow without it, and still right
        (false, Part::Index) => Finding::warning(&step.what, "not in place, and this role may not create it", fix),
        (false, _) => Finding::blocking(&step.what, "not in place, and this role may not create it", fix),
    }
}

async fn abilities(session: &mut PgConnection, plan: &Plan) -> Result<Abilities> {
    let row: (bool, bool, bool) = sqlx::query_as(
        "SELECT coalesce((SELECT bool_and(pg_has_role(c.relowner, 'USAGE'))
                          FROM unnest($1::text[]) AS wanted (name)
                          JOIN pg_class c ON c.oid = to_regclass(wanted.name)), true),
                coalesce((SELECT pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = 'biograph_bridge'),
                         has_database_privilege(current_database(), 'CREATE')),
                coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'biograph_bridge'),
                         has_database_privilege(current_database(), 'CREATE'))",
    )
    .bind(&plan.tables)
    .fetch_one(session)
    .await
    .map_err(during("asking for the role's rights"))?;
    let (own_tables, own_publication, create_in_database) = row;
    Ok(Abilities { create_in_database, own_tables, own_publication })
}

/// Whether triggers hold what applications write for people who are elsewhere: all mapped tables have one or none has.
pub(super) async fn fence_triggers(session: &mut PgConnection, entities: &[Entity]) -> Result<Finding> {
    if setup::fence_triggers_installed(session).await?.is_empty() {
        let detail = format!("none, applications hold writes by themselves ({FENCES})");
        return Ok(Finding::good(FENCE_TRIGGERS, detail));
    }
    let stale = match setup::fenced(session, entities).await {
        Ok(tables) => {
            tables.into_iter().filter(|table| !table.sql.is_empty()).map(|table| table.table).collect::<Vec<_>>()
        }
        Err(error) => return Ok(Finding::warning(FENCE_TRIGGERS, error.to_string(), error.hint().unwrap_or(FENCES))),
    };
    if stale.is_empty() {
        return Ok(Finding::good(FENCE_TRIGGERS, "in place on every mapped table"));
    }
    let detail = format!("missing, disabled or of another mapping on {}", stale.join(", "));
    Ok(Finding::warning(FENCE_TRIGGERS, detail, FENCES))
}

fn slot_state(slot: &SlotStatus) -> Option<Finding> {
    let subject = "slot in use";
    match (slot.active_pid, slot.wal_status.as_deref()) {
        (_, Some("unreserved")) => Some(Finding::warning(
            subject,
            "the server is about to remove log that the slot still needs",
            "start the bridge, or raise max_slot_wal_keep_size",
        )),
        (Some(pid), _) => Some(Finding::good(subject, format!("by process {pid} of the server: a bridge is running"))),
        (None, _) => None,
    }
}

const fn subject(part: Part) -> &'static str {
    match part {
        Part::State => "state schema biograph_bridge",
        Part::ReplicaIdentity => "replica identity",
        Part::Publication => "publication biograph_bridge",
        Part::Slot => "replication slot biograph_bridge",
        Part::Index => "index on the legacy id",
        Part::FenceTrigger => FENCE_TRIGGERS,
    }
}
