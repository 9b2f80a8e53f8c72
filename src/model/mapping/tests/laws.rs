//! The laws of lenses, for every field of every shipped mapping and of one that uses all other options, over nasty slots.

use std::{fs, path::Path, sync::LazyLock};

use proptest::{collection, prelude::*};

use super::{
    super::*,
    binding,
    nasty::{nasty, ordinary},
    parsed,
    spelling::spelling,
    user,
};
use crate::model::{
    image::{Image, Patch, Version},
    problem::Reason,
    reading::Reading,
    value::Slot,
};

/// Entities under test: people bound to their tables, all options, and everything shipped.
static ENTITIES: LazyLock<Vec<Entity>> = LazyLock::new(|| {
    let mut entities =
        vec![user().bind(&binding::catalog()).unwrap(), parsed("variants.toml", include_str!("variants.toml"))];
    entities.extend(shipped());
    entities
});

/// Every file of `mappings/`.
fn shipped() -> Vec<Entity> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files.iter().map(|file| parsed(&file.display().to_string(), &fs::read_to_string(file).unwrap())).collect()
}

/// The slots of any entity.
fn most_slots() -> usize {
    ENTITIES.iter().map(|entity| entity.legacy.paths.len().max(entity.renaissance.columns.len())).max().unwrap()
}

fn slots() -> impl Strategy<Value = Vec<Slot>> {
    collection::vec(prop_oneof![1 => Just(None), 4 => nasty().prop_map(Some)], most_slots())
}

fn image(slots: &[Slot]) -> Image {
    Image { slots: slots.to_vec(), version: Version(Vec::new()) }
}

fn applied(image: Option<&Image>, patch: &Patch) -> Image {
    let mut after = image.cloned().unwrap_or_else(|| self::image(&vec![None; most_slots()]));
    for (slot, content) in patch {
        after.slots[*slot].clone_from(content);
    }
    after
}

