//! Whether the legacy side is fit for the bridge: one finding per thing looked at, each with the command that fixes it.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mongodb::bson::{Bson, Document, doc};

use super::{
    connect::Legacy,
    error::{Doing, translate},
    ledger::LEDGER,
};
use crate::{
    error::{Error, Result},
    model::{key::EntityIndex, mapping::Entity},
    sync::finding::Finding,
};

const OLDEST_POSSIBLE: (i32, i32) = (4, 4);
const OLDEST_ADVISED: (i32, i32) = (5, 0);
/// A shorter oplog window than this is lost too easily to a night's outage.
const SHORT_WINDOW: Duration = Duration::from_secs(6 * 3600);
/// Clocks further apart than this spoil the lag shown.
const CLOCK_SKEW: Duration = Duration::from_secs(2);

impl Legacy {
    /// Looks at everything; stops early only where the rest could not be asked.
    pub async fn check(&self) -> Vec<Finding> {
        self.check_but(&[]).await
    }

    /// The same, but the collections of these entities may be missing: what becomes of their records is asked elsewhere.
    pub async fn check_but(&self, excused: &[String]) -> Vec<Finding> {
        let hello = match self.admin(doc! { "hello": 1 }).await {
            Ok(hello) => hello,
            Err(error) => return vec![failed("MongoDB", &error)],
        };
        let mut findings = vec![Finding::good("MongoDB", "reachable")];
        match self.server_version().await {
            Ok(version) => findings.push(version_finding(version)),
            Err(error) => findings.push(failed("MongoDB version", &error)),
        }
        findings.push(topology(&hello));
        findings.push(clock(&hello));
        match self.rights().await {
            Ok(rights) => findings.extend(rights),
            Err(error) => findings.push(failed("MongoDB rights", &error)),
        }
        match self.collection_names().await {
            Ok(names) => {
                let looked_at = self.entities.iter().map(|entity| (entity, collection(entity, &names)));
                let excuse = |(entity, finding): (&Entity, Finding)| Finding {
                    blocks: finding.blocks && !excused.contains(&entity.name),
                    ..finding
                };
                findings.extend(looked_at.map(excuse));
            }
            Err(error) => findings.push(failed("MongoDB collections", &error)),
        }
        findings.extend(self.ids().await);
        if hello.contains_key("setName") {
            findings.push(self.oplog().await);
        }
        findings
    }

    /// How far back the oplog reaches.
    pub async fn oplog_window(&self) -> Result<Duration> {
        let (first, last) = (self.oplog_end(1).await?, self.oplog_end(-1).await?);
        Ok(Duration::from_secs(u64::from(last.saturating_sub(first))))
    }

    /// The seconds of the oldest (1) or newest (-1) oplog entry.
    async fn oplog_end(&self, order: i32) -> Result<u32> {
        let doing = Doing { what: "reading the oplog's ends", on: "local.oplog.rs", right: "find" };
        let oplog = self.client.database("local").collection::<Document>("oplog.rs");
        let entry = oplog.find_one(doc! {}).sort(doc! { "$natural": order }).projection(doc! { "ts": 1 }).await;
        let entry = entry.map_err(|error| translate(&error, doing))?;
        let time = entry.as_ref().and_then(|entry| entry.get_timestamp("ts").ok());
        time.map(|time| time.time).ok_or_else(|| Error::retry("the oplog is empty"))
    }

    async fn oplog(&self) -> Finding {
        let subject = "MongoDB oplog window";
        match self.oplog_window().await {
            Ok(window) => {
                let hours = window.as_secs() / 3600;
                let detail = format!("{hours} h {} min", window.as_secs() / 60 % 60);
                if window < SHORT_WINDOW {
                    let fix = "db.adminCommand({replSetResizeOplog: 1, minRetentionHours: 24}) on each member; a new replica set grows into it";
                    Finding::warning(subject, detail, fix)
                } else {
                    Finding::good(subject, detail)
                }
            }
            Err(error) => Finding::warning(
                subject,
                format!("unknown: {error}"),
                "grant the bridge's user clusterMonitor, or read on local",
            ),
        }
    }

    async fn ids(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, entity) in (0..).map(EntityIndex).zip(self.entities.iter()) {
            // a failure to count shows under rights or collections already
            if let Ok(count @ 1..) = self.unaddressable(index).await {
                findings.push(Finding::warning(
                    format!("collection {}", entity.legacy.collection),
                    format!("{count} documents have an _id that is not an ObjectId and will not be synced"),
                    "give them an ObjectId, or leave them out",
                ));
            }
        }
        findings
    }

    async fn rights(&self) -> Result<Vec<Finding>> {
        let status = self.admin(doc! { "connectionStatus": 1, "showPrivileges": true }).await?;
        let info = status.get_document("authInfo").cloned().unwrap_or_default();
        if info.get_array("authenticatedUsers").map_or(0, Vec::len) == 0 {
            return Ok(vec![Finding::good(
                "MongoDB rights",
                "access control is off or no user is named: everything is allowed",
            )]);
        }
        let privileges: Vec<&Document> =
            info.get_array("authenticatedUserPrivileges").into_iter().flatten().filter_map(Bson::as_document).collect();
        let database = self.database.name();
        let mapped = self
            .entities
            .iter()
            .map(|entity| (entity.legacy.collection.as_str(), &["find", "insert", "update", "remove"][..]));
        let own = [
            ("", &["changeStream", "find"][..]),
            (LEDGER, &["find", "insert", "update", "remove", "createCollection", "createIndex"][..]),
        ];
        Ok(own.into_iter().chain(mapped).map(|(on, actions)| right(&privileges, database, on, actions)).collect())
    }

    async fn admin(&self, command: Document) -> Result<Document> {
        let doing = Doing { what: "asking the server", on: "admin", right: "connect" };
        self.client.database("admin").run_command(command).await.map_err(|error| translate(&error, doing))
    }
}

