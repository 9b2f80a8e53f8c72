//! Values as a document already spells them. Canonical values do not know the width of an integer, the trailing zeros of a
//! Decimal128 or the order of an object's keys; what did not change keeps its own.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, RawArray, RawBsonRef, RawDocument};

use super::codec::{put, to_bson, value_of};
use crate::model::{counterparts::Counterparts, mapping::Path, problem::Problem, value::Value};

/// The value as BSON, in which every part that `held` already says is as it is there.
pub(super) fn to_bson_like(value: &Value, held: Option<RawBsonRef<'_>>) -> Result<Bson, Problem> {
    match (value, held) {
        (Value::Object(entries), Some(RawBsonRef::Document(held))) => object(entries, held),
        (Value::List(items), Some(RawBsonRef::Array(held))) => list(items, held),
        // whoever wrote 64 bits reads 64 bits
        (Value::Int(number), Some(RawBsonRef::Int64(_))) => Ok(Bson::Int64(*number)),
        (Value::Decimal(_), Some(held @ RawBsonRef::Decimal128(_))) if value_of(held) == *value => {
            Bson::try_from(held).or_else(|_| to_bson(value))
        }
        (value, _) => to_bson(value),
    }
}

/// What a document holds at a path.
pub(super) fn held_at<'a>(document: &'a RawDocument, path: &Path) -> Option<RawBsonRef<'a>> {
    let (last, parents) = path.0.split_last()?;
    let mut at = document;
    for name in parents {
        at = at.get(name).ok()??.as_document()?;
    }
    at.get(last).ok()?
}

/// Keys that are there keep their order, others follow.
fn object(entries: &BTreeMap<String, Value>, held: &RawDocument) -> Result<Bson, Problem> {
    let mut document = Document::new();
    for (key, raw) in held.iter().filter_map(Result::ok) {
        if let Some((key, item)) = entries.get_key_value(key.as_str()) {
            put(&mut document, key, to_bson_like(item, Some(raw))?)?;
        }
    }
    for (key, item) in entries {
        if !document.contains_key(key) {
            put(&mut document, key, to_bson(item)?)?;
        }
    }
    Ok(Bson::Document(document))
}

fn list(items: &[Value], held: &RawArray) -> Result<Bson, Problem> {
    let held: Vec<RawBsonRef<'_>> = held.into_iter().filter_map(Result::ok).collect();
    let known: Vec<Value> = held.iter().map(|raw| value_of(*raw)).collect();
    let pairs = Counterparts::new(items.len(), held.len(), |n, at| known[at] == items[n]);
    let item = |(n, item)| to_bson_like(item, pairs.of(n).and_then(|at| held.get(at).copied()));
    items.iter().enumerate().map(item).collect::<Result<_, _>>().map(Bson::Array)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Decimal128, doc, oid::ObjectId};
    use proptest::prelude::*;

    use super::{
        super::codec::tests::{path, raw, storable},
        *,
    };

    fn like(value: &Value, held: &Document) -> Bson {
        to_bson_like(value, held_at(&raw(held), &path("x"))).unwrap()
    }

    fn read(document: &Document) -> Value {
        value_of(held_at(&raw(document), &path("x")).unwrap())
    }

    #[test]
    fn what_did_not_change_is_written_as_it_is_held() {
        let price: Decimal128 = "1.500".parse().unwrap();
        let held = doc! { "x": { "b": 1_i64, "a": price, "list": [7_i64, { "z": 1_i64, "y": 2_i32 }], "gone": 1 } };
        let Value::Object(mut wanted) = read(&held) else { panic!("an object") };
        wanted.remove("gone");
        wanted.insert("aa".into(), Value::Int(5));
        let Some(Value::List(items)) = wanted.get_mut("list") else { panic!("a list") };
        items.insert(0, Value::Int(0));
        let expected = doc! { "b": 1_i64, "a": price, "list": [0_i32, 7_i64, { "z": 1_i64, "y": 2_i32 }], "aa": 5 };
        assert_eq!(like(&Value::Object(wanted), &held), Bson::Document(expected));
    }

    #[test]
    fn a_field_of_64_bits_stays_one_and_other_types_follow_the_value() {
        assert_eq!(like(&Value::Int(2), &doc! { "x": 1_i64 }), Bson::Int64(2));
        assert_eq!(like(&Value::Int(2), &doc! { "x": 1_i32 }), Bson::Int32(2));
        assert_eq!(like(&Value::Int(2), &doc! { "x": "1" }), Bson::Int32(2));
        let held = doc! { "x": "1.50".parse::<Decimal128>().unwrap() };
        assert_eq!(like(&Value::Decimal("1.6".parse().unwrap()), &held), Bson::Decimal128("1.6".parse().unwrap()));
    }

    #[test]
    fn a_path_leads_through_objects_only() {
        let document = raw(&doc! { "a": { "b": 1, "id": ObjectId::from_bytes([1; 12]) }, "c": [1] });
        assert!(held_at(&document, &path("a.b")).is_some());
        for none in ["a.c", "c.0", "d.e", "a.b.c"] {
            assert!(held_at(&document, &path(none)).is_none(), "{none}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_held_it_says_the_same(value in storable(), held in storable()) {
            let held = doc! { "x": to_bson(&held).unwrap() };
            prop_assert_eq!(read(&doc! { "x": like(&value, &held) }), value);
        }

        #[test]
        fn what_is_held_is_its_own_spelling(held in storable()) {
            let held = doc! { "x": to_bson(&held).unwrap() };
            prop_assert_eq!(Some(&like(&read(&held), &held)), held.get("x"));
        }
    }
}
