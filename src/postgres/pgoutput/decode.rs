//! One message from its bytes.

use super::{Malformed, Message, Oids, OldRow, Relation, RelationColumn, Tuple, cursor::Cursor};

/// Decodes one message; the whole of `bytes` must be it.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let message = message(&mut cursor)?;
    cursor.end()?;
    Ok(message)
}

fn message<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, Malformed> {
    Ok(match cursor.u8()? {
        b'B' => Message::Begin { final_lsn: cursor.u64()?, commit_time: cursor.i64()?, xid: cursor.u32()? },
        b'C' => {
            cursor.u8()?; // flags, unused by the protocol
            Message::Commit { lsn: cursor.u64()?, end_lsn: cursor.u64()?, commit_time: cursor.i64()? }
        }
        b'O' => Message::Origin { lsn: cursor.u64()?, name: cursor.name()? },
        b'R' => Message::Relation(relation(cursor)?),
        b'Y' => Message::Type { oid: cursor.u32()?, namespace: cursor.name()?, name: cursor.name()? },
        b'I' => Message::Insert { relation: cursor.u32()?, new: new_tuple(cursor)? },
        b'U' => update(cursor)?,
        b'D' => {
            let relation = cursor.u32()?;
            let kind = cursor.u8()?;
            Message::Delete { relation, old: old_row(kind, cursor)? }
        }
        b'T' => {
            let count = cursor.length()?;
            let options = cursor.u8()?;
            let bytes = count.checked_mul(4).ok_or(Malformed::Truncated)?;
            Message::Truncate { options, relations: Oids(cursor.bytes(bytes)?) }
        }
        b'M' => {
            let transactional = cursor.u8()? & 1 == 1;
            let (lsn, prefix) = (cursor.u64()?, cursor.name()?);
            let length = cursor.length()?;
            Message::Logical { transactional, lsn, prefix, content: cursor.bytes(length)? }
        }
        other => return Err(Malformed::UnknownMessage(other)),
    })
}

fn relation<'a>(cursor: &mut Cursor<'a>) -> Result<Relation<'a>, Malformed> {
    let (oid, namespace, name) = (cursor.u32()?, cursor.name()?, cursor.name()?);
    let identity = cursor.u8()?;
    let count = cursor.count()?;
    // not with_capacity: the count is only believed as far as the bytes go
    let mut columns = Vec::new();
    for _ in 0..count {
        columns.push(RelationColumn {
            identity: cursor.u8()? & 1 == 1,
            name: cursor.name()?,
            type_oid: cursor.u32()?,
            modifier: cursor.i32()?,
        });
    }
    Ok(Relation { oid, namespace, name, identity, columns })
}

fn update<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, Malformed> {
    let relation = cursor.u32()?;
    match cursor.u8()? {
        b'N' => Ok(Message::Update { relation, old: None, new: cursor.tuple()? }),
        kind => {
            let old = old_row(kind, cursor)?;
            Ok(Message::Update { relation, old: Some(old), new: new_tuple(cursor)? })
        }
    }
}

fn old_row<'a>(kind: u8, cursor: &mut Cursor<'a>) -> Result<OldRow<'a>, Malformed> {
    match kind {
        b'K' => cursor.tuple().map(OldRow::Key),
        b'O' => cursor.tuple().map(OldRow::Full),
        other => Err(Malformed::UnknownKind(other)),
    }
}

fn new_tuple<'a>(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>, Malformed> {
    match cursor.u8()? {
        b'N' => cursor.tuple(),
        other => Err(Malformed::UnknownKind(other)),
    }
}
