//! The reader on hand-made events: what real servers rarely do on demand.

use pgwire_replication::{Lsn, ReplicationEvent};

use super::reader::{Reader, ReaderTable};
use crate::{
    error::Disposition,
    model::{
        hint::{Captured, Freshness, Hint, Position},
        key::{EntityIndex, Key, SideId},
    },
    postgres::watched::WatchedTable,
};

const USERS: u32 = 1;
const PROFILES: u32 = 2;
const OTHER: u32 = 3;

fn reader() -> Reader {
    let table = |name: &str, column: &str| ReaderTable {
        schema: "public".into(),
        table: WatchedTable {
            name: name.into(),
            key: "id".into(),
            optional: false,
            owners: vec![(EntityIndex(0), column.into())],
        },
    };
    Reader::new(vec![table("users", "id"), table("user_profiles", "user_id")], 5)
}

fn begin(xid: u32) -> ReplicationEvent {
    ReplicationEvent::Begin { final_lsn: Lsn(0), xid, commit_time_micros: 7 }
}

fn commit(end: u64) -> ReplicationEvent {
    ReplicationEvent::Commit { lsn: Lsn(end - 1), end_lsn: Lsn(end), commit_time_micros: 7 }
}

fn emitted(prefix: &str, transactional: bool) -> ReplicationEvent {
    let content = Vec::new().into();
    ReplicationEvent::Message { transactional, lsn: Lsn(0), prefix: prefix.into(), content }
}

fn data(bytes: Vec<u8>) -> ReplicationEvent {
    ReplicationEvent::XLogData { wal_start: Lsn(0), wal_end: Lsn(0), server_time_micros: 0, data: bytes.into() }
}

fn relation(oid: u32, name: &str, columns: &[(&str, bool)]) -> ReplicationEvent {
    let mut bytes = vec![b'R'];
    bytes.extend(oid.to_be_bytes());
    bytes.extend(format!("public\0{name}\0i").bytes());
    bytes.extend((columns.len() as u16).to_be_bytes());
    for (column, identity) in columns {
        bytes.push(u8::from(*identity));
        bytes.extend(format!("{column}\0").bytes());
        bytes.extend([20_u32, u32::MAX].map(u32::to_be_bytes).concat());
    }
    data(bytes)
}

fn row(bytes: &mut Vec<u8>, kind: u8, values: &[Option<i64>]) {
    bytes.push(kind);
    bytes.extend((values.len() as u16).to_be_bytes());
    for value in values {
        match value.map(|value| value.to_string()) {
            None => bytes.push(b'n'),
            Some(text) => {
                bytes.push(b't');
                bytes.extend((text.len() as u32).to_be_bytes());
                bytes.extend(text.bytes());
            }
        }
    }
}

fn change(tag: u8, oid: u32, old: Option<&[Option<i64>]>, new: Option<&[Option<i64>]>) -> ReplicationEvent {
    let mut bytes = vec![tag];
    bytes.extend(oid.to_be_bytes());
    if let Some(old) = old {
        row(&mut bytes, b'K', old);
    }
    if let Some(new) = new {
        row(&mut bytes, b'N', new);
    }
    data(bytes)
}

fn insert(oid: u32, new: &[Option<i64>]) -> ReplicationEvent {
    change(b'I', oid, None, Some(new))
}

fn shapes() -> [ReplicationEvent; 3] {
    [
        relation(USERS, "users", &[("id", true)]),
        relation(PROFILES, "user_profiles", &[("id", false), ("user_id", true)]),
        relation(OTHER, "biographs", &[("id", true)]),
    ]
}

fn read(reader: &mut Reader, events: &[ReplicationEvent]) -> Vec<Captured> {
    let mut out = Vec::new();
    events.iter().for_each(|event| reader.take(event, &mut out).unwrap());
    out
}

fn started() -> Reader {
    let mut reader = reader();
    let [a, b, c] = shapes();
    assert!(read(&mut reader, &[begin(1), a, b, c, commit(10)]).len() == 1);
    reader
}

fn hint(id: i64, xid: u32) -> Captured {
    Captured::Hint(Hint {
        key: Key { entity: EntityIndex(0), id: SideId::Renaissance(id) },
        freshness: Freshness::Xid(xid),
        committed_at: Some(946_684_800_000_007),
    })
}

fn position(lsn: u64) -> Captured {
    Captured::Position(Position::Lsn(lsn))
}

#[test]
fn the_own_message_must_open_the_transaction() {
    let mut reader = started();
    let opens = [begin(2), emitted("biograph_bridge", true), insert(USERS, &[Some(1)]), commit(20)];
    assert_eq!(read(&mut reader, &opens), [Captured::Echo(1), position(20)]);
    let late =
        [begin(3), insert(USERS, &[Some(1)]), emitted("biograph_bridge", true), insert(USERS, &[Some(2)]), commit(30)];
    assert_eq!(read(&mut reader, &late), [hint(1, 3), hint(2, 3), position(30)]);
    let after_another =
        [begin(4), emitted("app", true), emitted("biograph_bridge", true), insert(USERS, &[Some(1)]), commit(40)];
    assert_eq!(read(&mut reader, &after_another), [hint(1, 4), position(40)]);
    let after_an_unmapped_row =
        [begin(5), insert(OTHER, &[Some(9)]), emitted("biograph_bridge", true), insert(USERS, &[Some(1)]), commit(50)];
    assert_eq!(read(&mut reader, &after_an_unmapped_row), [hint(1, 5), position(50)]);
}

