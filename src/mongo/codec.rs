//! Raw BSON to values at the mapped paths, and values back to BSON. Never fails on what a document holds.

use std::collections::BTreeMap;

use mongodb::bson::{
    Binary, Bson, DateTime, Document, RawArray, RawBsonRef, RawDocument, oid::ObjectId, spec::BinarySubtype,
};

use crate::{
    error::{Error, Result},
    model::{
        digest::Digest,
        image::Version,
        key::LegacyId,
        mapping::{Entity, Path},
        problem::{Problem, Reason},
        value::{Slot, Value},
    },
};

/// Deeper than this a value is opaque; the server itself refuses documents nested more than 100 deep from clients.
const DEEPEST: usize = 100;

/// Refuses paths that MongoDB would read as something else than field names from the outside in.
pub(super) fn check_paths(entity: &Entity) -> Result<()> {
    let unusable = |name: &String| name.is_empty() || name.contains(['.', '\0']) || name.starts_with('$');
    match entity.legacy.paths.iter().find(|path| path.0.is_empty() || path.0.iter().any(unusable)) {
        None => Ok(()),
        Some(path) => Err(Error::halt(format!("mapping {}: the legacy path {:?} cannot be used", entity.name, path.0))
            .with_hint("field names must not be empty, start with $ or contain a dot")),
    }
}

/// Which fields to ask for: whole top-level fields, because only they show whether the parent of a nested path is an
/// object, and because MongoDB refuses to project `a` and `a.b` together.
pub(super) fn projection(paths: &[Path]) -> Document {
    paths.iter().filter_map(|path| path.0.first()).map(|name| (name.clone(), Bson::Int32(1))).collect()
}

/// By what a document that was asked for with the same projection is known to be as it was: looking at its bytes costs less than
/// reading its fields.
pub(super) fn version(document: &RawDocument) -> Version {
    Version(vec![Digest::of_bytes(document.as_bytes()).to_bits()])
}

/// What is at a path; `None` if it or an object on the way is missing.
pub(super) fn slot(document: &RawDocument, path: &[String]) -> Slot {
    let (last, parents) = path.split_last()?;
    let mut at = document;
    for name in parents {
        match at.get(name) {
            Ok(Some(RawBsonRef::Document(inner))) => at = inner,
            Ok(_) => return None,
            Err(_) => return Some(Value::Opaque("malformed BSON")),
        }
    }
    match at.get(last) {
        Ok(found) => found.map(|raw| value(raw, DEEPEST)),
        Err(_) => Some(Value::Opaque("malformed BSON")),
    }
}

/// The `_id`, if the bridge can address it.
pub(super) fn id_of(document: &RawDocument) -> Option<LegacyId> {
    document.get_object_id("_id").ok().map(|id| LegacyId::new(id.bytes()))
}

/// The ObjectId of a legacy id.
pub(super) const fn object_id(id: LegacyId) -> ObjectId {
    ObjectId::from_bytes(id.bytes())
}

/// The value of one element.
pub(super) fn value_of(raw: RawBsonRef<'_>) -> Value {
    value(raw, DEEPEST)
}

