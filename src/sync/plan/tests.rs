use super::*;
use crate::model::{conflict::ConflictKind, mapping, problem::Reason};

mod held;
mod journal;
mod plain;
mod references;
mod rules;

pub(in crate::sync) fn uuid() -> uuid::Uuid {
    uuid::Uuid::from_bytes([7; 16])
}

fn plan_with(entity: &Entity, record: &Record, links: &Links) -> Option<Planned> {
    super::plan(entity, record, &Given { links, sets_later: false, now: 1_000_000, new_uuid: uuid })
}

fn plan(entity: &Entity, record: &Record) -> Option<Planned> {
    plan_with(entity, record, &Links::default())
}

/// The entities of these mappings, which name each other.
fn connected<const N: usize>(files: [&str; N], texts: [&str; N]) -> Vec<Entity> {
    let said = |errors: &[mapping::MappingError]| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let parse = |(file, text)| mapping::parse(file, text).unwrap_or_else(|errors| panic!("{}", said(&errors)));
    let mut entities: Vec<Entity> = files.into_iter().zip(texts).map(parse).collect();
    let errors = mapping::connect(&mut entities);
    assert!(errors.is_empty(), "{}", said(&errors));
    entities
}

pub(in crate::sync) fn user() -> Entity {
    connected(["mappings/user.toml"], [include_str!("../../../mappings/user.toml")])[0].clone()
}

fn id() -> LegacyId {
    "65f0c0ffee00000000000001".parse().unwrap()
}

fn document(entity: &Entity, content: &[(&str, Value)]) -> Image {
    let mut image = blank(entity, Side::Legacy, id());
    for (path, value) in content {
        let place = entity.legacy.paths.iter().position(|known| known.0.join(".") == *path).unwrap();
        image.slots[place] = Some(value.clone());
    }
    image
}

pub(in crate::sync) fn text(content: &str) -> Value {
    Value::Text(content.into())
}

fn ada(entity: &Entity) -> Image {
    document(entity, &[("username", text("ada")), ("name", text("Ada L")), ("phone_number", text("8475550100"))])
}

fn record(legacy: Option<Image>, renaissance: Option<Image>, base: Option<Base>) -> Record {
    Record {
        legacy_id: id(),
        renaissance_id: renaissance.is_some().then_some(7),
        legacy,
        renaissance,
        linked: base.is_some(),
        unnamed: false,
        base,
        parked: false,
        person: None,
        awaits: vec![],
        owner: Side::Legacy,
        epoch: 0,
        former: None,
        order: None,
        refused: vec![],
        blocked: None,
        circle: None,
        whole: None,
        closed: [None; 2],
        looping: false,
    }
}

/// The record as it is once it was created in Renaissance.
pub(in crate::sync) fn agreed(entity: &Entity) -> Record {
    as_created(entity, &ada(entity))
}

fn as_created(entity: &Entity, document: &Image) -> Record {
    let planned = plan(entity, &record(Some(document.clone()), None, None)).unwrap();
    let mut rows = Image { slots: vec![None; entity.renaissance.columns.len()], version: Version(vec![1, 1]) };
    let Some(RenaissanceChange::Insert(patch)) = planned.plan.rows else { panic!("an insert was expected") };
    apply(&mut rows, &patch);
    record(Some(document.clone()), Some(rows), planned.plan.base)
}

pub(in crate::sync) fn set(entity: &Entity, image: &mut Option<Image>, side: Side, field: &str, value: &Value) {
    let image = image.as_mut().unwrap();
    let field = &entity.fields[entity.field(field).unwrap()];
    let patch = field.put(side, value, Some(image)).unwrap();
    apply(image, &patch);
}

#[test]
fn a_created_record_is_equal_on_both_sides_and_stays_silent() {
    let entity = user();
    assert!(plan(&entity, &agreed(&entity)).is_none());
}

#[test]
fn a_one_sided_edit_writes_only_that_field_on_the_other_side() {
    let entity = user();
    let mut edited = agreed(&entity);
    set(&entity, &mut edited.legacy, Side::Legacy, "name", &text("Ada Lovelace"));
    let planned = plan(&entity, &edited).unwrap();
    let Some(RenaissanceChange::Update(_, patch)) = &planned.plan.rows else { panic!("an update was expected") };
    assert_eq!(patch.len(), 1);
    assert!(planned.document.is_none() && planned.plan.conflicts.is_empty());
    assert_eq!(planned.fields, [(Side::Renaissance, entity.field("name").unwrap())]);
}

#[test]
fn edits_of_different_fields_cross_each_other() {
    let entity = user();
    let mut edited = agreed(&entity);
    set(&entity, &mut edited.legacy, Side::Legacy, "name", &text("Ada Lovelace"));
    set(&entity, &mut edited.renaissance, Side::Renaissance, "email", &text("ada@example.org"));
    let planned = plan(&entity, &edited).unwrap();
    assert_eq!(planned.effect().writes, [true, true]);
    assert!(planned.plan.conflicts.is_empty());
    let (_, landed) = planned.plan.intent.unwrap();
    assert_ne!(planned.plan.base.as_ref(), Some(&landed), "the email is agreed only once the document is written");
}

