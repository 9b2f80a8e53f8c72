//! What may happen next, and what must hold whatever happens.

use std::hash::{Hash, Hasher};

use stateright::{Model, Property};

use super::{
    Without,
    process::{Process, Setting},
    shape::Shape,
    stores::{Call, Fault, digest},
    world::{World, at},
};
use crate::model::side::Side;

/// How much may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Edits, deletes and inserts by applications, all together.
    pub(super) writes: u8,
    pub(super) deletes: u8,
    pub(super) inserts: u8,
    pub(super) crashes: u8,
    /// How often another bridge takes over from one that is only stopped and goes on later.
    pub(super) takeovers: u8,
    /// Calls that fail.
    pub(super) faults: u8,
}

/// A small world with what may happen in it.
#[derive(Clone)]
pub(super) struct Scenario {
    pub(super) setting: Setting,
    /// Whether there is a record that both sides agree on; else nothing is there.
    pub(super) agreed: bool,
    pub(super) budget: Budget,
    /// Fields that applications edit.
    pub(super) fields: usize,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) world: World,
    pub(super) process: Process,
    /// One that another took over from.
    pub(super) former: Option<Process>,
    pub(super) left: Budget,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.world, &self.process, &self.former, self.left).hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        digest(self) == digest(other)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    /// An application edits a field of a record.
    Edit(Side, u8, usize),
    /// An application deletes a record.
    Delete(Side, u8),
    /// An application makes a record.
    Insert(Side),
    /// A decoded transaction becomes visible to readers.
    Appear,
    /// The next change of a log is received.
    Receive(Side),
    /// What is dirty is taken.
    Begin,
    /// The reconcile gets on by one call.
    Step(Fault),
    /// A transaction whose commit was on its way commits, or is given up.
    Arrive(bool),
    /// Durable positions are saved.
    Save,
    /// The bridge is killed and starts again.
    Crash,
    /// The bridge is stopped, and another takes over.
    TakeOver,
    /// The one that was stopped gets on by one call, and is killed.
    GoOn,
}

impl Scenario {
    pub(super) const fn without(mut self, without: Without) -> Self {
        self.setting.without = Some(without);
        self
    }

    fn application(&self, state: &State, actions: &mut Vec<Action>) {
        if state.left.writes == 0 {
            return;
        }
        for side in Side::ALL {
            for id in state.world.changeable(side) {
                actions.extend((0..self.fields).map(|field| Action::Edit(side, id, field)));
                if state.left.deletes > 0 {
                    actions.push(Action::Delete(side, id));
                }
            }
            let blocked = side == Side::Renaissance && state.world.unseen.is_some();
            if state.left.inserts > 0 && !blocked {
                actions.push(Action::Insert(side));
            }
        }
    }

