//! Every interleaving of a move with both applications, crashes, a former daemon that goes on, and what cannot cross.
//!
//! The machine is the real one; the world around it is one field of one person on two sides. Mechanisms of the world and of
//! the daemon are taken out one by one to see that what must hold then does not.

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::{Ask, CutoverRow, Heard, Move};
use crate::model::{fact::PersonState, side::Side};

/// Takes one mechanism out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// The row is changed whatever it is by then.
    ComparingRows,
    /// The mirror takes whatever comes.
    MirrorEpochs,
    /// Legacy is not told that the person is draining.
    MirrorFirst,
    /// Writes that are under way are not waited for.
    Draining,
    /// Nobody waits until the checkpoints have passed, and nobody compares.
    CatchingUp,
    /// Both sides count as equal.
    Comparing,
    /// After a crash nobody looks for draining rows.
    Resuming,
}

/// How much may happen.
#[derive(Clone, Copy)]
struct Scenario {
    without: Option<Without>,
    writes: u8,
    crashes: u8,
    takeovers: u8,
    /// Moves that an operator asks for.
    moves: u8,
    /// Whether a value may get stuck on its way.
    sticks: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    row: CutoverRow,
    mirror: CutoverRow,
    /// What each side holds, and what they agreed on.
    values: [u8; 2],
    base: u8,
    /// Changed since it was reconciled; whether that was so when the positions were taken.
    dirty: [bool; 2],
    marked: [bool; 2],
    /// An application that has read its flag and is about to write.
    writing: [bool; 2],
    /// The last value that an application was told is stored, and where.
    stored: (u8, Side),
    /// What a side holds cannot cross for now.
    stuck: bool,
    daemon: Option<Move>,
    /// A daemon that another took over from, and goes on where it was stopped.
    former: Option<Move>,
    /// The person came to a side that had not yet what they had last been told is stored.
    arrived_too_early: bool,
    left: [u8; 4],
}

const WRITES: usize = 0;
const CRASHES: usize = 1;
const TAKEOVERS: usize = 2;
const MOVES: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    /// An operator moves the person to the other side.
    Ask,
    /// An application reads its flag and begins to write.
    Begin(Side),
    /// It has written.
    Write(Side),
    /// The bridge reconciles the record.
    Reconcile,
    /// What is there cannot cross; or it can again.
    Stick,
    /// The daemon's next step.
    Step,
    /// It takes too long.
    TooLate,
    /// The daemon is killed and starts again.
    Crash,
    /// The daemon is stopped and another takes over.
    TakeOver,
    /// The one that was stopped gets on by a step.
    GoOn,
}

const fn at(side: Side) -> usize {
    match side {
        Side::Legacy => 0,
        Side::Renaissance => 1,
    }
}

impl World {
    /// The flag that an application reads: each in its own database.
    fn allows(&self, side: Side) -> bool {
        match side {
            Side::Legacy => self.mirror.allows(side),
            Side::Renaissance => self.row.allows(side),
        }
    }

    fn reconcile(&mut self) {
        let moved = Side::ALL.map(|side| self.values[at(side)] != self.base);
        let winner = match moved {
            [false, true] => Side::Renaissance,
            [true, false] => Side::Legacy,
            [true, true] | [false, false] => self.row.owner,
        };
        self.dirty = [false; 2];
        self.marked = [false; 2];
        if !self.stuck {
            self.base = self.values[at(winner)];
            self.values = [self.base; 2];
        }
    }

    /// Carries out a step of a daemon and says what it hears.
    fn carry_out(&mut self, ask: Ask, without: Option<Without>) -> Option<Heard> {
        let lacks = |mechanism| without == Some(mechanism);
        Some(match ask {
            Ask::Swap { from, .. } if self.row != from && !lacks(Without::ComparingRows) => Heard::Beaten,
            Ask::Swap { from, to } => {
                if to.owner != from.owner {
                    let (value, side) = self.stored;
                    self.arrived_too_early |= side == from.owner && self.values[at(to.owner)] != value;
                }
                self.row = to;
                Heard::Done
            }
            Ask::Mirror(row) if row.state == PersonState::Draining && lacks(Without::MirrorFirst) => Heard::Done,
            Ask::Mirror(row) => {
                if row.epoch > self.mirror.epoch || lacks(Without::MirrorEpochs) {
                    self.mirror = row;
                }
                Heard::Done
            }
            Ask::Drain if self.writing != [false; 2] && !lacks(Without::Draining) => return None,
            Ask::Drain => Heard::Done,
            Ask::Mark => {
                self.marked = self.dirty;
                Heard::Done
            }
            Ask::CatchUp | Ask::Compare if lacks(Without::CatchingUp) => Heard::Done,
            Ask::CatchUp if self.marked != [false; 2] => return None,
            Ask::CatchUp => Heard::Done,
            Ask::Compare if self.values[0] == self.values[1] || lacks(Without::Comparing) => Heard::Done,
            Ask::Compare => Heard::Differs,
            Ask::End(_) => return None,
        })
    }

