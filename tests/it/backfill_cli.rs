//! `backfill` and `parked` as people use them.

use std::process::{Command, Output, Stdio};

use mongodb::bson::{Document, doc};
use serde_json::{Value as Json, json};

use crate::bed::Bed;

/// Everything that is in both databases, application data and the bridge's own, and what servers keep for it.
async fn everything(bed: &Bed) -> Vec<String> {
    let mut found: Vec<String> = sqlx::query_scalar(
        "SELECT to_jsonb(u)::text FROM users u UNION ALL SELECT to_jsonb(p)::text FROM user_profiles p \
         UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp' \
         UNION ALL SELECT 'relation ' || oid::regclass::text || ' ' || relkind::text FROM pg_class \
           WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_') \
         UNION ALL SELECT 'publication ' || pubname FROM pg_publication \
         UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots ORDER BY 1",
    )
    .fetch_all(&bed.pool)
    .await
    .unwrap();
    let mut names = bed.legacy.list_collection_names().await.unwrap();
    names.sort();
    for name in names {
        let collection = bed.legacy.collection::<Document>(&name);
        let mut cursor = collection.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
        while cursor.advance().await.unwrap() {
            found.push(format!("{name} {:?}", cursor.deserialize_current().unwrap()));
        }
        let indexes = collection.list_index_names().await.unwrap_or_default();
        found.push(format!("{name} {indexes:?}"));
    }
    found
}

