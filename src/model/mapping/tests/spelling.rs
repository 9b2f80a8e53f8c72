//! Which contents are spellings of one another, written down apart from the transforms: what a field that loses nothing may
//! read as one value.

use super::super::{
    lens::{HalfLens, Missing},
    transform::{Transform, spread::Spread, text::as_text},
};
use crate::model::{
    key::LegacyId,
    value::{Slot, Value},
};

/// A text that is the same for contents that are spellings of one another.
pub(super) fn spelling(half: &HalfLens, slots: &[Slot]) -> String {
    let held: Vec<&Value> = half.slots.iter().map(|slot| slots[*slot].as_ref().unwrap_or(&Value::Null)).collect();
    let nothing = |value: &&Value| **value == Value::Null || (says_empty_is_null(half) && value.as_text() == Some(""));
    let spelled = match &half.transform {
        Transform::Phone(phone) => phone_digits(held[0], held[1], &phone.default_country),
        Transform::Spread(spread) if !spread.whole => members(spread, &held),
        _ if nothing(&held[0]) => None,
        Transform::Bool(form) => Some((truth(held[0]) != form.invert).to_string()),
        Transform::Flags(flags) => Some((Value::Bool(truth(held[0])) == flags.conditions[0].on).to_string()),
        Transform::Int(_) => as_text(held[0]).map(|text| text.trim().parse::<i64>().unwrap().to_string()),
        Transform::Media(media) => held[0].as_text().map(|text| {
            let known = media.prefixes.iter().find(|(path, _)| text.starts_with(path.as_str()));
            known.map_or_else(|| text.to_owned(), |(path, url)| text.replacen(path.as_str(), url, 1))
        }),
        Transform::Reference(_) => Some(hex(held[0])),
        Transform::References(many) => {
            let Value::List(items) = held[0] else { panic!("read a list from something else") };
            let alive = items.iter().filter(|item| !matches!(item, Value::Dangling(_)));
            let mut ids: Vec<String> = alive.map(hex).collect();
            if many.set {
                ids.sort();
                ids.dedup();
            }
            Some(format!("[{}]", ids.join(" ")))
        }
        Transform::Text(_) | Transform::Table(_) => {
            Some(as_text(held[0]).map_or_else(|| format!("{:?}", held[0]), |text| text.into_owned()))
        }
        Transform::Json(_) => Some(structure(held[0])),
        Transform::Float(_) => Some(double(held[0])),
        Transform::Decimal(_) => Some(structure(&number(held[0]))),
        Transform::Uuid(_) => Some(match held[0] {
            Value::Uuid(bytes) => crate::model::json::hex(bytes),
            held => held.as_text().unwrap().trim().to_ascii_lowercase().replace('-', ""),
        }),
        Transform::Bytes(_) => Some(format!("{:?}", held[0])),
        Transform::List(list) => {
            let Value::List(items) = held[0] else { panic!("read a list from something else") };
            let one = |item: &Value| match (&*list.each, item) {
                (_, Value::Null) => "null".to_owned(),
                (Transform::Bool(_), item) => truth(item).to_string(),
                (Transform::Float(_), item) => double(item),
                (Transform::Decimal(_), item) => structure(&number(item)),
                (Transform::Int(_), item) => as_text(item).unwrap().trim().parse::<i64>().unwrap().to_string(),
                (_, item) => format!("{:?}", as_text(item).unwrap()),
            };
            let mut items: Vec<String> = items.iter().map(one).collect();
            if list.set {
                items.sort();
                items.dedup();
            }
            Some(items.join(","))
        }
        Transform::Spread(spread) => members(spread, &held),
        Transform::Timestamp(_) | Transform::Date(_) | Transform::Name(_) => panic!("always loses something"),
    };
    spelled.unwrap_or_else(|| match &half.missing {
        Missing::Default(default) => {
            let mut blank = vec![None; slots.len()];
            for (slot, content) in half.patch(default, &[]).unwrap() {
                blank[slot] = content;
            }
            spelling(half, &blank)
        }
        Missing::Null | Missing::IdTime => "nothing".to_owned(),
    })
}

