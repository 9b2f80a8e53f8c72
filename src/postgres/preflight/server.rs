//! The server as a whole: version, settings, room for one more slot and session.

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::Role;
use crate::{error::Result, postgres::fault::during, sync::finding::Finding};

const OLDEST: i32 = 140_000;

const SERVER: &str = "
SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
       current_database()::text AS database, pg_is_in_recovery() AS replica, current_setting('wal_level') AS wal_level,
       current_setting('max_replication_slots')::int AS slots, current_setting('max_wal_senders')::int AS senders,
       (SELECT count(*) FROM pg_replication_slots)::int AS slots_used,
       (SELECT count(*) FROM pg_stat_replication)::int AS senders_used,
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'biograph_bridge') AS has_slot,
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'biograph_bridge' AND active) AS has_sender,
       current_setting('max_slot_wal_keep_size') AS keeps, current_setting('server_encoding') AS encoding,
       coalesce(current_setting('idle_replication_slot_timeout', true), '0') AS idle_timeout";

pub(super) async fn findings(session: &mut PgConnection, role: &Role) -> Result<Vec<Finding>> {
    let row = sqlx::query(SERVER).fetch_one(session).await.map_err(during("asking for the server's settings"))?;
    let mut findings = vec![version(&row, role)?, wal_level(&row)?];
    findings.extend(room(&row, "replication slots", "max_replication_slots", ("slots", "slots_used", "has_slot"))?);
    findings.extend(room(&row, "replication sessions", "max_wal_senders", ("senders", "senders_used", "has_sender"))?);
    findings.extend(retention(&row)?);
    let encoding: String = row.try_get("encoding")?;
    if encoding != "UTF8" {
        let detail = format!("is {encoding}: texts with other characters cannot be written and are parked");
        findings.push(Finding::warning("database encoding", detail, "move to a database with ENCODING 'UTF8'"));
    }
    Ok(findings)
}

fn version(row: &PgRow, role: &Role) -> Result<Finding> {
    let (number, version): (i32, String) = (row.try_get("number")?, row.try_get("version")?);
    let database: String = row.try_get("database")?;
    let found = format!("version {version}, database {database}, role {}", role.quoted);
    Ok(if row.try_get("replica")? {
        Finding::blocking(
            "Postgres",
            format!("{found}: a read-only replica"),
            "point the Renaissance URL at the primary",
        )
    } else if number < OLDEST {
        Finding::blocking("Postgres", format!("{found}: too old"), "upgrade the server to Postgres 14 or newer")
    } else {
        Finding::good("Postgres", found)
    })
}

fn wal_level(row: &PgRow) -> Result<Finding> {
    let level: String = row.try_get("wal_level")?;
    Ok(if level == "logical" {
        Finding::good("wal_level", level)
    } else {
        Finding::blocking("wal_level", level, "ALTER SYSTEM SET wal_level = 'logical'; then restart the server")
    })
}

fn room(row: &PgRow, subject: &str, setting: &str, (max, used, own): (&str, &str, &str)) -> Result<Option<Finding>> {
    let (max, used, own): (i32, i32, bool) = (row.try_get(max)?, row.try_get(used)?, row.try_get(own)?);
    let found = format!("{used} of {max} in use");
    let wanted = (used + 2).max(10);
    Ok(Some(if own || used < max {
        Finding::good(subject, found)
    } else {
        Finding::blocking(subject, found, format!("ALTER SYSTEM SET {setting} = {wanted}; then restart the server"))
    }))
}

fn retention(row: &PgRow) -> Result<Vec<Finding>> {
    let (keeps, idle): (String, String) = (row.try_get("keeps")?, row.try_get("idle_timeout")?);
    let subject = "log kept for the slot";
    let mut findings = vec![if keeps == "-1" {
        Finding::good(
            subject,
            "without limit: while the bridge is stopped, the log grows (max_slot_wal_keep_size = -1)",
        )
    } else {
        Finding::good(subject, format!("at most {keeps} (max_slot_wal_keep_size); a bridge stopped for longer sweeps"))
    }];
    if !idle.starts_with('0') {
        let detail = format!("a slot unused for {idle} is given up (idle_replication_slot_timeout)");
        let fix = "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()";
        findings.push(Finding::warning("idle slots", detail, fix));
    }
    Ok(findings)
}
