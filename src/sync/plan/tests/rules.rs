//! Groups, one-way and insert-only fields, filters, delete rules, computed values.

use super::*;

const TOY: &str = r#"
entity = "toy"
[legacy]
collection = "toys"
[legacy.insert]
kind = "toy"
made = { generate = "now" }
tag = { generate = "uuid" }
title = { template = "{name} of {city}" }
[renaissance]
table = "toys"
legacy_id = "old_toy_id"
[renaissance.insert]
slug = { template = "toy-{name}" }
[[filter]]
side = "legacy"
path = "is_test"
none_of = [true]
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
as = "int"
legacy = "zip"
renaissance = "zip"
[[field]]
name = "verified"
direction = "to_legacy"
missing = "no"
legacy = "verified"
renaissance = "verified"
[[field]]
name = "origin"
when = "insert"
legacy = "origin"
renaissance = "origin"
[[field]]
name = "tags"
as = "references"
to = "toy"
stored = "hex"
order = "none"
policy = "union"
missing = []
legacy = "tags"
renaissance = { column = "tags", stored = "hex" }
"#;

fn toy(delete: &str) -> Entity {
    let text = format!("delete = \"{delete}\"\n{TOY}");
    connected(["toy.toml"], [&text])[0].clone()
}

fn doll(entity: &Entity) -> Image {
    document(entity, &[("name", text("doll")), ("city", text("Bonn")), ("zip", Value::Int(1)), ("origin", text("x"))])
}

fn both(entity: &Entity) -> Record {
    as_created(entity, &doll(entity))
}

fn slot_of<'a>(entity: &Entity, patch: &'a Patch, side: Side, field: &str) -> Option<&'a Value> {
    let slot = entity.fields[entity.field(field).unwrap()].slots(side)[0];
    patch.iter().find(|(at, _)| *at == slot).and_then(|(_, content)| content.as_ref())
}

fn rows(planned: &Planned) -> &Patch {
    let Some(RenaissanceChange::Update(_, patch) | RenaissanceChange::Insert(patch)) = &planned.plan.rows else {
        panic!("rows were to be written")
    };
    patch
}

fn changes(planned: &Planned) -> &Patch {
    let Some(LegacyChange::Update(_, patch) | LegacyChange::Insert(patch)) = &planned.document else {
        panic!("a document was to be written")
    };
    patch
}

#[test]
fn fields_of_a_group_cross_together_and_conflict_as_one() {
    let entity = toy("mirror");
    let mut record = both(&entity);
    set(&entity, &mut record.legacy, Side::Legacy, "zip", &Value::Int(2));
    set(&entity, &mut record.renaissance, Side::Renaissance, "name", &text("bear"));
    let planned = plan(&entity, &record).unwrap();
    assert_eq!(slot_of(&entity, rows(&planned), Side::Renaissance, "zip"), Some(&Value::Int(2)));
    assert_eq!(slot_of(&entity, changes(&planned), Side::Legacy, "name"), Some(&text("bear")));
    assert!(planned.plan.conflicts.is_empty());

    set(&entity, &mut record.renaissance, Side::Renaissance, "city", &text("Köln"));
    let planned = plan(&entity, &record).unwrap();
    let patch = rows(&planned);
    assert_eq!(slot_of(&entity, patch, Side::Renaissance, "city"), Some(&text("Bonn")), "the owner's whole address");
    assert_eq!(slot_of(&entity, patch, Side::Renaissance, "zip"), Some(&Value::Int(2)));
    let fields: Vec<&str> = planned.plan.conflicts.iter().filter_map(|row| row.field.as_deref()).collect();
    assert_eq!(fields, ["city", "zip"], "one row for each that differs");
    record.owner = Side::Renaissance;
    let planned = plan(&entity, &record).unwrap();
    assert_eq!(slot_of(&entity, changes(&planned), Side::Legacy, "zip"), Some(&Value::Int(1)));
}

