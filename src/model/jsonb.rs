//! Values as a `jsonb` column holds them and back, without losing anything: numbers without rounding, and what JSON has no form
//! for as MongoDB's extended JSON (`{"$oid": …}`, `{"$date": …}`, `{"$uuid": …}`, `{"$binary": …}`). An object that really is what
//! one of these looks like has one `$` more in the column, and one that looks like that has one more again: each is told apart.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{
    base64, calendar,
    decimal::Decimal,
    json::{to_json, uuid_from_text, uuid_text},
    key::LegacyId,
    value::Value,
};

/// Keys that begin so are how `serde_json` hands exact numbers around; an object with one could not be told from a number.
pub const RESERVED: &str = "$serde_json::private";

const DAY: i64 = 86_400_000_000;

/// A value as JSON, so that [`from_jsonb`] gives back the same.
pub fn to_jsonb(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::String(text.to_string()),
        Value::Decimal(number) => {
            serde_json::from_str(&number.to_string()).unwrap_or_else(|_| Json::String(number.to_string()))
        }
        Value::Id(bytes) => json!({ "$oid": LegacyId::new(*bytes).to_string() }),
        Value::Timestamp(micros) => json!({ "$date": calendar::to_iso(*micros) }),
        Value::Date(days) => json!({ "$date": calendar::to_iso(i64::from(*days).saturating_mul(DAY)) }),
        Value::Uuid(bytes) => json!({ "$uuid": uuid_text(bytes) }),
        Value::Binary(subtype, bytes) => {
            json!({ "$binary": { "base64": base64::encode(bytes), "subType": format!("{subtype:02x}") } })
        }
        Value::List(items) => Json::Array(items.iter().map(to_jsonb).collect()),
        Value::Object(entries) => {
            let escape = if lookalike(entries).is_some() { "$" } else { "" };
            entries.iter().map(|(key, item)| (format!("{escape}{key}"), to_jsonb(item))).collect::<Map<_, _>>().into()
        }
        Value::Dangling(held) => to_jsonb(held),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Opaque(_) => to_json(value),
    }
}

/// The value that JSON text spells; opaque where it cannot be read exactly.
pub fn from_text(text: &str) -> Value {
    if text.contains(RESERVED) {
        return Value::Opaque("JSON with a reserved key");
    }
    serde_json::from_str(text).map_or(Value::Opaque("malformed or deeply nested JSON"), |json| from_jsonb(&json))
}

/// A value from JSON: whole numbers are integers, others decimals.
pub fn from_jsonb(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => number.as_i64().map_or_else(
            || number.to_string().parse().map_or(Value::Opaque("number beyond range"), whole_if_possible),
            Value::Int,
        ),
        Json::String(text) => Value::Text(text.as_str().into()),
        Json::Array(items) => Value::List(items.iter().map(from_jsonb).collect()),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, item)| (key.clone(), from_jsonb(item))).collect();
            match lookalike(&entries) {
                Some((1, value)) => value,
                // one `$` is the escape
                Some(_) => Value::Object(entries.into_iter().map(|(key, item)| (key[1..].to_owned(), item)).collect()),
                None => Value::Object(entries),
            }
        }
    }
}

/// The number as an integer, if it is one.
pub fn whole_if_possible(number: Decimal) -> Value {
    number.as_int().map_or(Value::Decimal(number), Value::Int)
}

/// What an object looks like that is spelled exactly as [`to_jsonb`] spells what JSON has no form for, but for the number of `$`,
/// which comes with it. Any other object, however similar, is an ordinary one: applications may use keys with a `$` for themselves.
fn lookalike(entries: &BTreeMap<String, Value>) -> Option<(usize, Value)> {
    let (key, inner) = entries.first_key_value().filter(|_| entries.len() == 1)?;
    let word = key.trim_start_matches('$');
    let text = inner.as_text();
    let value = match word {
        "oid" => Value::Id(text?.parse::<LegacyId>().ok()?.bytes()),
        "date" => Value::Timestamp(calendar::from_iso(text?).filter(|micros| micros % 1000 == 0)?),
        "uuid" => Value::Uuid(uuid_from_text(text?)?),
        "binary" => binary(inner)?,
        _ => return None,
    };
    let dollars = key.len() - word.len();
    let exact = from_plain(to_jsonb(&value).get(format!("${word}"))?) == *inner;
    (dollars > 0 && exact).then_some((dollars, value))
}

fn binary(inner: &Value) -> Option<Value> {
    let Value::Object(parts) = inner else { return None };
    let part = |key: &str| parts.get(key).and_then(Value::as_text);
    let bytes = base64::decode(part("base64")?)?;
    let subtype = u8::from_str_radix(part("subType")?, 16).ok()?;
    // those are spelled `$uuid`
    (subtype != 4 || bytes.len() != 16).then_some(Value::Binary(subtype, bytes))
}

