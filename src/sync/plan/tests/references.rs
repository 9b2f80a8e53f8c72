//! References: who a record belongs to, and what waits for what.

use super::*;
use crate::model::{
    key::{EntityIndex, SideId},
    links::Target,
};

const BOOK: &str = r#"
entity = "book"
owner = "author"
[legacy]
collection = "books"
[renaissance]
table = "books"
legacy_id = "old_book_id"
[[field]]
name = "author"
as = "reference"
to = "person"
legacy = "author_id"
renaissance = "author_id"
[[field]]
name = "editor"
as = "reference"
to = "person"
legacy = "editor_id"
renaissance = "editor_id"
[[field]]
name = "readers"
as = "references"
to = "person"
policy = "union"
missing = []
legacy = "readers"
renaissance = { table = "readers", parent = "book_id", column = "person_id" }
"#;

const PERSON: &str = r#"
entity = "person"
[legacy]
collection = "people"
[renaissance]
table = "people"
legacy_id = "old_person_id"
[[field]]
name = "name"
legacy = "name"
renaissance = "name"
"#;

const PEOPLE: EntityIndex = EntityIndex(1);

fn book() -> Entity {
    connected(["book.toml", "person.toml"], [BOOK, PERSON])[0].clone()
}

fn person(n: u8) -> LegacyId {
    LegacyId::new([n; 12])
}

/// Persons 1 to 4 are linked; the second one belongs to Renaissance.
fn links() -> Links {
    let mut links = Links::default();
    for n in 1..=4_u8 {
        let owner = if n == 2 { Side::Renaissance } else { Side::Legacy };
        let target =
            Target { legacy: person(n), renaissance: i64::from(n), person: person(n), owner, epoch: 0, former: None };
        links.add(PEOPLE, target);
    }
    links
}

fn named(ids: &[u8]) -> Value {
    Value::List(ids.iter().map(|n| Value::Id([*n; 12])).collect())
}

fn lifted(entity: &Entity, side: Side, content: &[(&str, Value)]) -> Image {
    let mut image = blank(entity, side, id());
    if side == Side::Renaissance {
        image.slots.iter_mut().for_each(|slot| *slot = Some(Value::Null));
    }
    for (field, value) in content {
        image.slots[entity.fields[entity.field(field).unwrap()].slots(side)[0]] = Some(value.clone());
    }
    links().lift(entity, side, &mut image);
    image
}

#[test]
fn a_record_belongs_to_whom_its_owner_field_names() {
    let entity = book();
    let document = lifted(&entity, Side::Legacy, &[("author", Value::Id([1; 12]))]);
    let planned = plan_with(&entity, &record(Some(document.clone()), None, None), &links()).unwrap();
    assert_eq!(planned.plan.person, Some(person(1)));

    let mut linked = as_created_with(&entity, &document);
    assert!(plan_with(&entity, &linked, &links()).is_none());
    linked.person = None;
    let planned = plan_with(&entity, &linked, &links()).unwrap();
    assert!(planned.plan.base.is_some(), "the link is written again");
    assert_eq!(planned.plan.person, Some(person(1)));

    linked.person = Some(person(1));
    set(&entity, &mut linked.legacy, Side::Legacy, "author", &Value::Id([2; 12]));
    assert_eq!(plan_with(&entity, &linked, &links()).unwrap().plan.person, Some(person(2)), "it changed hands");
}

fn as_created_with(entity: &Entity, document: &Image) -> Record {
    let planned = plan_with(entity, &record(Some(document.clone()), None, None), &links()).unwrap();
    let mut rows = lifted(entity, Side::Renaissance, &[]);
    let Some(RenaissanceChange::Insert(patch)) = planned.plan.rows else { panic!("an insert was expected") };
    apply(&mut rows, &patch);
    let mut linked = record(Some(document.clone()), Some(rows), planned.plan.base);
    linked.person = planned.plan.person;
    linked
}