#[test]
fn a_member_that_cannot_be_read_holds_back_its_group_and_nothing_else() {
    let entity = toy("mirror");
    let mut record = both(&entity);
    set(&entity, &mut record.legacy, Side::Legacy, "city", &text("Köln"));
    set(&entity, &mut record.legacy, Side::Legacy, "name", &text("bear"));
    let zip = entity.fields[entity.field("zip").unwrap()].slots(Side::Legacy)[0];
    record.legacy.as_mut().unwrap().slots[zip] = Some(Value::List(vec![]));
    let planned = plan(&entity, &record).unwrap();
    let mut parked: Vec<&str> = planned.plan.parked.iter().filter_map(|row| row.field.as_deref()).collect();
    parked.sort_unstable();
    assert_eq!(parked, ["city", "zip"]);
    assert_eq!(rows(&planned).len(), 1, "the name crosses");

    let planned = plan(&entity, &super::record(record.legacy, None, None)).unwrap();
    assert_eq!(planned.plan.parked.len(), 2);
    assert_eq!(slot_of(&entity, rows(&planned), Side::Renaissance, "city"), Some(&Value::Null), "a new one waits too");
}

#[test]
fn a_side_that_only_follows_loses_its_own_edit_into_the_journal() {
    let entity = toy("mirror");
    let mut record = both(&entity);
    set(&entity, &mut record.renaissance, Side::Renaissance, "verified", &text("yes"));
    let planned = plan(&entity, &record).unwrap();
    assert_eq!(slot_of(&entity, changes(&planned), Side::Legacy, "verified"), Some(&text("yes")));
    assert!(planned.plan.conflicts.is_empty());

    let mut record = both(&entity);
    set(&entity, &mut record.legacy, Side::Legacy, "verified", &text("maybe"));
    let planned = plan(&entity, &record).unwrap();
    assert_eq!(slot_of(&entity, changes(&planned), Side::Legacy, "verified"), Some(&text("no")));
    assert!(planned.plan.rows.is_none());
    let row = &planned.plan.conflicts[0];
    assert_eq!((row.policy, row.winner, &row.legacy_value), ("renaissance", Some(Side::Renaissance), &"maybe".into()));
}

#[test]
fn a_follower_that_makes_the_record_is_told_the_leaders_value_at_once() {
    let entity = toy("mirror");
    let mut document = doll(&entity);
    let slot = entity.fields[entity.field("verified").unwrap()].slots(Side::Legacy)[0];
    document.slots[slot] = Some(text("maybe"));
    let planned = plan(&entity, &record(Some(document.clone()), None, None)).unwrap();
    assert_eq!(slot_of(&entity, rows(&planned), Side::Renaissance, "verified"), Some(&text("no")));
    assert_eq!(changes(&planned).len(), 1);
    assert_eq!(slot_of(&entity, changes(&planned), Side::Legacy, "verified"), Some(&text("no")));
    let [row] = planned.plan.conflicts.as_slice() else { panic!("one row was expected") };
    assert_eq!((row.field.as_deref(), row.winner), (Some("verified"), Some(Side::Renaissance)));
    assert_eq!(planned.plan.base.as_ref(), planned.plan.intent.as_ref().map(|(_, landed)| landed));
    // the rows are there and the document was not written: it is told again
    let planned = plan(&entity, &as_created(&entity, &document)).unwrap();
    assert_eq!(slot_of(&entity, changes(&planned), Side::Legacy, "verified"), Some(&text("no")));
    assert_eq!(planned.plan.conflicts.len(), 1);
    assert!(plan(&entity, &record(Some(doll(&entity)), None, None)).unwrap().document.is_none());

    let mut refused = record(Some(document), None, None);
    let verified = entity.field("verified").unwrap();
    refused.refused.push((verified, Problem::new(Reason::Constraint, "x")));
    let planned = plan(&entity, &refused).unwrap();
    assert!(planned.creates(Side::Renaissance) && planned.document.is_none(), "it is made without");
    assert_eq!(planned.plan.parked[0].field.as_deref(), Some("verified"));
}

#[test]
fn an_insert_only_field_crosses_once() {
    let entity = toy("mirror");
    let mut record = both(&entity);
    let origin = entity.fields[entity.field("origin").unwrap()].slots(Side::Renaissance)[0];
    assert_eq!(record.renaissance.as_ref().unwrap().slots[origin], Some(text("x")));
    set(&entity, &mut record.legacy, Side::Legacy, "origin", &text("y"));
    assert!(plan(&entity, &record).is_none());
    record.renaissance = None;
    let planned = plan(&entity, &record).unwrap();
    assert!(matches!(planned.document, Some(LegacyChange::Delete(_))), "it is no change that would keep the record");
    assert!(planned.plan.conflicts.is_empty());
}

