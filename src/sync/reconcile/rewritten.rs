//! A table that TRUNCATE has emptied keeps its name and its identity, but not the place where its rows are stored; so does one that
//! was rewritten with all its rows. Until the stream has told which it was, what is missing there says nothing: changes from before
//! may still be on their way to the reconciler.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Reconciler, structure::Known};
use crate::{
    error::Result,
    model::{fact::PauseCause, hint::Position, key::EntityIndex, side::Side},
    sync::ports::{LegacyStore, Places, RenaissanceStore},
};

/// Where the stream of renaissance is, and the tables of which it has to tell something yet.
#[derive(Default)]
pub(super) struct Rewrites(Mutex<State>);

#[derive(Default)]
struct State {
    streamed: Option<Position>,
    /// How the tables were found, and a mark in the log from after that.
    doubts: HashMap<EntityIndex, (Places, Position)>,
}

impl Rewrites {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the stream has told all that happened before tables were found like this; `None` if no mark was left for that.
    fn is_told(&self, index: EntityIndex, now: &Places) -> Option<bool> {
        let state = self.state();
        let (_, mark) = state.doubts.get(&index).filter(|(found, _)| found == now)?;
        Some(state.streamed.as_ref().is_some_and(|streamed| streamed.has_passed(mark)))
    }
}

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// The stream of a side has told everything up to a position, changes of structure included.
    pub fn streamed(&self, side: Side, position: &Position) {
        if side == Side::Renaissance {
            self.rewrites.state().streamed = Some(position.clone());
        }
    }

    /// Whether rows of the entity that are missing may have been there before a TRUNCATE that the stream has yet to tell of. One
    /// that has left nothing pauses the entity at once.
    pub(super) async fn may_be_truncated(&self, index: EntityIndex) -> Result<bool> {
        let side = Side::Renaissance;
        let (known, now) = (self.known(index, side).await?, self.places(index, side).await?);
        let Some(table) = rewritten(known.as_ref(), &now) else {
            self.rewrites.state().doubts.remove(&index);
            return Ok(false);
        };
        if self.renaissance.is_empty(index, table).await? {
            self.pause_structure(index, side, PauseCause::Truncated, format!("table {table} was emptied")).await?;
            return Ok(false);
        }
        match self.rewrites.is_told(index, &now) {
            Some(true) => {
                self.know(index, side, now).await?;
                self.rewrites.state().doubts.remove(&index);
                Ok(false)
            }
            Some(false) => Ok(true),
            None => {
                tracing::info!(table, "was rewritten: deletions wait until the stream has told how");
                let mark = self.renaissance.mark().await?;
                self.rewrites.state().doubts.insert(index, (now, mark));
                Ok(true)
            }
        }
    }
}

/// The table whose rows are stored elsewhere than they were.
pub(super) fn rewritten<'p>(known: Option<&Known>, now: &'p Places) -> Option<&'p str> {
    let storage = |identity: &str| identity.split_once('/').map(|(_, storage)| storage.to_owned());
    now.iter().find_map(|(name, identity)| {
        let before = storage(known?.get(name)?)?;
        (storage(identity.as_deref()?)? != before).then_some(name.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_storage_of_the_same_table_is_a_rewrite() {
        let known: Known = [("users".to_owned(), "1/10".to_owned()), ("old".to_owned(), "2".to_owned())].into();
        let place = |name: &str, identity: &str| vec![(name.to_owned(), Some(identity.to_owned()))];
        assert_eq!(rewritten(Some(&known), &place("users", "1/10")), None);
        assert_eq!(rewritten(Some(&known), &place("users", "1/11")), Some("users"));
        assert_eq!(rewritten(Some(&known), &place("old", "2/12")), None, "an earlier version did not note it");
        assert_eq!(
            (rewritten(Some(&known), &place("new", "3/4")), rewritten(None, &place("users", "1/11"))),
            (None, None)
        );
    }

    #[test]
    fn a_mark_counts_only_for_the_tables_it_was_left_for_and_once_the_stream_has_passed_it() {
        let (rewrites, user) = (Rewrites::default(), EntityIndex(0));
        let found = |storage: &str| vec![("users".to_owned(), Some(format!("1/{storage}")))];
        assert_eq!(rewrites.is_told(user, &found("11")), None);
        rewrites.state().doubts.insert(user, (found("11"), Position::Lsn(7)));
        assert_eq!(rewrites.is_told(user, &found("11")), Some(false));
        rewrites.state().streamed = Some(Position::Lsn(6));
        assert_eq!(rewrites.is_told(user, &found("11")), Some(false));
        rewrites.state().streamed = Some(Position::Lsn(7));
        assert_eq!(rewrites.is_told(user, &found("11")), Some(true));
        assert_eq!(rewrites.is_told(user, &found("12")), None, "it was rewritten once more");
    }
}