#[test]
fn a_record_waits_for_its_owner_and_a_field_for_whom_it_may_lack() {
    let entity = book();
    let orphan = lifted(&entity, Side::Legacy, &[("author", Value::Id([9; 12]))]);
    let planned = plan_with(&entity, &record(Some(orphan), None, None), &links()).unwrap();
    assert_eq!(planned.effect().writes, [false, false]);
    let [parked] = planned.plan.parked.as_slice() else { panic!("one entry was expected") };
    assert_eq!((parked.field.as_ref(), parked.problem.reason), (None, Reason::MissingReference));
    assert_eq!(parked.waits, [(PEOPLE, SideId::Legacy(person(9)))]);

    let document = lifted(&entity, Side::Legacy, &[("author", Value::Id([1; 12])), ("editor", Value::Id([9; 12]))]);
    let planned = plan_with(&entity, &record(Some(document), None, None), &links()).unwrap();
    assert!(planned.creates(Side::Renaissance));
    assert_eq!(planned.plan.parked[0].field.as_deref(), Some("editor"));
    assert_eq!(planned.plan.parked[0].waits, [(PEOPLE, SideId::Legacy(person(9)))]);
}

#[test]
fn records_that_wait_for_each_other_say_so() {
    let entity = book();
    let orphan = lifted(&entity, Side::Legacy, &[("author", Value::Id([9; 12]))]);
    let mut waiting = record(Some(orphan), None, None);
    waiting.circle = Some("book → person → book".to_owned());
    let planned = plan_with(&entity, &waiting, &links()).unwrap();
    let problem = &planned.plan.parked[0].problem;
    assert_eq!(problem.reason, Reason::MissingReference);
    assert!(problem.detail.contains("wait for each other: book → person → book"), "{}", problem.detail);
}

#[test]
fn a_row_that_waits_is_parked_under_its_own_id_and_not_the_one_allocated_for_it() {
    let entity = book();
    let row = lifted(&entity, Side::Renaissance, &[("author", Value::Int(77)), ("readers", Value::List(vec![]))]);
    let planned = plan_with(&entity, &record(None, Some(row), None), &links()).unwrap();
    assert!(planned.document.is_none() && planned.plan.intent.is_none());
    assert_eq!((planned.plan.legacy, planned.plan.renaissance), (None, Some(7)));
    assert_eq!(planned.plan.parked[0].waits, [(PEOPLE, SideId::Renaissance(77))]);
}

#[test]
fn a_set_crosses_without_its_dead_members_and_waits_for_them() {
    let entity = book();
    let content = [("author", Value::Id([1; 12])), ("readers", named(&[2, 3, 9]))];
    let document = lifted(&entity, Side::Legacy, &content);
    let record = record(Some(document), None, None);
    let planned = plan_with(&entity, &record, &links()).unwrap();
    let parked = &planned.plan.parked[0];
    assert_eq!(parked.field.as_deref(), Some("readers"));
    assert!(parked.problem.detail.contains("1 of 3 in legacy"), "{}", parked.problem.detail);
    assert_eq!(parked.waits, [(PEOPLE, SideId::Legacy(person(9)))]);
    let Some(RenaissanceChange::Insert(mut patch)) = planned.plan.rows else { panic!("an insert was expected") };
    links().lower(&entity, Side::Renaissance, &mut patch).unwrap();
    let slot = entity.fields[entity.field("readers").unwrap()].slots(Side::Renaissance)[0];
    let written = patch.iter().find(|(at, _)| *at == slot).unwrap();
    assert_eq!(written.1, Some(Value::List(vec![Value::Int(2), Value::Int(3)])));

    let given = Given { links: &links(), sets_later: true, now: 0, new_uuid: uuid };
    assert!(super::super::plan(&entity, &record, &given).unwrap().plan.parked.is_empty(), "a second pass will come");
}

#[test]
fn a_set_is_written_back_with_its_dead_members_where_they_were() {
    let entity = book();
    let content = [("author", Value::Id([1; 12])), ("readers", named(&[9, 2]))];
    let document = lifted(&entity, Side::Legacy, &content);
    let mut linked = as_created_with(&entity, &document);
    set(&entity, &mut linked.renaissance, Side::Renaissance, "readers", &named(&[2, 4]));
    let planned = plan_with(&entity, &linked, &links()).unwrap();
    let Some(LegacyChange::Update(_, mut patch)) = planned.document else { panic!("an update was expected") };
    links().lower(&entity, Side::Legacy, &mut patch).unwrap();
    assert_eq!(patch[0].1, Some(named(&[9, 2, 4])));
}
