//! What the replication stream sends, as any bytes; see [`crate::fuzzing`].

use pgwire_replication::{Lsn, ReplicationEvent};

use super::reader::{Reader, ReaderTable};
use crate::{
    model::key::EntityIndex,
    postgres::{
        pgoutput::{Message, Tuple, decode},
        watched::WatchedTable,
    },
};

/// Messages one after the other, each behind its length in two bytes: what is read is no more than was sent, and nothing is made of
/// it but keys.
pub fn pgoutput(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(vec![table("users", "id"), table("user_profiles", "user_id")], 0);
    let (mut out, mut rest) = (Vec::new(), bytes);
    let begun = ReplicationEvent::Begin { final_lsn: Lsn(0), xid: 7, commit_time_micros: i64::MAX };
    drop(reader.take(&begun, &mut out));
    while let Some((length, after)) = rest.split_first_chunk() {
        let (data, after) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
        rest = after;
        if let Ok(message) = decode(data) {
            assert!(parts(&message) <= data.len(), "much is made of little");
        }
        let event = ReplicationEvent::XLogData {
            wal_start: Lsn(0),
            wal_end: Lsn(0),
            server_time_micros: 0,
            data: data.to_vec().into(),
        };
        drop(reader.take(&event, &mut out));
    }
    assert!(out.len() <= bytes.len(), "much is made of little");
    !out.is_empty()
}

fn table(name: &str, column: &str) -> ReaderTable {
    let owners = vec![(EntityIndex(0), column.to_owned())];
    let table = WatchedTable { name: name.to_owned(), key: "id".to_owned(), optional: false, owners };
    ReaderTable { schema: "public".to_owned(), table }
}

/// How many columns or tables it has.
fn parts(message: &Message<'_>) -> usize {
    let walked = |tuple: Tuple<'_>| {
        let count = tuple.columns().count();
        assert_eq!(count, tuple.len());
        drop(format!("{tuple:?}"));
        count
    };
    match message {
        Message::Relation(relation) => relation.columns.len(),
        Message::Insert { new, .. } => walked(*new),
        Message::Update { old, new, .. } => old.map_or(0, |old| walked(old.tuple())) + walked(*new),
        Message::Delete { old, .. } => walked(old.tuple()),
        Message::Truncate { relations, .. } => relations.iter().count(),
        Message::Begin { .. }
        | Message::Commit { .. }
        | Message::Origin { .. }
        | Message::Type { .. }
        | Message::Logical { .. } => 0,
    }
}
