//! The laws of lenses, for every field of the shipped mapping and of one that uses all other options, over nasty slots.

use std::sync::LazyLock;

use proptest::{collection, prelude::*, sample::select};

use super::{super::*, binding, parsed, user};
use crate::model::{
    image::{Image, Patch, Version},
    problem::Reason,
    reading::Reading,
    value::Slot,
};

/// Entities under test: shipped, shipped and bound, all options.
static ENTITIES: LazyLock<[Entity; 3]> = LazyLock::new(|| {
    let bound = user().bind(&binding::catalog()).unwrap();
    [user(), bound, parsed("variants.toml", include_str!("variants.toml"))]
});

const KNOWN: &[&str] = &[
    "",
    " ",
    "\0",
    "a\0b",
    "0",
    "1",
    "-1",
    "007",
    "1e3",
    "true",
    "FALSE",
    "null",
    "P",
    "F",
    "O",
    "free",
    "premium",
    "pro",
    "public",
    "+",
    "+1",
    "+0123",
    "00",
    "(847) 555-0100",
    "+1 847-555-0100",
    "8475550100",
    "+8475550100",
    "١٢٣",
    "x",
    "2024-01-02T03:04:05.678901Z",
    "2024-01-02",
    "live",
    "draft",
    "one",
    "deux",
    "users/BioGraph/",
    "users/BioGraph/profile/x.jpg",
    "https://media.example.com/users/BioGraph/profile/x.jpg",
    "https://elsewhere.test/x.jpg",
    "a/a/",
    "b/x",
    "old/x",
    "https://y/x",
    "Ada Lovelace",
    " Ada",
    "Ada ",
    "Ada  Lovelace",
    "  ",
    "\u{feff}",
    "🧑‍🚀 Zoë",
    "18446744073709551616",
];

fn nasty_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(KNOWN).prop_map(str::to_owned), 2 => "\\PC{0,12}", 1 => "[0-9+() -]{0,18}", 1 => "[a-z ]{140,260}"]
}

fn nasty() -> impl Strategy<Value = Value> {
    let doubles =
        prop_oneof![any::<f64>(), select(&[0.0, -0.0, 1.0, 1.5, 8_475_550_100.0, f64::NAN, f64::INFINITY, 1e300][..])];
    let whole = prop_oneof![any::<i64>(), 0_i64..5, Just(8_475_550_100), Just(i64::MIN)];
    let leaf = prop_oneof![
        2 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::Bool),
        2 => whole.prop_map(Value::Int),
        2 => doubles.prop_map(Value::Float),
        6 => nasty_text().prop_map(Value::Text),
        2 => prop_oneof![any::<i64>(), 0_i64..4_000_000_000_000_000].prop_map(Value::Timestamp),
        1 => any::<[u8; 12]>().prop_map(Value::Id),
        1 => Just(Value::Opaque("decimal128")),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            collection::btree_map("[a-z]{1,3}", inner, 0..3).prop_map(Value::Object),
        ]
    })
}

fn slots() -> impl Strategy<Value = Vec<Slot>> {
    collection::vec(prop_oneof![1 => Just(None), 4 => nasty().prop_map(Some)], 32)
}

fn image(slots: &[Slot]) -> Image {
    Image { slots: slots.to_vec(), version: Version(Vec::new()) }
}

fn applied(image: Option<&Image>, patch: &Patch) -> Image {
    let mut after = image.cloned().unwrap_or_else(|| self::image(&vec![None; 32]));
    for (slot, content) in patch {
        after.slots[*slot].clone_from(content);
    }
    after
}

/// Canonical values that a field of this canonical type must accept, on both sides and whatever is there.
fn ordinary(field: &str) -> BoxedStrategy<Value> {
    let text = prop_oneof!["[^\\x00]{1,40}", "\\PC{1,30}"];
    match field {
        "username" | "email" | "name" | "split" | "text" => text.prop_map(Value::Text).boxed(),
        "profile_picture" | "picture" => "https://[a-z]{1,8}/[a-zA-Z/]{0,20}".prop_map(Value::Text).boxed(),
        "phone" | "international" => "\\+[1-9][0-9]{6,14}".prop_map(Value::Text).boxed(),
        "created" | "updated" => {
            (-60_000_000_000_000_i64..250_000_000_000_000).prop_map(|ms| Value::Timestamp(ms * 1000)).boxed()
        }
        "profile_visibility" => {
            select(&["public", "friends", "private"][..]).prop_map(|word| Value::Text(word.into())).boxed()
        }
        "kind" => select(&["one", "two"][..]).prop_map(|word| Value::Text(word.into())).boxed(),
        "seconds" => any::<i64>().prop_map(Value::Int).boxed(),
        _ => any::<bool>().prop_map(Value::Bool).boxed(),
    }
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
        (index, field, value) in (0_usize..3, any::<prop::sample::Index>()).prop_flat_map(|(index, field)| {
            let entity = &ENTITIES[index];
            let at = field.index(entity.fields.len());
            (Just(index), Just(at), ordinary(&entity.fields[at].name))
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
    fn a_bound_field_never_lets_through_what_the_database_refuses(slots in slots(), value in nasty()) {
        let entity = &ENTITIES[1];
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

fn put(field: &str, value: &str) -> Result<Patch, Reason> {
    let entity = &ENTITIES[1];
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
    let entity = &ENTITIES[1];
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
