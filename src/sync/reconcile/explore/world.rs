//! Two small databases with the bridge's state, and what is only remembered in order to judge.

use std::collections::BTreeMap;

use crate::model::side::Side;

/// What a record's two fields hold. Every value an application writes is new, so a value tells where it came from.
pub(super) type Values = [u8; 2];
/// A set of values.
pub(super) type Set = u32;
/// A document's id, shortened.
pub(super) type Document = u8;

/// Ids from here on were given by the bridge.
const BY_BRIDGE: Document = 100;

/// A row of the root table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) values: Values,
    /// The document its legacy id column names.
    pub(super) names: Option<Document>,
}

/// A change in one side's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) id: u8,
    pub(super) by_bridge: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tie {
    pub(super) row: i64,
    pub(super) base: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Doing {
    Insert,
    Update,
    Delete,
}

/// A stored intent for one document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Intent {
    pub(super) number: u8,
    pub(super) document: Document,
    pub(super) row: Option<i64>,
    pub(super) doing: Doing,
    pub(super) base: Vec<u8>,
}

/// A journal row or a tombstone: what it saves, and the intent it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Saved {
    pub(super) document: Option<Document>,
    pub(super) values: Set,
    pub(super) awaits: Option<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ledger {
    pub(super) closed: bool,
    pub(super) landed: Vec<Document>,
}

/// A change to one document: what it must be and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Change {
    pub(super) document: Document,
    pub(super) after: Option<Values>,
}

/// What applications and the bridge did, as somebody sees it who sees everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    /// Every value a side ever held.
    pub(super) held: [Set; 2],
    /// Values that the bridge overwrote before the other side ever held them, and those of records it deleted.
    pub(super) vanished: Set,
    pub(super) application_writes: u8,
    pub(super) bridge_writes: u8,
    /// On which sides an application deleted something.
    pub(super) deleted: [bool; 2],
    /// The bridge brought an old value back, deleted what nobody had deleted, or saw a conflict where there was none.
    pub(super) wrong: Option<&'static str>,
}

/// Everything that survives a crash of the bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) documents: BTreeMap<Document, Values>,
    pub(super) rows: BTreeMap<i64, Row>,
    pub(super) logs: [Vec<Entry>; 2],
    /// The row of a transaction that is in the log and not visible yet: what readers still see, and its place in the log.
    pub(super) unseen: Option<(i64, Option<Row>, usize)>,
    pub(super) ties: BTreeMap<Document, Tie>,
    pub(super) intents: Vec<Intent>,
    pub(super) journal: Vec<Saved>,
    pub(super) saved: [usize; 2],
    pub(super) ledgers: BTreeMap<u8, Ledger>,
    /// A transaction of this intent whose commit is on its way although nobody waits for it any more.
    pub(super) late: Option<(u8, Vec<Change>)>,
    /// Raised by each bridge that takes over.
    pub(super) epoch: u8,
    pub(super) made: u8,
    pub(super) seen: Seen,
}

pub(super) const fn at(side: Side) -> usize {
    match side {
        Side::Legacy => 0,
        Side::Renaissance => 1,
    }
}

pub(super) fn set(values: impl IntoIterator<Item = u8>) -> Set {
    values.into_iter().fold(0, |set, value| set | 1 << value)
}

impl World {
    /// A record that both sides agree on.
    pub(super) fn agreed(base: Vec<u8>) -> Self {
        let values = [1, 2];
        let mut world = Self { made: 2, ..Self::default() };
        world.documents.insert(1, values);
        world.rows.insert(1, Row { values, names: Some(1) });
        world.ties.insert(1, Tie { row: 1, base: Some(base) });
        world.seen.held = [set(values); 2];
        world
    }

    fn fresh(&mut self) -> u8 {
        self.made += 1;
        self.made
    }

    /// Ids that an application may change on a side: not those whose lock somebody else holds.
    pub(super) fn changeable(&self, side: Side) -> Vec<u8> {
        match side {
            Side::Legacy if self.late.is_some() => Vec::new(),
            Side::Legacy => self.documents.keys().copied().collect(),
            Side::Renaissance if self.unseen.is_some() => Vec::new(),
            Side::Renaissance => self.rows.keys().filter_map(|id| u8::try_from(*id).ok()).collect(),
        }
    }

    /// An application writes a new value.
    pub(super) fn edit(&mut self, side: Side, id: u8, field: usize) {
        let value = self.fresh();
        match side {
            Side::Legacy => {
                self.documents.entry(id).or_default()[field] = value;
                self.happened(side, id);
            }
            Side::Renaissance => {
                let before = self.rows.get(&i64::from(id)).copied();
                if let Some(row) = self.rows.get_mut(&i64::from(id)) {
                    row.values[field] = value;
                }
                self.committed(id, before);
            }
        }
        self.seen.held[at(side)] |= set([value]);
    }

