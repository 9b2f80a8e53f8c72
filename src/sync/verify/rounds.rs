//! Telling a difference from a change on its way: a candidate differs once it was the same before and after a mark in both
//! logs was passed, and nothing was heard of it in between.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{Verifier, watch::Watching};
use crate::{
    error::Result,
    model::key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
    sync::{
        ports::{LegacyStore, RenaissanceStore, Source, Suspect},
        queue::HintQueue,
        reconcile::{Compared, Standing},
    },
};

/// A candidate that is not quiet in so many rounds is not settled.
const ROUNDS: i32 = 6;
/// The pause after the first round; each one after that is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a mark is waited for.
const PASSING: Duration = Duration::from_secs(10);

/// A record that was found different.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) legacy: Option<LegacyId>,
    pub(super) renaissance: Option<RenaissanceId>,
    pub(super) rounds: i32,
    due: Instant,
    /// As it was seen last.
    pub(super) seen: Option<Compared>,
}

impl Candidate {
    pub(super) fn new(seen: Compared) -> Self {
        let (legacy, renaissance) = (seen.legacy, seen.renaissance);
        Self { legacy, renaissance, rounds: 0, due: Instant::now(), seen: Some(seen) }
    }

    pub(super) fn known(suspect: &Suspect) -> Self {
        let Suspect { legacy, renaissance, rounds } = *suspect;
        Self { legacy, renaissance, rounds, due: Instant::now(), seen: None }
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// The keys of its record.
    fn keys(&self, entity: EntityIndex) -> impl Iterator<Item = Key> {
        let ids = [self.legacy.map(SideId::Legacy), self.renaissance.map(SideId::Renaissance)];
        ids.into_iter().flatten().map(move |id| Key { entity, id })
    }

    /// The key that it is read by.
    pub(super) fn key(&self, entity: EntityIndex) -> Option<Key> {
        self.keys(entity).next()
    }

    /// Not quiet: later again.
    fn put_off(&mut self) {
        self.due = Instant::now() + PAUSE * 2_u32.saturating_pow(self.rounds.unsigned_abs());
        self.rounds += 1;
    }
}

/// What a round has told.
#[derive(Default)]
pub(super) struct Told {
    /// No difference after all: equal, or what differs waits.
    pub(super) cleared: Vec<Compared>,
    /// Differences.
    pub(super) differing: Vec<Candidate>,
    /// Never quiet.
    pub(super) unsettled: Vec<Candidate>,
    /// Not quiet yet.
    put_off: Vec<Candidate>,
}

impl<L: LegacyStore, R: RenaissanceStore, SL: Source, SR: Source, Q: HintQueue> Verifier<'_, L, R, SL, SR, Q> {
    /// Looks again at the candidates that are due; those that have to be looked at once more stay.
    pub(super) async fn round(&self, entity: EntityIndex, waiting: &mut Vec<Candidate>) -> Result<Told> {
        let now = Instant::now();
        let due: Vec<Candidate> = waiting.iter().filter(|one| one.due <= now).cloned().collect();
        if due.is_empty() {
            return Ok(Told::default());
        }
        let watching = self.watch.begin(due.iter().flat_map(|one| one.keys(entity))).await;
        let busy = |one: &Candidate| one.keys(entity).any(|key| self.queue.is_dirty(key) || watching.touched(key));
        let were_busy: Vec<bool> = due.iter().map(busy).collect();
        let (mut told, mut left) = (Told::default(), Vec::new());
        let first = self.looks(entity, &due).await?;
        for (mut one, was_busy) in due.into_iter().zip(were_busy) {
            match one.key(entity).and_then(|key| first.get(&key)) {
                Some(seen) if cleared(seen) => told.cleared.push(seen.clone()),
                seen => {
                    one.seen = seen.cloned();
                    left.push((one, was_busy));
                }
            }
        }
        let quiet = left.is_empty() || self.everything_before_now_was_heard().await?;
        let second = self.looks(entity, left.iter().map(|(one, _)| one)).await?;
        for (mut one, was_busy) in left {
            let seen = one.key(entity).and_then(|key| second.get(&key)).cloned();
            let calm = quiet && !was_busy && !self.is_disturbed(entity, &one, &watching);
            let verdict = judge(one.seen.as_ref(), seen.as_ref(), calm);
            match (verdict, seen) {
                (Verdict::Cleared, Some(seen)) => told.cleared.push(seen),
                (verdict, seen) => {
                    one.seen = seen;
                    if verdict == Verdict::Differs {
                        told.differing.push(one);
                    } else if one.rounds + 1 >= ROUNDS {
                        told.unsettled.push(one);
                    } else {
                        one.put_off();
                        told.put_off.push(one);
                    }
                }
            }
        }
        waiting.retain(|one| one.due > now);
        waiting.append(&mut told.put_off);
        Ok(told)
    }