#[test]
fn an_echo_does_not_leak_into_the_next_transaction() {
    let mut reader = started();
    let events = [
        begin(2),
        emitted("biograph_bridge", true),
        insert(USERS, &[Some(1)]),
        insert(PROFILES, &[Some(9), Some(1)]),
        commit(20),
        begin(3),
        insert(USERS, &[Some(2)]),
        commit(30),
    ];
    assert_eq!(read(&mut reader, &events), [Captured::Echo(2), position(20), hint(2, 3), position(30)]);
}

#[test]
fn a_message_outside_of_its_transaction_marks_nothing() {
    let mut reader = started();
    let events = [
        emitted("biograph_bridge", false),
        begin(2),
        emitted("biograph_bridge", false),
        insert(USERS, &[Some(1)]),
        commit(20),
    ];
    assert_eq!(read(&mut reader, &events), [hint(1, 2), position(20)]);
}

#[test]
fn a_transaction_replicated_from_elsewhere_is_an_application_s() {
    let mut reader = started();
    let origin = data([&b"O"[..], &7_u64.to_be_bytes(), b"elsewhere\0"].concat());
    let ours = [begin(2), origin.clone(), emitted("biograph_bridge", true), insert(USERS, &[Some(1)]), commit(20)];
    assert_eq!(read(&mut reader, &ours), [Captured::Echo(1), position(20)]);
    assert_eq!(
        read(&mut reader, &[begin(3), origin, insert(USERS, &[Some(1)]), commit(30)]),
        [hint(1, 3), position(30)]
    );
}

#[test]
fn a_child_names_its_parent_and_both_when_it_moves() {
    let mut reader = started();
    let update = |old: Option<&[Option<i64>]>, new: &[Option<i64>]| change(b'U', PROFILES, old, Some(new));
    let events = [
        begin(2),
        update(None, &[Some(9), Some(1)]),
        update(Some(&[None, Some(2)]), &[Some(9), Some(3)]),
        change(b'D', PROFILES, Some(&[None, Some(4)]), None),
        commit(20),
    ];
    assert_eq!(read(&mut reader, &events), [hint(1, 2), hint(2, 2), hint(3, 2), hint(4, 2), position(20)]);
}

#[test]
fn a_record_hinted_twice_in_a_row_is_hinted_once() {
    let mut reader = started();
    let both = [insert(USERS, &[Some(1)]), insert(PROFILES, &[Some(9), Some(1)])];
    let [a, b] = both.clone();
    assert_eq!(read(&mut reader, &[begin(2), a, b, commit(20)]), [hint(1, 2), position(20)]);
    let [a, b] = both;
    let out = read(&mut reader, &[begin(3), a, b, commit(30)]);
    assert_eq!(out, [hint(1, 3), position(30)], "but again in the next transaction");
}

#[test]
fn a_delete_that_does_not_tell_the_parent_stops_the_capture() {
    let mut reader = started();
    let events = [begin(2), relation(PROFILES, "user_profiles", &[("id", true), ("user_id", false)])];
    assert!(read(&mut reader, &events).is_empty());
    assert_eq!(read(&mut reader, &[insert(PROFILES, &[Some(9), Some(1)])]), [hint(1, 2)], "inserts are fine");
    let error = reader.take(&change(b'D', PROFILES, Some(&[Some(9), None]), None), &mut Vec::new()).unwrap_err();
    assert_eq!(error.disposition(), Disposition::Halt);
    assert!(error.to_string().contains("user_profiles.user_id") && error.hint().is_some(), "{error}");
}

#[test]
fn a_stream_without_a_needed_column_stops_the_capture_and_names_it() {
    let mut reader = started();
    let error = reader.take(&relation(PROFILES, "user_profiles", &[("id", true)]), &mut Vec::new()).unwrap_err();
    assert_eq!(error.disposition(), Disposition::Halt);
    assert!(error.to_string().contains("user_profiles.user_id"), "{error}");
}

#[test]
fn a_table_of_the_same_name_in_another_schema_is_not_ours() {
    let mut reader = reader();
    let mut bytes = vec![b'R'];
    bytes.extend(USERS.to_be_bytes());
    bytes.extend(b"archive\0users\0d\0\0");
    assert!(read(&mut reader, &[begin(2), data(bytes), insert(USERS, &[Some(1)]), commit(20)]) == [position(20)]);
}

#[test]
fn keepalives_advance_only_between_transactions_and_never_back() {
    let mut reader = started();
    let alive =
        |end: u64| ReplicationEvent::KeepAlive { wal_end: Lsn(end), reply_requested: false, server_time_micros: 0 };
    assert!(read(&mut reader, &[alive(15), alive(12)]).is_empty());
    assert_eq!((reader.position(), reader.in_transaction()), (15, false));
    read(&mut reader, &[begin(2), alive(99)]);
    assert_eq!((reader.position(), reader.in_transaction()), (15, true));
    assert_eq!(read(&mut reader, &[commit(20)]), [position(20)]);
}

#[test]
fn a_truncated_table_is_told_by_name() {
    let mut reader = started();
    let mut bytes = vec![b'T'];
    bytes.extend(3_u32.to_be_bytes());
    bytes.push(1);
    bytes.extend([USERS, OTHER, PROFILES].map(u32::to_be_bytes).concat());
    let told: Vec<String> = read(&mut reader, &[begin(2), data(bytes)])
        .into_iter()
        .map(|captured| match captured {
            Captured::Structure(seen) => format!("{} {} {:?}", seen.what, seen.event, seen.entities),
            other => panic!("{other:?}"),
        })
        .collect();
    let entities = "transaction 2 [EntityIndex(0)]";
    let told_of = |name: &str| format!("table {name} was truncated {entities}");
    assert_eq!(told, [told_of("users"), told_of("user_profiles")]);
}

#[test]
fn bytes_that_are_no_message_break_the_connection_only() {
    let error = started().take(&data(b"Z".to_vec()), &mut Vec::new()).unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry);
}