fn says_empty_is_null(half: &HalfLens) -> bool {
    match &half.transform {
        Transform::Text(form) => form.empty_is_null,
        Transform::Media(media) => media.empty_is_null,
        _ => false,
    }
}

fn truth(held: &Value) -> bool {
    let text = match held {
        Value::Bool(flag) => flag.to_string(),
        held => as_text(held).unwrap().into_owned(),
    };
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => true,
        "false" | "no" | "off" => false,
        number => number.parse::<i64>().unwrap() == 1,
    }
}

/// The number that a text spells.
fn number(held: &Value) -> Value {
    held.as_text().map_or_else(|| held.clone(), |text| Value::Decimal(text.trim().parse().unwrap()))
}

/// A double, whatever holds it; minus zero is one of its own.
fn double(held: &Value) -> String {
    match held {
        Value::Float(number) if *number == 0.0 || !number.is_finite() => number.to_string(),
        held => structure(&number(held)),
    }
}

/// Whatever type holds a number, it is that number; a moment has milliseconds.
fn structure(held: &Value) -> String {
    match held {
        Value::Float(number) => {
            number.to_string().parse().map_or_else(|_| "?".to_owned(), |n| structure(&Value::Decimal(n)))
        }
        Value::Decimal(number) => number.as_int().map_or_else(|| number.to_string(), |whole| whole.to_string()),
        Value::Int(number) => number.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(structure).collect::<Vec<_>>().join(",")),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, item)| format!("{key:?}:{}", structure(item)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Value::Timestamp(micros) => format!("{}ms", micros.div_euclid(1000)),
        Value::Date(days) => format!("{}ms", i64::from(*days) * 86_400_000),
        held => format!("{held:?}"),
    }
}

/// The members that are there.
fn members(spread: &Spread, held: &[&Value]) -> Option<String> {
    let member = |(n, (name, part)): (usize, &(String, Option<Transform>))| {
        let value = match held[0] {
            Value::Object(entries) if spread.whole => entries.get(name)?,
            value if spread.whole => panic!("read an object from {value:?}"),
            _ => held[n],
        };
        let shown = match part {
            Some(Transform::Bool(_)) if *value != Value::Null => truth(value).to_string(),
            Some(Transform::Date(_)) => day(value),
            _ => structure(value),
        };
        (*value != Value::Null).then(|| format!("{name}={shown}"))
    };
    let members: Vec<String> = spread.members.iter().enumerate().filter_map(member).collect();
    (!members.is_empty()).then(|| members.join(","))
}

/// A column of days holds no time of day.
fn day(held: &Value) -> String {
    match held {
        Value::Timestamp(micros) => format!("day {}", micros.div_euclid(86_400_000_000)),
        Value::Text(text) => day(&Value::Timestamp(crate::model::calendar::from_iso(text).unwrap())),
        Value::Date(days) => format!("day {days}"),
        held => structure(held),
    }
}

fn hex(held: &Value) -> String {
    match held {
        Value::Id(id) => LegacyId::new(*id).to_string(),
        held => held.as_text().unwrap().trim().to_ascii_lowercase(),
    }
}

fn phone_digits(country: &Value, number: &Value, default: &str) -> Option<String> {
    let digits =
        |value: &Value| -> String { as_text(value).unwrap_or_default().chars().filter(char::is_ascii_digit).collect() };
    let whole = as_text(number).filter(|text| !text.trim().is_empty())?;
    let code = digits(country).trim_start_matches('0').to_owned();
    let code = if code.is_empty() { default.to_owned() } else { code };
    let plus = whole.trim_start_matches(|letter: char| !letter.is_ascii_digit() && letter != '+').starts_with('+');
    Some(if plus { digits(number) } else { code + &digits(number) })
}
