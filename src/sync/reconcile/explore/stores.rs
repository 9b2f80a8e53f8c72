//! Both databases as the reconciler meets them. A reconcile is run again from its start for every step of it: the answers
//! it has had already are given again, one more call is answered, and the next one is left waiting.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use super::{Without, world::World};
use crate::error::{Error, Result};

/// Calls between which something else may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    /// Reading only.
    Reads,
    /// A transaction on rows and the state.
    Commits,
    /// A transaction on documents.
    Writes,
    /// Asking the ledger about this intent.
    Asks(u8),
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    None,
    /// It never arrives.
    Lost,
    /// It is carried out and the answer is lost.
    Unanswered,
    /// The caller hears of a failure while the commit is still on its way.
    Late,
}

/// A call that was answered: the world it met, and what tells its answer from others.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    world: Arc<World>,
    fault: Fault,
    answer: u64,
}

impl PartialEq for Answered {
    fn eq(&self, other: &Self) -> bool {
        (self.fault, self.answer) == (other.fault, other.answer)
    }
}

impl Hash for Answered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.fault, self.answer).hash(state);
    }
}

pub(super) fn digest(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

pub(super) struct Script {
    before: VecDeque<Answered>,
    pub(super) answered: Vec<Answered>,
    pub(super) world: World,
    /// What is to become of the next call; `None` once it was made.
    next: Option<Fault>,
    pub(super) waiting: Option<Call>,
    /// The numbers under which the world knows the intents of this run.
    pub(super) intents: HashMap<Uuid, u8>,
    pub(super) unused_document: u8,
}

/// The databases, as a script.
#[derive(Clone)]
pub(super) struct Databases {
    script: Arc<Mutex<Script>>,
    pub(super) without: Option<Without>,
    /// Under which the bridge that calls was active.
    epoch: u8,
}

impl Databases {
    pub(super) fn new(
        (world, unused_document, epoch): (World, u8, u8),
        before: &[Answered],
        next: Option<Fault>,
        without: Option<Without>,
    ) -> Self {
        let before = before.iter().cloned().collect();
        let (answered, intents, waiting) = (Vec::new(), HashMap::new(), None);
        let script = Script { before, answered, world, next, waiting, intents, unused_document };
        Self { script: Arc::new(Mutex::new(script)), without, epoch }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call between which and the one before nothing else need be tried: it concerns what only the bridge changes.
    pub(super) fn at_once<T>(&self, act: impl FnOnce(&mut World, &mut HashMap<Uuid, u8>) -> (T, u64)) -> T {
        let mut script = self.script();
        let script = &mut *script;
        match script.before.pop_front() {
            Some(known) => {
                let answer = act(&mut World::clone(&known.world), &mut script.intents).0;
                script.answered.push(known);
                answer
            }
            None => {
                let world = Arc::new(script.world.clone());
                let (result, answer) = act(&mut script.world, &mut script.intents);
                script.answered.push(Answered { world, fault: Fault::None, answer });
                result
            }
        }
    }

    /// A call before which anything may happen.
    pub(super) async fn call<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut World, &mut HashMap<Uuid, u8>, Fault) -> Result<(T, u64)>,
    ) -> Result<T> {
        match self.answer(call, act) {
            Some(answer) => answer,
            None => pending().await,
        }
    }

    fn answer<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut World, &mut HashMap<Uuid, u8>, Fault) -> Result<(T, u64)>,
    ) -> Option<Result<T>> {
        let mut script = self.script();
        let script = &mut *script;
        let replayed = script.before.pop_front();
        let (fault, world) = match &replayed {
            Some(known) => (known.fault, Arc::clone(&known.world)),
            None => match script.next.take() {
                Some(fault) => (fault, Arc::new(script.world.clone())),
                None => {
                    script.waiting.get_or_insert(call);
                    return None;
                }
            },
        };
        let mut met = World::clone(&world);
        let writes = matches!(call, Call::Commits | Call::Writes);
        let fenced = writes && self.epoch < met.epoch && self.without != Some(Without::Fence);
        let failed = || Error::retry("the connection was lost");
        let outcome = match fault {
            _ if fenced => Err(Error::halt("another daemon has taken over")),
            Fault::Lost => Err(failed()),
            Fault::None => act(&mut met, &mut script.intents, fault),
            Fault::Unanswered | Fault::Late => act(&mut met, &mut script.intents, fault).and(Err(failed())),
        };
        script.answered.push(match replayed {
            Some(known) => known,
            None => {
                script.world = met;
                Answered { world, fault, answer: outcome.as_ref().map_or(0, |(_, answer)| *answer) }
            }
        });
        Some(outcome.map(|(answer, _)| answer))
    }
}
