//! Contents that slots may hold, from ordinary to nasty, and the values a field of a mapping must accept.

use std::collections::BTreeSet;

use proptest::{collection, prelude::*, sample::select};

use crate::model::{
    mapping::{
        Field, OnInvalid,
        transform::{Compound, Place, Transform, json::Structure},
    },
    value::Value,
};

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
    "2024-01-02T03:04:05.678Z",
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
    "65f0c0ffee00000000000001",
    "65F0C0FFEE00000000000001",
    " 65f0c0ffee00000000000001 ",
    "00000000-0000-0000-0123-456789abcdef",
    " 0.10",
    "-0",
    "1e400",
    "NaN",
];

fn nasty_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(KNOWN).prop_map(str::to_owned), 2 => "\\PC{0,12}", 1 => "[0-9+() -]{0,18}", 1 => "[a-z ]{140,260}"]
}

/// Anything a slot may hold.
pub(super) fn nasty() -> impl Strategy<Value = Value> {
    let doubles =
        prop_oneof![any::<f64>(), select(&[0.0, -0.0, 1.0, 1.5, 8_475_550_100.0, f64::NAN, f64::INFINITY, 1e300][..])];
    let whole = prop_oneof![any::<i64>(), 0_i64..5, Just(8_475_550_100), Just(i64::MIN)];
    let leaf = prop_oneof![
        2 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::Bool),
        2 => whole.prop_map(Value::Int),
        2 => doubles.prop_map(Value::Float),
        6 => nasty_text().prop_map(|text| Value::Text(text.into())),
        2 => prop_oneof![any::<i64>(), 0_i64..4_000_000_000_000_000].prop_map(Value::Timestamp),
        2 => id().prop_map(Value::Id),
        1 => id().prop_map(|id| Value::Dangling(Box::new(Value::Id(id)))),
        1 => any::<i32>().prop_map(Value::Date),
        1 => any::<[u8; 16]>().prop_map(Value::Uuid),
        1 => (0_u8..6, collection::vec(any::<u8>(), 0..4)).prop_map(|(subtype, bytes)| Value::Binary(subtype, bytes)),
        1 => select(&["0.1", "-7", "0", "1e400", "1e22", "1e-6000", "12345678901234567890.5"][..]).prop_map(decimal),
        1 => Just(Value::Opaque("decimal128")),
        1 => select(&["06", "04", "00"][..]).prop_map(spelled_binary),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            collection::btree_map("[a-z]{1,3}|city|born|on|[$]{1,3}(oid|date|uuid|binary)", inner, 0..3)
                .prop_map(Value::Object),
        ]
    })
}

/// What extended JSON says about two bytes.
fn spelled_binary(subtype: &str) -> Value {
    let parts = [("base64", "AQI="), ("subType", subtype)];
    Value::Object(parts.map(|(key, text)| (key.to_owned(), Value::Text(text.into()))).into())
}

fn decimal(text: &str) -> Value {
    text.parse().map_or(Value::Opaque("decimal128"), Value::Decimal)
}

/// Few enough to meet again.
fn id() -> impl Strategy<Value = [u8; 12]> {
    prop_oneof![Just([1; 12]), Just([2; 12]), Just([0xab; 12]), any::<[u8; 12]>()]
}

