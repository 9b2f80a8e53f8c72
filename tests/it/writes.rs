//! Every write to a collection and to the mapped tables, by record: what a change stream and a slot of our own have seen.

use std::{collections::BTreeSet, time::Duration};

use mongodb::{
    bson::{Document, oid::ObjectId},
    change_stream::{ChangeStream, event::ChangeStreamEvent},
};

use crate::bed::Bed;

const SLOT: &str = "writes";

/// Hears all writes.
pub(crate) struct Writes(ChangeStream<ChangeStreamEvent<Document>>);

/// All writes so far.
pub(crate) struct Written {
    documents: Vec<(ObjectId, String)>,
    rows: Vec<(i64, &'static str)>,
}

impl Writes {
    /// To this collection, and to the tables that the bridge has published.
    pub(crate) async fn from_now(bed: &Bed, collection: &str) -> Self {
        let documents = bed.legacy.collection(collection);
        let stream = documents.watch().max_await_time(Duration::from_millis(200)).await.unwrap();
        bed.sql(&format!("SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")).await;
        Self(stream)
    }

    /// What has been heard, until nothing more comes; hears no more.
    pub(crate) async fn so_far(mut self, bed: &Bed) -> Written {
        let (mut documents, mut empty) = (Vec::new(), 0);
        // the batch of the opening is empty and says nothing yet
        while empty < 3 {
            let Some(event) = self.0.next_if_any().await.unwrap() else {
                empty += 1;
                continue;
            };
            let id = event.document_key.unwrap().get_object_id("_id").unwrap();
            documents.push((id, format!("{:?}", event.operation_type).to_lowercase()));
        }
        let sql = format!(
            "SELECT data FROM pg_logical_slot_get_binary_changes('{SLOT}', NULL, NULL, \
             'proto_version', '1', 'publication_names', 'biograph_bridge')"
        );
        let messages: Vec<Vec<u8>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&bed.pool).await.unwrap();
        bed.sql(&format!("SELECT pg_drop_replication_slot('{SLOT}')")).await;
        Written { documents, rows: messages.iter().filter_map(|message| row(message)).collect() }
    }
}

/// The row and what was done to it, if a message of pgoutput is about one; its id is its first column.
fn row(message: &[u8]) -> Option<(i64, &'static str)> {
    let what = match message.first()? {
        b'I' => "insert",
        b'U' => "update",
        b'D' => "delete",
        _ => return None,
    };
    // kind, relation, kind of tuple, number of columns, kind of column, length, text
    let length = u32::from_be_bytes(message[9..13].try_into().unwrap()) as usize;
    assert_eq!(message[8], b't', "a row's id is text");
    Some((std::str::from_utf8(&message[13..13 + length]).unwrap().parse().unwrap(), what))
}

impl Written {
    /// The documents and rows that were written to.
    pub(crate) fn records(&self) -> (BTreeSet<ObjectId>, BTreeSet<i64>) {
        (self.documents.iter().map(|(id, _)| *id).collect(), self.rows.iter().map(|(id, _)| *id).collect())
    }

    /// What was done to a document, in order.
    pub(crate) fn of_document(&self, id: ObjectId) -> Vec<&str> {
        self.documents.iter().filter(|(known, _)| *known == id).map(|(_, what)| &**what).collect()
    }

    /// What was done to a row, in order.
    pub(crate) fn of_row(&self, id: i64) -> Vec<&str> {
        self.rows.iter().filter(|(known, _)| *known == id).map(|(_, what)| *what).collect()
    }
}
