//! `as = "decimal"`: a decimal number without rounding, in a `numeric` column. Legacy holds it as Decimal128, or as a double
//! (`stored = "double"`), which refuses what it would round; both are read whatever is declared, and so are whole numbers and
//! decimal text. A `numeric(p, s)` column refuses digits it would round away.
//! ```toml
//! [[field]]
//! name = "price"
//! as = "decimal"
//! legacy = { path = "price", stored = "double" }
//! renaissance = "price"
//! ```

use super::{Place, Scalar, misfit};
use crate::model::{
    catalog::ColumnKind,
    decimal::Decimal,
    problem::{Problem, Reason},
    value::Value,
};

/// A decimal number in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecimalForm {
    /// Whether it is written as a double.
    pub double: bool,
}

impl Scalar for DecimalForm {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        let no_number = matches!(held, Value::Float(_))
            || matches!(
                held,
                Value::Opaque("NaN" | "infinity" | "-infinity" | "number beyond range" | "decimal beyond range")
            );
        let exact = match held {
            Value::Decimal(number) => Some(number.clone()),
            Value::Int(number) => Some(Decimal::from(*number)),
            Value::Float(number) => Decimal::from_double(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match exact {
            Some(number) => Ok(Value::Decimal(number)),
            None if no_number => {
                let problem =
                    format!("{} holds NaN, an infinity or a number beyond what both sides can hold", place.name);
                Err(Problem::new(Reason::OutOfRange, problem))
            }
            None => Err(place.wrong("a number")),
        }
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        match value {
            Value::Decimal(number) if self.double => number
                .as_double()
                .map(Value::Float)
                .ok_or_else(|| Problem::new(Reason::OutOfRange, "is to hold a number that a double would round")),
            Value::Decimal(_) => Ok(value.clone()),
            other => Err(misfit(other, "a decimal number")),
        }
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        matches!(kind, ColumnKind::Numeric(_)) && !self.double
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_however_it_is_stored() {
        let form = DecimalForm { double: true };
        let read = |held: Value| form.read(&held, &Place { name: "d", held: None }).map_err(|problem| problem.reason);
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        for held in [Value::Float(12.5), Value::Text("12.50".into()), decimal("12.5")] {
            assert_eq!(read(held), Ok(decimal("12.5")));
        }
        assert_eq!(read(Value::Int(i64::MIN)), Ok(decimal("-9223372036854775808")));
        assert_eq!(read(Value::Opaque("NaN")), Err(Reason::OutOfRange));
        assert_eq!(read(Value::Float(f64::INFINITY)), Err(Reason::OutOfRange));
        assert_eq!(read(Value::Bool(true)), Err(Reason::WrongType));
        assert_eq!(form.write(&decimal("12.5")), Ok(Value::Float(12.5)));
        assert_eq!(form.write(&decimal("1e400")).map_err(|problem| problem.reason), Err(Reason::OutOfRange));
    }
}
