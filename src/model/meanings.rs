//! From the JSON in which a value is shown back to the value: JSON has fewer types, so one text may mean several values.

use serde_json::{Number, Value as Json};

use super::{
    calendar,
    json::{self, to_json, uuid_from_text},
    key::LegacyId,
    value::Value,
};

const DAY: i64 = 86_400_000_000;

/// What the leaves of a value are taken for.
#[derive(Clone, Copy, PartialEq)]
enum Leaves {
    /// Text is text, a number whole or a decimal.
    Plain,
    /// Numbers with a fraction are doubles.
    Doubles,
    /// All numbers are doubles.
    OnlyDoubles,
    /// Numbers and text are decimals.
    Decimals,
    Timestamps,
    Dates,
    Ids,
    Uuids,
    Bytes,
    /// MongoDB's extended JSON, as a person may type it.
    Extended,
}

const ALL: [Leaves; 10] = [
    Leaves::Plain,
    Leaves::Doubles,
    Leaves::OnlyDoubles,
    Leaves::Decimals,
    Leaves::Timestamps,
    Leaves::Dates,
    Leaves::Ids,
    Leaves::Uuids,
    Leaves::Bytes,
    Leaves::Extended,
];

/// The values that this JSON may show ([`to_json`]), the plainest first; each once.
pub fn meanings(shown: &Json) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for leaves in ALL {
        if let Some(value) = read(shown, leaves).filter(|value| !found.contains(value)) {
            found.push(value);
        }
    }
    found
}

fn read(shown: &Json, leaves: Leaves) -> Option<Value> {
    if leaves == Leaves::Extended {
        return Some(json::from_json(shown));
    }
    Some(match shown {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => read_number(number, leaves)?,
        Json::String(text) => read_text(text, leaves)?,
        Json::Array(items) => Value::List(items.iter().map(|item| read(item, leaves)).collect::<Option<_>>()?),
        Json::Object(entries) => match read_bytes(shown).filter(|_| leaves == Leaves::Bytes) {
            Some(bytes) => bytes,
            None => {
                let entries = entries.iter().map(|(key, item)| Some((key.clone(), read(item, leaves)?)));
                Value::Object(entries.collect::<Option<_>>()?)
            }
        },
    })
}

fn read_number(number: &Number, leaves: Leaves) -> Option<Value> {
    let whole = number.as_i64().map(Value::Int);
    let double = || number.as_f64().map(Value::Float);
    let decimal = || number.to_string().parse().ok().map(Value::Decimal);
    match leaves {
        Leaves::OnlyDoubles => double(),
        Leaves::Doubles => whole.or_else(double),
        Leaves::Decimals => decimal(),
        _ => whole.or_else(decimal),
    }
}

fn read_text(text: &str, leaves: Leaves) -> Option<Value> {
    match leaves {
        Leaves::Timestamps => calendar::from_iso(text).map(Value::Timestamp),
        Leaves::Dates => {
            let micros = calendar::from_iso(text).filter(|micros| micros % DAY == 0)?;
            i32::try_from(micros / DAY).ok().map(Value::Date)
        }
        Leaves::Decimals => text.parse().ok().map(Value::Decimal),
        Leaves::OnlyDoubles => text.parse().ok().filter(|number: &f64| !number.is_finite()).map(Value::Float),
        Leaves::Ids => text.parse::<LegacyId>().ok().map(|id| Value::Id(id.bytes())),
        Leaves::Uuids => uuid_from_text(text).map(Value::Uuid),
        Leaves::Plain | Leaves::Doubles | Leaves::Bytes | Leaves::Extended => Some(Value::Text(text.into())),
    }
}

/// The bytes of `{"subtype": …, "hex": …}`.
fn read_bytes(shown: &Json) -> Option<Value> {
    let subtype = u8::try_from(shown.get("subtype")?.as_u64()?).ok()?;
    let hex = shown.get("hex")?.as_str()?;
    let pairs = hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let value = Value::Binary(subtype, pairs.collect::<Option<_>>()?);
    (to_json(&value) == *shown).then_some(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_value_is_among_the_meanings_of_what_shows_it() {
        let list = Value::List(vec![Value::Id([3; 12]), Value::Id([4; 12])]);
        let object = BTreeMap::from([("a".to_owned(), Value::Int(1)), ("b".to_owned(), Value::Float(0.5))]);
        for value in [
            Value::Null,
            Value::Bool(true),
            Value::Int(-7),
            Value::Float(0.1),
            Value::Float(1e17),
            Value::Float(f64::INFINITY),
            Value::Decimal("1.50".parse().unwrap()),
            Value::Text("2024-01-02".into()),
            Value::Timestamp(1_704_164_645_000_001),
            Value::Date(-3),
            Value::Id([9; 12]),
            Value::Uuid([7; 16]),
            Value::Binary(0, vec![1, 255]),
            list,
            Value::Object(object),
        ] {
            // as jsonb gives it back
            let text = to_json(&value).to_string().replace("1e+17", "100000000000000000");
            let meant = meanings(&serde_json::from_str(&text).unwrap());
            assert!(meant.contains(&value), "{value:?}: {meant:?}");
        }
    }

    #[test]
    fn text_is_first_taken_for_text() {
        assert_eq!(meanings(&Json::from("2024-01-02"))[0], Value::Text("2024-01-02".into()));
    }
}
