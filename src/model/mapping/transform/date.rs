//! `as = "date"`: a day. A legacy date or ISO 8601 text names the day it falls on in UTC; its time of day stays until the day really
//! changes. A day written to legacy is its midnight in UTC. `missing = "id_time"` on the legacy side: an absent or null slot means the
//! day on which the document's ObjectId was made.
//! ```toml
//! [[field]]
//! name = "date_of_listening"
//! as = "date"
//! normal_form = "day"
//! legacy = "date_of_listening"
//! renaissance = "date_of_listening"
//! ```

use super::{Place, Scalar, misfit};
use crate::model::{
    calendar,
    catalog::ColumnKind,
    mapping::Loss,
    problem::{Problem, Reason},
    value::Value,
};

const DAY: i64 = 86_400_000_000;

/// A day in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateForm {
    /// Whether it is written as a moment: legacy has no days.
    pub as_moment: bool,
}

impl Scalar for DateForm {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        let micros = match held {
            Value::Date(days) => return Ok(Value::Date(*days)),
            Value::Opaque("infinity" | "-infinity" | "date beyond range" | "date out of range") => {
                return Err(beyond(place));
            }
            Value::Timestamp(micros) => Some(*micros),
            Value::Text(text) => calendar::from_iso(text),
            _ => None,
        };
        let micros = micros.ok_or_else(|| place.wrong("a date"))?;
        i32::try_from(micros.div_euclid(DAY)).map(Value::Date).map_err(|_| beyond(place))
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        match value {
            Value::Date(days) if self.as_moment => {
                let beyond = || Problem::new(Reason::OutOfRange, "is to hold a date beyond what both sides can hold");
                i64::from(*days).checked_mul(DAY).map(Value::Timestamp).ok_or_else(beyond)
            }
            Value::Date(_) => Ok(value.clone()),
            other => Err(misfit(other, "a date")),
        }
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        kind == if self.as_moment { ColumnKind::Timestamp } else { ColumnKind::Date }
    }

    fn losses(&self) -> Vec<Loss> {
        let loss = || Loss::word("the time of day is cut off", &["day"]);
        self.as_moment.then(loss).into_iter().collect()
    }
}

fn beyond(place: &Place<'_>) -> Problem {
    Problem::new(Reason::OutOfRange, format!("{} is a date beyond what both sides can hold", place.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_names_the_day_it_falls_on_also_before_1970() {
        let form = DateForm { as_moment: true };
        let read = |held: &Value| form.read(held, &Place { name: "d", held: Some(held) });
        assert_eq!(read(&Value::Timestamp(DAY + DAY / 2)), Ok(Value::Date(1)));
        assert_eq!(read(&Value::Timestamp(-1)), Ok(Value::Date(-1)));
        assert_eq!(read(&Value::Text("2024-01-02T23:59:59-05:00".into())), Ok(Value::Date(19_725)));
        assert_eq!(form.write(&Value::Date(-1)), Ok(Value::Timestamp(-DAY)));
        assert_eq!(read(&Value::Bool(true)).map_err(|problem| problem.reason), Err(Reason::WrongType));
    }
}
