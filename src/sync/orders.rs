//! What people order about records: handed to the reconciler, which carries it out when it looks at the record next.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::plan::Order;
use crate::model::key::{EntityIndex, LegacyId};

/// What became of an order: carried out, or why not.
pub type Outcome = Result<(), String>;

type Waiting = HashMap<(EntityIndex, LegacyId), (Arc<Order>, oneshot::Sender<Outcome>)>;

/// Orders that are not carried out yet, by their record; one each.
#[derive(Default)]
pub struct Orders(Mutex<Option<Waiting>>);

impl Orders {
    /// None yet.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places an order; its record has to be looked at after this. `None` while there is another one about it.
    pub fn place(&self, entity: EntityIndex, record: LegacyId, order: Order) -> Option<oneshot::Receiver<Outcome>> {
        let (answer, answered) = oneshot::channel();
        match self.waiting().get_or_insert_default().entry((entity, record)) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert((Arc::new(order), answer));
                Some(answered)
            }
        }
    }

    /// Takes an order back. It may be carried out all the same, if that has begun.
    pub fn withdraw(&self, entity: EntityIndex, record: LegacyId) {
        self.waiting().as_mut().and_then(|waiting| waiting.remove(&(entity, record)));
    }

    /// Whether nothing is ordered.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting().as_ref().is_none_or(HashMap::is_empty)
    }

    /// The order about a record.
    pub(super) fn about(&self, entity: EntityIndex, record: LegacyId) -> Option<Arc<Order>> {
        self.waiting().as_ref()?.get(&(entity, record)).map(|(order, _)| Arc::clone(order))
    }

    /// Tells whoever waits what became of orders about records of an entity.
    pub(super) fn done(&self, entity: EntityIndex, outcomes: Vec<(LegacyId, Outcome)>) {
        for (record, outcome) in outcomes {
            let order = self.waiting().as_mut().and_then(|waiting| waiting.remove(&(entity, record)));
            // who asked may have given up
            if let Some((_, answer)) = order
                && answer.send(outcome).is_err()
            {
                tracing::debug!("nobody waits for the outcome of an order any more");
            }
        }
    }
}