#[test]
fn what_does_not_belong_is_left_alone_and_no_longer_parked() {
    let entity = toy("mirror");
    let mut record = both(&entity);
    let slot = entity.filters[0].slot;
    record.legacy.as_mut().unwrap().slots[slot] = Some(Value::Bool(true));
    set(&entity, &mut record.renaissance, Side::Renaissance, "name", &text("bear"));
    record.base = noted(&entity, &record);
    assert!(plan(&entity, &record).is_none());
    record.blocked = Some(Problem::new(Reason::UniqueTaken, "x"));
    record.parked = true;
    let planned = plan(&entity, &record).unwrap();
    assert!(planned.plan.parked.is_empty() && planned.plan.was_parked && !planned.plan.unlink);
    assert_eq!(planned.effect().writes, [false, false]);
    record.renaissance = None;
    assert_eq!(plan(&entity, &record).unwrap().effect().writes, [false, false], "nor deleted");
    let mut unlinked = super::record(record.legacy, None, None);
    unlinked.parked = true;
    assert_eq!(plan(&entity, &unlinked).unwrap().effect().writes, [false, false], "nor made");
}

/// The base with which a plan that writes nothing notes where the record belongs.
fn noted(entity: &Entity, record: &Record) -> Option<Base> {
    let planned = plan(entity, record).unwrap();
    assert_eq!(planned.effect().writes, [false, false]);
    assert!(!planned.plan.unlink && planned.plan.conflicts.is_empty());
    planned.plan.base
}

#[test]
fn a_deletion_where_a_record_did_not_belong_says_nothing_about_the_other_side() {
    for rule in ["mirror", "keep", "restore"] {
        let entity = toy(rule);
        let mut record = both(&entity);
        let (belonging, slot) = (record.legacy.clone(), entity.filters[0].slot);
        record.legacy.as_mut().unwrap().slots[slot] = Some(Value::Bool(true));
        record.base = noted(&entity, &record);
        assert!(record.base.as_ref().is_some_and(|base| base.is_outside(Side::Legacy)));
        record.legacy = None;
        set(&entity, &mut record.renaissance, Side::Renaissance, "name", &text("bear"));
        assert!(plan(&entity, &record).is_none(), "{rule}");
        // it comes back and belongs: merged, and from then on a deletion counts
        record.legacy = belonging;
        let planned = plan(&entity, &record).unwrap();
        assert_eq!(slot_of(&entity, changes(&planned), Side::Legacy, "name"), Some(&text("bear")), "{rule}");
        assert!(planned.plan.base.is_some_and(|base| !base.is_outside(Side::Legacy)));
        assert!(planned.plan.intent.is_some_and(|(_, base)| !base.is_outside(Side::Legacy)));
        // made again on the other side, it is not taken for one that does not belong either
        record.renaissance = None;
        if rule == "restore" {
            let planned = plan(&entity, &record).unwrap();
            assert!(planned.plan.base.is_some_and(|base| !base.is_outside(Side::Legacy)));
        }
    }
}

#[test]
fn a_deletion_is_mirrored_kept_to_itself_or_undone() {
    for (rule, deletes, makes) in [("mirror", true, false), ("keep", false, false), ("restore", false, true)] {
        let entity = toy(rule);
        let mut record = both(&entity);
        record.renaissance = None;
        let planned = plan(&entity, &record);
        let document = planned.as_ref().and_then(|planned| planned.document.as_ref());
        assert_eq!(matches!(document, Some(LegacyChange::Delete(_))), deletes, "{rule}");
        assert_eq!(deletes_document(&entity, &record), deletes, "{rule}");
        assert_eq!(planned.as_ref().is_some_and(|planned| planned.creates(Side::Renaissance)), makes, "{rule}");
        assert!(planned.as_ref().is_none_or(|planned| planned.plan.conflicts.is_empty()), "{rule}");

        set(&entity, &mut record.legacy, Side::Legacy, "name", &text("bear"));
        record.owner = Side::Renaissance;
        let planned = plan(&entity, &record);
        let kinds = planned.iter().flat_map(|planned| &planned.plan.conflicts).map(|row| (row.kind, row.winner));
        let expected = match rule {
            "mirror" => Some((ConflictKind::DeleteUpdated, Some(Side::Renaissance))),
            "restore" => Some((ConflictKind::UpdateDeleted, Some(Side::Legacy))),
            _ => None,
        };
        assert_eq!(kinds.collect::<Vec<_>>(), Vec::from_iter(expected), "{rule}");
        record.legacy = None;
        assert!(plan(&entity, &record).unwrap().plan.unlink, "{rule}: gone on both sides");
    }
}

