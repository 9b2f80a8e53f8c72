//! Values as JSON: for the journal and tombstones, and back from MongoDB's extended JSON for examples.

use serde_json::{Map, Value as Json, json};

use super::{base64, calendar, jsonb, key::LegacyId, value::Value};

/// A value as JSON: timestamps as ISO 8601 in UTC, ids as hex text, numbers JSON cannot hold as text.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Int(number) => json!(number),
        Value::Float(number) if number.is_finite() => json!(number),
        Value::Float(number) => json!(number.to_string()),
        Value::Decimal(number) => json!(number.to_string()),
        Value::Text(text) => Json::String(visible(text)),
        Value::Timestamp(micros) => json!(calendar::to_iso(*micros)),
        Value::Date(days) => json!(calendar::date_to_iso(*days)),
        Value::Uuid(bytes) => json!(uuid_text(bytes)),
        Value::Binary(subtype, bytes) => json!({ "subtype": subtype, "hex": hex(bytes) }),
        Value::Dangling(held) => to_json(held),
        Value::Id(bytes) => json!(LegacyId::new(*bytes).to_string()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Object(entries) => {
            Json::Object(entries.iter().map(|(key, item)| (visible(key), to_json(item))).collect())
        }
        Value::Opaque(name) => json!({ "opaque": name }),
    }
}

/// Bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// The canonical text of a UUID.
pub fn uuid_text(bytes: &[u8; 16]) -> String {
    let all = hex(bytes);
    [&all[..8], &all[8..12], &all[12..16], &all[16..20], &all[20..]].join("-")
}

/// The bytes of a UUID in its text, with or without hyphens.
pub fn uuid_from_text(text: &str) -> Option<[u8; 16]> {
    uuid::Uuid::try_parse(text).ok().map(uuid::Uuid::into_bytes)
}

/// Text with U+0000 shown as ␀, because `jsonb` refuses it.
fn visible(text: &str) -> String {
    text.replace('\0', "␀")
}

/// A value from MongoDB's extended JSON, relaxed or canonical: plain JSON with `{"$oid": …}`, `{"$date": …}` and the like.
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => number
            .as_i64()
            .map(Value::Int)
            .or_else(|| number.as_f64().map(Value::Float))
            .unwrap_or_else(|| jsonb::from_jsonb(json)),
        Json::String(text) => Value::Text(text.as_str().into()),
        Json::Array(items) => Value::List(items.iter().map(from_json).collect()),
        Json::Object(entries) => extended(entries).unwrap_or_else(|| {
            Value::Object(entries.iter().map(|(key, item)| (key.clone(), from_json(item))).collect())
        }),
    }
}

/// The value of an object such as `{"$oid": "…"}`; `None` if it is an ordinary object.
fn extended(entries: &Map<String, Json>) -> Option<Value> {
    let (key, inner) = entries.iter().next().filter(|(key, _)| key.starts_with('$'))?;
    let text = inner.as_str();
    let value = match key.as_str() {
        "$oid" => text.and_then(|hex| hex.parse::<LegacyId>().ok()).map(|id| Value::Id(id.bytes())),
        "$date" => match text {
            Some(iso) => calendar::from_iso(iso).map(Value::Timestamp),
            None => inner
                .get("$numberLong")
                .unwrap_or(inner)
                .as_str()
                .and_then(|millis| millis.parse::<i64>().ok())
                .or_else(|| inner.as_i64())
                .and_then(|millis| millis.checked_mul(1000))
                .map(Value::Timestamp),
        },
        "$numberInt" | "$numberLong" => text.and_then(|number| number.parse().ok()).map(Value::Int),
        "$numberDouble" => text.and_then(|number| number.parse().ok()).map(Value::Float),
        "$numberDecimal" => text.and_then(|number| number.parse().ok()).map(Value::Decimal),
        "$uuid" => text.and_then(uuid_from_text).map(Value::Uuid),
        "$binary" => binary(inner),
        "$undefined" => Some(Value::Opaque("undefined")),
        _ => Some(Value::Opaque("another BSON type")),
    };
    Some(value.unwrap_or(Value::Opaque("malformed extended JSON")))
}

/// Bytes with their subtype; a UUID where the subtype says so.
fn binary(inner: &Json) -> Option<Value> {
    let bytes = base64::decode(inner.get("base64")?.as_str()?)?;
    let subtype = u8::from_str_radix(inner.get("subType")?.as_str()?, 16).ok()?;
    Some(Value::of_bytes(subtype, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_pasted_from_mongosh_is_understood() {
        let pasted = json!({ "_id": { "$oid": "65f0c0ffee00000000000abc" }, "at": { "$date": "2024-01-02T00:00:00Z" },
            "old": { "$date": { "$numberLong": "-1" } }, "n": { "$numberLong": "7" }, "d": { "$numberDouble": "NaN" }, "all": { "x": 1.5 } });
        let shown = to_json(&from_json(&pasted));
        let expected = json!({ "_id": "65f0c0ffee00000000000abc", "at": "2024-01-02T00:00:00.000Z",
            "old": "1969-12-31T23:59:59.999Z", "n": 7, "d": "NaN", "all": { "x": 1.5 } });
        assert_eq!(shown, expected);
    }

    #[test]
    fn numbers_and_bytes_of_extended_json_are_read_exactly() {
        let read = |json: Json| from_json(&json);
        assert_eq!(read(json!({ "$numberDecimal": "0.10" })), Value::Decimal("0.1".parse().unwrap()));
        assert_eq!(read(json!({ "$numberDecimal": "NaN" })), Value::Opaque("malformed extended JSON"));
        assert_eq!(read(json!({ "$binary": { "base64": "AQI=", "subType": "06" } })), Value::Binary(6, vec![1, 2]));
        assert_eq!(
            read(json!({ "$uuid": "00000000-0000-0000-0000-00000000002a" })),
            Value::Uuid(42_u128.to_be_bytes())
        );
        let bytes = base64::encode(&42_u128.to_be_bytes());
        let same = json!({ "$binary": { "base64": bytes, "subType": "04" } });
        assert_eq!(read(same), Value::Uuid(42_u128.to_be_bytes()));
        let beyond: Json = serde_json::from_str("1e400").unwrap();
        assert_eq!(from_json(&beyond), Value::Decimal("1e400".parse().unwrap()));
    }

    #[test]
    fn microseconds_are_shown_only_where_there_are_any() {
        assert_eq!(to_json(&Value::Timestamp(1)), json!("1970-01-01T00:00:00.000001Z"));
        assert_eq!(to_json(&Value::Timestamp(-62_135_596_800_000_000)), json!("0001-01-01T00:00:00.000Z"));
    }
}