#[test]
fn edits_of_one_field_conflict_once_and_the_owner_wins() {
    let entity = user();
    let mut edited = agreed(&entity);
    set(&entity, &mut edited.legacy, Side::Legacy, "name", &text("L"));
    set(&entity, &mut edited.renaissance, Side::Renaissance, "name", &text("R"));
    let planned = plan(&entity, &edited).unwrap();
    assert_eq!(planned.plan.conflicts.len(), 1);
    let row = &planned.plan.conflicts[0];
    assert_eq!((row.kind, row.winner), (ConflictKind::UpdateUpdate, Some(Side::Legacy)));
    assert_eq!(row.renaissance_value, serde_json::json!("R"));
    edited.owner = Side::Renaissance;
    assert!(plan(&entity, &edited).unwrap().document.is_some());
}

#[test]
fn others_need_not_wait_for_what_only_changes_a_record_that_is_on_both_sides() {
    let entity = user();
    let mut edited = agreed(&entity);
    set(&entity, &mut edited.legacy, Side::Legacy, "name", &text("Ada Lovelace"));
    set(&entity, &mut edited.renaissance, Side::Renaissance, "email", &text("ada@example.org"));
    let concerns_others = |record: &Record| !plan(&entity, record).unwrap().plan.concerns_nobody_else();
    assert!(!concerns_others(&edited));
    let odd = |mut record: Record| {
        let place = entity.legacy.paths.iter().position(|path| path.0 == ["is_premium_member"]).unwrap();
        record.legacy.as_mut().unwrap().slots[place] = Some(Value::List(vec![]));
        record
    };
    assert!(concerns_others(&record(Some(ada(&entity)), None, None)), "it is made");
    let (row_goes, document_goes) =
        (Record { legacy: None, ..agreed(&entity) }, Record { renaissance: None, ..agreed(&entity) });
    assert!(concerns_others(&row_goes) && concerns_others(&document_goes), "it is deleted");
    let deletes = |record: &Record| plan(&entity, record).unwrap().plan.deletes();
    assert!(deletes(&row_goes) && deletes(&document_goes) && !deletes(&edited));
    assert!(concerns_others(&odd(agreed(&entity))), "something of it is parked");
    assert!(concerns_others(&Record { parked: true, ..agreed(&entity) }), "something of it was parked");
    assert!(concerns_others(&Record { linked: false, ..agreed(&entity) }), "it is linked");
    assert!(concerns_others(&Record { unnamed: true, ..agreed(&entity) }), "its row is told who it is");
}

#[test]
fn a_field_that_cannot_cross_is_parked_and_the_others_cross() {
    let entity = user();
    let mut odd = agreed(&entity);
    set(&entity, &mut odd.legacy, Side::Legacy, "name", &text("Ada Lovelace"));
    let place = entity.legacy.paths.iter().position(|path| path.0 == ["is_premium_member"]).unwrap();
    odd.legacy.as_mut().unwrap().slots[place] = Some(Value::List(vec![]));
    let planned = plan(&entity, &odd).unwrap();
    assert_eq!(planned.plan.parked.len(), 1);
    assert_eq!(planned.plan.parked[0].problem.reason, Reason::WrongType);
    assert!(planned.plan.rows.is_some());
}

#[test]
fn a_new_record_takes_a_stand_in_for_what_cannot_cross() {
    let entity = user();
    let mut document = ada(&entity);
    let place = entity.legacy.paths.iter().position(|path| path.0 == ["is_premium_member"]).unwrap();
    document.slots[place] = Some(Value::List(vec![]));
    let planned = plan(&entity, &record(Some(document), None, None)).unwrap();
    assert!(matches!(planned.plan.rows, Some(RenaissanceChange::Insert(_))));
    assert_eq!(planned.plan.parked.len(), 1);
}

#[test]
fn a_deletion_travels_unless_the_other_side_changed_meanwhile() {
    let entity = user();
    let mut gone = agreed(&entity);
    gone.legacy = None;
    let planned = plan(&entity, &gone).unwrap();
    assert!(matches!(planned.plan.rows, Some(RenaissanceChange::Delete(_))) && planned.plan.unlink);
    assert!(planned.plan.conflicts.is_empty());
    set(&entity, &mut gone.renaissance, Side::Renaissance, "name", &text("R"));
    gone.owner = Side::Renaissance;
    let planned = plan(&entity, &gone).unwrap();
    assert!(matches!(planned.document, Some(LegacyChange::Insert(_))), "the owner's change brings it back");
    assert_eq!(planned.plan.conflicts[0].kind, ConflictKind::UpdateDeleted);
}

#[test]
fn what_is_gone_on_both_sides_loses_its_link() {
    let entity = user();
    let mut gone = agreed(&entity);
    (gone.legacy, gone.renaissance) = (None, None);
    assert!(plan(&entity, &gone).unwrap().plan.unlink);
}

#[test]
fn once_a_base_is_forgotten_absence_is_no_deletion_and_a_difference_is_a_conflict() {
    let entity = user();
    let mut put_back = agreed(&entity);
    put_back.base.as_mut().unwrap().forget();
    let equal = plan(&entity, &put_back).unwrap();
    assert!(equal.document.is_none() && equal.plan.rows.is_none() && equal.plan.conflicts.is_empty());
    assert_eq!(equal.plan.base, agreed(&entity).base, "what is equal is agreed on again");

    set(&entity, &mut put_back.legacy, Side::Legacy, "name", &text("Ada as she was"));
    assert_eq!(plan(&entity, &put_back).unwrap().plan.conflicts.len(), 1);
    put_back.legacy = None;
    let missing = plan(&entity, &put_back).unwrap();
    assert!(matches!(missing.document, Some(LegacyChange::Insert(_))) && missing.plan.rows.is_none());
}
