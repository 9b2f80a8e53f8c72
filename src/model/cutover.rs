//! Moving one person from one side to the other: the states, and what has to be heard before the next step. Pure.
//!
//! A person is on a side, or draining: then both applications hold that person's writes. One row is the truth; it is
//! changed by compare-and-set, and each change raises its epoch. Legacy reads a mirror of it, which follows and never goes back.
//! Nothing but the row outlives a crash: whoever finds a draining row does all steps since then once more.

use super::{fact::PersonState, side::Side};

/// What the state says about a person. Who has no row is on legacy, in epoch 0; who was born in Renaissance has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CutoverRow {
    /// Where the person is.
    pub state: PersonState,
    /// The side that is authoritative; while draining still the one that the person leaves.
    pub owner: Side,
    /// Grows with every change.
    pub epoch: i64,
}

/// Why a person cannot begin to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The person is on that side.
    AlreadyThere,
    /// The person is on the way already, to either side.
    Moving,
}

impl CutoverRow {
    /// A person whom nobody ever moved.
    pub const UNMOVED: Self = Self { state: PersonState::Legacy, owner: Side::Legacy, epoch: 0 };

    /// One whose document was made from their row: nobody has moved them, and Renaissance is where they are.
    pub const BORN_IN_RENAISSANCE: Self = Self { state: PersonState::Renaissance, owner: Side::Renaissance, epoch: 1 };

    /// The row with which a move to `to` begins.
    pub fn draining(self, to: Side) -> Result<Self, Refusal> {
        match self.state {
            PersonState::Draining => Err(Refusal::Moving),
            PersonState::Legacy | PersonState::Renaissance if self.owner == to => Err(Refusal::AlreadyThere),
            PersonState::Legacy | PersonState::Renaissance => {
                Ok(Self { state: PersonState::Draining, owner: self.owner, epoch: self.epoch + 1 })
            }
        }
    }

    /// The row with which a move ends on a side.
    const fn settled(self, owner: Side) -> Self {
        let state = match owner {
            Side::Legacy => PersonState::Legacy,
            Side::Renaissance => PersonState::Renaissance,
        };
        Self { state, owner, epoch: self.epoch + 1 }
    }

    /// Whether the application of a side that reads this row may write.
    pub fn allows(self, side: Side) -> bool {
        self.state != PersonState::Draining && self.owner == side
    }
}

/// What a move needs done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Change the row from `from`, exactly, to `to`.
    Swap {
        /// What it has to be.
        from: CutoverRow,
        /// What it becomes.
        to: CutoverRow,
    },
    /// Make the mirror say this, unless it says something of a later epoch.
    Mirror(CutoverRow),
    /// Wait until writes have ended that began before the applications were asked to hold them.
    Drain,
    /// Take the position of both sides, after everything before.
    Mark,
    /// Wait until the checkpoints have passed both.
    CatchUp,
    /// Compare every record that the person owns.
    Compare,
    /// Nothing: the move has ended.
    End(Outcome),
}

/// What was heard of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is done; of a comparison: everything agrees.
    Done,
    /// It takes too long.
    Late,
    /// Something differs.
    Differs,
    /// The row is not what it had to be: somebody else changed it.
    Beaten,
}

/// How a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The person is on the other side.
    Moved,
    /// The person stays, as the sides differ.
    Differed,
    /// The person stays, as it took too long.
    TimedOut,
    /// Somebody else has the person in hand.
    Overtaken,
    /// There was nothing to move; the mirror is as it should be.
    Settled,
}

/// One person on the move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    row: CutoverRow,
    ask: Ask,
    /// How it will have ended once the mirror has followed.
    ending: Option<Outcome>,
}

impl Move {
    /// A move of the person with this row to a side.
    pub fn begin(row: CutoverRow, to: Side) -> Result<Self, Refusal> {
        let draining = row.draining(to)?;
        Ok(Self { row, ask: Ask::Swap { from: row, to: draining }, ending: None })
    }

    /// Goes on with what a former run left: a draining row is taken through all steps again, and a mirror may be behind.
    pub fn resume(row: CutoverRow) -> Self {
        let ending = (row.state != PersonState::Draining).then_some(Outcome::Settled);
        Self { row, ask: Ask::Mirror(row), ending }
    }

    /// What is to be done now.
    pub const fn ask(&self) -> Ask {
        self.ask
    }

    /// How it will have ended once the mirror has followed, if that is clear by now.
    pub const fn ending(&self) -> Option<Outcome> {
        self.ending
    }

