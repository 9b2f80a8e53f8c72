//! What must not be written now: sides that are closed by a pause, and records that the bridge itself keeps writing.

use super::{Draft, at};
use crate::model::{
    mapping::Field,
    problem::{Problem, Reason},
    side::Side,
};

impl Draft<'_> {
    /// Why a field must not be written to a side now, if so.
    pub(super) fn held(&self, field: &Field, to: Side) -> Option<Problem> {
        self.closed(to).or_else(|| {
            self.record.looping.then(|| {
                let detail = format!(
                    "the bridge wrote {} again and again, as what it writes does not stay: {}",
                    field.name,
                    lenses(self, field)
                );
                Problem::new(Reason::Looping, detail)
            })
        })
    }

    /// Why the record as a whole must not be made or deleted on a side now, if so.
    pub(super) fn held_whole(&self, to: Side) -> Option<Problem> {
        self.closed(to).or_else(|| {
            self.record.looping.then(|| {
                let detail = format!("the bridge made or deleted it on {to} again and again, as it does not stay so");
                Problem::new(Reason::Looping, detail)
            })
        })
    }

    fn closed(&self, to: Side) -> Option<Problem> {
        self.record.closed[at(to)].map(|closure| closure.problem(to))
    }
}

/// Both forms of a field: `legacy name (text), renaissance users.first_name, users.last_name (name)`.
fn lenses(draft: &Draft<'_>, field: &Field) -> String {
    let form = |side: Side| {
        let places: Vec<String> = field.slots(side).iter().map(|slot| draft.entity.place(side, *slot)).collect();
        format!("{side} {} ({})", places.join(", "), field.half(side).transform.word())
    };
    Side::ALL.map(form).join(", ")
}