/// The texts and objects of JSON as they are.
fn from_plain(json: &Json) -> Value {
    match json {
        Json::String(text) => Value::Text(text.as_str().into()),
        Json::Object(entries) => {
            Value::Object(entries.iter().map(|(key, item)| (key.clone(), from_plain(item))).collect())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*, sample::select};

    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn numbers_are_not_rounded() {
        for (written, exact) in [
            ("9007199254740993", Value::Int(9_007_199_254_740_993)),
            ("1.0", Value::Int(1)),
            ("0.1000", Value::Decimal("0.1".parse().unwrap())),
            ("18446744073709551617", Value::Decimal("18446744073709551617".parse().unwrap())),
            ("1e400", Value::Decimal("1e400".parse().unwrap())),
            ("-0", Value::Int(0)),
        ] {
            assert_eq!(from_text(written), exact, "{written}");
            assert_eq!(from_text(&to_jsonb(&exact).to_string()), exact, "{written}");
        }
        assert_eq!(from_text("1e999999"), Value::Opaque("number beyond range"));
    }

    #[test]
    fn only_what_is_spelled_exactly_so_stands_for_something_else() {
        let id = "65f0c0ffee00000000000abc";
        assert!(matches!(from_text(&format!("{{\"$oid\":\"{id}\"}}")), Value::Id(_)));
        for ordinary in [
            format!("{{\"$oid\":\"{}\"}}", id.to_uppercase()),
            format!("{{\"$oid\":\"{id}\",\"x\":1}}"),
            "{\"$oid\":7}".to_owned(),
            "{\"$date\":\"2024-01-02\"}".to_owned(),
            "{\"$date\":\"2024-01-02T00:00:00.000001Z\"}".to_owned(),
            "{\"$binary\":{\"base64\":\"Zg\",\"subType\":\"00\"}}".to_owned(),
            "{\"$numberDecimal\":\"1\"}".to_owned(),
            "{\"$set\":{}}".to_owned(),
        ] {
            let Value::Object(entries) = from_text(&ordinary) else { panic!("{ordinary} is an object") };
            assert!(entries.keys().next().is_some_and(|key| key.starts_with('$')), "{ordinary}");
            assert_eq!(to_jsonb(&Value::Object(entries)).to_string(), ordinary);
        }
    }

    #[test]
    fn what_cannot_be_read_exactly_is_opaque() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for unreadable in [&deep, "{\"$serde_json::private::Number\":\"1\"}", "\"\\ud800\"", "{"] {
            assert!(matches!(from_text(unreadable), Value::Opaque(_)), "{unreadable}");
        }
        assert_eq!(from_text("\"\\u0000\""), text("\0"));
    }

    #[test]
    fn an_object_that_looks_like_something_else_has_one_more_dollar_in_the_column() {
        let object = |key: &str, inner: &Value| Value::Object([(key.to_owned(), inner.clone())].into());
        let base64 = [("base64".to_owned(), text("AQI=")), ("subType".to_owned(), text("06"))];
        for (word, inner, native) in [
            (
                "oid",
                text("65f0c0ffee00000000000abc"),
                "65f0c0ffee00000000000abc".parse().map(|id: LegacyId| Value::Id(id.bytes())).unwrap(),
            ),
            ("date", text("1969-12-31T23:59:59.999Z"), Value::Timestamp(-1000)),
            ("uuid", text("00000000-0000-0000-0000-00000000002a"), Value::Uuid(42_u128.to_be_bytes())),
            ("binary", Value::Object(base64.into()), Value::Binary(6, vec![1, 2])),
        ] {
            let column = |dollars: usize| json!({ format!("{}{word}", "$".repeat(dollars)): to_jsonb(&inner) });
            for (dollars, value) in
                [(1, native), (2, object(&format!("${word}"), &inner)), (3, object(&format!("$${word}"), &inner))]
            {
                assert_eq!(to_jsonb(&value), column(dollars), "{word}");
                assert_eq!(from_jsonb(&column(dollars)), value, "{word}");
            }
            assert_eq!(from_jsonb(&column(0)), object(word, &inner), "{word}");
        }
        // whoever only resembles one is as it is, with any number of dollars
        for ordinary in [json!({ "$$oid": "X" }), json!({ "$$set": 1 }), json!({ "$$numberDecimal": "1" })] {
            assert_eq!(to_jsonb(&from_jsonb(&ordinary)), ordinary);
            assert_eq!(from_jsonb(&ordinary), from_plain_or_int(&ordinary));
        }
    }

    fn from_plain_or_int(json: &Json) -> Value {
        match json {
            Json::Object(entries) => {
                Value::Object(entries.iter().map(|(key, item)| (key.clone(), from_plain_or_int(item))).collect())
            }
            Json::Number(number) => Value::Int(number.as_i64().unwrap()),
            other => from_plain(other),
        }
    }

    /// Canonical values inside a `jsonb` column.
    fn canonical() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            "-?[1-9][0-9]{0,40}\\.[0-9]{0,40}[1-9]".prop_map(|digits| Value::Decimal(digits.parse().unwrap())),
            "\\PC{0,8}".prop_map(|text| Value::Text(text.into())),
            select(
                &["65f0c0ffee00000000000abc", "1969-12-31T23:59:59.999Z", "00000000-0000-0000-0000-00000000002a"][..]
            )
            .prop_map(text),
            Just(from_text("{\"base64\":\"AQI=\",\"subType\":\"06\"}")),
            any::<i64>().prop_map(|micros| Value::Timestamp(micros / 1000 * 1000)),
            any::<[u8; 12]>().prop_map(Value::Id),
            any::<[u8; 16]>().prop_map(Value::Uuid),
            (any::<u8>(), collection::vec(any::<u8>(), 0..9)).prop_map(|(kind, bytes)| Value::Binary(kind, bytes)),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            prop_oneof![
                collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                collection::btree_map("[a-z$.]{0,3}|[$]{0,3}(oid|date|uuid|binary)", inner, 0..4)
                    .prop_map(Value::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(value in canonical()) {
            prop_assert_eq!(from_text(&to_jsonb(&value).to_string()), value);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            from_text(&text);
        }
    }
}
