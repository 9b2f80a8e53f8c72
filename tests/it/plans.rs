//! What the bridge asks of Postgres finds its rows by an index, however many there are.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::bson::doc;
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::bed::{Bed, output};

/// Tables that grow with the records in sync or with time.
const LARGE: [&str; 12] = [
    "users",
    "user_profiles",
    "friendships",
    "subscribers",
    "notifications",
    "link",
    "cutover",
    "cutover_history",
    "conflict",
    "tombstone",
    "parked",
    "waiting",
];
/// What begins so looks at everything, for a reason.
const BY_DESIGN: [(&str, &str); 5] = [
    ("SELECT EXISTS (SELECT FROM biograph_bridge.cutover)", "ends at the first row"),
    ("SELECT count(*) FROM \"", "only of a table that the planner knows as small, or not yet"),
    (
        "SELECT entity, reason, count(*) FROM biograph_bridge.parked",
        "the gauge: four times a minute, and little is parked",
    ),
    (
        "SELECT entity, legacy_id, renaissance_id FROM biograph_bridge.parked WHERE reason",
        "the slow retry: least tried first",
    ),
    (
        "SELECT entity, legacy_id, renaissance_id, field, reason AS why",
        "walks the index of undecided conflicts, which are few",
    ),
];
/// As the bridge's sessions are set: what has no index shows as a disabled plan.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// The statements in a log, each once.
fn statements(log: &str) -> BTreeSet<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let said = lines.filter(|line| line["target"] == "sqlx::query").filter_map(|line| {
        let text = |key: &str| line[key].as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        text("db.statement").or_else(|| text("summary"))
    });
    let planned = |statement: &String| {
        let first = statement.split_whitespace().next().unwrap_or_default().to_uppercase();
        ["SELECT", "WITH", "INSERT", "UPDATE", "DELETE"].contains(&first.as_str())
    };
    said.filter(planned).collect()
}

/// The tables that a plan reads from end to end: without a condition on an index, and no further than a LIMIT lets it.
fn walked(plan: &Json, limited: bool, found: &mut BTreeSet<String>) {
    let kind = plan["Node Type"].as_str().unwrap_or_default();
    let limited = limited || kind == "Limit";
    let by_index = !plan["Index Cond"].is_null() || !plan["Recheck Cond"].is_null();
    if let Some(table) = plan["Relation Name"].as_str()
        && kind.ends_with("Scan")
        && (kind == "Seq Scan" || !by_index && !limited)
    {
        found.insert(table.to_owned());
    }
    for inner in plan["Plans"].as_array().into_iter().flatten() {
        // what is sorted is read before any of it is given up
        walked(inner, limited && !["Sort", "Aggregate"].contains(&kind), found);
    }
}

async fn traffic(bed: &Bed) {
    let ada = bed.insert_person("Ada", doc! {}).await;
    let grace = bed.insert_person("Grace", doc! { "friends": [ada] }).await;
    bed.until_name(ada, "Ada").await;
    bed.until_name(grace, "Grace").await;
    bed.set(ada, "name", "Ada L").await;
    bed.until_name(ada, "Ada L").await;
    let hex = grace.to_hex();
    bed.sql(&format!("UPDATE users SET first_name = 'Grace H' WHERE old_user_id = '{hex}'")).await;
    bed.register("edsger", "Edsger").await;
    bed.insert_person("Refused", doc! { "name": "R".repeat(400) }).await;
    bed.until("one is parked", async || !bed.parked().await.is_empty()).await;
    bed.users().delete_one(doc! { "_id": grace }).await.unwrap();
    bed.until("she is gone", async || bed.row(grace).await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_large_tables_is_answered_by_an_index() {
    let mut bed = Bed::for_moves().await;
    bed.settings.push(("RUST_LOG", "warn,sqlx::query=debug".to_owned()));
    bed.settings.push(("BRIDGE_LOG_FORMAT", "json".to_owned()));
    let daemon = bed.start().await;
    traffic(&bed).await;
    bed.until_settled(&daemon).await;
    let person = bed.count("SELECT min(renaissance_id) FROM biograph_bridge.link WHERE entity = 'user'").await;
    for arguments in [&["verify"][..], &["cutover", "start", &format!("renaissance:{person}")]] {
        let (code, said) = output(bed.command(arguments)).await;
        assert!(code == Some(0), "{said}");
    }
    assert_eq!(daemon.stop().await, Some(0));

    let mut session = PgConnection::connect(&bed.renaissance_url).await.unwrap();
    sqlx::raw_sql(SETTINGS).execute(&mut session).await.unwrap();
    let mut from_end_to_end: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let statements = statements(&bed.log_all());
    assert!(statements.len() > 60, "only {} statements were seen", statements.len());
    for statement in statements {
        let explain = format!("EXPLAIN (GENERIC_PLAN, FORMAT JSON) {statement}");
        let answer = match sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut session).await {
            Ok(answer) => answer,
            // the type of a parameter cannot be told from the text alone
            Err(_) if !LARGE.iter().any(|table| statement.contains(table)) => continue,
            Err(error) => panic!("{error}: {statement}"),
        };
        let plan: Json = sqlx::Row::get(&answer, 0);
        let mut tables = BTreeSet::new();
        walked(&plan[0]["Plan"], false, &mut tables);
        tables.retain(|table| LARGE.contains(&table.as_str()));
        let known = BY_DESIGN.iter().any(|(beginning, _)| statement.starts_with(beginning));
        if !tables.is_empty() && !known {
            from_end_to_end.insert(statement, tables);
        }
    }
    assert!(from_end_to_end.is_empty(), "{from_end_to_end:#?}");
}