    /// An application makes a record.
    pub(super) fn insert(&mut self, side: Side) {
        let values = [self.fresh(), self.fresh()];
        self.seen.held[at(side)] |= set(values);
        match side {
            Side::Legacy => {
                let id = self.unused_document();
                self.documents.insert(id, values);
                self.happened(side, id);
            }
            Side::Renaissance => {
                let id = self.unused_row();
                self.rows.insert(id, Row { values, names: None });
                self.committed(u8::try_from(id).unwrap_or(u8::MAX), None);
            }
        }
    }

    /// An application deletes a record.
    pub(super) fn delete(&mut self, side: Side, id: u8) {
        self.seen.deleted[at(side)] = true;
        match side {
            Side::Legacy => {
                self.documents.remove(&id);
                self.happened(side, id);
            }
            Side::Renaissance => {
                let before = self.rows.remove(&i64::from(id));
                self.committed(id, before);
            }
        }
    }

    fn happened(&mut self, side: Side, id: u8) {
        self.seen.application_writes += 1;
        self.logs[at(side)].push(Entry { id, by_bridge: false });
    }

    fn committed(&mut self, id: u8, before: Option<Row>) {
        self.happened(Side::Renaissance, id);
        self.unseen = Some((i64::from(id), before, self.logs[1].len()));
    }

    /// An id that no document of an application ever had.
    fn unused_document(&self) -> Document {
        let known = self.documents.keys().copied().chain(self.logs[0].iter().map(|entry| entry.id));
        known.filter(|id| *id < BY_BRIDGE).max().map_or(1, |id| id + 1)
    }

    /// An id that the bridge never gave to a document.
    pub(super) fn unused_name(&self) -> Document {
        let promised = self.ties.keys().chain(self.documents.keys()).copied();
        let promised = promised.chain(self.logs[0].iter().map(|entry| entry.id));
        promised
            .chain(self.rows.values().filter_map(|row| row.names))
            .max()
            .map_or(BY_BRIDGE, |id| BY_BRIDGE.max(id + 1))
    }

    /// An id that no row ever had.
    pub(super) fn unused_row(&self) -> i64 {
        let logged = self.logs[1].iter().map(|entry| i64::from(entry.id));
        self.rows.keys().copied().chain(logged).max().map_or(1, |id| id + 1)
    }

    pub(super) fn unused_intent(&self) -> u8 {
        self.ledgers.keys().chain(self.intents.iter().map(|intent| &intent.number)).max().map_or(1, |id| id + 1)
    }

    /// Rows as a reader sees them.
    pub(super) fn visible(&self, id: i64) -> Option<Row> {
        match &self.unseen {
            Some((hidden, before, _)) if *hidden == id => *before,
            _ => self.rows.get(&id).copied(),
        }
    }

    /// Notes that the bridge wrote a record of a side.
    pub(super) fn bridge_wrote(&mut self, side: Side, id: u8, before: Option<Values>, after: Option<Values>) {
        if before == after {
            return;
        }
        let (here, there) = (at(side), at(side.other()));
        self.seen.bridge_writes += 1;
        self.logs[here].push(Entry { id, by_bridge: true });
        let gone = set(before.into_iter().flatten()) & !set(after.into_iter().flatten());
        self.seen.vanished |= gone & !self.seen.held[there];
        let new = set(after.into_iter().flatten()) & !set(before.into_iter().flatten());
        if before.is_some() && new & self.seen.held[here] != 0 {
            self.seen.wrong = Some("an old value came back");
        }
        if after.is_none() {
            // of a deleted record everything is kept
            self.seen.vanished |= gone;
            if !self.seen.deleted[there] {
                self.seen.wrong = Some("a record was deleted that nobody had deleted");
            }
        }
        self.seen.held[here] |= new;
    }

    /// Applies the changes of a transaction on documents.
    pub(super) fn land(&mut self, number: u8, changes: &[Change]) {
        for change in changes {
            let before = self.documents.get(&change.document).copied();
            match change.after {
                Some(values) => _ = self.documents.insert(change.document, values),
                None => _ = self.documents.remove(&change.document),
            }
            self.bridge_wrote(Side::Legacy, change.document, before, change.after);
            self.ledgers.entry(number).or_default().landed.push(change.document);
        }
    }

    /// Whether the sides hold the same, each record under the other's name.
    pub(super) fn agrees(&self) -> bool {
        let named = self
            .rows
            .values()
            .all(|row| row.names.is_some_and(|document| self.documents.get(&document) == Some(&row.values)));
        named && self.rows.len() == self.documents.len()
    }

    /// What can be restored.
    pub(super) fn restorable(&self) -> Set {
        self.journal.iter().fold(0, |set, row| set | row.values)
    }
}
