//! The stream's events to what the capture delivers. Pure, and bounded: it keeps one transaction's head, never its rows.

use std::collections::HashMap;

use pgwire_replication::ReplicationEvent;

use super::relation::MappedRelation;
use crate::{
    error::{Error, Result},
    model::{
        fact::PauseCause,
        hint::{Captured, Freshness, Hint, Position, Structure},
        key::Key,
    },
    postgres::{
        pgoutput::{self, Message, OldRow, Tuple},
        sql::{HEARD, OWN_NAME},
        watched::WatchedTable,
    },
};

/// 2000-01-01T00:00:00Z in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// A mapped table and the schema it was found in.
#[derive(Debug)]
pub(super) struct ReaderTable {
    pub(super) schema: String,
    pub(super) table: WatchedTable,
}

/// Follows the stream.
#[derive(Debug)]
pub(super) struct Reader {
    tables: Vec<ReaderTable>,
    /// By oid; valid for this connection only. Tables that are not mapped are absent.
    relations: HashMap<u32, MappedRelation>,
    transaction: Option<Transaction>,
    position: u64,
}

/// The transaction that is being delivered.
#[derive(Debug)]
struct Transaction {
    xid: u32,
    committed_at: i64,
    kind: Kind,
    last: Option<Key>,
}

/// Whose transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing but its head has been seen.
    Fresh,
    /// It did not open with our message.
    Application,
    /// It is ours, and triggers of the application may have added to it.
    Heard,
    /// It did; so many changes were dropped.
    Echo(u64),
}

impl Reader {
    pub(super) fn new(tables: Vec<ReaderTable>, position: u64) -> Self {
        Self { tables, relations: HashMap::new(), transaction: None, position }
    }

    /// The end of the last whole transaction, or further where the server said that nothing is between.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Whether a transaction has begun that has not ended.
    pub(super) const fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Takes one event and appends what it means to `out`.
    pub(super) fn take(&mut self, event: &ReplicationEvent, out: &mut Vec<Captured>) -> Result<()> {
        match event {
            ReplicationEvent::Begin { xid, commit_time_micros, .. } => {
                let committed_at = commit_time_micros.saturating_add(POSTGRES_EPOCH);
                self.transaction = Some(Transaction { xid: *xid, committed_at, kind: Kind::Fresh, last: None });
                Ok(())
            }
            ReplicationEvent::Commit { end_lsn, .. } => {
                self.commit(end_lsn.as_u64(), out);
                Ok(())
            }
            ReplicationEvent::Message { transactional, prefix, .. } => {
                self.logical(*transactional, prefix);
                Ok(())
            }
            ReplicationEvent::XLogData { data, .. } => {
                let message = pgoutput::decode(data)
                    .map_err(|error| Error::retry("the replication stream cannot be decoded").with_source(error))?;
                self.message(&message, out)
            }
            ReplicationEvent::KeepAlive { wal_end, .. } => {
                // inside a transaction the server may be further than what it has delivered
                if self.transaction.is_none() {
                    self.position = self.position.max(wal_end.as_u64());
                }
                Ok(())
            }
            ReplicationEvent::StoppedAt { .. } => Ok(()),
        }
    }

    fn commit(&mut self, end: u64, out: &mut Vec<Captured>) {
        if let Some(Transaction { kind: Kind::Echo(count), .. }) = self.transaction.take()
            && count > 0
        {
            out.push(Captured::Echo(count));
        }
        self.position = self.position.max(end);
        out.push(Captured::Position(Position::Lsn(self.position)));
    }

    fn logical(&mut self, transactional: bool, prefix: &str) {
        if let Some(transaction) = self.transaction.as_mut().filter(|_| transactional)
            && transaction.kind == Kind::Fresh
        {
            transaction.kind = match prefix {
                OWN_NAME => Kind::Echo(0),
                HEARD => Kind::Heard,
                _ => Kind::Application,
            };
        }
    }

    fn message(&mut self, message: &Message<'_>, out: &mut Vec<Captured>) -> Result<()> {
        match message {
            Message::Relation(relation) => self.relation(relation),
            Message::Insert { relation, new } => self.change(*relation, None, Some(*new), out),
            Message::Update { relation, old, new } => self.change(*relation, *old, Some(*new), out),
            Message::Delete { relation, old } => self.change(*relation, Some(*old), None, out),
            Message::Truncate { relations, .. } => {
                let Some(transaction) = &mut self.transaction else { return Ok(()) };
                transaction.kind = Kind::Application;
                let mapped = relations.iter().filter_map(|oid| self.relations.get(&oid));
                let event = format!("transaction {}", transaction.xid);
                out.extend(mapped.map(|table| {
                    Captured::Structure(Structure {
                        entities: table.entities(),
                        cause: PauseCause::Truncated,
                        what: format!("table {} was truncated", table.name()),
                        event: event.clone(),
                    })
                }));
                Ok(())
            }
            // the transport delivers boundaries and logical messages as events of their own
            Message::Begin { .. } | Message::Commit { .. } | Message::Logical { .. } => Ok(()),
            Message::Origin { .. } | Message::Type { .. } => Ok(()),
        }
    }

    fn relation(&mut self, relation: &pgoutput::Relation<'_>) -> Result<()> {
        let mapped = |entry: &&ReaderTable| entry.schema == relation.namespace && entry.table.name == relation.name;
        match self.tables.iter().find(mapped) {
            Some(entry) => self.relations.insert(relation.oid, MappedRelation::bind(&entry.table, relation)?),
            None => self.relations.remove(&relation.oid),
        };
        Ok(())
    }

    fn change(
        &mut self,
        relation: u32,
        old: Option<OldRow<'_>>,
        new: Option<Tuple<'_>>,
        out: &mut Vec<Captured>,
    ) -> Result<()> {
        let Some(transaction) = self.transaction.as_mut() else {
            return Err(Error::retry("the replication stream has a change outside of a transaction"));
        };
        if let Kind::Echo(count) = &mut transaction.kind {
            *count += 1;
            return Ok(());
        }
        if transaction.kind == Kind::Fresh {
            transaction.kind = Kind::Application;
        }
        // what we wrote ourselves was committed by no application
        let committed_at = (transaction.kind == Kind::Application).then_some(transaction.committed_at);
        let Some(mapped) = self.relations.get(&relation) else { return Ok(()) };
        for key in mapped.keys(old, new)? {
            // a row and its child rows are often written one after the other
            if transaction.last == Some(key) {
                continue;
            }
            transaction.last = Some(key);
            out.push(Captured::Hint(Hint { key, freshness: Freshness::Xid(transaction.xid), committed_at }));
        }
        Ok(())
    }
}
