//! The bridge dies at every step of a change's path, in both directions, and applications go on before it is back: both sides
//! end equal, what was written once is not written twice, nothing becomes a conflict, and numbers are added up once.

use biograph_bridge::model::side::Side;

use crate::{tally::Tallies, writes::Written};

/// Where the bridge dies, and where again when it is started next; and whether only writes to legacy come by there.
struct Death {
    points: &'static [&'static str],
    only_to_legacy: bool,
}

const fn both_ways(points: &'static [&'static str]) -> Death {
    Death { points, only_to_legacy: false }
}

const fn to_legacy(points: &'static [&'static str]) -> Death {
    Death { points, only_to_legacy: true }
}

/// In the order of the path.
const DEATHS: [Death; 17] = [
    both_ways(&["hint received"]),
    both_ways(&["echo received"]),
    both_ways(&["before reading"]),
    both_ways(&["after reading"]),
    both_ways(&["after deciding"]),
    both_ways(&["before the commit"]),
    both_ways(&["after the commit"]),
    to_legacy(&["before committing the documents"]),
    to_legacy(&["after the documents"]),
    to_legacy(&["before settling"]),
    to_legacy(&["after settling"]),
    to_legacy(&["before committing the documents", "before settling"]),
    to_legacy(&["after the documents", "before settling", "before settling"]),
    both_ways(&["before saving a position"]),
    both_ways(&["before saving a position:2"]),
    both_ways(&["after saving a position:2"]),
    both_ways(&["after confirming a position:2"]),
];

/// What is done to a record before the bridge dies, on one side; and whether the applications go on with it while it is dead.
const CHANGES: [(&str, bool); 6] =
    [("insert", false), ("insert", true), ("update", false), ("update", true), ("delete", false), ("delete", true)];

/// One death of the bridge and what the applications did around it.
struct Run<'a> {
    number: usize,
    death: &'a Death,
    source: Side,
}

impl Run<'_> {
    fn name(&self, (what, goes_on): (&str, bool)) -> String {
        format!("{} {what}{}", self.number, if goes_on { " and more" } else { "" })
    }

    /// What an application does before.
    async fn change(&self, tallies: &mut Tallies) {
        for change in CHANGES {
            let name = self.name(change);
            match change.0 {
                "insert" => tallies.insert(self.source, &name).await,
                "update" => tallies.edit(self.source, &name, 5, "text").await,
                _ => tallies.delete(self.source, &name).await,
            }
        }
    }

    /// What both applications do while the bridge is dead. How many deleted records the other side has given a new value.
    async fn go_on(&self, tallies: &mut Tallies) -> usize {
        let (target, mut clashes) = (self.source.other(), 0);
        for change in CHANGES.into_iter().filter(|(_, goes_on)| *goes_on) {
            let name = self.name(change);
            if change.0 != "delete" {
                tallies.edit(self.source, &name, 1, "").await;
                tallies.edit(target, &name, 100, "note").await;
            } else if tallies.edit_deleted(target, &name).await {
                clashes += 1;
                // the owner is legacy: what it deleted stays deleted, what it still uses comes back
                if target == Side::Renaissance {
                    tallies.expected.remove(&name);
                }
            }
        }
        clashes
    }
}

fn runs() -> Vec<Run<'static>> {
    let both = DEATHS.iter().flat_map(|death| Side::ALL.map(|source| (death, source)));
    let meant = both.filter(|(death, source)| !death.only_to_legacy || *source == Side::Renaissance);
    meant.enumerate().map(|(number, (death, source))| Run { number, death, source }).collect()
}

/// What was written to the records that were left alone: by the application, and once by the bridge.
fn assert_silence(runs: &[Run<'_>], tallies: &Tallies, written: &Written) {
    for run in runs {
        for change in CHANGES.into_iter().filter(|(_, goes_on)| !goes_on) {
            let (name, what) = (run.name(change), change.0);
            let mut rows = vec![what];
            if what == "insert" && run.source == Side::Renaissance {
                // it is told the id of its document
                rows.push("update");
            }
            let (document, row) = &tallies.ids[&name];
            let said = format!("{:?} from {}: {name}", run.death.points, run.source);
            assert_eq!(written.of_document(*document), [what], "{said}");
            assert_eq!(written.of_row(*row), rows, "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_of_the_path_every_change_arrives_once() {
    let runs = runs();
    let present = runs.iter().flat_map(|run| CHANGES.map(|change| (change, run.name(change))));
    let present = present.filter(|((what, _), _)| *what != "insert").map(|(_, name)| name);
    let (mut tallies, writes) = Tallies::new(present).await;
    let mut clashes = 0;
    for run in &runs {
        run.change(&mut tallies).await;
        for point in run.death.points {
            tallies.die_at(point).await;
        }
        clashes += run.go_on(&mut tallies).await;
        let daemon = tallies.toys.bed.start().await;
        tallies.until_right(&format!("{:?} from {}", run.death.points, run.source)).await;
        tallies.toys.until_cell("SELECT count(*) FROM biograph_bridge.intent", "0").await;
        assert_eq!(daemon.stop().await, Some(0));
        let others = "count(*) FILTER (WHERE kind NOT IN ('delete_updated', 'update_deleted'))";
        let kinds = format!("SELECT concat_ws(' ', count(*), {others}) FROM biograph_bridge.conflict");
        let said = format!("{:?} from {}", run.death.points, run.source);
        assert_eq!(tallies.toys.cell(&kinds).await, format!("{clashes} 0"), "{said}");
    }
    tallies.learn_ids().await;
    let written = writes.so_far(&tallies.toys.bed).await;
    assert_silence(&runs, &tallies, &written);
}
