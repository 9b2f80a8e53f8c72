//! Which records changes are told of while they are looked at.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync;

use crate::model::key::Key;

/// Keys under observation, with whether a change stream has named them since. A few at a time: those of one round.
#[derive(Debug, Default)]
pub struct Watch {
    /// Who observes.
    turn: sync::Mutex<()>,
    active: AtomicBool,
    keys: Mutex<HashMap<Key, bool>>,
}

impl Watch {
    /// Notes that a stream has named a key. Before the key is queued: whoever finds it settled finds it touched.
    pub fn touch(&self, key: Key) {
        if self.active.load(Ordering::Acquire)
            && let Some(touched) = self.keys().get_mut(&key)
        {
            *touched = true;
        }
    }

    /// Watches these keys and no others, until what is returned is dropped; waits until nobody else watches.
    pub async fn begin(&self, keys: impl IntoIterator<Item = Key>) -> Watching<'_> {
        let turn = self.turn.lock().await;
        *self.keys() = keys.into_iter().map(|key| (key, false)).collect();
        self.active.store(true, Ordering::Release);
        Watching { watch: self, _turn: turn }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Key, bool>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An observation under way.
#[derive(Debug)]
pub struct Watching<'a> {
    watch: &'a Watch,
    _turn: sync::MutexGuard<'a, ()>,
}

impl Watching<'_> {
    /// Whether a stream has named a key since.
    pub fn touched(&self, key: Key) -> bool {
        self.watch.keys().get(&key).copied().unwrap_or(false)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.watch.active.store(false, Ordering::Release);
        self.watch.keys().clear();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::model::key::{EntityIndex, SideId};

    fn key(id: i64) -> Key {
        Key { entity: EntityIndex(0), id: SideId::Renaissance(id) }
    }

    #[tokio::test]
    async fn only_what_is_watched_is_touched_and_only_meanwhile() {
        let watch = Watch::default();
        watch.touch(key(1));
        let watching = watch.begin([key(1), key(2)]).await;
        assert!(!watching.touched(key(1)));
        watch.touch(key(1));
        watch.touch(key(3));
        assert_eq!([1, 2, 3].map(|id| watching.touched(key(id))), [true, false, false]);
        drop(watching);
        assert!(!watch.begin([key(1)]).await.touched(key(1)));
    }

    #[tokio::test]
    async fn one_observation_waits_for_the_end_of_another() {
        let watch = Watch::default();
        let first = watch.begin([key(1)]).await;
        watch.touch(key(1));
        assert!(watch.begin([key(2)]).now_or_never().is_none());
        assert!(first.touched(key(1)));
        drop(first);
        assert!(watch.begin([key(2)]).now_or_never().is_some());
    }
}
