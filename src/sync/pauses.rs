//! The pauses at present: kept in memory as the state has them, since nobody but this daemon begins or ends one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, RwLock, RwLockReadGuard, watch};

use super::ports::{NewPause, PauseStore};
use crate::{error::Result, model::pause::Pauses};

/// What is paused now.
#[derive(Debug)]
pub struct Present {
    pauses: Mutex<Arc<Pauses>>,
    /// Counts the changes.
    version: watch::Sender<u64>,
    /// Held by each batch while it is decided and written.
    batch: RwLock<()>,
    /// Keys may have to come back.
    ended: Notify,
}

impl Default for Present {
    fn default() -> Self {
        Self {
            pauses: Mutex::default(),
            version: watch::Sender::new(0),
            batch: RwLock::default(),
            ended: Notify::new(),
        }
    }
}

impl Present {
    /// The pauses now.
    pub fn now(&self) -> Arc<Pauses> {
        Arc::clone(&self.lock())
    }

    /// A number that is another one after each change.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Waits until the pauses are no longer those of a version. Cancel safe.
    pub async fn changed_since(&self, version: u64) {
        let mut versions = self.version.subscribe();
        // the sender is in `self`
        drop(versions.wait_for(|now| *now != version).await);
    }

    /// Takes the pauses as the state has them.
    pub async fn load(&self, store: &impl PauseStore) -> Result<()> {
        let pauses = Arc::new(Pauses(store.pauses().await?));
        let mut present = self.lock();
        if *present != pauses {
            *present = pauses;
            self.version.send_modify(|version| *version += 1);
        }
        Ok(())
    }

    /// Begins a pause: durable first, then at once for everything that is decided from now on. Whether it is new. What was
    /// decided before may still be on its way: see [`Self::settled`].
    pub async fn begin(&self, store: &impl PauseStore, new: &NewPause) -> Result<bool> {
        let begun = store.pause(new).await?;
        self.load(store).await?;
        Ok(begun)
    }

    /// Waits until nothing is on its way any more that was decided before.
    pub async fn settled(&self) {
        drop(self.batch.write().await);
    }

    /// To be held while a batch is decided and written, by as many as there are at once.
    pub async fn batch(&self) -> RwLockReadGuard<'_, ()> {
        self.batch.read().await
    }

    /// Whether a batch that was decided under this version of the pauses may still be written.
    pub fn is_current(&self, version: u64) -> bool {
        self.version() == version
    }

    /// Tells [`Self::ending`] that keys may have to come back.
    pub fn tell_ended(&self) {
        self.ended.notify_one();
    }

    /// Waits until keys may have to come back. Cancel safe.
    pub async fn ending(&self) {
        self.ended.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Pauses>> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