    fn is_quiet(&self) -> bool {
        let ended = |daemon: &Option<Move>| daemon.is_none_or(|person| matches!(person.ask(), Ask::End(_)));
        ended(&self.daemon) && ended(&self.former) && self.writing == [false; 2]
    }
}

fn step(daemon: &mut Option<Move>, heard: Heard) {
    if let Some(person) = daemon {
        person.hear(heard);
    }
}

impl Model for Scenario {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let row = CutoverRow::UNMOVED;
        let left = [self.writes, self.crashes, self.takeovers, self.moves];
        vec![World {
            row,
            mirror: row,
            values: [1; 2],
            base: 1,
            dirty: [false; 2],
            marked: [false; 2],
            writing: [false; 2],
            stored: (1, Side::Legacy),
            stuck: false,
            daemon: None,
            former: None,
            arrived_too_early: false,
            left,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let moving = world.daemon.filter(|person| !matches!(person.ask(), Ask::End(_)));
        if world.left[MOVES] > 0 && moving.is_none() && world.row.state != PersonState::Draining {
            actions.push(Action::Ask);
        }
        for side in Side::ALL {
            if world.writing[at(side)] {
                actions.push(Action::Write(side));
            } else if world.left[WRITES] > 0 && world.allows(side) {
                actions.push(Action::Begin(side));
            }
        }
        if world.dirty != [false; 2] {
            actions.push(Action::Reconcile);
        }
        if self.sticks {
            actions.push(Action::Stick);
        }
        if let Some(person) = moving {
            actions.push(Action::Step);
            let flips = matches!(person.ask(), Ask::Swap { from, to } if from.owner != to.owner);
            if flips || matches!(person.ask(), Ask::Drain | Ask::CatchUp | Ask::Compare) {
                actions.push(Action::TooLate);
            }
        }
        if world.left[CRASHES] > 0 {
            actions.push(Action::Crash);
        }
        if world.left[TAKEOVERS] > 0 && moving.is_some() {
            actions.push(Action::TakeOver);
        }
        if world.former.is_some_and(|person| !matches!(person.ask(), Ask::End(_))) {
            actions.push(Action::GoOn);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        let resumed = |row| (self.without != Some(Without::Resuming)).then(|| Move::resume(row));
        match action {
            Action::Ask => {
                world.left[MOVES] -= 1;
                world.daemon = Some(Move::begin(world.row, world.row.owner.other()).ok()?);
            }
            Action::Begin(side) => {
                world.left[WRITES] -= 1;
                world.writing[at(side)] = true;
            }
            Action::Write(side) => {
                world.writing[at(side)] = false;
                let value = world.stored.0 + 1;
                (world.values[at(side)], world.dirty[at(side)], world.stored) = (value, true, (value, side));
            }
            Action::Reconcile => world.reconcile(),
            Action::Stick => {
                world.stuck = !world.stuck;
                // what could not cross is tried again
                world.dirty[0] |= !world.stuck && world.values[0] != world.values[1];
            }
            Action::Step => {
                let heard = world.carry_out(world.daemon?.ask(), self.without)?;
                step(&mut world.daemon, heard);
            }
            Action::TooLate => step(&mut world.daemon, Heard::Late),
            Action::Crash => {
                world.left[CRASHES] -= 1;
                world.daemon = resumed(world.row);
            }
            Action::TakeOver => {
                world.left[TAKEOVERS] -= 1;
                world.former = world.daemon;
                world.daemon = resumed(world.row);
            }
            Action::GoOn => {
                let heard = world.carry_out(world.former?.ask(), self.without)?;
                step(&mut world.former, heard);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("only one application may write", |_, world: &World| {
                !(world.allows(Side::Legacy) && world.allows(Side::Renaissance))
            }),
            Property::always("who arrives finds what they had stored", |_, world: &World| !world.arrived_too_early),
            Property::always("nobody is left half moved", |_, world: &World| {
                !world.is_quiet() || (world.row.state != PersonState::Draining && world.mirror == world.row)
            }),
            Property::always("the mirror is never ahead", |_, world: &World| world.mirror.epoch <= world.row.epoch),
            Property::sometimes("a person moves and comes back", |_, world: &World| {
                world.is_quiet() && world.row.owner == Side::Legacy && world.row.epoch >= 4
            }),
        ]
    }
}

const ALL: Scenario = Scenario { without: None, writes: 2, crashes: 1, takeovers: 1, moves: 2, sticks: true };

#[test]
fn nobody_is_half_moved_or_sent_where_something_is_missing() {
    let checker = ALL.checker().threads(2).spawn_bfs().join();
    println!("cutover: {} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn without_any_one_mechanism_somebody_is() {
    for without in [
        Without::ComparingRows,
        Without::MirrorEpochs,
        Without::MirrorFirst,
        Without::Draining,
        Without::CatchingUp,
        Without::Comparing,
        Without::Resuming,
    ] {
        let scenario = Scenario { without: Some(without), ..ALL };
        let checker = scenario.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let found = checker.discoveries();
        let broken: Vec<_> = found.keys().filter(|name| **name != "a person moves and comes back").collect();
        println!("without {without:?}: {broken:?}");
        assert!(!broken.is_empty(), "without {without:?} all holds");
    }
}
