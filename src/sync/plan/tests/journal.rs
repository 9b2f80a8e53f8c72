//! Kinds of journal entries, and orders about them.

use std::sync::Arc;

use super::*;
use crate::{
    model::{digest::Digest, policy::Policy},
    sync::ports::{ConflictRow, Resolution},
};

fn kinds(planned: Option<&Planned>) -> Vec<(ConflictKind, Option<String>, Option<Side>)> {
    let row = |row: &ConflictRow| (row.kind, row.field.clone(), row.winner);
    planned.into_iter().flat_map(|planned| planned.plan.conflicts.iter().map(row)).collect()
}

#[test]
fn two_records_that_meet_are_told_from_those_that_were_linked_before() {
    let entity = user();
    let mut met = agreed(&entity);
    (met.base, met.linked) = (None, false);
    set(&entity, &mut met.renaissance, Side::Renaissance, "name", &text("R"));
    let adopted = (ConflictKind::Adopted, Some("name".into()), Some(Side::Legacy));
    assert_eq!(kinds(plan(&entity, &met).as_ref()), [adopted]);
    met.unnamed = true;
    let exists = (ConflictKind::InsertExists, Some("name".into()), Some(Side::Legacy));
    assert_eq!(kinds(plan(&entity, &met).as_ref()), [exists]);
}

#[test]
fn what_the_former_owner_writes_is_journalled_whether_it_wins_or_not() {
    let entity = user();
    for (owner, former) in [(Side::Renaissance, Side::Legacy), (Side::Legacy, Side::Renaissance)] {
        let mut moved = agreed(&entity);
        (moved.owner, moved.epoch, moved.former) = (owner, 1, Some(former));
        let stale = |winner| (ConflictKind::StaleOwnerWrite, Some("name".to_owned()), Some(winner));
        let mut edited = agreed(&entity);
        (edited.owner, edited.epoch, edited.former) = (owner, 1, Some(former));
        let own = if owner == Side::Legacy { &mut edited.legacy } else { &mut edited.renaissance };
        set(&entity, own, owner, "name", &text("new home"));
        assert_eq!(kinds(plan(&entity, &edited).as_ref()), [], "an edit where they are now is none");

        let left = if former == Side::Legacy { &mut moved.legacy } else { &mut moved.renaissance };
        set(&entity, left, former, "name", &text("old home"));
        let merged = plan(&entity, &moved);
        assert_eq!(kinds(merged.as_ref()), [stale(former)], "merged");
        let own = if owner == Side::Legacy { &mut moved.legacy } else { &mut moved.renaissance };
        set(&entity, own, owner, "name", &text("new home"));
        assert_eq!(kinds(plan(&entity, &moved).as_ref()), [stale(owner)], "lost");
        moved.former = None;
        let nobody_left = (ConflictKind::UpdateUpdate, Some("name".to_owned()), Some(owner));
        assert_eq!(kinds(plan(&entity, &moved).as_ref()), [nobody_left]);
    }
    let mut deleted = agreed(&entity);
    (deleted.owner, deleted.epoch, deleted.former) = (Side::Renaissance, 1, Some(Side::Legacy));
    deleted.legacy = None;
    let deletion = (ConflictKind::StaleOwnerWrite, None, Some(Side::Legacy));
    assert_eq!(kinds(plan(&entity, &deleted).as_ref()), [deletion]);
}

#[test]
fn what_waits_for_a_unique_value_is_journalled_as_open() {
    let entity = user();
    let taken = || Problem::new(Reason::UniqueTaken, "somebody has it");
    let mut waits = agreed(&entity);
    waits.blocked = Some(taken());
    assert_eq!(kinds(plan(&entity, &waits).as_ref()), [(ConflictKind::UniqueTaken, None, None)]);
    waits.blocked = None;
    waits.refused = vec![(entity.field("name").unwrap(), taken())];
    let planned = plan(&entity, &waits);
    assert_eq!(kinds(planned.as_ref()), [(ConflictKind::UniqueTaken, Some("name".into()), None)]);
    assert_eq!(planned.unwrap().plan.conflicts[0].legacy_value, serde_json::json!("Ada L"));
}