proptest! {
    #[test]
    fn what_a_side_already_says_changes_nothing(slots in slots()) {
        let image = image(&slots);
        for entity in &*ENTITIES {
            for (field, side) in entity.fields.iter().flat_map(|field| Side::ALL.map(|side| (field, side))) {
                if let Reading::Value(value) = field.get(side, &image) {
                    prop_assert_eq!(field.put(side, &value, Some(&image)), Ok(vec![]), "{} {}", side, field.name);
                }
            }
        }
    }

    #[test]
    fn both_sides_agree_exactly_if_both_say_the_same(slots in slots(), others in slots()) {
        let (legacy, renaissance) = (image(&slots), image(&others));
        for field in ENTITIES.iter().flat_map(|entity| &entity.fields) {
            let said = |field: &Field, side, image: &Image| match field.get(side, image) {
                Reading::Value(value) => Some(value),
                Reading::Absent | Reading::Invalid(_) => None,
            };
            let value = said(field, Side::Legacy, &legacy);
            let same = value.is_some() && value == said(field, Side::Renaissance, &renaissance);
            prop_assert_eq!(field.agrees(&legacy, &renaissance), same, "{}", field.name);
            let glance = field.same(&legacy, &renaissance);
            prop_assert!(glance.is_none() || glance.as_deref() == value.as_ref().filter(|_| same), "{}", field.name);
            // independent contents hardly ever agree: the same once more with what the other side would be given
            let Some(value) = value else { continue };
            let Ok(patch) = field.put(Side::Renaissance, &value, Some(&renaissance)) else { continue };
            let put = applied(Some(&renaissance), &patch);
            prop_assert!(field.agrees(&legacy, &put), "{} as put", field.name);
            let glance = field.same(&legacy, &put);
            prop_assert!(glance.is_none_or(|glance| *glance == value), "{} as put, at a glance", field.name);
        }
    }

    #[test]
    fn what_is_put_reads_back_or_is_refused(slots in slots(), value in nasty()) {
        let image = image(&slots);
        for entity in &*ENTITIES {
            for (field, side) in entity.fields.iter().flat_map(|field| Side::ALL.map(|side| (field, side))) {
                for current in [None, Some(&image)] {
                    let Ok(patch) = field.put(side, &value, current) else { continue };
                    let after = applied(current, &patch);
                    prop_assert_eq!(field.get(side, &after), Reading::Value(value.clone()), "{} {}", side, field.name);
                    prop_assert_eq!(field.put(side, &value, Some(&after)), Ok(vec![]), "twice: {} {}", side, field.name);
                }
            }
        }
    }

    #[test]
    fn what_crosses_reads_the_same_on_the_other_side(slots in slots(), others in slots()) {
        let (here, there) = (image(&slots), image(&others));
        for entity in &*ENTITIES {
            for (field, side) in entity.fields.iter().flat_map(|field| Side::ALL.map(|side| (field, side))) {
                let Reading::Value(value) = field.get(side, &here) else { continue };
                let Ok(patch) = field.put(side.other(), &value, Some(&there)) else { continue };
                let after = applied(Some(&there), &patch);
                prop_assert_eq!(field.get(side.other(), &after), Reading::Value(value), "{} {}", side, field.name);
            }
        }
    }

    #[test]
    fn ordinary_values_are_accepted_whatever_is_there(
        (index, field, value) in (0..ENTITIES.len(), any::<prop::sample::Index>()).prop_flat_map(|(index, field)| {
            let entity = &ENTITIES[index];
            let at = field.index(entity.fields.len());
            (Just(index), Just(at), ordinary(&entity.fields[at]))
        }),
        slots in slots(),
    ) {
        let entity = &ENTITIES[index];
        let (field, image) = (&entity.fields[field], image(&slots));
        for side in Side::ALL {
            for current in [None, Some(&image)] {
                let patch = field.put(side, &value, current);
                let after = patch.map(|patch| applied(current, &patch)).map(|after| field.get(side, &after));
                prop_assert_eq!(after, Ok(Reading::Value(value.clone())), "{} {}", side, &field.name);
            }
            for form in field.forms(side, &value) {
                prop_assert_eq!(field.get(side, &applied(None, &form)), Reading::Value(value.clone()), "form of {} {}", side, &field.name);
            }
        }
    }

    #[test]
    fn a_field_that_declares_no_loss_tells_contents_apart(slots in slots(), others in slots()) {
        let (one, other) = (image(&slots), image(&others));
        for entity in &*ENTITIES {
            let exact = entity.fields.iter().filter(|field| field.normal_form.is_empty());
            for (field, side) in exact.flat_map(|field| Side::ALL.map(|side| (field, side))) {
                let Reading::Value(value) = field.get(side, &one) else { continue };
                let written = [Some(&other), None].map(|current| {
                    field.put(side, &value, current).map(|patch| applied(current, &patch)).ok()
                });
                for same in written.into_iter().flatten().chain([other.clone()]) {
                    if field.get(side, &same) == Reading::Value(value.clone()) {
                        let half = field.half(side);
                        prop_assert_eq!(spelling(half, &one.slots), spelling(half, &same.slots), "{} {}", side, field.name);
                    }
                }
            }
        }
    }

    #[test]
    fn a_bound_field_never_lets_through_what_the_database_refuses(slots in slots(), value in nasty()) {
        let entity = &ENTITIES[0];
        let image = image(&slots);
        for field in &entity.fields {
            for current in [None, Some(&image)] {
                for (slot, content) in field.put(Side::Renaissance, &value, current).unwrap_or_default() {
                    let info = entity.renaissance.columns[slot].info.as_ref().unwrap();
                    let content = content.unwrap();
                    prop_assert!(info.limits.nullable || content != Value::Null, "{}", info.name);
                    prop_assert!(content.as_text().is_none_or(|text| !text.contains('\0') && text.chars().count() <= 254), "{}", info.name);
                }
            }
        }
    }
}