fn value(raw: RawBsonRef<'_>, depth: usize) -> Value {
    if depth == 0 {
        return Value::Opaque("deeply nested value");
    }
    match raw {
        RawBsonRef::Null => Value::Null,
        RawBsonRef::Boolean(flag) => Value::Bool(flag),
        RawBsonRef::Int32(number) => Value::Int(i64::from(number)),
        RawBsonRef::Int64(number) => Value::Int(number),
        RawBsonRef::Double(number) => Value::Float(number),
        RawBsonRef::String(text) => Value::Text(text.into()),
        RawBsonRef::DateTime(time) => {
            time.timestamp_millis().checked_mul(1000).map_or(Value::Opaque("date out of range"), Value::Timestamp)
        }
        RawBsonRef::ObjectId(id) => Value::Id(id.bytes()),
        RawBsonRef::Array(items) => list(items, depth),
        RawBsonRef::Document(inner) => object(inner, depth),
        RawBsonRef::RegularExpression(_) => Value::Opaque("regex"),
        RawBsonRef::JavaScriptCode(_) | RawBsonRef::JavaScriptCodeWithScope(_) => Value::Opaque("javascript"),
        RawBsonRef::Timestamp(_) => Value::Opaque("internal timestamp"),
        RawBsonRef::Binary(binary) => Value::of_bytes(binary.subtype.into(), binary.bytes),
        RawBsonRef::Symbol(_) => Value::Opaque("symbol"),
        RawBsonRef::Decimal128(number) => {
            number.to_string().parse().map_or(Value::Opaque("decimal beyond range"), Value::Decimal)
        }
        RawBsonRef::Undefined => Value::Opaque("undefined"),
        RawBsonRef::MaxKey => Value::Opaque("maxKey"),
        RawBsonRef::MinKey => Value::Opaque("minKey"),
        RawBsonRef::DbPointer(_) => Value::Opaque("dbPointer"),
    }
}

fn list(items: &RawArray, depth: usize) -> Value {
    let items: std::result::Result<Vec<Value>, _> =
        items.into_iter().map(|item| item.map(|raw| value(raw, depth - 1))).collect();
    items.map_or(Value::Opaque("malformed BSON"), Value::List)
}

/// An object; opaque if a key is there twice, because only one of the two values could be kept.
fn object(inner: &RawDocument, depth: usize) -> Value {
    let mut entries = BTreeMap::new();
    for entry in inner {
        let Ok((key, raw)) = entry else { return Value::Opaque("malformed BSON") };
        if entries.insert(key.as_str().to_owned(), value(raw, depth - 1)).is_some() {
            return Value::Opaque("object with a repeated key");
        }
    }
    Value::Object(entries)
}

/// The value as BSON. Timestamps keep milliseconds, which is all MongoDB holds.
pub(super) fn to_bson(value: &Value) -> std::result::Result<Bson, Problem> {
    Ok(match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(*flag),
        // like the application's driver: 32 bits where they suffice
        Value::Int(number) => i32::try_from(*number).map_or(Bson::Int64(*number), Bson::Int32),
        Value::Float(number) => Bson::Double(*number),
        Value::Text(text) => Bson::String(text.to_string()),
        Value::Timestamp(micros) => Bson::DateTime(DateTime::from_millis(micros.div_euclid(1000))),
        Value::Decimal(number) => {
            Bson::Decimal128(number.to_string().parse().map_err(|_| {
                Problem::new(Reason::OutOfRange, "a decimal number has more digits than Decimal128 holds")
            })?)
        }
        Value::Date(days) => Bson::DateTime(DateTime::from_millis(i64::from(*days) * 86_400_000)),
        Value::Uuid(bytes) => Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: bytes.to_vec() }),
        Value::Binary(subtype, bytes) => Bson::Binary(Binary { subtype: (*subtype).into(), bytes: bytes.clone() }),
        Value::Dangling(held) => to_bson(held)?,
        Value::Id(bytes) => Bson::ObjectId(ObjectId::from_bytes(*bytes)),
        Value::List(items) => Bson::Array(items.iter().map(to_bson).collect::<std::result::Result<_, _>>()?),
        Value::Object(entries) => {
            let mut document = Document::new();
            for (key, item) in entries {
                put(&mut document, key, to_bson(item)?)?;
            }
            Bson::Document(document)
        }
        Value::Opaque(name) => {
            return Err(Problem::new(Reason::WrongType, format!("a value of type {name} cannot be written")));
        }
    })
}

