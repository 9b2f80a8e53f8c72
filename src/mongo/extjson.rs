//! Whole documents as relaxed MongoDB Extended JSON v2, for tombstones, and back. Where the relaxed form, or `jsonb`, would lose
//! the type of a number, the canonical one is used.

use mongodb::bson::{
    Binary, Bson, DateTime, Document, JavaScriptCodeWithScope, RawDocument, Regex, Timestamp, Utf8Lossy, oid::ObjectId,
    spec::BinarySubtype,
};
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

/// The same of a document that was read.
pub(super) fn plain(document: &Document) -> Json {
    object(document)
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
        // as a plain number it would come back as an int32
        Bson::Int64(number) if i32::try_from(*number).is_ok() => json!({ "$numberLong": number.to_string() }),
        Bson::Int64(number) => json!(number),
        Bson::Double(number) if number.is_finite() => double(*number),
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

/// As a plain number only if `jsonb`, which knows no exponents and no negative zero, gives back a double.
fn double(number: f64) -> Json {
    let shown = json!(number);
    let text = shown.to_string();
    let plain = text.contains('.') && !text.contains('e') && !(number == 0.0 && number.is_sign_negative());
    if plain { shown } else { json!({ "$numberDouble": text }) }
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

/// The document that was shown so; `None` if its JSON does not say all of it.
pub(super) fn restored(shown: &Json) -> Option<Document> {
    shown.as_object()?.iter().map(|(key, value)| Some((key.clone(), read(value)?))).collect()
}

fn read(shown: &Json) -> Option<Bson> {
    Some(match shown {
        Json::Null => Bson::Null,
        Json::Bool(flag) => Bson::Boolean(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => i32::try_from(whole).map_or(Bson::Int64(whole), Bson::Int32),
            None => Bson::Double(number.as_f64()?),
        },
        Json::String(text) => Bson::String(text.clone()),
        Json::Array(items) => Bson::Array(items.iter().map(read).collect::<Option<_>>()?),
        Json::Object(entries) => match entries.iter().next().filter(|(key, _)| key.starts_with('$')) {
            Some((key, inner)) => read_typed(key, inner, shown)?,
            None => Bson::Document(restored(shown)?),
        },
    })
}

fn read_typed(key: &str, inner: &Json, whole: &Json) -> Option<Bson> {
    let text = inner.as_str();
    Some(match key {
        "$oid" => Bson::ObjectId(ObjectId::parse_str(text?).ok()?),
        "$date" => Bson::DateTime(match text {
            Some(iso) => DateTime::parse_rfc3339_str(iso).ok()?,
            None => DateTime::from_millis(inner.get("$numberLong")?.as_str()?.parse().ok()?),
        }),
        "$numberLong" => Bson::Int64(text?.parse().ok()?),
        "$numberDouble" => Bson::Double(text?.replace("Infinity", "inf").parse().ok()?),
        "$numberDecimal" => Bson::Decimal128(text?.parse().ok()?),
        "$binary" => {
            let subtype = u8::from_str_radix(inner.get("subType")?.as_str()?, 16).ok()?;
            let bytes = base64::decode(inner.get("base64")?.as_str()?)?;
            Bson::Binary(Binary { subtype: BinarySubtype::from(subtype), bytes })
        }
        "$timestamp" => {
            let part = |name: &str| inner.get(name)?.as_u64().and_then(|part| u32::try_from(part).ok());
            Bson::Timestamp(Timestamp { time: part("t")?, increment: part("i")? })
        }
        "$regularExpression" => {
            let part = |name: &str| inner.get(name)?.as_str()?.to_owned().try_into().ok();
            Bson::RegularExpression(Regex { pattern: part("pattern")?, options: part("options")? })
        }
        "$code" | "$scope" => {
            let code = whole.get("$code")?.as_str()?.to_owned();
            match whole.get("$scope") {
                Some(scope) => Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope: restored(scope)? }),
                None => Bson::JavaScriptCode(code),
            }
        }
        "$symbol" => Bson::Symbol(text?.to_owned()),
        "$undefined" => Bson::Undefined,
        "$maxKey" => Bson::MaxKey,
        "$minKey" => Bson::MinKey,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{DateTime, RawDocumentBuf, doc, oid::ObjectId, spec::BinarySubtype};

    use super::*;

    #[test]
    fn what_it_shows_comes_back_with_its_types() {
        let source = doc! {
            "_id": ObjectId::from_bytes([0xab; 12]), "int": 7, "long": 7_i64, "longer": i64::MAX, "one": 1.0, "big": 1e17, "huge": 1e300,
            "tiny": 1e-7, "nan": f64::NEG_INFINITY, "t": DateTime::from_millis(1), "before": DateTime::from_millis(-1),
            "b": Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 16] }, "o": { "x": [null, true, "text"] },
            "d": "1.50".parse::<mongodb::bson::Decimal128>().unwrap(), "stamp": Timestamp { time: 1, increment: 2 },
            "max": Bson::MaxKey, "code": Bson::JavaScriptCode("f()".into()),
            "regex": Regex { pattern: "^a".to_owned().try_into().unwrap(), options: "i".to_owned().try_into().unwrap() },
        };
        let shown: Json = serde_json::from_str(&plain(&source).to_string()).unwrap();
        assert_eq!(restored(&shown), Some(source));
        assert_eq!(restored(&json!({ "_id": 1, "x": { "$unreadable": "malformed BSON" } })), None);
    }

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