    fn steps(&self, state: &State, waiting: Call, actions: &mut Vec<Action>) {
        let waits = self.setting.without != Some(Without::ClosingIntents);
        let late = state.world.late.as_ref().map(|(number, _)| *number).filter(|_| waits);
        // closing an intent waits for its transaction
        if !matches!(waiting, Call::Asks(number) if Some(number) == late) {
            actions.push(Action::Step(Fault::None));
        }
        if state.left.faults == 0 {
            return;
        }
        match waiting {
            Call::Reads => {}
            Call::Commits | Call::Asks(_) => {
                actions.extend([Fault::Lost, Fault::Unanswered].map(Action::Step));
            }
            Call::Writes => actions.extend([Fault::Lost, Fault::Unanswered, Fault::Late].map(Action::Step)),
        }
    }
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let world = if self.agreed { World::agreed(Shape::base([1, 2])) } else { World::default() };
        vec![State { process: Process::start(&world), former: None, world, left: self.budget }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.process.halted {
            return;
        }
        self.application(state, actions);
        if state.world.unseen.is_some() {
            actions.push(Action::Appear);
        }
        if state.world.late.is_some() {
            actions.extend([true, false].map(Action::Arrive));
        }
        actions.extend(Side::ALL.map(Action::Receive));
        match &state.process.run {
            Some(run) => self.steps(state, run.waiting, actions),
            None => actions.push(Action::Begin),
        }
        actions.push(Action::Save);
        if state.left.crashes > 0 {
            actions.push(Action::Crash);
        }
        // reading changes nothing, whoever reads
        let writes = state.process.run.as_ref().is_some_and(|run| matches!(run.waiting, Call::Commits | Call::Writes));
        if state.left.takeovers > 0 && writes {
            actions.push(Action::TakeOver);
        }
        if state.former.is_some() {
            actions.push(Action::GoOn);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let State { world, process, former, left } = &mut state;
        match action {
            Action::Edit(side, id, field) => {
                left.writes -= 1;
                world.edit(side, id, field);
            }
            Action::Delete(side, id) => {
                (left.writes, left.deletes) = (left.writes - 1, left.deletes - 1);
                world.delete(side, id);
            }
            Action::Insert(side) => {
                (left.writes, left.inserts) = (left.writes - 1, left.inserts - 1);
                world.insert(side);
            }
            Action::Appear => world.unseen = None,
            Action::Receive(side) => return process.receive(world, side, &self.setting).then_some(state),
            Action::Begin => {
                let begun = process.begin(world, &self.setting);
                // what is not visible yet is asked for again and again; once is enough here
                let again = process.run.as_ref().is_some_and(|run| run.taken.iter().any(|one| one.attempts > 0));
                return (begun && !(again && world.unseen.is_some())).then_some(state);
            }
            Action::Step(fault) => {
                left.faults -= u8::from(fault != Fault::None);
                process.step(world, fault, &self.setting);
            }
            Action::Arrive(lands) => {
                let (number, changes) = world.late.take()?;
                if lands {
                    world.land(number, &changes);
                }
            }
            Action::Save => {
                let durable = process.durable(world.saved, &self.setting);
                if durable == world.saved {
                    return None;
                }
                world.saved = durable;
            }
            Action::Crash => {
                left.crashes -= 1;
                *process = Process::start(world);
            }
            Action::TakeOver => {
                left.takeovers -= 1;
                world.epoch += 1;
                *former = Some(std::mem::replace(process, Process::start(world)));
            }
            Action::GoOn => {
                former.take()?.step(world, Fault::None, &self.setting);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(CONVERGENCE, |_, state: &State| {
                let quiet = state.process.is_idle(&state.world) && state.world.unseen.is_none();
                !quiet || state.world.late.is_some() || state.world.agrees()
            }),
            Property::always(NOTHING_LOST, |_, state: &State| {
                state.world.seen.vanished & !state.world.restorable() == 0
            }),
            Property::always(NO_FALSE_WINNER, |_, state: &State| state.world.seen.wrong.is_none()),
            Property::always(SILENCE, |_, state: &State| {
                state.world.seen.bridge_writes <= state.world.seen.application_writes
            }),
            Property::always(CHECKPOINT, |_, state: &State| {
                let undone = Side::ALL.into_iter().any(|side| {
                    let later = state.world.logs[at(side)].iter().skip(state.world.saved[at(side)]);
                    later.into_iter().any(|entry| !entry.by_bridge)
                });
                undone || state.world.agrees()
            }),
            Property::always(PROGRESS, |scenario: &Self, state: &State| {
                let most = u32::from(scenario.budget.writes + scenario.budget.faults) + 1;
                !state.process.is_stuck() && !state.process.halted && state.process.attempts <= most
            }),
            Property::sometimes("all is written, settled and saved", |_, state: &State| {
                let saved = (0..2).all(|side| state.world.saved[side] == state.world.logs[side].len());
                saved && state.left.writes == 0 && state.process.is_idle(&state.world) && state.world.agrees()
            }),
        ]
    }
}

pub(super) const CONVERGENCE: &str = "both sides agree when all is quiet";
pub(super) const NOTHING_LOST: &str = "what the bridge overwrites unseen can be restored";
pub(super) const NO_FALSE_WINNER: &str = "nobody wins who should not";
pub(super) const SILENCE: &str = "one write crosses once";
pub(super) const CHECKPOINT: &str = "the checkpoint passes nothing undone";
pub(super) const PROGRESS: &str = "no key is stuck or tried for ever";

/// All of them.
pub(super) const PROMISES: [&str; 6] = [CONVERGENCE, NOTHING_LOST, NO_FALSE_WINNER, SILENCE, CHECKPOINT, PROGRESS];
