//! Renaissance gets the two tables it lacks when everybody has been copied already.

use mongodb::bson::doc;

use crate::bed::{Bed, holds};

const FRIENDSHIPS: &str = include_str!("../../deploy/renaissance/friendships.sql");
const SUBSCRIBERS: &str = include_str!("../../deploy/renaissance/subscribers.sql");

/// The fields that `check` says are off.
fn off(bed: &Bed) -> Vec<String> {
    let output = bed.command(&["check", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["groups"].as_array().unwrap().iter().flat_map(|group| group["findings"].as_array().unwrap());
    let said = findings.filter_map(|finding| finding["detail"].as_str());
    said.filter(|detail| detail.starts_with("field ")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_whose_tables_are_installed_late_cross_after_the_backfill_that_their_file_names() {
    let bed = Bed::new().await;
    bed.sql("DROP TABLE IF EXISTS friendships, subscribers").await;
    let expected = ["friends", "subscribers"];
    let tables = ["friendships", "subscribers"];
    let missing =
        expected.iter().zip(tables).map(|(field, table)| format!("field {field} is off: there is no table {table}"));
    assert_eq!(off(&bed), missing.collect::<Vec<_>>());
    let daemon = bed.start().await;
    let (ada, ada_row) = bed.shared_person("Ada").await;
    let (grace, grace_row) = bed.shared_person("Grace").await;
    bed.set(ada, "friends", vec![grace]).await;
    bed.set(grace, "subscribers", vec![ada.to_hex()]).await;
    bed.set(ada, "name", "Ada King").await;
    bed.until_name(ada, "Ada King").await;
    assert_eq!(bed.parked().await, [], "a field that is off parks nothing");
    assert_eq!(daemon.stop().await, Some(0));

    for file in [FRIENDSHIPS, SUBSCRIBERS, FRIENDSHIPS] {
        bed.sql(file).await;
    }
    assert_eq!(off(&bed), [""; 0]);
    let line =
        FRIENDSHIPS.lines().find_map(|line| line.split_once("run: biograph-bridge ")).expect("the command is named");
    let daemon = bed.start().await;
    let arguments: Vec<&str> = line.1.split_whitespace().collect();
    let backfill = bed.command(&arguments).output().unwrap();
    assert!(backfill.status.success(), "{}", String::from_utf8_lossy(&backfill.stderr));
    bed.until_count("SELECT count(*) FROM friendships", 1).await;
    bed.until_count("SELECT count(*) FROM subscribers", 1).await;
    // and they go on crossing, both ways
    bed.sql(&format!("INSERT INTO friendships VALUES ({grace_row}, {ada_row})")).await;
    bed.until_document(doc! { "_id": grace }, |document| holds(document, "friends", vec![ada])).await;
    bed.users().update_one(doc! { "_id": ada }, doc! { "$pull": { "friends": grace } }).await.unwrap();
    let hers = "SELECT count(*) FROM friendships JOIN users ON id = user_id WHERE first_name = 'Ada King'";
    bed.until_count(hers, 0).await;
    bed.until_settled(&daemon).await;
    assert_eq!(bed.parked().await, []);
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
}