/// Adds an entry to an object.
pub(super) fn put(document: &mut Document, key: &str, value: Bson) -> std::result::Result<(), Problem> {
    if key.contains('\0') {
        return Err(Problem::new(Reason::NulCharacter, "a key of an object holds U+0000, which BSON cannot store"));
    }
    document.insert(key, value);
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use mongodb::bson::{Decimal128, JavaScriptCodeWithScope, RawDocumentBuf, Regex, Timestamp, doc, raw::cstr};
    use proptest::prelude::*;

    use super::*;
    use crate::mongo::layout::Layout;

    pub(crate) fn path(text: &str) -> Path {
        Path(text.split('.').map(str::to_owned).collect())
    }

    pub(crate) fn raw(document: &Document) -> RawDocumentBuf {
        RawDocumentBuf::try_from(document).unwrap()
    }

    /// Any value that MongoDB can hold and give back unchanged.
    pub(crate) fn storable() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            "-?[1-9][0-9]{0,16}\\.[0-9]{0,15}[1-9]".prop_map(|digits| Value::Decimal(digits.parse().unwrap())),
            ".{0,12}".prop_map(|text| Value::Text(text.into())),
            (-9_000_000_000_000i64..9_000_000_000_000).prop_map(|ms| Value::Timestamp(ms * 1000)),
            any::<[u8; 12]>().prop_map(Value::Id),
            any::<[u8; 16]>().prop_map(Value::Uuid),
            (0_u8..8, prop::collection::vec(any::<u8>(), 0..9)).prop_map(|(kind, bytes)| Value::Binary(kind, bytes)),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::btree_map("[a-z.$]{0,4}", inner, 0..4).prop_map(Value::Object),
            ]
        })
    }

    #[test]
    fn a_missing_path_is_not_a_null() {
        let document = raw(&doc! { "name": null, "email_notification": { "all": true }, "push_notification": "yes" });
        assert_eq!(slot(&document, &path("name").0), Some(Value::Null));
        assert_eq!(slot(&document, &path("email").0), None);
        assert_eq!(slot(&document, &path("email_notification.all").0), Some(Value::Bool(true)));
        assert_eq!(slot(&document, &path("email_notification.some").0), None);
        assert_eq!(slot(&document, &path("push_notification.all").0), None);
        assert_ne!(
            version(&document),
            version(&raw(&doc! { "email_notification": { "all": true }, "push_notification": "yes" }))
        );
    }

    #[test]
    fn an_integral_double_stays_a_double_and_both_integer_widths_are_one() {
        let document = raw(&doc! { "a": 1_i32, "b": 1_i64, "c": 1.0 });
        assert_eq!(slot(&document, &path("a").0), Some(Value::Int(1)));
        assert_eq!(slot(&document, &path("b").0), Some(Value::Int(1)));
        assert_eq!(slot(&document, &path("c").0), Some(Value::Float(1.0)));
    }

    #[test]
    fn finite_decimals_are_exact_and_others_opaque() {
        let held = |text: &str| {
            let number: Decimal128 = text.parse().unwrap();
            slot(&raw(&doc! { "x": number }), &path("x").0).unwrap()
        };
        let most = format!("{}E+6111", "9".repeat(34));
        for text in ["0.1", "-0", "1.50", "1E-6176", "1E+6144", most.as_str(), "-12345678901234567890.5"] {
            let number: crate::model::decimal::Decimal = text.parse().unwrap();
            assert_eq!(held(text), Value::Decimal(number.clone()), "{text}");
            let Ok(Bson::Decimal128(written)) = to_bson(&Value::Decimal(number.clone())) else { panic!("{text}") };
            assert_eq!(written.to_string().parse(), Ok(number), "{text}");
        }
        for text in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(held(text), Value::Opaque("decimal beyond range"), "{text}");
        }
        for text in ["1E+6145", "1E-6177", &"1".repeat(35), &format!("0.{}1", "0".repeat(6176))] {
            let refused = to_bson(&Value::Decimal(text.parse().unwrap())).unwrap_err();
            assert_eq!(refused.reason, Reason::OutOfRange, "{text}");
        }
    }

    #[test]
    fn types_without_a_canonical_form_are_opaque_and_named() {
        let scope = JavaScriptCodeWithScope { code: "f".into(), scope: doc! { "x": 1 } };
        let regex = Regex { pattern: cstr!("a").into(), options: cstr!("i").into() };
        let odd = doc! {
            "timestamp": Timestamp { time: 1, increment: 2 }, "regex": regex, "symbol": Bson::Symbol("s".into()), "code": scope,
            "min": Bson::MinKey, "max": Bson::MaxKey, "undefined": Bson::Undefined, "late": DateTime::MAX,
        };
        let document = raw(&odd);
        for name in odd.keys() {
            assert!(matches!(slot(&document, &path(name).0), Some(Value::Opaque(_))), "{name}");
        }
        let reference = raw(&doc! { "x": { "$ref": "users", "$id": ObjectId::from_bytes([1; 12]) } });
        assert!(
            matches!(slot(&reference, &path("x").0), Some(Value::Object(_))),
            "a DBRef is an object like any other"
        );
    }

    #[test]
    fn a_repeated_key_makes_its_object_opaque_and_odd_keys_do_not() {
        let odd = raw(&doc! { "x": { "": 1, "$y": 2, "a.b": 3 } });
        let Some(Value::Object(entries)) = slot(&odd, &path("x").0) else { panic!("an object") };
        assert_eq!(entries.keys().collect::<Vec<_>>(), ["", "$y", "a.b"]);
        let mut bytes = raw(&doc! { "x": { "aa": 1, "bb": 2 } }).into_bytes();
        let at = bytes.windows(2).position(|window| window == b"bb").unwrap();
        bytes[at..at + 2].copy_from_slice(b"aa");
        let twice = RawDocumentBuf::from_bytes(bytes).unwrap();
        assert_eq!(slot(&twice, &path("x").0), Some(Value::Opaque("object with a repeated key")));
    }

    #[test]
    fn text_that_is_not_utf8_is_opaque_and_hides_nothing_else() {
        let mut bytes = raw(&doc! { "bad": "xx", "good": 7 }).into_bytes();
        let at = bytes.windows(3).position(|window| window == b"xx\0").unwrap();
        bytes[at] = 0xFF;
        let document = RawDocumentBuf::from_bytes(bytes).unwrap();
        assert_eq!(slot(&document, &path("bad").0), Some(Value::Opaque("malformed BSON")));
        assert_eq!(slot(&document, &path("good").0), Some(Value::Int(7)));
    }

    #[test]
    fn a_bottomless_document_is_opaque_at_the_bottom() {
        let mut nested = Value::Null;
        for _ in 0..150 {
            nested = Value::Object(BTreeMap::from([("a".to_owned(), nested)]));
        }
        let document = raw(&doc! { "x": to_bson(&nested).unwrap() });
        assert!(slot(&document, &path("x").0).is_some());
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(value in storable()) {
            let document = raw(&doc! { "x": to_bson(&value).unwrap() });
            prop_assert_eq!(slot(&document, &path("x").0), Some(value));
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), name in "[a-c]") {
            // a plausible frame, so that more than the length check is reached
            bytes.push(0);
            let length = u32::try_from(bytes.len() + 4).unwrap();
            let framed = [&length.to_le_bytes()[..], &bytes].concat();
            if let Ok(document) = RawDocument::from_bytes(&framed) {
                let _ = Layout::new(&[path("_id"), path(&name), path("a.b.c")]).slots(document);
            }
        }

        #[test]
        fn damaged_documents_do_not_make_it_panic(value in storable(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = raw(&doc! { "a": { "b": to_bson(&value).unwrap() }, "x": [to_bson(&value).unwrap()] }).into_bytes();
            let at = 4 + at.index(bytes.len() - 5);
            bytes[at] = to;
            if let Ok(document) = RawDocument::from_bytes(&bytes) {
                let _ = Layout::new(&[path("_id"), path("x"), path("a.b"), path("a.b.a")]).slots(document);
            }
        }
    }
}
