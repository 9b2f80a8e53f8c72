//! `as = "json"`: an object, array or plain value as it is, in a legacy field and a `jsonb` column. Whole numbers are one,
//! however they are stored; others are decimals, without rounding (in legacy a double where that shows the same number, else
//! Decimal128). What JSON has no form for crosses as MongoDB's extended JSON (`{"$oid": …}`, `{"$date": …}`, `{"$uuid": …}`,
//! `{"$binary": …}`); an object that really looks so gets a second `$` in the column. Inner values that already read the same
//! keep their type when something else changes.
//! `only = "object"` or `"array"` refuses anything else.
//! ```toml
//! [[field]]
//! name = "monologues"
//! as = "json"
//! only = "object"
//! missing = {}
//! legacy = "monologues"
//! renaissance = "monologues"
//! ```

use std::collections::BTreeMap;

use super::{Compound, NullForm, Place, Write};
use crate::model::{
    catalog::ColumnKind,
    counterparts::Counterparts,
    decimal::Decimal,
    jsonb::{RESERVED, whole_if_possible},
    problem::{Problem, Reason},
    value::Value,
};

/// MongoDB takes documents of 100 levels, and the field may itself be some levels down.
const DEEPEST: usize = 90;

const DAY: i64 = 86_400_000_000;

/// A value of any structure in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonForm {
    /// What it has to be, if not anything.
    pub only: Option<Structure>,
    /// Whether a new decimal number is written as a double where that shows the same number: legacy's driver reads doubles.
    pub doubles: bool,
}

/// What a JSON value may be restricted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
}

