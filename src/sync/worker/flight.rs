//! Which batches are under way at once: one that is decided about, behind it some that are still being written and let others in,
//! and ahead of it one that is read.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::sync::{
    reconcile::{Ahead, Door, Footprint},
    tracker::Taken,
};

/// Batches at most that are being written at once: each of them has a session of its own.
const LANDING: usize = 2;

/// A batch that is next.
pub(super) struct Next<A = Ahead> {
    pub(super) taken: Vec<Taken>,
    /// What was read of it while others were written.
    pub(super) ahead: Option<A>,
}

/// A batch that others wait for.
struct Deciding {
    number: u64,
    records: usize,
    /// Where it says that they need not any more.
    door: Option<oneshot::Receiver<Arc<Footprint>>>,
}

/// A batch that is being written.
struct Landing {
    number: u64,
    records: usize,
    footprint: Arc<Footprint>,
}

/// The batches under way. `A`: what is read ahead.
pub(super) struct Flight<A = Ahead> {
    begun: u64,
    deciding: Option<Deciding>,
    landing: Vec<Landing>,
    /// What those batches are about that were written while the next one was read, or since.
    beside: Vec<Arc<Footprint>>,
    next: Option<Next<A>>,
}

impl<A> Default for Flight<A> {
    fn default() -> Self {
        Self { begun: 0, deciding: None, landing: Vec::new(), beside: Vec::new(), next: None }
    }
}

impl<A> Flight<A> {
    /// Whether nothing is being decided about or written.
    pub(super) const fn is_empty(&self) -> bool {
        self.deciding.is_none() && self.landing.is_empty()
    }

    /// Whether to take another batch, of so many keys at most. `waiting`: keys in the queue, with those under way. While it could
    /// not begin, only a full one is worth reading: smaller ones are better left to grow.
    pub(super) fn takes(&self, waiting: usize, most: usize) -> bool {
        let deciding = self.deciding.as_ref().map_or(0, |one| one.records);
        let under_way = deciding + self.landing.iter().map(|one| one.records).sum::<usize>();
        self.next.is_none() && (self.has_room() || waiting >= under_way + most)
    }

    /// Whether another batch may begin.
    const fn has_room(&self) -> bool {
        self.deciding.is_none() && self.landing.len() < LANDING
    }

    /// Another batch is read from now on.
    pub(super) fn reads(&mut self) {
        self.beside = self.landing.iter().map(|one| Arc::clone(&one.footprint)).collect();
    }

    /// A batch that is to come next.
    pub(super) fn queue(&mut self, next: Next<A>) {
        self.next = Some(next);
    }

    /// The batch that was to come next, to be given back.
    pub(super) fn take_next(&mut self) -> Option<Next<A>> {
        self.next.take()
    }

    /// The batch that may begin now. What was read of it counts only if it `stands` beside all that were written meanwhile; if it
    /// does not, the batch waits until they are.
    pub(super) fn ready(&mut self, stands: impl Fn(&[Taken], &A, &Footprint) -> bool) -> Option<Next<A>> {
        if !self.has_room() {
            return None;
        }
        let Next { taken, ahead } = self.next.take()?;
        let ahead = ahead.filter(|ahead| self.beside.iter().all(|footprint| stands(&taken, ahead, footprint)));
        let may_begin = ahead.is_some() || self.landing.is_empty();
        if !may_begin {
            self.next = Some(Next { taken, ahead });
            return None;
        }
        Some(Next { taken, ahead })
    }

    /// Begins a batch of so many keys: its number, and the door through which it lets others in.
    pub(super) fn begin(&mut self, records: usize) -> (u64, Door) {
        let (door, heard) = Door::new();
        self.begun += 1;
        self.deciding = Some(Deciding { number: self.begun, records, door: Some(heard) });
        (self.begun, door)
    }

    /// Waits until the batch that is decided about lets others in. Cancel safe.
    pub(super) async fn opened(&mut self) {
        let Some(Deciding { number, records, door: Some(door) }) = &mut self.deciding else {
            return std::future::pending().await;
        };
        let (number, records) = (*number, *records);
        let Ok(footprint) = door.await else {
            // it ends without having opened
            if let Some(deciding) = &mut self.deciding {
                deciding.door = None;
            }
            return;
        };
        self.deciding = None;
        self.beside.push(Arc::clone(&footprint));
        self.landing.push(Landing { number, records, footprint });
    }

    /// A batch has ended; what it was about, if it has succeeded.
    pub(super) fn ended(&mut self, number: u64, footprint: Option<Arc<Footprint>>) {
        self.landing.retain(|one| one.number != number);
        if self.deciding.as_ref().is_some_and(|one| one.number == number) {
            self.deciding = None;
            self.beside.extend(footprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Plain = Flight<()>;

    fn next(ahead: Option<()>) -> Next<()> {
        Next { taken: Vec::new(), ahead }
    }

    fn about() -> Arc<Footprint> {
        Arc::default()
    }

    /// A batch that has come to its documents.
    async fn land(flight: &mut Plain) -> u64 {
        let (number, door) = flight.begin(1);
        door.open(&about());
        flight.opened().await;
        number
    }

    #[tokio::test]
    async fn one_batch_is_decided_about_at_a_time_and_few_land() {
        let mut flight = Plain::default();
        assert!(flight.is_empty() && flight.takes(1, 100));
        let (first, door) = flight.begin(10);
        assert!(!flight.takes(109, 100), "a small batch is left to grow");
        assert!(flight.takes(110, 100));
        flight.reads();
        flight.queue(next(Some(())));
        assert!(!flight.takes(1000, 100), "one is read at a time");
        assert!(flight.ready(|_, (), _| true).is_none());
        door.open(&about());
        flight.opened().await;
        assert!(flight.ready(|_, (), _| true).is_some_and(|next| next.ahead.is_some()));
        let second = land(&mut flight).await;
        assert!(!flight.takes(110, 100), "as many land as there are sessions");
        assert!(flight.takes(111, 100), "a full one is read meanwhile");
        flight.reads();
        flight.queue(next(Some(())));
        assert!(flight.ready(|_, (), _| true).is_none(), "and waits for a session");
        flight.ended(first, None);
        assert!(flight.ready(|_, (), _| true).is_some());
        assert!(flight.takes(1, 100));
        flight.ended(second, None);
        assert!(flight.is_empty());
    }

    #[tokio::test]
    async fn what_was_read_beside_a_batch_with_something_in_common_waits_for_it_and_is_read_again() {
        let mut flight = Plain::default();
        let landing = land(&mut flight).await;
        flight.reads();
        flight.queue(next(Some(())));
        assert!(flight.ready(|_, (), _| false).is_none());
        assert!(flight.ready(|_, (), _| true).is_none(), "what did not stand does not stand later");
        flight.ended(landing, Some(about()));
        assert!(flight.ready(|_, (), _| true).is_some_and(|next| next.ahead.is_none()));
    }

    #[tokio::test]
    async fn what_was_read_has_to_stand_beside_a_batch_that_has_ended_meanwhile() {
        let mut flight = Plain::default();
        let (deciding, door) = flight.begin(1);
        flight.reads();
        drop(door);
        flight.opened().await;
        flight.ended(deciding, Some(about()));
        flight.queue(next(Some(())));
        assert!(flight.ready(|_, (), _| false).is_some_and(|next| next.ahead.is_none()));
        let landing = land(&mut flight).await;
        flight.reads();
        flight.ended(landing, Some(about()));
        flight.queue(next(Some(())));
        assert!(flight.ready(|_, (), _| false).is_some_and(|next| next.ahead.is_none()));
    }
}
