//! What is in the way of a move: it is said, with what to do, and nobody is held for a move that cannot succeed.

use mongodb::bson::{Document, doc};
use serde_json::{Value as Json, json};

use crate::{
    bed::Bed,
    cutover::{on, user},
};

/// The checks that somebody's findings are about, without warnings.
fn in_the_way(told: &Json) -> Vec<String> {
    let findings = told["people"][0]["findings"].as_array().unwrap();
    let failed = findings.iter().filter(|finding| finding["warning"] != true);
    failed.map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_that_fails_is_named_before_anybody_is_held() {
    let bed = Bed::for_moves().await;
    assert!(bed.command(&["init"]).output().unwrap().status.success());
    let without_daemon: [&[&str]; 7] = [
        &["cutover", "start", "ada"],
        &["cutover", "batch", "--percent", "5"],
        &["cutover", "batch", "--pause", "1"],
        &["cutover", "rollback", "ada", "--yes"],
        &["cutover", "rollback", "--all", "--yes"],
        &["verify"],
        &["pause"],
    ];
    for arguments in without_daemon {
        let refused = bed.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(said.contains("no daemon is active") && said.contains("biograph-bridge run"), "{said}");
    }

    let _daemon = bed.start().await;
    let (ada, _) = bed.shared_person("Ada").await;
    let look = || bed.cutover(&["start", &user(ada), "--dry-run"]);

    // the state says that the first copy is not over
    bed.sql(
        "UPDATE biograph_bridge.sweep SET done = false WHERE entity = 'book' AND side = 'legacy' AND kind = 'backfill'",
    )
    .await;
    let (code, told) = look();
    assert_eq!((code, in_the_way(&told)), (3, vec!["backfill".to_owned()]), "{told}");
    assert!(told["people"][0]["findings"].to_string().contains("book: not everything in legacy"), "{told}");
    bed.sql("UPDATE biograph_bridge.sweep SET done = true WHERE kind = 'backfill'").await;

    // MongoDB takes no mirrors
    let only = |validator: Document| doc! { "collMod": "biograph_bridge_cutover", "validator": validator };
    bed.legacy.run_command(only(doc! { "never": "there" })).await.unwrap();
    let (code, told) = look();
    assert_eq!((code, in_the_way(&told)), (3, vec!["mirror".to_owned()]), "{told}");
    bed.legacy.run_command(only(doc! {})).await.unwrap();

    // nobody has decided
    bed.sql(&format!(
        "INSERT INTO biograph_bridge.conflict (entity, legacy_id, kind, field, policy, owner, epoch) \
         VALUES ('user', '{ada}', 'update_update', 'name', 'park', 'legacy', 0)"
    ))
    .await;
    let (code, told) = look();
    assert_eq!((code, in_the_way(&told)), (3, vec!["conflicts".to_owned()]), "{told}");
    assert!(told.to_string().contains("biograph-bridge conflicts resolve"), "{told}");
    let (code, told) = bed.cutover(&["start", &user(ada)]);
    assert_eq!((code, &told["people"][0]["outcome"]), (3, &json!("refused")), "{told}");
    assert_eq!(bed.whereabouts(ada).await, [None, None], "nobody was held");
    bed.sql("DELETE FROM biograph_bridge.conflict").await;

    // that nothing was ever compared is only a warning
    let (code, told) = look();
    assert_eq!((code, in_the_way(&told)), (0, vec![]), "{told}");
    let warnings = told["people"][0]["findings"].as_array().unwrap();
    let detail = warnings[0]["detail"].as_str().unwrap();
    assert!(warnings.len() == 1 && detail.starts_with("never verified: ") && detail.contains("user"), "{told}");
    assert_eq!(warnings[0]["fix"], "biograph-bridge verify", "all of it, not one by one");
    assert!(bed.command(&["verify"]).output().unwrap().status.success());
    let (_, told) = look();
    assert_eq!(told["people"][0]["findings"], json!([]));

    // a database that cannot be asked refuses nobody
    let mut unanswered = bed.command(&["cutover", "start", "email:nobody@example.org"]);
    let nowhere = "mongodb://127.0.0.1:1/BioGraphDemo?replicaSet=rs0&serverSelectionTimeoutMS=300";
    let unanswered = unanswered.env("BRIDGE_LEGACY_URI", nowhere).output().unwrap();
    let said = String::from_utf8_lossy(&unanswered.stdout);
    assert_eq!((unanswered.status.code(), said.contains("refused")), (Some(1), false), "{said}");

    // a name that two people have
    bed.insert_person("Grace", doc! { "email": "both@example.org" }).await;
    bed.insert_person("Edith", doc! { "email": "both@example.org" }).await;
    let (code, told) = bed.cutover(&["start", "email:both@example.org"]);
    assert_eq!((code, in_the_way(&told)), (3, vec!["user".to_owned()]), "{told}");
    assert!(told.to_string().contains("this names several persons"), "{told}");
    let file = bed.log.with_file_name("ambiguous.txt");
    std::fs::write(&file, format!("{}\n\nemail:both@example.org\nlegacy:65f0\n", user(ada))).unwrap();
    let refused = bed.cutover_output(&["batch", "--file", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("nothing has begun\n  line 3: this names several persons"), "{said}");
    assert!(said.contains("\n  line 4: ") && !said.contains("line 1"), "{said}");
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.cutover_batch").await, 0);
    assert_eq!(bed.whereabouts(ada).await, [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_is_behind_refuses_moves_and_one_under_way_waits_for_what_was_written_before() {
    let bed = Bed::for_moves().await;
    let daemon = bed.start().await;
    let ((ada, _), (_, row)) = (bed.shared_person("Ada").await, bed.shared_person("Grace").await);
    // that both ways are open holds for a while
    let (code, told) = bed.cutover(&["start", &user(ada), "--dry-run"]);
    assert_eq!(code, 0, "{told}");

    // what is written to somebody else waits: whatever came before the fence has not crossed as long as that has not
    let mut held = bed.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM users WHERE id = $1 FOR UPDATE").bind(row).execute(&mut *held).await.unwrap();
    bed.users().update_one(doc! { "name": "Grace" }, doc! { "$set": { "name": "Held" } }).await.unwrap();
    bed.until("it is on its way", async || daemon.metric("queue_keys").await.is_some_and(|keys| keys > 0.0)).await;
    let (code, told) = bed.cutover(&["start", &user(ada), "--timeout", "1s"]);
    assert_eq!((code, &told["people"][0]["outcome"]), (3, &json!("timed_out")), "{told}");
    assert_eq!(in_the_way(&told), ["caught_up"], "{told}");
    assert_eq!(bed.whereabouts(ada).await, on("legacy", 2));

    let lag = async || {
        let status = daemon.status().await.unwrap_or_default();
        status["directions"]["legacy_to_renaissance"]["lag_seconds"].as_f64()
    };
    bed.until("it is behind", async || lag().await.is_some_and(|lag| lag > 11.0)).await;
    let (code, told) = bed.cutover(&["start", &user(ada)]);
    assert_eq!((code, &told["people"][0]["outcome"]), (3, &json!("refused")), "{told}");
    let checks = in_the_way(&told);
    assert!(checks.contains(&"lag".to_owned()) && checks.contains(&"round trip".to_owned()), "{told}");
    assert_eq!(bed.whereabouts(ada).await, on("legacy", 2), "nobody was held");

    held.rollback().await.unwrap();
    bed.until("it has crossed", async || lag().await.is_some_and(|lag| lag < 1.0)).await;
    let (code, told) = bed.cutover(&["start", &user(ada)]);
    assert_eq!((code, &told["people"][0]["outcome"]), (0, &json!("moved")), "{told}");
}
