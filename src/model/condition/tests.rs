use proptest::prelude::*;

use super::*;
use crate::model::{image::Version, mapping::parse};

fn user() -> Entity {
    parse("user.toml", include_str!("../../../mappings/user.toml")).unwrap()
}

/// A document with these contents of fields.
fn image(entity: &Entity, contents: &[(&str, Value)]) -> Image {
    let mut image = Image { slots: Vec::new(), version: Version(Vec::new()) };
    for (name, value) in contents {
        let field = &entity.fields[entity.field(name).unwrap()];
        for (slot, content) in field.put(Side::Legacy, value, None).unwrap() {
            image.slots.resize(image.slots.len().max(slot + 1), None);
            image.slots[slot] = content;
        }
    }
    image
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn ada(entity: &Entity) -> Image {
    image(
        entity,
        &[
            ("username", text("ada")),
            ("name", text("Ada O'Hara")),
            ("phone", text("+18475550100")),
            ("premium", Value::Bool(true)),
            ("active", Value::Bool(true)),
            ("profile_visibility", text("public")),
            ("created", Value::Timestamp(1_614_834_367_089_000)),
        ],
    )
}

fn holds(condition: &str) -> Option<bool> {
    let entity = user();
    let bound =
        Condition::parse(condition).unwrap().bind(&entity).unwrap_or_else(|wrong| panic!("{condition}: {wrong:?}"));
    bound.holds(&entity, Side::Legacy, &ada(&entity))
}

#[test]
fn a_person_is_chosen_by_canonical_values_whatever_a_side_calls_them() {
    for (condition, expected) in [
        ("premium = true", true),
        ("premium != true", false),
        ("not premium = true or active = true", true),
        ("not (premium = true or active = true)", false),
        ("premium = true and active = false", false),
        ("active = false and premium = false or username = 'ada'", true),
        ("active = false and (premium = false or username = 'ada')", false),
        ("created < '2021-03-05'", true),
        ("created >= '2021-03-04T05:06:07.089Z' and created <= '2021-03-04 05:06:07.089'", true),
        ("created > '2021-03-04T05:06:07.089Z'", false),
        ("profile_visibility = 'public'", true),
        ("profile_visibility = 'P'", true),
        ("profile_visibility in ('friends', \"private\")", false),
        ("profile_visibility not in ('friends', 'private')", true),
        ("phone = '(847) 555-0100'", true),
        ("phone = 8475550100", true),
        ("phone starts with '+1847'", true),
        ("name = 'Ada O''Hara'", true),
        ("name < 'B' and name starts with 'Ada'", true),
        ("email is missing", true),
        ("email is not missing", false),
        ("email = 'a@example.com' or email != 'a@example.com'", true),
        ("email < 'z' or email >= 'z'", false),
        ("friends is missing", true),
    ] {
        assert_eq!(holds(condition), Some(expected), "{condition}");
    }
}

#[test]
fn where_a_field_cannot_be_read_there_is_no_answer_unless_another_decides() {
    let entity = user();
    let mut unread = ada(&entity);
    for slot in entity.fields[entity.field("premium").unwrap()].slots(Side::Legacy) {
        unread.slots[*slot] = Some(text("perhaps"));
    }
    for (condition, expected) in [
        ("premium = true", None),
        ("not premium = true", None),
        ("premium = true and active = true", None),
        ("premium = true and active = false", Some(false)),
        ("premium = true or active = true", Some(true)),
        ("premium = true or active = false", None),
    ] {
        let bound = Condition::parse(condition).unwrap().bind(&entity).unwrap();
        assert_eq!(bound.holds(&entity, Side::Legacy, &unread), expected, "{condition}");
    }
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    for (condition, at, length, what) in [
        ("", 0, 1, "name of a field"),
        ("premium", 7, 1, "a question is expected"),
        ("premium == true", 9, 1, "a value is expected"),
        ("premium = yes", 10, 3, "a value is expected"),
        ("premium = true active = true", 15, 6, "`and`, `or`"),
        ("(premium = true", 15, 1, "`)` is expected"),
        ("premium = true && active = true", 15, 1, "means nothing"),
        ("name = 'Ada", 7, 4, "closing quote"),
        ("created < 2024-01-01", 10, 10, "stand in quotes"),
        ("created < 'soon'", 10, 6, "can never be this: it is mapped as timestamp"),
        ("profile_visibility = 'privat'", 21, 8, "can never be this: it is mapped as table and text"),
        ("premium < true", 0, 7, "has no order"),
        ("created starts with '2024'", 0, 7, "is no text"),
        ("friends = 'ada'", 0, 7, "only `is missing`"),
        ("active = true and emial is missing", 18, 5, "user has no field `emial`"),
        ("name is gone", 8, 4, "`missing` is expected"),
        ("name in 'Ada'", 8, 5, "`(` is expected"),
    ] {
        let mistake = Condition::parse(condition).and_then(|parsed| parsed.bind(&user()).map(drop)).unwrap_err();
        assert_eq!((mistake.at, mistake.length), (at, length), "{condition}: {mistake:?}");
        assert!(mistake.what.contains(what), "{condition}: {mistake:?}");
    }
    let condition = "active = true and emial is missing";
    let mistake = Condition::parse(condition).unwrap().bind(&user()).err().unwrap();
    assert_eq!(mistake.hint.as_deref(), Some("did you mean `email`?"));
    assert!(
        mistake.shown(condition).ends_with("is missing\n                    ^^^^^"),
        "{}",
        mistake.shown(condition)
    );
    let deep = format!("{}premium = true", "not ".repeat(10_000));
    assert!(Condition::parse(&deep).unwrap_err().what.contains("too deeply"));
}

#[test]
fn the_record_of_what_was_done_has_no_text_of_anybody() {
    let bound = |condition: &str| Condition::parse(condition).unwrap().bind(&user()).unwrap().shown().to_owned();
    assert_eq!(bound("created < '2024-01-01' and premium = true"), "created < '2024-01-01' and premium = true");
    assert_eq!(bound("name = 'Ada King' or phone = 8475550100"), "name = 'A•••• K••••' or phone = '••••'");
}

proptest! {
    #[test]
    fn no_text_panics(text in "[ a-z()<>=!',0-9.\\-]{0,60}") {
        if let Err(mistake) = Condition::parse(&text).and_then(|parsed| parsed.bind(&user()).map(drop)) {
            prop_assert!(mistake.at <= text.chars().count());
        }
    }
}
