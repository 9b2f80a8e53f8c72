//! What says the same is left as it is spelled, on both sides and inside of JSON: no writes for nothing, nothing back and forth.

use mongodb::bson::{Bson, Document, doc, oid::ObjectId};

use crate::{
    bed::holds,
    types::{Things, decimal},
};

fn spelled(id: ObjectId) -> Document {
    doc! { "_id": id, "name": "spelled", "big": 7_i64, "price": decimal("1.50"),
    "doc": { "z": 7_i64, "money": decimal("0.100"), "a": [1_i64, { "y": 2_i64, "x": decimal("5.0") }], "half": 1.5 } }
}

async fn version(things: &Things) -> String {
    let ask = "SELECT xmin::text FROM things WHERE name = 'spelled'";
    sqlx::query_scalar(ask).fetch_one(&things.bed.pool).await.unwrap()
}

/// A change of somebody else crosses after everything that was done before.
async fn crossed(things: &Things, name: &str) {
    let id = ObjectId::new();
    things.insert(&doc! { "_id": id, "name": name }).await;
    things.row(id, name).await;
    things.bed.sql(&format!("UPDATE things SET town = 'there' WHERE old_id = '{id}'")).await;
    things.thing(name, |document| holds(document, "location.town", "there")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_the_same_in_another_spelling_is_never_rewritten() {
    let (things, daemon) = Things::running().await;
    let bed = &things.bed;
    let id = ObjectId::new();
    let first = spelled(id);
    things.insert(&first).await;
    things.row(id, "spelled").await;

    // Renaissance changes one part of each: widths, trailing zeros and the order of keys stay
    bed.sql("UPDATE things SET big = 8, doc = jsonb_set(jsonb_set(doc, '{half}', '2.5'), '{a,1,y}', '3') WHERE name = 'spelled'").await;
    let mut expected = first;
    expected.insert("big", 8_i64);
    let inner = expected.get_document_mut("doc").unwrap();
    inner.insert("half", 2.5);
    inner.insert("a", vec![Bson::Int64(1), doc! { "y": 3_i64, "x": decimal("5.0") }.into()]);
    things.thing("spelled", |document| holds(document, "doc.half", 2.5)).await;
    assert_eq!(things.document(doc! { "_id": id }).await.as_ref(), Some(&expected));

    // another spelling of the same is no change: Renaissance is not written, and BioGraph keeps what its application wrote
    let before = version(&things).await;
    let other = doc! { "a": [1, { "x": 5.0, "y": 3.0 }], "half": decimal("2.50"), "z": 7, "money": 0.1 };
    for (path, value) in [("doc", Bson::Document(other)), ("big", Bson::Double(8.0)), ("price", decimal("1.5").into())]
    {
        expected.insert(path, value.clone());
        things.set(id, path, value).await;
    }
    crossed(&things, "after").await;
    assert_eq!(version(&things).await, before, "Renaissance was written for nothing");
    assert_eq!(things.document(doc! { "_id": id }).await.as_ref(), Some(&expected));

    // nor the other way round
    bed.sql("UPDATE things SET price = 1.500, doc = doc || '{\"half\": 2.500, \"z\": 7.0}' WHERE name = 'spelled'")
        .await;
    let before = version(&things).await;
    crossed(&things, "afterwards").await;
    assert_eq!(things.document(doc! { "_id": id }).await.as_ref(), Some(&expected), "BioGraph was written for nothing");
    assert_eq!(version(&things).await, before);
    bed.until("the queue is empty", async || daemon.metric("queue_keys").await == Some(0.0)).await;
    assert_eq!(bed.parked().await, []);
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
}
