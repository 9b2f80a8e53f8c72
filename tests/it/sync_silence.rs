//! One application write is one write on the other side, then nothing.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use sqlx::Row;

use crate::bed::Bed;

/// How long silence is listened to.
const SILENCE: Duration = Duration::from_secs(4);

/// What was done to the rows of the mapped tables since the last look (inserts, updates, deletes): what a slot of our own
/// has seen of the bridge's publication.
async fn row_writes(bed: &Bed) -> (usize, usize, usize) {
    let kinds: Vec<String> = sqlx::query_scalar(
        "SELECT chr(get_byte(data, 0)) FROM pg_logical_slot_get_binary_changes('seen', NULL, NULL, \
         'proto_version', '1', 'publication_names', 'biograph_bridge')",
    )
    .fetch_all(&bed.pool)
    .await
    .unwrap();
    let count = |kind: &str| kinds.iter().filter(|known| *known == kind).count();
    (count("I"), count("U"), count("D"))
}

/// The operations on people that a change stream of our own has seen.
struct Seen(mongodb::change_stream::ChangeStream<mongodb::change_stream::event::ChangeStreamEvent<Document>>);

impl Seen {
    async fn from_now(bed: &Bed) -> Self {
        Self(bed.users().watch().max_await_time(Duration::from_millis(200)).await.unwrap())
    }

    /// What has happened since the last look, until nothing more comes.
    async fn operations(&mut self) -> Vec<String> {
        let (mut seen, mut empty) = (Vec::new(), 0);
        // the batch of the opening is empty and says nothing yet
        while empty < 3 {
            match self.0.next_if_any().await.unwrap() {
                Some(event) => seen.push(format!("{:?}", event.operation_type).to_lowercase()),
                None => empty += 1,
            }
        }
        seen
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_write_is_one_write_on_the_other_side_and_then_nothing() {
    let (bed, daemon) = Bed::running().await;
    let mut documents = Seen::from_now(&bed).await;
    bed.sql("SELECT pg_create_logical_replication_slot('seen', 'pgoutput')").await;

    // an insert each way: a registration costs a second write of the row, which tells it the id of its document
    let id = bed.insert_person("Ada", doc! {}).await;
    bed.until_row(id, |_| true).await;
    bed.register("grace", "Grace").await;
    let grace = bed.until_document(doc! { "username": "grace" }, |_| true).await.get_object_id("_id").unwrap();
    let grace_row: i64 = bed.until_row(grace, |_| true).await.get("id");
    tokio::time::sleep(SILENCE).await;
    assert_eq!(documents.operations().await, ["insert", "insert"], "Ada by the application, Grace by the bridge");
    // two people with a profile each; the one update is the reference to Grace's document
    assert_eq!(row_writes(&bed).await, (4, 1, 0));

    // an update each way
    bed.set(id, "name", "Ada King").await;
    bed.until_name(id, "Ada King").await;
    bed.sql(&format!("UPDATE users SET first_name = 'Hopper' WHERE id = {grace_row}")).await;
    bed.until_document(doc! { "_id": grace, "name": "Hopper" }, |_| true).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(documents.operations().await, ["update", "update"], "Ada by the application, Grace by the bridge");
    assert_eq!(row_writes(&bed).await, (0, 2, 0), "Ada by the bridge, Grace by the application");

    // a delete each way
    bed.users().delete_one(doc! { "_id": id }).await.unwrap();
    bed.sql(&format!(
        "DELETE FROM user_profiles WHERE user_id = {grace_row}; DELETE FROM users WHERE id = {grace_row}"
    ))
    .await;
    bed.until_count("SELECT count(*) FROM users", 0).await;
    bed.until("the document goes", async || bed.document(grace).await.is_none()).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(documents.operations().await, ["delete", "delete"]);
    assert_eq!(row_writes(&bed).await, (0, 0, 4));

    // the bridge recognised every write of its own: three documents; rows of two tables, a reference, a row, two rows
    assert_eq!(daemon.metric_of("echoes_total", &["legacy"]).await, Some(3.0));
    assert_eq!(daemon.metric_of("echoes_total", &["renaissance"]).await, Some(6.0));
    assert_eq!(daemon.metric_of("hints_total", &["legacy"]).await, Some(3.0));
}
