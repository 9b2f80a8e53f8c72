//! Whether the place where records are missing is still the one they were in. A collection or table that was dropped, renamed or
//! replaced holds nothing, and that says nothing about its records.

use std::collections::BTreeMap;

use super::{Reconciler, rewritten::rewritten};
use crate::{
    error::{Error, Result},
    model::{fact::PauseCause, hint::Structure, key::EntityIndex, pause::Scope, side::Side},
    sync::ports::{By, LegacyStore, NewPause, Places, RenaissanceStore},
};

/// Collections or tables by their names, with what told each from others.
pub(super) type Known = BTreeMap<String, String>;

/// SQLSTATE of a table that is not there.
const UNDEFINED_TABLE: &str = "42P01";

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// Pauses what a change of structure is about, durably, before anything that comes after it is taken to have happened.
    pub async fn see_structure(&self, side: Side, seen: &Structure) -> Result<()> {
        if self.shadow {
            tracing::error!("{}; a shadow changes nothing", seen.what);
            return Ok(());
        }
        for entity in &seen.entities {
            if self.asks_already(*entity, side) {
                continue;
            }
            let new = structural(*entity, side, seen.cause, seen.what.clone());
            self.pause_for(NewPause { event: Some(seen.event.clone()), ..new }).await?;
        }
        Ok(())
    }

    /// Pauses entities whose collection or tables are not those that were in order last; takes the others as in order, unless
    /// the stream has to tell yet how they were rewritten.
    pub async fn look_at_structures(&self) -> Result<()> {
        for index in (0..=u16::MAX).map(EntityIndex).take(self.entities.len()) {
            for side in Side::ALL.into_iter().filter(|side| !self.asks_already(index, *side)) {
                if !self.pause_if_replaced(index, side).await? && !self.is_rewritten(index, side).await? {
                    self.take_structure(index, side).await?;
                }
            }
        }
        Ok(())
    }

    /// Takes what is there now as in order.
    pub async fn take_structure(&self, index: EntityIndex, side: Side) -> Result<()> {
        let now = self.places(index, side).await?;
        self.know(index, side, now).await
    }

    async fn is_rewritten(&self, index: EntityIndex, side: Side) -> Result<bool> {
        let (known, now) = (self.known(index, side).await?, self.places(index, side).await?);
        Ok(rewritten(known.as_ref(), &now).is_some())
    }

    /// Takes places as in order.
    pub(super) async fn know(&self, index: EntityIndex, side: Side, now: Places) -> Result<()> {
        let there: Known = now.into_iter().filter_map(|(name, identity)| Some((name, identity?))).collect();
        let text = serde_json::to_string(&there)
            .map_err(|error| Error::halt("the structure cannot be noted").with_source(error))?;
        self.renaissance.know_structure(index, side, &text).await
    }

    /// Whether the entity is paused, as its place on this side is gone or another one.
    pub(super) async fn pause_if_replaced(&self, index: EntityIndex, side: Side) -> Result<bool> {
        if self.asks_already(index, side) {
            return Ok(true);
        }
        let (known, now) = (self.known(index, side).await?, self.places(index, side).await?);
        let Some((place, is_there)) = lost(known.as_ref(), &now) else { return Ok(false) };
        let (what, how) = (kind(side), if is_there { "is another one than before" } else { "is gone" });
        let detail = format!("{what} {place} {how}");
        self.pause_structure(index, side, PauseCause::Dropped, detail).await?;
        Ok(true)
    }

    /// Pauses an entity both ways, until somebody says what is to become of what is missing on a side.
    pub(super) async fn pause_structure(
        &self,
        index: EntityIndex,
        side: Side,
        cause: PauseCause,
        detail: String,
    ) -> Result<()> {
        self.pause_for(structural(index, side, cause, detail)).await
    }

    /// After a read that failed: whether that was because a table is gone, whose entity is paused now.
    pub async fn pause_what_is_gone(&self, error: &Error) -> Result<bool> {
        if error.fault().is_none_or(|fault| fault.code != UNDEFINED_TABLE) {
            return Ok(false);
        }
        let mut paused = false;
        for index in (0..=u16::MAX).map(EntityIndex).take(self.entities.len()) {
            if self.pauses.now().entirely(index).is_none() {
                paused |= self.pause_if_replaced(index, Side::Renaissance).await?;
            }
        }
        Ok(paused)
    }

    /// Whether somebody has to say what becomes of what is missing there anyway.
    fn asks_already(&self, index: EntityIndex, side: Side) -> bool {
        let whole = Scope { direction: None, entity: Some(index), person: None };
        let pauses = self.pauses.now();
        pauses.0.iter().any(|pause| pause.scope == whole && pause.missing_on == Some(side) && pause.answer.is_none())
    }

    pub(super) async fn known(&self, index: EntityIndex, side: Side) -> Result<Option<Known>> {
        let text = self.renaissance.known_structure(index, side).await?;
        let read = |text: String| serde_json::from_str(&text).map_err(|error| unreadable().with_source(error));
        text.map(read).transpose()
    }

    pub(super) async fn places(&self, index: EntityIndex, side: Side) -> Result<Places> {
        match side {
            Side::Legacy => self.legacy.collection(index).await,
            Side::Renaissance => self.renaissance.tables(index).await,
        }
    }
}

fn unreadable() -> Error {
    Error::halt("what the state knows of collections and tables cannot be read")
}

const fn kind(side: Side) -> &'static str {
    match side {
        Side::Legacy => "collection",
        Side::Renaissance => "table",
    }
}

/// The place that is not what it was, and whether there is another one. Places that the mapping did not name then, or does not
/// name any more, say nothing.
fn lost<'p>(known: Option<&Known>, now: &'p Places) -> Option<(&'p str, bool)> {
    now.iter().find_map(|(name, identity)| {
        let before = known.and_then(|known| known.get(name));
        match (identity, before) {
            (None, _) => Some((name.as_str(), false)),
            (Some(identity), Some(before)) if which(identity) != which(before) => Some((name.as_str(), true)),
            (Some(_), _) => None,
        }
    })
}

/// The identity without the place where its rows are stored, which follows a slash.
fn which(identity: &str) -> &str {
    identity.split_once('/').map_or(identity, |(which, _)| which)
}

/// A pause of an entity both ways.
fn structural(entity: EntityIndex, side: Side, cause: PauseCause, detail: String) -> NewPause {
    NewPause {
        scope: Scope { direction: None, entity: Some(entity), person: None },
        cause,
        detail,
        missing_on: Some(side),
        event: None,
        by: By::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_place_that_was_known_can_be_another_one_and_none_may_be_missing() {
        let known: Known = [("users".to_owned(), "1".to_owned()), ("former".to_owned(), "9".to_owned())].into();
        let place = |name: &str, identity: Option<&str>| (name.to_owned(), identity.map(str::to_owned));
        let same = [place("users", Some("1")), place("new", Some("2"))].to_vec();
        assert_eq!((lost(Some(&known), &same), lost(None, &same)), (None, None));
        assert_eq!(lost(Some(&known), &vec![place("users", Some("3"))]), Some(("users", true)));
        assert_eq!(lost(None, &vec![place("users", None)]), Some(("users", false)));
        assert_eq!(lost(Some(&known), &vec![place("users", Some("1/17"))]), None, "its rows are stored elsewhere");
    }
}
