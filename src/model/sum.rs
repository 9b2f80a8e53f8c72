//! Numbers that both sides count up or down: what is added, and how the number agreed on is kept. Pure.

use super::{decimal::Decimal, value::Value};

/// What was agreed on and what either side added to it since, of the kind that was agreed on; `None` where that is no number
/// or none that fits. Nothing counts as zero if it was agreed on; a side that has nothing has taken the number away.
pub fn sum(agreed: &Value, legacy: &Value, renaissance: &Value) -> Option<Value> {
    let from = if *agreed == Value::Null { Decimal::from(0) } else { number(agreed)? };
    let total = number(legacy)?.plus_change(&number(renaissance)?, &from)?;
    match (legacy, renaissance) {
        (Value::Int(_), Value::Int(_)) => total.as_int().map(Value::Int),
        (Value::Float(_), Value::Float(_)) => {
            let nearest: f64 = total.to_string().parse().ok()?;
            nearest.is_finite().then_some(Value::Float(nearest))
        }
        (Value::Decimal(_), Value::Decimal(_)) => Some(Value::Decimal(total)),
        _ => None,
    }
}

/// The number that a value is, if it is a finite one.
pub(super) fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Int(number) => Some(Decimal::from(*number)),
        Value::Float(number) => Decimal::from_double(*number),
        Value::Decimal(number) => Some(number.clone()),
        _ => None,
    }
}

/// A number as text that names its kind, padded to whole words; `None` for what is no number and not nothing.
pub(super) fn to_words(value: &Value) -> Option<Vec<u64>> {
    let mut text = match value {
        Value::Null => "n".to_owned(),
        Value::Int(_) => format!("i{}", number(value)?),
        Value::Float(number) if number.is_finite() => format!("f{number}"),
        Value::Decimal(_) => format!("d{}", number(value)?),
        _ => return None,
    };
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    Some(text.as_bytes().as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

/// Reads what [`to_words`] wrote.
pub(super) fn from_words(words: &[u64]) -> Option<Value> {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let text = String::from_utf8(bytes).ok()?;
    let (kind, digits) = text.trim_end().split_at_checked(1)?;
    match kind {
        "n" => Some(Value::Null),
        "i" => digits.parse::<Decimal>().ok()?.as_int().map(Value::Int),
        "f" => digits.parse().ok().map(Value::Float),
        "d" => digits.parse().ok().map(Value::Decimal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn whole_numbers_add_up_or_do_not_fit(base: i64, left: i64, right: i64) {
            let expected = i64::try_from(i128::from(left) + i128::from(right) - i128::from(base)).ok().map(Value::Int);
            prop_assert_eq!(sum(&Value::Int(base), &Value::Int(left), &Value::Int(right)), expected);
        }

        #[test]
        fn numbers_survive_storage(whole: i64, double: f64, scale in 0_u32..30) {
            for value in [Value::Null, Value::Int(whole), Value::Float(double), decimal(&format!("{whole}e-{scale}"))] {
                let words = to_words(&value);
                prop_assert_eq!(words.is_some(), value != Value::Float(double) || double.is_finite());
                if let Some(words) = words {
                    prop_assert_eq!(from_words(&words), Some(value));
                }
            }
        }
    }

    #[test]
    fn fractions_add_up_as_people_write_them() {
        let double = Value::Float;
        assert_eq!(sum(&double(0.0), &double(0.1), &double(0.2)), Some(double(0.3)));
        assert_eq!(sum(&decimal("10.00"), &decimal("12.5"), &decimal("9.25")), Some(decimal("11.75")));
        assert_eq!(sum(&decimal("1e30"), &decimal("1e30"), &decimal("1e-30")), None, "too many digits");
    }

    #[test]
    fn nothing_counts_as_zero_only_where_it_was_agreed_on() {
        assert_eq!(sum(&Value::Null, &Value::Int(2), &Value::Int(3)), Some(Value::Int(5)));
        assert_eq!(sum(&Value::Int(1), &Value::Null, &Value::Int(3)), None);
        assert_eq!(sum(&Value::Int(1), &Value::Int(2), &Value::Text("3".into())), None);
    }
}