#[test]
fn every_conversion_that_the_readme_lists_is_among_the_fields_under_test() {
    let readme = include_str!("../../../../README.md");
    let table = readme.split("| `as` | is | options |").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let listed: Vec<&str> = cells.flat_map(|cell| cell.split('`').step_by(2)).collect();
    let fields = || ENTITIES.iter().flat_map(|entity| &entity.fields);
    let used =
        |word: &&str| fields().any(|field| Side::ALL.iter().any(|side| field.half(*side).transform.word() == *word));
    assert_eq!(listed.len(), 19, "{listed:?}");
    assert_eq!(listed.into_iter().filter(|word| !used(word)).collect::<Vec<_>>(), [""; 0]);
}

fn put(field: &str, value: &str) -> Result<Patch, Reason> {
    let entity = &ENTITIES[0];
    let field = &entity.fields[entity.field(field).unwrap()];
    field.put(Side::Renaissance, &Value::Text(value.into()), None).map_err(|problem| problem.reason)
}

#[test]
fn what_a_column_cannot_hold_is_refused_with_its_reason() {
    assert_eq!(put("name", &"é".repeat(151)), Err(Reason::TooLong));
    assert_eq!(put("name", "Nul\0l"), Err(Reason::NulCharacter));
    assert_eq!(put("profile_picture", &format!("https://x/{}", "y".repeat(200))), Err(Reason::TooLong));
    assert_eq!(put("phone", "+1234567890123456789012345"), Err(Reason::TooLong));
    assert_eq!(put("profile_visibility", &"x".repeat(21)), Err(Reason::TooLong));
    assert_eq!(put("premium", "x"), Err(Reason::UnknownValue));
    assert_eq!(put("created", "x"), Err(Reason::WrongType));
    let entity = &ENTITIES[0];
    let refused = |field: &str, value: Value| {
        entity.fields[entity.field(field).unwrap()].put(Side::Renaissance, &value, None).unwrap_err()
    };
    assert_eq!(refused("username", Value::Null).reason, Reason::NotNull);
    assert_eq!(refused("created", Value::Timestamp(i64::MIN / 1000 * 1000)).reason, Reason::OutOfRange);
    assert_eq!(
        refused("username", Value::Null).to_string(),
        "not_null: renaissance username is NOT NULL and the value is null"
    );
}

#[test]
fn a_missing_child_row_has_no_opinion_and_is_filled_when_written() {
    let entity = user();
    let field = &entity.fields[entity.field("email_notifications").unwrap()];
    let rows = image(&vec![None; entity.renaissance.columns.len()]);
    assert_eq!(field.get(Side::Renaissance, &rows), Reading::Absent);
    let patch = field.put(Side::Renaissance, &Value::Bool(true), Some(&rows)).unwrap();
    assert_eq!(patch, vec![(field.slots(Side::Renaissance)[0], Some(Value::Bool(true)))]);
}

#[test]
fn a_phone_is_searched_in_every_form_that_the_side_may_hold() {
    let entity = user();
    let phone = &entity.fields[entity.field("phone").unwrap()];
    let value = Value::Text("+18475550100".into());
    let legacy = phone.forms(Side::Legacy, &value);
    let slots = phone.slots(Side::Legacy);
    let form = |code: Value, number: Value| vec![(slots[0], Some(code)), (slots[1], Some(number))];
    for code in [Value::Int(1), Value::Text("1".into()), Value::Text("+1".into()), Value::Null] {
        for number in [Value::Int(8_475_550_100), Value::Text("8475550100".into())] {
            assert!(legacy.contains(&form(code.clone(), number)), "{code:?}");
        }
    }
    assert!(legacy.contains(&vec![(slots[1], Some(value.clone()))]));
    assert!(phone.forms(Side::Renaissance, &value).len() >= 2);
    assert!(phone.forms(Side::Renaissance, &Value::Null).is_empty());
}