fn done(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn document(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

fn of_user(report: &Json) -> Json {
    let entities = report["entities"].as_array().unwrap();
    entities.iter().find(|entity| entity["entity"] == "user").unwrap().clone()
}

/// The numbers of a rehearsal without its samples.
fn counts(user: &Json) -> Json {
    let of = |part: &Json| {
        part.as_object()
            .unwrap()
            .iter()
            .map(|(name, counted)| (name.clone(), counted["count"].clone()))
            .collect::<Json>()
    };
    json!({ "outcomes": of(&user["outcomes"]), "parked": of(&user["parked"]), "conflicts": user["conflicts"]["count"] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_writes_nothing_and_foretells_what_the_backfill_does() {
    let bed = Bed::new().await;
    for number in 0..7 {
        bed.insert_person(&format!("Person {number}"), doc! {}).await;
    }
    bed.insert_person(&"x".repeat(200), doc! {}).await;
    let copied = bed.insert_person("Ada Lovelace", doc! {}).await;
    let row = bed.register("copied", "Ada Byron").await;
    bed.sql(&format!("UPDATE users SET old_user_id = '{copied}' WHERE id = {row}")).await;
    bed.register("grace", "Grace Hopper").await;
    bed.users().insert_one(doc! { "_id": "+18475550100", "username": "odd" }).await.unwrap();
    // the second of these may be the first; the second of those only has the same digits in another country
    for code in [1, 1] {
        bed.insert_person("Twin", doc! { "country_code": code, "phone_number": "5550001111" }).await;
    }
    for code in [1, 44] {
        bed.insert_person("Digits", doc! { "country_code": code, "phone_number": "2079460018" }).await;
    }

    let before = everything(&bed).await;
    let rehearsed = done(bed.command(&["backfill", "--entity", "user", "--dry-run", "--json"]));
    let shown = text(&done(bed.command(&["backfill", "--entity", "user", "--dry-run"])).stdout);
    assert_eq!(everything(&bed).await, before, "a rehearsal leaves no trace");
    let report = of_user(&document(&rehearsed));
    assert_eq!(
        counts(&report),
        json!({
            "outcomes": { "adopted": 1, "created_in_legacy": 1, "created_in_renaissance": 11, "parked": 2 },
            "parked": { "too_long": 1, "unique_taken": 2, "unsupported_id": 1 },
            "conflicts": 1,
        }),
        "{report:#}"
    );
    assert_eq!((report["documents"].as_u64(), report["rows"].as_u64()), (Some(14), Some(2)));
    assert!(shown.contains("created in renaissance    11\n") && shown.contains("parks too_long"), "{shown}");
    for private in ["Lovelace", "Person 1", "8475550100"] {
        assert!(!shown.contains(private) && !text(&rehearsed.stdout).contains(private), "{private}: {shown}");
    }

    let output = text(&done(bed.command(&["backfill"])).stdout);
    assert!(output.contains("no daemon is active") && output.contains("user: complete"), "{output}");
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.link WHERE entity = 'user'").await, 13);
    assert_eq!(bed.count("SELECT count(*) FROM users").await, 13);
    let parked = [("", "unique_taken"), ("", "unsupported_id"), ("name", "too_long"), ("phone", "unique_taken")];
    assert_eq!(bed.parked().await, parked.map(|(field, reason)| (field.to_owned(), reason.to_owned())));
    let journal = bed.conflicts(copied).await;
    assert!(!journal.is_empty() && journal.iter().all(|entry| entry.kind == "adopted"), "{journal:?}");
    let again = text(&done(bed.command(&["backfill"])).stdout);
    assert!(again.contains("complete; --restart to do it again"), "{again}");

    let after = of_user(&document(&done(bed.command(&["backfill", "--entity", "user", "--dry-run", "--json"]))));
    // the telephone that somebody else has: only the database knows that it refuses it
    let outcomes = json!({ "unchanged": 12, "changed_in_renaissance": 1, "parked": 2 });
    assert_eq!(counts(&after)["outcomes"], outcomes, "{after:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_have_the_running_daemon_do_it() {
    let bed = Bed::new().await;
    let nobody = bed.command(&["parked", "retry", "--all"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(3), "{}", text(&nobody.stderr));
    assert!(text(&nobody.stderr).contains("no daemon is active"), "{}", text(&nobody.stderr));
    assert_eq!(bed.command(&["backfill", "--no-wait"]).output().unwrap().status.code(), Some(3));

    let long = bed.insert_person(&"x".repeat(200), doc! {}).await;
    bed.insert_person("Ada", doc! {}).await;
    let _daemon = bed.start().await;
    let complete = text(&done(bed.command(&["backfill", "--entity", "user"])).stdout);
    assert!(complete.contains("user: complete; --restart to do it again"), "{complete}");
    let restarted = document(&done(bed.command(&["backfill", "--entity", "user", "--restart", "--json"])));
    assert_eq!(restarted["complete"], true, "{restarted:#}");
    let sweeps = restarted["sweeps"].as_array().unwrap();
    assert!(sweeps.iter().any(|s| s["side"] == "legacy" && s["records"] == 2 && s["done"] == true), "{restarted:#}");
    let unknown = bed.command(&["backfill", "--entity", "nothing"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("there are: "), "{}", text(&unknown.stderr));

    let list = document(&done(bed.command(&["parked", "list", "--user", &format!("legacy:{long}"), "--json"])));
    let entry = &list["parked"][0];
    assert_eq!((entry["field"].as_str(), entry["reason"].as_str()), (Some("name"), Some("too_long")), "{list:#}");
    let id = entry["id"].to_string();
    assert_eq!(
        document(&done(bed.command(&["parked", "list", "--reason", "wrong_type", "--json"])))["parked"],
        json!([])
    );
    let shown = text(&done(bed.command(&["parked", "show", &id])).stdout);
    assert!(shown.contains("What to do: Shorten the value") && shown.contains(&long.to_hex()), "{shown}");
    assert!(!shown.contains("renaissance:-"), "both ids: {shown}");

    let retried = document(&done(bed.command(&["parked", "retry", &id, "424242", "--json"])));
    assert_eq!(
        (&retried["retried"], &retried["still_parked"], &retried["unknown"]),
        (&json!(1), &json!(1), &json!([424_242])),
        "{retried:#}"
    );
    let asks = bed.command(&["parked", "drop", &id]).output().unwrap();
    assert!(!asks.status.success() && text(&asks.stderr).contains("--yes"), "{}", text(&asks.stderr));
    let dropped = text(&done(bed.command(&["parked", "drop", &id, "--yes"])).stdout);
    assert_eq!(dropped, "dropped: 1\n");
    assert_eq!(bed.parked().await, []);
    bed.set(long, "name", "y".repeat(200)).await;
    bed.until_parked(&[("name", "too_long")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_no_daemon_knows_is_answered_with_an_error() {
    let (bed, _daemon) = Bed::running().await;
    let asked = biograph_bridge::postgres::request::submit(&bed.pool, "fly", &json!({})).await.unwrap();
    let patience = std::time::Duration::from_secs(10);
    let outcome = biograph_bridge::postgres::request::wait(&bed.pool, asked, patience).await.unwrap().unwrap();
    assert!(outcome["error"].as_str().unwrap().contains("does not know the request `fly`"), "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_watching_does_not_stop_the_backfill() {
    let mut bed = Bed::new().await;
    bed.settings.push(("BRIDGE_BACKFILL_RATE", "10".to_owned()));
    for number in 0..40 {
        bed.insert_person(&format!("Person {number}"), doc! {}).await;
    }
    let _daemon = bed.spawn();
    bed.until("the copy has begun", async || {
        let begun = sqlx::query_scalar(
            "SELECT records > 0 FROM biograph_bridge.sweep WHERE entity = 'user' AND side = 'legacy' AND kind = 'backfill'",
        );
        begun.fetch_optional(&bed.pool).await.ok().flatten().unwrap_or(false)
    })
    .await;
    let watching = bed.command(&["backfill", "--entity", "user"]).stdout(Stdio::piped()).spawn().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(watching.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = watching.wait_with_output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains("user: the daemon is at it already"), "{said}");
    assert!(said.contains("stopped watching; the backfill goes on in the daemon"), "{said}");
    bed.until_count("SELECT count(*) FROM users", 40).await;
}

const CLUB: &str = r#"
entity = "club"
natural_keys = ["name"]
[legacy]
collection = "clubs"
[renaissance]
table = "clubs"
legacy_id = "old_id"
[[field]]
name = "name"
legacy = "name"
renaissance = "name"
[[field]]
name = "friends"
as = "references"
to = "club"
policy = "union"
missing = []
legacy = "friends"
renaissance = { table = "club_friends", parent = "club_id", column = "friend_id", optional = true }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_table_is_missing_keeps_no_backfill_waiting() {
    let mut bed = Bed::new().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("club.toml"), CLUB).unwrap();
    bed.settings.push(("BRIDGE_MAPPINGS", folder.path().to_str().unwrap().to_owned()));
    bed.sql(
        "CREATE TABLE clubs (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name varchar(50) NOT NULL, old_id text)",
    )
    .await;
    let clubs = bed.legacy.collection::<Document>("clubs");
    clubs.insert_one(doc! { "name": "chess", "friends": [mongodb::bson::oid::ObjectId::new()] }).await.unwrap();
    let output = text(&done(bed.command(&["backfill"])).stdout);
    assert!(output.contains("club: complete"), "{output}");
    assert_eq!(bed.count("SELECT count(*) FROM clubs WHERE name = 'chess'").await, 1);
    assert_eq!(bed.parked().await, [], "what is off is not parked");
}
