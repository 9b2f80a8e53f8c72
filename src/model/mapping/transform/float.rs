//! `as = "float"`: a double, in a legacy field and a `double precision` or `real` column; NaN and the infinities too. Whole numbers,
//! decimals and decimal text are understood where a double shows exactly them; a `real` refuses what it would round.
//! ```toml
//! [[field]]
//! name = "score"
//! as = "float"
//! legacy = "score"
//! renaissance = "score"
//! ```

use super::{Place, Scalar, misfit};
use crate::model::{
    catalog::ColumnKind,
    decimal::Decimal,
    problem::{Problem, Reason},
    value::Value,
};

/// A double in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloatForm;

impl Scalar for FloatForm {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        let exact = match held {
            Value::Float(number) => return Ok(Value::Float(*number)),
            Value::Int(number) => Some(Decimal::from(*number)),
            Value::Decimal(number) => Some(number.clone()),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let exact = exact.ok_or_else(|| place.wrong("a number"))?;
        exact.as_double().map(Value::Float).ok_or_else(|| {
            Problem::new(Reason::OutOfRange, format!("{} holds a number that a double would round", place.name))
        })
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        match value {
            Value::Float(_) => Ok(value.clone()),
            other => Err(misfit(other, "a number")),
        }
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        matches!(kind, ColumnKind::Float(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_double_only_if_that_is_the_same_number() {
        let read =
            |held: Value| FloatForm.read(&held, &Place { name: "f", held: None }).map_err(|problem| problem.reason);
        assert_eq!(read(Value::Int(3)), Ok(Value::Float(3.0)));
        assert_eq!(read(Value::Text(" 0.10 ".into())), Ok(Value::Float(0.1)));
        assert_eq!(read(Value::Float(f64::NAN)), Ok(Value::Float(f64::NAN)));
        assert_eq!(read(Value::Int(9_007_199_254_740_993)), Err(Reason::OutOfRange));
        assert_eq!(read(Value::Decimal("1e400".parse().unwrap())), Err(Reason::OutOfRange));
        assert_eq!(read(Value::Text("NaN".into())), Err(Reason::WrongType));
    }
}
