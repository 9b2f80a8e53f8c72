//! Every order in which things may happen to one or two records: the real reconciler, planner, merge and tracker between two
//! databases small enough that a model checker tries all of it, with applications writing in between, calls that fail and
//! the bridge being killed at any point. The promises of the design are what must hold in every state.
//!
//! The databases keep what the real ones promise: transactions, compare-and-set, the ledger, snapshots that do not see yet
//! what is in the log. That they do is for the tests on real servers.

mod legacy;
mod model;
mod process;
mod renaissance;
mod shape;
mod state;
mod stores;
mod world;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use self::{
    model::{Budget, PROMISES, Scenario},
    process::Setting,
    shape::Shape,
};
use crate::model::side::Side;

/// Takes one mechanism out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Without {
    /// Rows are written whatever happened to them since they were read.
    ComparingRows,
    /// Documents are.
    ComparingDocuments,
    /// A transaction counts as visible as soon as it is in the log.
    Freshness,
    /// What is not settled yet is saved as done.
    DurableOrder,
    /// The base says that a document was written before it was.
    BasesLast,
    /// After a crash every open intent counts as not landed.
    Ledger,
    /// Settling an intent does not end its transaction.
    ClosingIntents,
    /// A hint that arrives while its key is being reconciled is taken as done with it.
    HintsInFlight,
    /// Conflicts are not journalled.
    Journal,
    /// Deleted documents leave no tombstone.
    Tombstones,
    /// Nobody looks at the epoch before writing.
    Fence,
}

const NOTHING: Budget = Budget { writes: 0, deletes: 0, inserts: 0, crashes: 0, takeovers: 0, faults: 0 };

/// How many more crashes there may be everywhere than in the default run.
fn more() -> u8 {
    std::env::var("BRIDGE_EXPLORE").ok().and_then(|more| more.parse().ok()).unwrap_or(0)
}

fn scenario(owner: Side, budget: Budget) -> Scenario {
    let setting = Setting { shape: Shape::new(), owner, without: None, echoes: false };
    let budget = Budget { crashes: budget.crashes + more(), ..budget };
    Scenario { setting, agreed: true, budget, fields: 2 }
}

/// Nothing is there yet.
fn empty(owner: Side, budget: Budget) -> Scenario {
    Scenario { agreed: false, ..scenario(owner, budget) }
}

/// Explores all of it; says how large it was.
fn explore(name: &str, scenario: Scenario) {
    let started = Instant::now();
    let checker = scenario.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{name}: {} states, {:.1?}", checker.unique_state_count(), started.elapsed());
    checker.assert_properties();
}

#[test]
fn edits_on_both_sides_meet_whatever_fails_in_between() {
    let budget = Budget { writes: 2, crashes: 1, faults: 1, ..NOTHING };
    explore("edits, a crash and a fault", scenario(Side::Renaissance, budget));
}

#[test]
fn three_edits_meet_in_every_order() {
    let budget = Budget { writes: 3, ..NOTHING };
    explore("edits of one field", Scenario { fields: 1, ..scenario(Side::Legacy, budget) });
}

#[test]
fn deletes_and_edits_meet_whatever_fails_in_between() {
    let budget = Budget { writes: 2, deletes: 2, crashes: 1, ..NOTHING };
    explore("deletes, edits and a crash", scenario(Side::Legacy, budget));
    let budget = Budget { writes: 2, deletes: 1, faults: 1, ..NOTHING };
    explore("deletes, edits and a fault", Scenario { fields: 1, ..scenario(Side::Renaissance, budget) });
}

#[test]
fn new_records_are_made_once_whatever_fails_in_between() {
    let budget = Budget { writes: 2, inserts: 1, deletes: 1, crashes: 1, faults: 1, ..NOTHING };
    explore("an insert and what follows", Scenario { fields: 1, ..empty(Side::Legacy, budget) });
    let budget = Budget { writes: 2, inserts: 2, crashes: 1, ..NOTHING };
    explore("two inserts", empty(Side::Legacy, budget));
}

#[test]
fn the_bridges_own_changes_come_to_nothing_when_they_come_back() {
    let budget = Budget { writes: 2, crashes: 1, ..NOTHING };
    let mut scenario = scenario(Side::Legacy, budget);
    scenario.setting.echoes = true;
    explore("echoes", scenario);
}

#[test]
fn a_bridge_that_goes_on_after_another_took_over_changes_nothing() {
    let budget = Budget { writes: 2, takeovers: 1, ..NOTHING };
    explore("a takeover", Scenario { fields: 1, ..scenario(Side::Renaissance, budget) });
}

/// What goes wrong first without a mechanism.
fn first_failure(without: Without, scenario: Scenario) -> Option<(&'static str, usize)> {
    let checker = scenario.without(without).checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
    let found = checker.spawn_bfs().join().discoveries();
    let mut failures = found.into_iter().filter(|(name, _)| PROMISES.contains(name));
    failures.next().map(|(name, path)| (name, path.into_actions().len()))
}

#[test]
fn without_any_one_mechanism_a_promise_is_broken() {
    let edits = Budget { writes: 2, crashes: 1, ..NOTHING };
    let faults = Budget { writes: 2, faults: 1, ..NOTHING };
    let takeover = Budget { writes: 2, takeovers: 1, ..NOTHING };
    let deletes = Budget { writes: 2, deletes: 1, ..NOTHING };
    for (without, budget) in [
        (Without::ComparingRows, edits),
        (Without::ComparingDocuments, edits),
        (Without::Freshness, edits),
        (Without::DurableOrder, edits),
        (Without::BasesLast, edits),
        (Without::Ledger, faults),
        (Without::ClosingIntents, faults),
        (Without::HintsInFlight, edits),
        (Without::Journal, edits),
        (Without::Tombstones, deletes),
        (Without::Fence, takeover),
    ] {
        let failure = first_failure(without, Scenario { fields: 1, ..scenario(Side::Renaissance, budget) });
        println!("without {without:?}: {failure:?}");
        assert!(failure.is_some(), "without {without:?} every promise still holds");
    }
}
