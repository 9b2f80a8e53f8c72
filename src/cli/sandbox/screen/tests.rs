use super::*;
use crate::{
    metrics::EntityLabels,
    model::{
        fact::{Feed, Lag},
        side::Side,
    },
    sync::status::Status,
};

const EXAMPLE: &str = "65f0c0ffee00000000000abc";

fn report() -> StatusReport {
    let status = Status::new(vec![EntityLabels { name: "user".into(), fields: Vec::new() }]);
    status.state(DaemonState::Streaming);
    Side::ALL.into_iter().for_each(|side| status.feed(side, Feed::Streaming));
    status.lag(Direction::LegacyToRenaissance, Lag::CaughtUp);
    let crossing = |direction: Direction, id: &str| Crossing {
        at: "2026-11-22T12:00:01.5Z".into(),
        direction: direction.to_string(),
        entity: "user".into(),
        legacy_id: id.into(),
        fields: vec!["name".into(), "updated".into()],
        label: Some("M•••• S••••".into()),
    };
    status.applied(Direction::LegacyToRenaissance, [None], [crossing(Direction::LegacyToRenaissance, "")]);
    status.applied(Direction::RenaissanceToLegacy, [None], [crossing(Direction::RenaissanceToLegacy, EXAMPLE)]);
    status.echoes(Side::Legacy, 1);
    status.snapshot()
}

fn view(report: &StatusReport) -> View<'_> {
    View {
        report,
        tally: Tally { legacy: 31, renaissance: 27, failed: 0 },
        people: People { legacy: Some(2003), renaissance: None },
        example: EXAMPLE,
        elapsed: Duration::from_secs(75),
    }
}

fn text(lines: &[Line], width: usize) -> String {
    lines.iter().map(|line| line.painted(Paint::plain(), width) + "\n").collect()
}

#[test]
fn the_block_tells_lag_counts_and_the_last_changes() {
    let report = report();
    let block = text(&block(&view(&report)), 100);
    for expected in [
        "streaming  1:15\n",
        "  people                         2,003             ?\n",
        "  written by the app                31            27\n",
        "  BioGraph → Renaissance  caught up\n",
        "  Renaissance → BioGraph  not known yet\n",
        "  12:00:01  BioGraph ← Renaissance  M•••• S••••      name, updated  ← your change\n",
        "  12:00:01  BioGraph → Renaissance  M•••• S••••      name, updated\n",
    ] {
        assert!(block.contains(expected), "{expected:?} is missing from\n{block}");
    }
    assert!(block.lines().count() <= 22, "fits on the smallest usual terminal:\n{block}");
}

#[test]
fn the_block_keeps_its_height_and_obeys_the_width() {
    let (full, empty) = (report(), StatusReport::default());
    assert_eq!(block(&view(&full)).len(), block(&view(&empty)).len());
    assert!(text(&block(&view(&full)), 20).lines().all(|line| line.chars().count() <= 20));
}

#[test]
fn elsewhere_it_is_one_line_or_one_object() {
    let report = report();
    let line = line(&view(&report));
    assert!(line.starts_with("1:15 streaming  people 2,003 | ?  lag → 0 ms ← ?  crossed → 1 ← 1  "), "{line}");
    assert!(!line.contains('\n') && !line.contains('\x1b'));
    let object = object(&view(&report));
    assert_eq!(object["people"]["legacy"], 2003);
    assert_eq!(object["bridge"]["directions"]["legacy_to_renaissance"]["applied"], 1);
}

#[test]
fn the_first_copy_is_shown_while_it_runs() {
    let mut report = report();
    report.state = "backfilling".into();
    report.sweeps = vec![crate::sync::status::SweepReport {
        side: "legacy".into(),
        records: 1200,
        ..crate::sync::status::SweepReport::default()
    }];
    assert!(line(&view(&report)).contains("first copy: 1,200 of 2,003"));
}
