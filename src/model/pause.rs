//! Pauses: what must not be written for now, and why. Pure.

use super::{
    fact::PauseCause,
    key::{EntityIndex, LegacyId},
    problem::{Problem, Reason},
    side::{Direction, Side},
};

/// What a pause is about; `None`: all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Changes that travel this way.
    pub direction: Option<Direction>,
    /// Records of this entity.
    pub entity: Option<EntityIndex>,
    /// Records of this person, by their legacy id.
    pub person: Option<LegacyId>,
}

impl Scope {
    /// Whether everything that `other` is about is part of this.
    pub fn contains(&self, other: &Self) -> bool {
        fn part<T: PartialEq + Copy>(whole: Option<T>, other: Option<T>) -> bool {
            whole.is_none() || whole == other
        }
        part(self.direction, other.direction) && part(self.entity, other.entity) && part(self.person, other.person)
    }
}

/// What is to become of records that are missing on one side when a pause ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletions {
    /// They were deleted: delete them on the other side.
    Apply,
    /// They were not meant to go: make them again from the other side.
    Restore,
}

impl Deletions {
    /// Both answers.
    pub const ALL: [Self; 2] = [Self::Apply, Self::Restore];

    /// The word in commands and in the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Restore => "restore",
        }
    }

    /// The answer with that word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| answer.as_str() == word)
    }
}

/// One pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Its number.
    pub id: i64,
    /// What it is about.
    pub scope: Scope,
    /// Why.
    pub cause: PauseCause,
    /// Why, in words.
    pub detail: String,
    /// The side on which records may be gone that nobody deleted one by one. Who ends the pause says what becomes of them.
    pub missing_on: Option<Side>,
    /// What was said about them: the pause is about to end.
    pub answer: Option<Deletions>,
    /// Since when, RFC 3339.
    pub since: String,
}

/// Why a side of a record must not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closure {
    /// The number of the pause.
    pub pause: i64,
    /// Its cause.
    pub cause: PauseCause,
}

/// Which sides of a record must not be written: legacy, renaissance.
pub type Closed = [Option<Closure>; 2];

impl Closure {
    /// Why what should be written to a side waits.
    pub fn problem(self, to: Side) -> Problem {
        let detail = format!("changes do not travel to {to} for now: pause {} ({})", self.pause, self.cause);
        Problem { pause: Some(self.pause), ..Problem::new(Reason::Paused, detail) }
    }
}

/// The pauses at one moment, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses(pub Vec<Pause>);

impl Pauses {
    /// Which sides of a record must not be written. `person`: whom it belongs to, a person to themselves.
    pub fn closed(&self, entity: EntityIndex, person: Option<LegacyId>) -> Closed {
        Side::ALL.map(|side| {
            let about = |scope: &Scope| {
                scope.direction.is_none_or(|direction| direction.target() == side)
                    && scope.entity.is_none_or(|paused| paused == entity)
                    && scope.person.is_none_or(|paused| Some(paused) == person)
            };
            let pause = self.0.iter().find(|pause| about(&pause.scope))?;
            Some(Closure { pause: pause.id, cause: pause.cause })
        })
    }

    /// Why nothing of an entity crosses either way, if that is so: then its records are not even read.
    pub fn entirely(&self, entity: EntityIndex) -> Option<Closure> {
        match self.closed(entity, None) {
            [Some(legacy), Some(renaissance)] => Some(std::cmp::min_by_key(legacy, renaissance, |one| one.pause)),
            [None, _] | [_, None] => None,
        }
    }

    /// Whether nothing at all travels this way.
    pub fn stop(&self, direction: Direction) -> bool {
        let wanted = Scope { direction: Some(direction), ..Scope::default() };
        self.0.iter().any(|pause| pause.scope.contains(&wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: LegacyId = LegacyId::new([1; 12]);
    const USER: EntityIndex = EntityIndex(0);
    const BOOK: EntityIndex = EntityIndex(1);

    fn pauses(scopes: &[Scope]) -> Pauses {
        let pause = |(id, scope): (i64, &Scope)| Pause {
            id,
            scope: *scope,
            cause: PauseCause::Asked,
            detail: String::new(),
            missing_on: None,
            answer: None,
            since: String::new(),
        };
        Pauses((1..).zip(scopes).map(pause).collect())
    }

    fn numbers(closed: Closed) -> [Option<i64>; 2] {
        closed.map(|closure| closure.map(|closure| closure.pause))
    }

    #[test]
    fn a_pause_closes_the_sides_its_direction_leads_to_for_what_it_is_about() {
        let to_renaissance = Scope { direction: Some(Direction::LegacyToRenaissance), ..Scope::default() };
        let books = Scope { entity: Some(BOOK), ..Scope::default() };
        let adas = Scope { person: Some(ADA), ..Scope::default() };
        assert_eq!(numbers(pauses(&[to_renaissance]).closed(USER, None)), [None, Some(1)]);
        assert_eq!(numbers(pauses(&[books, to_renaissance]).closed(BOOK, None)), [Some(1), Some(1)]);
        assert_eq!(numbers(pauses(&[books]).closed(USER, Some(ADA))), [None, None]);
        assert_eq!(numbers(pauses(&[adas]).closed(BOOK, Some(ADA))), [Some(1), Some(1)]);
        assert_eq!(numbers(pauses(&[adas]).closed(BOOK, None)), [None, None]);
    }

    #[test]
    fn only_what_closes_both_sides_for_everybody_stops_an_entity() {
        let way = |direction| Scope { direction: Some(direction), entity: Some(USER), person: None };
        let [there, back] = Direction::ALL.map(way);
        assert_eq!(pauses(&[there]).entirely(USER), None);
        assert_eq!(pauses(&[there, back]).entirely(USER).map(|closure| closure.pause), Some(1));
        assert_eq!(pauses(&[there, back]).entirely(BOOK), None);
        assert_eq!(pauses(&[Scope { person: Some(ADA), ..Scope::default() }]).entirely(USER), None);
        assert!(pauses(&[Scope::default()]).entirely(BOOK).is_some());
    }

    #[test]
    fn a_direction_is_stopped_by_a_pause_of_all_that_travels_that_way() {
        let [there, back] = Direction::ALL;
        assert!(pauses(&[Scope::default()]).stop(back));
        let only = pauses(&[Scope { direction: Some(there), ..Scope::default() }]);
        assert!(only.stop(there) && !only.stop(back));
        assert!(!pauses(&[Scope { entity: Some(USER), ..Scope::default() }]).stop(there));
    }
}