fn failed(subject: &str, error: &Error) -> Finding {
    Finding::failed(subject, error, "see the error")
}

fn version_finding((major, minor, patch): (i32, i32, i32)) -> Finding {
    let subject = "MongoDB version";
    let detail = format!("{major}.{minor}.{patch}");
    if (major, minor) < OLDEST_POSSIBLE {
        Finding::blocking(subject, detail, "upgrade MongoDB to 5.0 or later; 4.4 is the oldest that works")
    } else if (major, minor) < OLDEST_ADVISED {
        Finding::warning(subject, detail, "upgrade MongoDB to 5.0 or later; this version is no longer maintained")
    } else {
        Finding::good(subject, detail)
    }
}

fn topology(hello: &Document) -> Finding {
    let subject = "MongoDB topology";
    match (hello.get_str("setName"), hello.get_str("msg")) {
        (Ok(name), _) => Finding::good(subject, format!("replica set {name}")),
        (Err(_), Ok("isdbgrid")) => Finding::good(subject, "sharded cluster"),
        (Err(_), _) => Finding::blocking(
            subject,
            "a standalone server: it has neither change streams nor transactions",
            "restart mongod with --replSet rs0 (or replication.replSetName: rs0 in mongod.conf), then run once: mongosh --eval 'rs.initiate()'",
        ),
    }
}

fn clock(hello: &Document) -> Finding {
    let subject = "MongoDB clock";
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let theirs = hello.get_datetime("localTime").map_or(0, |time| time.timestamp_millis());
    let apart = ours.abs_diff(Duration::from_millis(u64::try_from(theirs).unwrap_or(0)));
    let detail = format!("{} ms from this machine's", apart.as_millis());
    if apart > CLOCK_SKEW {
        Finding::warning(
            subject,
            detail,
            "synchronise the clocks of both machines (chrony, systemd-timesyncd); until then the lag shown is off by as much",
        )
    } else {
        Finding::good(subject, detail)
    }
}

fn collection(entity: &Entity, names: &HashSet<String>) -> Finding {
    let wanted = &entity.legacy.collection;
    let subject = format!("collection {wanted}");
    if names.contains(wanted) {
        return Finding::good(subject, "exists");
    }
    let file = format!("mappings/{}.toml", entity.name);
    match names.iter().find(|name| name.eq_ignore_ascii_case(wanted)) {
        Some(other) => Finding::blocking(
            subject,
            format!("collection {wanted} is missing, but {other} exists"),
            format!("set [legacy] collection = \"{other}\" in {file}"),
        ),
        None => Finding::blocking(
            subject,
            format!("collection {wanted} is missing"),
            format!(
                "is the database in legacy_uri the right one? Otherwise set [legacy] collection in {file}, or db.createCollection(\"{wanted}\")"
            ),
        ),
    }
}

/// Whether all these actions are allowed on a collection (`""`: on the whole database).
fn right(privileges: &[&Document], database: &str, on: &str, actions: &[&str]) -> Finding {
    let shown = if on.is_empty() { format!("database {database}") } else { format!("collection {on}") };
    let granted = |action: &&&str| privileges.iter().any(|privilege| grants(privilege, database, on, action));
    let missing: Vec<&str> = actions.iter().filter(|action| !granted(action)).copied().collect();
    let subject = format!("MongoDB rights on {shown}");
    if missing.is_empty() {
        return Finding::good(subject, actions.join(", "));
    }
    let list = missing.join(", ");
    Finding::blocking(
        subject,
        format!("{list} not granted"),
        format!(
            "as an administrator: db.getSiblingDB(\"admin\").grantRolesToUser(USER, [{{role: \"readWrite\", db: \"{database}\"}}])"
        ),
    )
}

fn grants(privilege: &Document, database: &str, on: &str, action: &str) -> bool {
    let Ok(resource) = privilege.get_document("resource") else { return false };
    let named = |field: &str, wanted: &str| resource.get_str(field).is_ok_and(|name| name.is_empty() || name == wanted);
    let covers =
        resource.get_bool("anyResource").unwrap_or(false) || (named("db", database) && named("collection", on));
    covers && privilege.get_array("actions").is_ok_and(|actions| actions.iter().any(|a| a.as_str() == Some(action)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_on_the_database_covers_its_collections_but_not_the_reverse() {
        let whole = doc! { "resource": { "db": "d", "collection": "" }, "actions": ["find"] };
        let one = doc! { "resource": { "db": "d", "collection": "people" }, "actions": ["find"] };
        assert!(grants(&whole, "d", "people", "find") && grants(&whole, "d", "", "find"));
        assert!(grants(&one, "d", "people", "find") && !grants(&one, "d", "", "find"));
        assert!(!grants(&whole, "other", "people", "find") && !grants(&whole, "d", "people", "update"));
        let finding = right(&[&one], "d", "", &["changeStream", "find"]);
        assert!(finding.blocks && finding.detail.contains("changeStream"));
    }

    #[test]
    fn versions_are_told_apart() {
        assert!(version_finding((4, 2, 24)).blocks);
        assert!(!version_finding((4, 4, 0)).ok && !version_finding((4, 4, 0)).blocks);
        assert!(version_finding((6, 0, 5)).ok);
    }
}
