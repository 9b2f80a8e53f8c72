//! Sides that are closed by a pause, and records that loop.

use super::*;
use crate::model::{fact::PauseCause, pause::Closure};

const TOY: &str = r#"
entity = "toy"
[legacy]
collection = "toys"
[renaissance]
table = "toys"
legacy_id = "old_toy_id"
[[field]]
name = "name"
legacy = "name"
renaissance = "name"
[[field]]
name = "city"
group = "address"
legacy = "city"
renaissance = "city"
[[field]]
name = "zip"
group = "address"
legacy = "zip"
renaissance = "zip"
[[field]]
name = "count"
as = "int"
policy = "sum"
legacy = "count"
renaissance = "count"
[[field]]
name = "verified"
direction = "to_legacy"
legacy = "verified"
renaissance = "verified"
"#;

const PAUSE: Closure = Closure { pause: 7, cause: PauseCause::Asked };

fn toy() -> Entity {
    connected(["toy.toml"], [TOY])[0].clone()
}

fn close(record: &mut Record, side: Side) {
    record.closed[at(side)] = Some(PAUSE);
}

fn bear(entity: &Entity) -> Record {
    let content = [("name", "bear"), ("city", "Bonn"), ("zip", "1")];
    let mut content: Vec<(&str, Value)> = content.into_iter().map(|(path, word)| (path, text(word))).collect();
    content.push(("count", Value::Int(1)));
    as_created(entity, &document(entity, &content))
}

/// What is parked: field and reason, each under the pause.
fn parked(planned: &Planned) -> Vec<(Option<&str>, Reason)> {
    let rows = planned.plan.parked.iter();
    rows.map(|row| {
        assert_eq!(row.problem.pause.is_some(), row.problem.reason == Reason::Paused, "{row:?}");
        (row.field.as_deref(), row.problem.reason)
    })
    .collect()
}

#[test]
fn what_would_go_to_a_closed_side_is_parked_and_the_other_way_stays_open() {
    let entity = toy();
    let mut edited = bear(&entity);
    close(&mut edited, Side::Renaissance);
    assert!(plan(&entity, &edited).is_none(), "nothing waits of what is equal");
    set(&entity, &mut edited.legacy, Side::Legacy, "name", &text("cat"));
    set(&entity, &mut edited.renaissance, Side::Renaissance, "city", &text("Rome"));
    let planned = plan(&entity, &edited).unwrap();
    assert_eq!(parked(&planned), [(Some("name"), Reason::Paused)]);
    assert!(planned.plan.rows.is_none() && planned.document.is_some());
    let name = entity.field("name").unwrap();
    let before = edited.base.as_ref().unwrap().get(name);
    let (_, landed) = planned.plan.intent.as_ref().unwrap();
    assert_eq!(landed.get(name), before, "what waits is not agreed on");
    // and once it is open again, the name crosses as if nothing had been
    edited.closed = [None; 2];
    assert!(plan(&entity, &edited).unwrap().plan.rows.is_some());
}

#[test]
fn a_conflict_whose_winner_has_to_wait_is_not_journalled_before_it_is_carried_out() {
    let entity = toy();
    let mut edited = bear(&entity);
    set(&entity, &mut edited.legacy, Side::Legacy, "name", &text("L"));
    set(&entity, &mut edited.renaissance, Side::Renaissance, "name", &text("R"));
    close(&mut edited, Side::Renaissance);
    let planned = plan(&entity, &edited).unwrap();
    assert!(planned.plan.conflicts.is_empty() && planned.plan.rows.is_none() && planned.document.is_none());
    assert_eq!(parked(&planned), [(Some("name"), Reason::Paused)]);
    edited.owner = Side::Renaissance;
    let planned = plan(&entity, &edited).unwrap();
    assert_eq!((planned.plan.conflicts.len(), planned.document.is_some()), (1, true), "the winner's way is open");
}

#[test]
fn groups_and_sums_wait_as_one() {
    let entity = toy();
    let mut edited = bear(&entity);
    set(&entity, &mut edited.legacy, Side::Legacy, "city", &text("Rome"));
    set(&entity, &mut edited.legacy, Side::Legacy, "zip", &text("2"));
    set(&entity, &mut edited.legacy, Side::Legacy, "count", &Value::Int(3));
    set(&entity, &mut edited.renaissance, Side::Renaissance, "count", &Value::Int(2));
    close(&mut edited, Side::Renaissance);
    let planned = plan(&entity, &edited).unwrap();
    let waiting = [(Some("city"), Reason::Paused), (Some("zip"), Reason::Paused), (Some("count"), Reason::Paused)];
    assert_eq!(parked(&planned), waiting);
    assert!(planned.plan.rows.is_none() && planned.document.is_none(), "no half of a sum is written");
    edited.closed = [None; 2];
    let planned = plan(&entity, &edited).unwrap();
    let Some(LegacyChange::Update(_, patch)) = &planned.document else { panic!("an update was expected") };
    assert_eq!(patch.iter().map(|(_, content)| content.clone()).collect::<Vec<_>>(), [Some(Value::Int(4))]);
}

#[test]
fn nothing_is_made_or_deleted_on_a_closed_side() {
    let entity = toy();
    let both = bear(&entity);
    for side in Side::ALL {
        let mut gone = Record { ..record(both.legacy.clone(), both.renaissance.clone(), both.base.clone()) };
        match side {
            Side::Legacy => gone.renaissance = None,
            Side::Renaissance => gone.legacy = None,
        }
        close(&mut gone, side);
        let planned = plan(&entity, &gone).unwrap();
        assert_eq!(parked(&planned), [(None, Reason::Paused)], "{side}");
        assert!(planned.plan.rows.is_none() && planned.document.is_none() && !planned.plan.unlink);
        assert!(!deletes_document(&entity, &gone));
        (gone.base, gone.linked, gone.closed) = (None, false, [None; 2]);
        close(&mut gone, side.other());
        let planned = plan(&entity, &gone).unwrap();
        assert_eq!(parked(&planned), [(None, Reason::Paused)], "a new record waits as well");
        assert!(planned.plan.intent.is_none() && planned.plan.base.is_none());
    }
}

#[test]
fn a_new_record_crosses_to_the_open_side_and_what_would_come_back_with_it_waits() {
    let entity = toy();
    let content = [("name", text("bear")), ("city", text("Bonn")), ("zip", text("1")), ("verified", text("yes"))];
    let mut new = record(Some(document(&entity, &content)), None, None);
    close(&mut new, Side::Legacy);
    let planned = plan(&entity, &new).unwrap();
    assert!(matches!(planned.plan.rows, Some(RenaissanceChange::Insert(_))));
    assert_eq!(parked(&planned), [(Some("verified"), Reason::Paused)]);
    assert!(planned.document.is_none());
}

#[test]
fn a_looping_record_is_written_no_more_and_both_forms_are_named() {
    let entity = toy();
    let mut edited = bear(&entity);
    edited.looping = true;
    set(&entity, &mut edited.renaissance, Side::Renaissance, "verified", &text("yes"));
    let planned = plan(&entity, &edited).unwrap();
    assert_eq!(parked(&planned), [(Some("verified"), Reason::Looping)]);
    let detail = &planned.plan.parked[0].problem.detail;
    assert!(detail.contains("legacy verified (text), renaissance toys.verified (text)"), "{detail}");
    assert!(planned.plan.rows.is_none() && planned.document.is_none());
}
