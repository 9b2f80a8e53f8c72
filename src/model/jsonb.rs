//! Values as a `jsonb` column holds them and back, without losing anything: numbers without rounding, and what JSON has no form
//! for as MongoDB's extended JSON (`{"$oid": …}`, `{"$date": …}`, `{"$uuid": …}`, `{"$binary": …}`).

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
        Value::Text(text) => Json::String(text.clone()),
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
            entries.iter().map(|(key, item)| (key.clone(), to_jsonb(item))).collect::<Map<_, _>>().into()
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
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(from_jsonb).collect()),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, item)| (key.clone(), from_jsonb(item))).collect();
            special(&entries).unwrap_or(Value::Object(entries))
        }
    }
}

/// The number as an integer, if it is one.
pub fn whole_if_possible(number: Decimal) -> Value {
    number.as_int().map_or(Value::Decimal(number), Value::Int)
}

/// What an object stands for that is spelled exactly as [`to_jsonb`] spells what JSON has no form for. Any other object,
/// however similar, is an ordinary one: applications may use keys with a `$` for themselves.
pub fn special(entries: &BTreeMap<String, Value>) -> Option<Value> {
    let (key, inner) = entries.first_key_value().filter(|(key, _)| entries.len() == 1 && key.starts_with('$'))?;
    let text = inner.as_text();
    let value = match key.as_str() {
        "$oid" => Value::Id(text?.parse::<LegacyId>().ok()?.bytes()),
        "$date" => Value::Timestamp(calendar::from_iso(text?).filter(|micros| micros % 1000 == 0)?),
        "$uuid" => Value::Uuid(uuid_from_text(text?)?),
        "$binary" => binary(inner)?,
        _ => return None,
    };
    (from_plain(&to_jsonb(&value)) == Value::Object(entries.clone())).then_some(value)
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
        Json::String(text) => Value::Text(text.clone()),
        Json::Object(entries) => {
            Value::Object(entries.iter().map(|(key, item)| (key.clone(), from_plain(item))).collect())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
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

    /// Canonical values inside a `jsonb` column.
    fn canonical() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            "-?[1-9][0-9]{0,40}\\.[0-9]{0,40}[1-9]".prop_map(|digits| Value::Decimal(digits.parse().unwrap())),
            "\\PC{0,8}".prop_map(Value::Text),
            any::<i64>().prop_map(|micros| Value::Timestamp(micros / 1000 * 1000)),
            any::<[u8; 12]>().prop_map(Value::Id),
            any::<[u8; 16]>().prop_map(Value::Uuid),
            (any::<u8>(), collection::vec(any::<u8>(), 0..9)).prop_map(|(kind, bytes)| Value::Binary(kind, bytes)),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            prop_oneof![
                collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                collection::btree_map("[a-z$.]{0,3}", inner, 0..4).prop_map(Value::Object),
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