impl Compound for JsonForm {
    fn read(&self, places: &[Place<'_>]) -> Result<Value, Problem> {
        let Some(place) = places.first() else { return Ok(Value::Null) };
        let Some(held) = place.value() else { return Ok(Value::Null) };
        match (self.only, held) {
            (Some(Structure::Object), Value::Object(_)) | (Some(Structure::Array), Value::List(_)) | (None, _) => {}
            (Some(Structure::Object), _) => return Err(place.wrong("an object")),
            (Some(Structure::Array), _) => return Err(place.wrong("an array")),
        }
        normal(held, place)
    }

    fn write(&self, value: &Value, places: &[Place<'_>], null: NullForm) -> Result<Vec<Write>, Problem> {
        if *value == Value::Null {
            return Ok(vec![null.write(); places.len()]);
        }
        let write = |place: &Place<'_>| Write::Set(self.spelled_like(value, place.held, place));
        Ok(places.iter().map(write).collect())
    }

    fn forms(&self, _value: &Value) -> Vec<Vec<(usize, Value)>> {
        Vec::new()
    }

    fn fits(&self, _place: usize, kind: ColumnKind) -> bool {
        kind == ColumnKind::Json
    }
}

impl JsonForm {
    /// The value, with every part that `held` already says in its own spelling left in that spelling.
    fn spelled_like(&self, value: &Value, held: Option<&Value>, place: &Place<'_>) -> Value {
        match (value, held) {
            (value, Some(held)) if normal(held, place).as_ref() == Ok(value) => held.clone(),
            (Value::Object(entries), held) => {
                let known = |key: &String| match held {
                    Some(Value::Object(known)) => known.get(key),
                    _ => None,
                };
                let entry = |(key, item): (&String, &Value)| (key.clone(), self.spelled_like(item, known(key), place));
                Value::Object(entries.iter().map(entry).collect())
            }
            (Value::List(items), held) => {
                let known = match held {
                    Some(Value::List(known)) => known.as_slice(),
                    _ => &[],
                };
                let same = |n: usize, at: usize| normal(&known[at], place).as_ref() == Ok(&items[n]);
                let pairs = Counterparts::new(items.len(), known.len(), same);
                let item = |(n, item): (usize, &Value)| {
                    self.spelled_like(item, pairs.of(n).and_then(|at| known.get(at)), place)
                };
                Value::List(items.iter().enumerate().map(item).collect())
            }
            (Value::Decimal(number), _) if self.doubles => {
                number.as_double().map_or_else(|| value.clone(), Value::Float)
            }
            (value, _) => value.clone(),
        }
    }
}

/// The one spelling of a value, the same as what a `jsonb` column gives back: whole numbers as integers, others as decimals,
/// moments in milliseconds.
pub(super) fn normal(held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
    normal_at(held, place, DEEPEST)
}

fn normal_at(held: &Value, place: &Place<'_>, depth: usize) -> Result<Value, Problem> {
    let beyond = |what: &str| Problem::new(Reason::OutOfRange, format!("{} holds {what}", place.name));
    if depth == 0 {
        return Err(beyond("a value that is nested too deep for both sides"));
    }
    Ok(match held {
        Value::Float(number) => match Decimal::from_double(*number) {
            Some(number) => whole_if_possible(number),
            None => return Err(beyond("NaN or an infinity, which JSON has no form for")),
        },
        Value::Decimal(number) => whole_if_possible(number.clone()),
        Value::Timestamp(micros) => match micros.div_euclid(1000).checked_mul(1000) {
            Some(cut) => Value::Timestamp(cut),
            None => return Err(beyond("a date beyond what both sides can hold")),
        },
        Value::Date(days) => match i64::from(*days).checked_mul(DAY) {
            Some(midnight) => Value::Timestamp(midnight),
            None => return Err(beyond("a date beyond what both sides can hold")),
        },
        Value::Binary(subtype, bytes) => Value::of_bytes(*subtype, bytes),
        Value::List(items) => {
            Value::List(items.iter().map(|item| normal_at(item, place, depth - 1)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => {
            if entries.keys().any(|key| key.starts_with(RESERVED)) {
                return Err(beyond("an object with a key that the bridge cannot carry"));
            }
            let entry = |(key, item): (&String, &Value)| Ok((key.clone(), normal_at(item, place, depth - 1)?));
            Value::Object(entries.iter().map(entry).collect::<Result<BTreeMap<_, _>, Problem>>()?)
        }
        Value::Opaque(
            "deeply nested value" | "malformed or deeply nested JSON" | "number beyond range" | "date out of range",
        ) => {
            return Err(beyond("a value that only one side can hold"));
        }
        Value::Opaque(name) => {
            let problem = format!("{} holds {name}, which JSON has no form for", place.name);
            return Err(Problem::new(Reason::WrongType, problem));
        }
        Value::Dangling(_) => return Err(place.wrong("something that JSON has a form for")),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Id(_) | Value::Uuid(_) => held.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: JsonForm = JsonForm { only: None, doubles: true };

    fn object(entries: &[(&str, Value)]) -> Value {
        Value::Object(entries.iter().map(|(key, item)| ((*key).to_owned(), item.clone())).collect())
    }

    fn read(held: &Value) -> Result<Value, Reason> {
        ANY.read(&[Place { name: "j", held: Some(held) }]).map_err(|problem| problem.reason)
    }

    #[test]
    fn a_number_is_the_same_however_it_is_stored() {
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        assert_eq!(read(&Value::Float(1.0)), Ok(Value::Int(1)));
        assert_eq!(read(&decimal("1.0")), Ok(Value::Int(1)));
        assert_eq!(read(&Value::Float(0.1)), Ok(decimal("0.1")));
        assert_eq!(read(&Value::Int(9_007_199_254_740_993)), Ok(Value::Int(9_007_199_254_740_993)));
        assert_eq!(read(&object(&[("x", Value::Float(f64::NAN))])), Err(Reason::OutOfRange));
    }

    #[test]
    fn what_did_not_change_keeps_its_spelling() {
        let held = object(&[("a", Value::Float(1.0)), ("b", Value::Int(2))]);
        let wanted = object(&[("a", Value::Int(1)), ("b", Value::Int(3))]);
        let written = ANY.write(&wanted, &[Place { name: "j", held: Some(&held) }], NullForm::Null).unwrap();
        assert_eq!(written, [Write::Set(object(&[("a", Value::Float(1.0)), ("b", Value::Int(3))]))]);
    }

    #[test]
    fn items_keep_their_spelling_when_one_goes() {
        let list = |items: &[Value]| Value::List(items.to_vec());
        let held = list(&[Value::Int(0), Value::Float(1.0), object(&[("a", Value::Float(2.0))])]);
        let wanted = list(&[Value::Int(1), object(&[("a", Value::Int(2))])]);
        let written = ANY.write(&wanted, &[Place { name: "j", held: Some(&held) }], NullForm::Null).unwrap();
        assert_eq!(written, [Write::Set(list(&[Value::Float(1.0), object(&[("a", Value::Float(2.0))])]))]);
    }

    #[test]
    fn a_new_number_is_a_double_where_that_is_the_same_number() {
        let number = |text: &str| Value::Decimal(text.parse().unwrap());
        let wanted = Value::List(vec![number("1.5"), number("0.12345678901234567891"), Value::Int(3)]);
        let written = ANY.write(&wanted, &[Place { name: "j", held: None }], NullForm::Null).unwrap();
        let expected = Value::List(vec![Value::Float(1.5), number("0.12345678901234567891"), Value::Int(3)]);
        assert_eq!(written, [Write::Set(expected)]);
    }

    #[test]
    fn an_object_that_spells_what_only_bson_has_is_that_object_and_not_the_other() {
        let inner =
            [("base64".to_owned(), Value::Text("AQI=".into())), ("subType".to_owned(), Value::Text("06".into()))];
        for (key, inner, native) in [
            ("$oid", Value::Text("01".repeat(12).into()), Value::Id([1; 12])),
            ("$date", Value::Text("1969-12-31T23:59:59.999Z".into()), Value::Timestamp(-1000)),
            ("$uuid", Value::Text("01010101-0101-0101-0101-010101010101".into()), Value::Uuid([1; 16])),
            ("$binary", Value::Object(inner.into()), Value::Binary(6, vec![1, 2])),
            ("$numberDecimal", Value::Text("0.1".into()), Value::Decimal("0.1".parse().unwrap())),
        ] {
            let spelled = object(&[(key, inner)]);
            assert_eq!(read(&spelled), Ok(spelled.clone()));
            assert_eq!(read(&native), Ok(native.clone()));
            for (wanted, held) in [(&native, &spelled), (&spelled, &native)] {
                let written = ANY.write(wanted, &[Place { name: "j", held: Some(held) }], NullForm::Null).unwrap();
                let [Write::Set(content)] = written.as_slice() else { panic!("{key}") };
                assert_eq!(read(content), Ok(wanted.clone()));
            }
        }
    }

    #[test]
    fn what_json_cannot_carry_is_refused_with_its_reason() {
        let deep = (0..95).fold(Value::Int(1), |inner, _| Value::List(vec![inner]));
        assert_eq!(read(&deep), Err(Reason::OutOfRange));
        assert_eq!(read(&object(&[("x", Value::Opaque("regex"))])), Err(Reason::WrongType));
        assert_eq!(read(&object(&[("$serde_json::private::Number", Value::Int(1))])), Err(Reason::OutOfRange));
        assert_eq!(read(&Value::List(vec![Value::Timestamp(1_999)])), Ok(Value::List(vec![Value::Timestamp(1_000)])));
    }

    #[test]
    fn a_restricted_value_refuses_other_structures() {
        let form = JsonForm { only: Some(Structure::Object), doubles: false };
        let list = Value::List(vec![]);
        let refused = form.read(&[Place { name: "j", held: Some(&list) }]).unwrap_err();
        assert_eq!(refused.detail, "j holds an array; an object is expected".replace("an array", list.type_name()));
    }
}
