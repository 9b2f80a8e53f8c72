//! Whole documents as relaxed MongoDB Extended JSON v2, for tombstones: everything can be restored from it.

use mongodb::bson::{Binary, Bson, Document, RawDocument, Utf8Lossy};
use serde_json::{Map, Value as Json, json};

use crate::model::base64;

/// The year 10000: later dates have no ISO form in relaxed Extended JSON.
const LAST_ISO_MILLIS: i64 = 253_402_300_799_999;

/// The document as JSON; text that is not UTF-8 is repaired, for the rest would be lost with it.
pub(super) fn document(raw: &RawDocument) -> Json {
    match Utf8Lossy::<Document>::try_from(raw) {
        Ok(Utf8Lossy(document)) => object(&document),
        Err(_) => json!({ "$unreadable": "malformed BSON" }),
    }
}

/// One value as JSON.
pub(super) fn value(value: &Bson) -> Json {
    json(value)
}

fn object(document: &Document) -> Json {
    Json::Object(document.iter().map(|(key, value)| (key.clone(), json(value))).collect::<Map<_, _>>())
}

fn json(value: &Bson) -> Json {
    match value {
        Bson::Null => Json::Null,
        Bson::Boolean(flag) => json!(flag),
        Bson::Int32(number) => json!(number),
        Bson::Int64(number) => json!(number),
        Bson::Double(number) if number.is_finite() => json!(number),
        Bson::Double(number) => json!({ "$numberDouble": not_finite(*number) }),
        Bson::String(text) => json!(text),
        Bson::Array(items) => Json::Array(items.iter().map(json).collect()),
        Bson::Document(inner) => object(inner),
        Bson::ObjectId(id) => json!({ "$oid": id.to_hex() }),
        Bson::DateTime(time) => json!({ "$date": date(time.timestamp_millis()) }),
        Bson::Binary(binary) => binary_json(binary),
        Bson::Decimal128(number) => json!({ "$numberDecimal": number.to_string() }),
        Bson::Timestamp(time) => json!({ "$timestamp": { "t": time.time, "i": time.increment } }),
        Bson::RegularExpression(regex) => {
            json!({ "$regularExpression": { "pattern": regex.pattern.as_str(), "options": regex.options.as_str() } })
        }
        Bson::JavaScriptCode(code) => json!({ "$code": code }),
        Bson::JavaScriptCodeWithScope(code) => json!({ "$code": code.code, "$scope": object(&code.scope) }),
        Bson::Symbol(text) => json!({ "$symbol": text }),
        Bson::Undefined => json!({ "$undefined": true }),
        Bson::MaxKey => json!({ "$maxKey": 1 }),
        Bson::MinKey => json!({ "$minKey": 1 }),
        Bson::DbPointer(_) => json!({ "$dbPointer": {} }),
    }
}

const fn not_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn date(millis: i64) -> Json {
    let iso = (0..=LAST_ISO_MILLIS).contains(&millis);
    let shown = mongodb::bson::DateTime::from_millis(millis).try_to_rfc3339_string();
    match shown {
        Ok(text) if iso => json!(text),
        Ok(_) | Err(_) => json!({ "$numberLong": millis.to_string() }),
    }
}

fn binary_json(binary: &Binary) -> Json {
    json!({ "$binary": { "base64": base64::encode(&binary.bytes), "subType": format!("{:02x}", u8::from(binary.subtype)) } })
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{DateTime, RawDocumentBuf, doc, oid::ObjectId, spec::BinarySubtype};

    use super::*;

    #[test]
    fn it_is_the_relaxed_form() {
        let id = ObjectId::from_bytes([0xab; 12]);
        let source = doc! {
            "_id": id, "n": 1, "long": i64::MAX, "d": 1.5, "nan": f64::NAN, "t": DateTime::from_millis(0), "before": DateTime::from_millis(-1),
            "b": Binary { subtype: BinarySubtype::Generic, bytes: b"\x01\x02\x03\x04".to_vec() }, "o": { "x": [null, true, "text"] },
        };
        let shown = document(&RawDocumentBuf::try_from(&source).unwrap());
        assert_eq!(
            shown,
            json!({
                "_id": { "$oid": "ab".repeat(12) }, "n": 1, "long": i64::MAX, "d": 1.5, "nan": { "$numberDouble": "NaN" },
                "t": { "$date": "1970-01-01T00:00:00Z" }, "before": { "$date": { "$numberLong": "-1" } },
                "b": { "$binary": { "base64": "AQIDBA==", "subType": "00" } }, "o": { "x": [null, true, "text"] },
            })
        );
    }
}