    /// Takes in what became of it.
    pub fn hear(&mut self, heard: Heard) {
        self.ask = match (self.ask, heard) {
            (Ask::End(outcome), _) => Ask::End(outcome),
            (Ask::Swap { to, .. }, Heard::Done) => {
                self.row = to;
                Ask::Mirror(to)
            }
            // what was decided under the present owner is still on its way
            (Ask::Swap { from, to }, Heard::Late) if from.owner != to.owner => {
                self.end_on(from.owner, Outcome::TimedOut)
            }
            (Ask::Swap { .. }, _) | (_, Heard::Beaten) => Ask::End(Outcome::Overtaken),
            (Ask::Mirror(_), Heard::Done) => self.ending.map_or(Ask::Drain, Ask::End),
            // the row stands, and the mirror has to follow
            (Ask::Mirror(row), Heard::Late | Heard::Differs) => Ask::Mirror(row),
            (Ask::Drain, Heard::Done) => Ask::Mark,
            (Ask::Mark, Heard::Done) => Ask::CatchUp,
            (Ask::CatchUp, Heard::Done) => Ask::Compare,
            (Ask::Compare, Heard::Done) => self.end_on(self.row.owner.other(), Outcome::Moved),
            (Ask::Drain | Ask::Mark | Ask::CatchUp | Ask::Compare, Heard::Differs) => {
                self.end_on(self.row.owner, Outcome::Differed)
            }
            (Ask::Drain | Ask::Mark | Ask::CatchUp | Ask::Compare, Heard::Late) => {
                self.end_on(self.row.owner, Outcome::TimedOut)
            }
        };
    }

    fn end_on(&mut self, side: Side, outcome: Outcome) -> Ask {
        self.ending = Some(outcome);
        Ask::Swap { from: self.row, to: self.row.settled(side) }
    }
}

#[cfg(test)]
mod explore;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mut person: Move, heard: &[Heard]) -> Move {
        heard.iter().for_each(|heard| person.hear(*heard));
        person
    }

    #[test]
    fn a_person_goes_over_and_back_and_the_epoch_grows() {
        let there = run(Move::begin(CutoverRow::UNMOVED, Side::Renaissance).unwrap(), &[Heard::Done; 8]);
        assert_eq!(there.ask(), Ask::End(Outcome::Moved));
        assert_eq!(there.row, CutoverRow { state: PersonState::Renaissance, owner: Side::Renaissance, epoch: 2 });
        let back = run(Move::begin(there.row, Side::Legacy).unwrap(), &[Heard::Done; 8]);
        assert_eq!(back.row, CutoverRow { state: PersonState::Legacy, owner: Side::Legacy, epoch: 4 });
    }

    #[test]
    fn who_was_born_in_renaissance_is_there_already_and_can_be_taken_to_legacy() {
        let born = CutoverRow::BORN_IN_RENAISSANCE;
        assert_eq!(Move::begin(born, Side::Renaissance), Err(Refusal::AlreadyThere));
        let over = run(Move::begin(born, Side::Legacy).unwrap(), &[Heard::Done; 8]);
        assert_eq!(over.row, CutoverRow { state: PersonState::Legacy, owner: Side::Legacy, epoch: 3 });
    }

    #[test]
    fn what_differs_or_takes_too_long_leaves_the_person_where_they_were() {
        let begun = || Move::begin(CutoverRow::UNMOVED, Side::Renaissance).unwrap();
        let [to_compare, to_catch_up] = [5, 4].map(|steps| run(begun(), &vec![Heard::Done; steps]));
        for (person, heard, outcome) in
            [(to_compare, Heard::Differs, Outcome::Differed), (to_catch_up, Heard::Late, Outcome::TimedOut)]
        {
            let stays = run(person, &[heard, Heard::Done, Heard::Done]);
            assert_eq!(stays.ask(), Ask::End(outcome));
            assert_eq!(stays.row, CutoverRow { state: PersonState::Legacy, owner: Side::Legacy, epoch: 2 });
        }
    }

    #[test]
    fn who_is_there_or_on_the_way_does_not_begin() {
        assert_eq!(Move::begin(CutoverRow::UNMOVED, Side::Legacy), Err(Refusal::AlreadyThere));
        let draining = CutoverRow::UNMOVED.draining(Side::Renaissance).unwrap();
        assert_eq!(Move::begin(draining, Side::Renaissance), Err(Refusal::Moving));
        assert!(Side::ALL.into_iter().all(|side| !draining.allows(side)), "both hold their writes");
    }
}