#[test]
fn a_new_record_gets_its_insert_and_computed_values() {
    let entity = toy("mirror");
    let made = plan(&entity, &record(Some(doll(&entity)), None, None)).unwrap();
    let slug = entity.renaissance.columns.iter().position(|column| column.name == "slug").unwrap();
    assert!(rows(&made).contains(&(slug, Some(text("toy-doll")))));

    let row = both(&entity).renaissance;
    let made = plan(&entity, &record(None, row, None)).unwrap();
    let at = |path: &str| entity.legacy.paths.iter().position(|known| known.0.join(".") == path).unwrap();
    let get =
        |path: &str| changes(&made).iter().find(|(slot, _)| *slot == at(path)).and_then(|(_, held)| held.as_ref());
    assert_eq!(get("kind"), Some(&text("toy")));
    assert_eq!(get("made"), Some(&Value::Timestamp(1_000_000)));
    assert_eq!(get("tag"), Some(&Value::Uuid([7; 16])));
    assert_eq!(get("title"), Some(&text("doll of Bonn")));
}

#[test]
fn sets_changed_on_both_sides_are_combined_and_agreed_on_only_when_both_are_written() {
    let entity = toy("mirror");
    let member = |n: u8| Value::Id([n; 12]);
    let list = |members: &[u8]| Value::List(members.iter().map(|n| member(*n)).collect());
    let mut document = doll(&entity);
    let tags = entity.field("tags").unwrap();
    let slot = entity.fields[tags].slots(Side::Legacy)[0];
    document.slots[slot] = Some(list(&[1, 2]));
    let mut record = as_created(&entity, &document);
    set(&entity, &mut record.legacy, Side::Legacy, "tags", &list(&[1, 2, 3]));
    set(&entity, &mut record.renaissance, Side::Renaissance, "tags", &list(&[2, 4]));
    let planned = plan(&entity, &record).unwrap();
    assert!(planned.plan.conflicts.is_empty());
    let read = |image: Option<&Image>, side: Side, patch: &Patch| {
        let mut image = image.unwrap().clone();
        apply(&mut image, patch);
        entity.fields[tags].get(side, &image).value().cloned()
    };
    let merged = Some(list(&[2, 3, 4]));
    assert_eq!(read(record.legacy.as_ref(), Side::Legacy, changes(&planned)), merged);
    assert_eq!(read(record.renaissance.as_ref(), Side::Renaissance, rows(&planned)), merged);
    let (_, landed) = planned.plan.intent.as_ref().unwrap();
    assert_eq!(landed.members(tags).map(<[u64]>::len), Some(3));

    // the rows are written and the document is not: nothing that was added or removed on either side comes undone
    let mut halfway = record;
    apply(halfway.renaissance.as_mut().unwrap(), rows(&planned));
    halfway.base = planned.plan.base.clone().or(halfway.base);
    set(&entity, &mut halfway.legacy, Side::Legacy, "tags", &list(&[1, 2, 3, 5]));
    let planned = plan(&entity, &halfway).unwrap();
    let merged = Some(list(&[2, 3, 4, 5]));
    assert_eq!(read(halfway.legacy.as_ref(), Side::Legacy, changes(&planned)), merged);
    assert_eq!(read(halfway.renaissance.as_ref(), Side::Renaissance, rows(&planned)), merged);

    // what the document brought into the rows and then gave up does not come back from there
    set(&entity, &mut halfway.legacy, Side::Legacy, "tags", &list(&[1, 2]));
    let planned = plan(&entity, &halfway).unwrap();
    let merged = Some(list(&[2, 4]));
    assert_eq!(read(halfway.legacy.as_ref(), Side::Legacy, changes(&planned)), merged);
    assert_eq!(read(halfway.renaissance.as_ref(), Side::Renaissance, rows(&planned)), merged);
}