fn ordered(record: &mut Record, field: usize, values: &[Value], expected: [&str; 2]) {
    let resolution = Resolution { entries: vec![7], taken: "value".into(), by: "ada".into(), request: 1 };
    let expected = expected.map(|content| Digest::of(&text(content)));
    let order = Order { fields: vec![OrderedField { field, values: values.to_vec(), expected }], resolution };
    record.order = Some(Ordered::new(Arc::new(order)));
}

fn refused(record: &Record) -> &str {
    record.order.as_ref().and_then(|ordered| ordered.outcome.as_ref()?.as_ref().err()).map_or("", String::as_str)
}

#[test]
fn an_order_is_carried_out_on_both_sides_and_can_be_done_twice() {
    let entity = user();
    let name = entity.field("name").unwrap();
    let mut record = agreed(&entity);
    ordered(&mut record, name, &[text("Third")], ["Ada L", "Ada L"]);
    examine(&entity, &mut record);
    let planned = plan(&entity, &record).unwrap();
    assert_eq!(planned.effect().writes, [true, true]);
    assert_eq!(planned.plan.resolution.as_ref().map(|resolution| resolution.entries.clone()), Some(vec![7]));
    assert!(planned.plan.conflicts.is_empty());

    // the rows are written and the document is not: without the order it follows, with it the same is written
    let Some(RenaissanceChange::Update(_, patch)) = &planned.plan.rows else { panic!("an update was expected") };
    apply(record.renaissance.as_mut().unwrap(), patch);
    record.base = planned.plan.base.clone().or(record.base);
    for with_order in [true, false] {
        record.order = record.order.filter(|_| with_order).map(|ordered| Ordered::new(ordered.order));
        examine(&entity, &mut record);
        let again = plan(&entity, &record).unwrap();
        assert_eq!((again.effect().writes, refused(&record)), ([true, false], ""));
        assert!(again.plan.conflicts.is_empty());
    }
    set(&entity, &mut record.legacy, Side::Legacy, "name", &text("Third"));
    ordered(&mut record, name, &[text("Third")], ["Ada L", "Ada L"]);
    examine(&entity, &mut record);
    let done = plan(&entity, &record).unwrap();
    assert_eq!(done.effect().writes, [false, false]);
    assert!(done.plan.resolution.is_some(), "it is noted all the same");
}

#[test]
fn an_order_that_does_not_hold_any_more_is_refused_and_the_record_goes_on() {
    let entity = user();
    let name = entity.field("name").unwrap();
    let mut changed = agreed(&entity);
    set(&entity, &mut changed.legacy, Side::Legacy, "name", &text("Ada Since"));
    ordered(&mut changed, name, &[text("Third")], ["Ada L", "Ada L"]);
    examine(&entity, &mut changed);
    assert_eq!(refused(&changed), "name has changed since: legacy now holds text A•••• S••••");
    let planned = plan(&entity, &changed).unwrap();
    assert_eq!(planned.effect().writes, [false, true], "the edit crosses");
    assert!(planned.plan.resolution.is_none());

    let mut record = agreed(&entity);
    ordered(&mut record, name, &[Value::Int(7)], ["Ada L", "Ada L"]);
    examine(&entity, &mut record);
    assert!(refused(&record).contains("text is expected"), "{}", refused(&record));
    record.legacy = None;
    ordered(&mut record, name, &[text("Third")], ["Ada L", "Ada L"]);
    examine(&entity, &mut record);
    assert_eq!(refused(&record), "the record is gone from legacy");
}

#[test]
fn an_order_about_what_was_made_of_both_values_says_so() {
    let mut entity = user();
    let name = entity.field("name").unwrap();
    entity.fields[name].policy = Policy::Sum;
    let mut record = agreed(&entity);
    set(&entity, &mut record.legacy, Side::Legacy, "name", &text("Both"));
    set(&entity, &mut record.renaissance, Side::Renaissance, "name", &text("Both"));
    ordered(&mut record, name, &[text("Third")], ["Ada L", "Ada L"]);
    examine(&entity, &mut record);
    assert!(refused(&record).contains("what its policy sum made of both values"), "{}", refused(&record));
}