    fn is_disturbed(&self, entity: EntityIndex, one: &Candidate, watching: &Watching<'_>) -> bool {
        one.keys(entity).any(|key| watching.touched(key) || self.queue.is_dirty(key))
    }

    /// Whether all that was committed before the call was heard of, so that a key with something open from then is dirty, and
    /// no batch is half written. False if that takes too long.
    async fn everything_before_now_was_heard(&self) -> Result<bool> {
        let mark = self.marks.leave().await?;
        let heard = self.marks.heard(&mark, PASSING).await;
        self.reconciler.pauses().settled().await;
        Ok(heard.is_ok() && self.status.is_streaming())
    }

    /// How candidates stand now, by the key that each is read by.
    async fn looks<'c>(
        &self,
        entity: EntityIndex,
        candidates: impl IntoIterator<Item = &'c Candidate>,
    ) -> Result<HashMap<Key, Compared>> {
        let keys: Vec<Key> = candidates.into_iter().filter_map(|one| one.key(entity)).collect();
        let compared = self.reconciler.compare(entity, &keys).await?;
        Ok(compared
            .into_iter()
            .flat_map(|one| one.keys.clone().into_iter().map(move |key| (key, one.clone())))
            .collect())
    }
}

const fn cleared(seen: &Compared) -> bool {
    matches!(seen.standing, Standing::Equal | Standing::Waiting)
}

const fn differs(seen: &Compared) -> bool {
    matches!(seen.standing, Standing::Differs(_))
}

/// What a round makes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// No difference after all.
    Cleared,
    /// A difference.
    Differs,
    /// It has to be looked at again.
    Unclear,
}

/// Judges by how a candidate stood before a mark in both logs and after it had passed. `calm`: all from before the mark was heard of,
/// and nothing about this record was, nor is on its way.
fn judge(before: Option<&Compared>, after: Option<&Compared>, calm: bool) -> Verdict {
    let print = |seen: Option<&Compared>| seen.filter(|seen| differs(seen)).map(|seen| seen.print);
    match after {
        Some(seen) if cleared(seen) => Verdict::Cleared,
        Some(_) if calm && print(after).is_some() && print(before) == print(after) => Verdict::Differs,
        Some(_) | None => Verdict::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::reconcile::{Difference, Moved};

    fn seen(standing: Standing, print: u64) -> Compared {
        Compared {
            keys: Vec::new(),
            legacy: None,
            renaissance: Some(1),
            person: None,
            standing,
            waiting: Vec::new(),
            writes: [false, true],
            print,
        }
    }

    fn differing(print: u64) -> Compared {
        seen(Standing::Differs(Difference::Fields(vec![(0, Moved::Legacy)])), print)
    }

    #[test]
    fn a_difference_is_one_that_was_the_same_before_and_after_all_was_heard() {
        let (before, after) = (differing(1), differing(1));
        assert_eq!(judge(Some(&before), Some(&after), true), Verdict::Differs);
    }

    #[test]
    fn one_look_is_not_enough() {
        assert_eq!(judge(None, Some(&differing(1)), true), Verdict::Unclear);
        assert_eq!(judge(Some(&differing(1)), None, true), Verdict::Unclear);
        assert_eq!(
            judge(Some(&differing(1)), Some(&differing(2)), true),
            Verdict::Unclear,
            "it has changed in between"
        );
    }

    #[test]
    fn what_is_on_its_way_is_no_difference_yet() {
        assert_eq!(judge(Some(&differing(1)), Some(&differing(1)), false), Verdict::Unclear);
    }

    #[test]
    fn what_the_snapshot_does_not_show_yet_is_no_difference() {
        let hidden = || seen(Standing::NotVisible, 1);
        for (before, after) in [(hidden(), differing(1)), (differing(1), hidden()), (hidden(), hidden())] {
            assert_eq!(judge(Some(&before), Some(&after), true), Verdict::Unclear);
        }
    }

    #[test]
    fn what_is_equal_in_the_end_is_cleared_however_restless_it_was() {
        for standing in [Standing::Equal, Standing::Waiting] {
            assert_eq!(judge(Some(&differing(1)), Some(&seen(standing, 2)), false), Verdict::Cleared);
        }
    }
}