/// Canonical values that a field must accept, on both sides and whatever is there.
pub(super) fn ordinary(field: &Field) -> BoxedStrategy<Value> {
    let halves = [&field.legacy.transform, &field.renaissance.transform];
    let listed = halves.iter().find_map(|transform| match transform {
        Transform::Table(table) => Some(table.pairs.iter().map(|(_, meaning)| meaning.clone()).collect::<Vec<_>>()),
        _ => None,
    });
    if let Some(listed) = listed {
        return select(listed).boxed();
    }
    let longest = match &field.on_invalid {
        OnInvalid::Truncate(length) => *length as usize,
        _ => 40,
    };
    match halves[0] {
        Transform::Bool(_) | Transform::Flags(_) => any::<bool>().prop_map(Value::Bool).boxed(),
        Transform::Int(_) => any::<i64>().prop_map(Value::Int).boxed(),
        Transform::Timestamp(_) => {
            (-60_000_000_000_000_i64..250_000_000_000_000).prop_map(|ms| Value::Timestamp(ms * 1000)).boxed()
        }
        Transform::Media(_) => "https://[a-z]{1,8}/[a-zA-Z/]{0,20}".prop_map(|text| Value::Text(text.into())).boxed(),
        Transform::Phone(_) => "\\+[1-9][0-9]{6,14}".prop_map(|text| Value::Text(text.into())).boxed(),
        Transform::Reference(_) => id().prop_map(Value::Id).boxed(),
        Transform::References(many) if many.set => {
            collection::vec(id(), 0..5).prop_map(|ids| ids_of(ids.into_iter().collect::<BTreeSet<_>>())).boxed()
        }
        Transform::References(_) => collection::vec(id(), 0..5).prop_map(ids_of).boxed(),
        Transform::Float(_) => any::<f64>().prop_map(Value::Float).boxed(),
        Transform::Decimal(form) if form.double => {
            (any::<i32>(), 0_u8..6).prop_map(|(n, places)| decimal(&format!("{n}e-{places}"))).boxed()
        }
        Transform::Decimal(_) => "-?[1-9][0-9]{0,15}\\.[0-9]{0,15}[1-9]".prop_map(|text| decimal(&text)).boxed(),
        Transform::Uuid(_) => any::<[u8; 16]>().prop_map(Value::Uuid).boxed(),
        Transform::Bytes(_) => collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Value::Binary(0, bytes)).boxed(),
        Transform::Date(_) => (-700_000..2_900_000_i32).prop_map(Value::Date).boxed(),
        Transform::Json(form) => match form.only {
            Some(Structure::Array) => collection::vec(plain(), 0..3).prop_map(Value::List).boxed(),
            Some(Structure::Object) | None => {
                collection::btree_map("[a-z$]{1,3}", plain(), 0..3).prop_map(Value::Object).boxed()
            }
        },
        Transform::List(list) => {
            let list = list.clone();
            let canonical = move |items: Vec<Value>| {
                let held = Value::List(items);
                list.read(&[Place { name: "list", held: Some(&held) }]).unwrap()
            };
            let each = element(match halves[0] {
                Transform::List(list) => &list.each,
                other => other,
            });
            collection::vec(each, 0..4).prop_map(canonical).boxed()
        }
        Transform::Spread(_) => members(halves),
        Transform::Text(_) | Transform::Name(_) | Transform::Table(_) => {
            let text = prop_oneof!["[^\\x00]{1,40}", "\\PC{1,30}"];
            text.prop_map(move |text: String| Value::Text(text.chars().take(longest).collect())).boxed()
        }
    }
}

/// Elements of a list.
fn element(each: &Transform) -> BoxedStrategy<Value> {
    let value = match each {
        Transform::Int(_) => any::<i64>().prop_map(Value::Int).boxed(),
        Transform::Bool(_) => any::<bool>().prop_map(Value::Bool).boxed(),
        Transform::Decimal(_) => "-?[1-9][0-9]{0,9}\\.[0-9]{0,5}[1-9]".prop_map(|text| decimal(&text)).boxed(),
        Transform::Float(_) => (-1e15..1e15).prop_map(Value::Float).boxed(),
        _ => "[^\\x00]{0,9}".prop_map(|text| Value::Text(text.into())).boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 4 => value].boxed()
}

/// Some of the members that either side spreads.
fn members(halves: [&Transform; 2]) -> BoxedStrategy<Value> {
    let spread = halves.into_iter().find_map(|transform| match transform {
        Transform::Spread(spread) if !spread.whole => Some(spread.members.clone()),
        _ => None,
    });
    let member = |(name, part): (String, Option<Transform>)| {
        let value = match part {
            Some(Transform::Bool(_)) => any::<bool>().prop_map(Value::Bool).boxed(),
            Some(Transform::Date(_)) => {
                (-700_000..2_900_000_i64).prop_map(|day| Value::Timestamp(day * 86_400_000_000)).boxed()
            }
            _ => "\\PC{1,9}".prop_map(|text| Value::Text(text.into())).boxed(),
        };
        (Just(name), value)
    };
    let all: Vec<_> = spread.unwrap().into_iter().map(member).collect();
    let size = all.len();
    (all, 1..=size).prop_map(|(all, some)| Value::Object(all.into_iter().take(some).collect())).boxed()
}

/// Values inside JSON.
fn plain() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        "[^\\x00]{0,9}".prop_map(|text| Value::Text(text.into())),
    ]
}

fn ids_of(ids: impl IntoIterator<Item = [u8; 12]>) -> Value {
    Value::List(ids.into_iter().map(Value::Id).collect())
}
