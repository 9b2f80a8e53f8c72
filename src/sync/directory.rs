//! Who is where, for applications that ask: kept in memory, current within moments, and silent rather than old.

mod keep;

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::sync::Notify;

pub use self::keep::{Keeper, News, Noticed};
use crate::model::{
    cutover::CutoverRow,
    directory::{Found, People, Whereabouts},
    fact::PersonState,
    key::{EntityIndex, Key, LegacyId, SideId},
    mapping::{Entity, Field},
    person,
};

/// Changed people that are remembered one by one; beyond it everybody is looked at again.
const MOST_DUE: usize = 100_000;

const AWAY: u8 = 0;
const LOADING: u8 = 1;
const READY: u8 = 2;

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// The person with this id.
    Id(SideId),
    /// The person who is called this: the field's name, and the value in any spelling. Several texts are several ways to read
    /// one question.
    Name(&'a str, &'a [String]),
}

/// What the directory answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing, as another daemon is active or none may be.
    Away,
    /// Nothing yet, as not everybody is known.
    Loading,
    /// Nobody is named by such a field.
    Unknown,
    /// The value cannot be read as one of the field.
    Unreadable,
    /// There is no such person.
    Nobody,
    /// More than one person is called that.
    Several,
    /// This is where the person is, and how they log in there.
    Here(CutoverRow, Vec<String>),
}

/// A field that names people.
struct Name {
    word: String,
    field: Field,
}

/// Everybody, with what is still to be looked at.
pub struct Directory {
    names: Vec<Name>,
    /// The ways to log in, by entity.
    logins: Vec<Vec<String>>,
    persons: Vec<EntityIndex>,
    people: RwLock<People>,
    stage: AtomicU8,
    due: Mutex<Due>,
    wake: Notify,
}

/// What is to be looked at.
#[derive(Default)]
struct Due {
    keys: HashSet<Key>,
    /// Those of whom nothing may have changed but what a way to log in needs beside fields.
    doors: HashSet<Key>,
    /// Whether everybody has to be looked at.
    all: bool,
    /// Those of whom something newer was heard than what is being read now.
    heard: HashSet<LegacyId>,
    /// Whether everybody is known.
    complete: bool,
    /// The epoch of the lease under which that is so.
    epoch: i64,
}

impl Directory {
    /// Nobody is known yet. `entities`: the mappings, bound or not.
    pub fn new(entities: &[Entity]) -> Self {
        let names = person::persons(entities).flat_map(|(_, entity)| person::keys(entity));
        let names = names.map(|(_, field)| Name { word: field.name.clone(), field: field.clone() });
        let ways = |entity: &Entity| entity.logins.iter().map(|login| login.way.clone()).collect();
        Self {
            names: names.collect(),
            logins: entities.iter().map(ways).collect(),
            persons: person::persons(entities).map(|(index, _)| index).collect(),
            people: RwLock::new(People::new(rand::random())),
            stage: AtomicU8::new(AWAY),
            due: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Where the person is who is asked about. From memory.
    pub fn ask(&self, question: Question<'_>) -> Answer {
        match self.stage.load(Ordering::Acquire) {
            READY => {}
            LOADING => return Answer::Loading,
            _ => return Answer::Away,
        }
        let found = match question {
            Question::Id(id) => self.people().with_id(id),
            Question::Name(word, texts) => {
                let mut fields = self.names.iter().filter(|name| name.word == word).peekable();
                if fields.peek().is_none() {
                    return Answer::Unknown;
                }
                let meant = fields.flat_map(|name| texts.iter().flat_map(|text| person::meant(&name.field, text)));
                let people = self.people();
                let mut names: Vec<u64> = meant.map(|value| people.seal(word, &value)).collect();
                names.sort_unstable();
                names.dedup();
                if names.is_empty() {
                    return Answer::Unreadable;
                }
                people.named(&names)
            }
        };
        match found {
            Found::Nobody => Answer::Nobody,
            Found::Several => Answer::Several,
            Found::One(found) => Answer::Here(found.row, self.ways(found)),
        }
    }

    /// The words that name people beside their ids: `phone`.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| name.word.as_str())
    }

    fn ways(&self, found: Whereabouts) -> Vec<String> {
        let ways = self.logins.get(usize::from(found.entity.0)).map_or(&[][..], Vec::as_slice);
        let has = |(bit, _): &(usize, &String)| found.ways & (1 << bit) != 0;
        ways.iter().enumerate().filter(has).map(|(_, way)| way.clone()).collect()
    }

    /// How many linked people are in each state; `None` as long as not everybody is known.
    pub fn counts(&self) -> Option<Vec<(PersonState, i64)>> {
        (self.stage.load(Ordering::Acquire) == READY).then(|| self.people().counts())
    }

    /// This daemon is the active one, under this epoch of the lease. If nobody else was active since it was last, what it knew
    /// then is as good as what it saved: changes since are hinted again. Else everybody is looked at before it answers.
    pub fn begin(&self, epoch: i64) {
        let mut due = self.due();
        let fresh = due.complete && due.epoch + 1 == epoch;
        if !fresh {
            due.complete = false;
            due.keys.clear();
            due.doors.clear();
        }
        (due.epoch, due.all) = (epoch, true);
        self.stage.store(if fresh { READY } else { LOADING }, Ordering::Release);
        self.wake.notify_one();
    }

    /// Has it filled with everybody, after which it answers: for tests and benches.
    pub fn fill(&self, fill: impl FnOnce(&mut People)) {
        fill(&mut self.people_mut());
        self.stage.store(READY, Ordering::Release);
    }

    /// This daemon is not the active one any more: it answers nothing.
    pub fn rest(&self) {
        self.stage.store(AWAY, Ordering::Release);
    }

    /// Records of an entity were reconciled: these may have changed, and of those in `doors` what a way to log in needs beside
    /// fields.
    pub fn settled(&self, entity: EntityIndex, keys: &[Key], doors: &[Key]) {
        if self.persons.contains(&entity) && !(keys.is_empty() && doors.is_empty()) {
            self.look_at(keys.iter().copied(), doors);
        }
    }

    /// A cutover row has changed.
    pub fn moved(&self, person: LegacyId, row: CutoverRow) {
        self.due().heard.insert(person);
        if !self.people_mut().stand(person, row) {
            self.changed(person);
        }
    }

    /// Something about a person may have changed.
    fn changed(&self, person: LegacyId) {
        self.look_at(self.persons.iter().map(|entity| Key { entity: *entity, id: SideId::Legacy(person) }), &[]);
    }

    fn look_at(&self, keys: impl Iterator<Item = Key>, doors: &[Key]) {
        // who is away looks at what has changed when it is active again
        if self.stage.load(Ordering::Acquire) == AWAY {
            return;
        }
        let mut due = self.due();
        // everybody is about to be looked at
        if due.all {
            return;
        }
        due.keys.extend(keys);
        due.doors.extend(doors);
        if due.keys.len() + due.doors.len() > MOST_DUE {
            (due.keys, due.doors) = Default::default();
            due.all = true;
        }
        drop(due);
        self.wake.notify_one();
    }

    fn look_at_all(&self) {
        self.due().all = true;
        self.wake.notify_one();
    }

    fn people(&self) -> RwLockReadGuard<'_, People> {
        self.people.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn people_mut(&self) -> RwLockWriteGuard<'_, People> {
        self.people.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
