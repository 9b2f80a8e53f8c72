//! What a person ordered about entries of the journal: held against what is there now, then written like any other decision.

use std::sync::Arc;

use super::{Draft, Record, scope};
use crate::{
    model::{
        digest::Digest,
        image::Image,
        mapping::{Entity, Field},
        mask::mask,
        policy::Policy,
        reading::Reading,
        side::Side,
        value::Value,
    },
    sync::ports::Resolution,
};

/// An order about one record.
#[derive(Clone)]
pub struct Order {
    /// Each field it is about.
    pub fields: Vec<OrderedField>,
    /// What is noted in the journal once it is carried out.
    pub resolution: Resolution,
}

/// One field of an order.
#[derive(Clone)]
pub struct OrderedField {
    /// The field.
    pub field: usize,
    /// What may be meant; it gets the first that both sides can hold.
    pub values: Vec<Value>,
    /// What the conflict has left on each side (legacy, renaissance): only that is overwritten.
    pub expected: [Digest; 2],
}

/// An order with what it comes to.
#[derive(Clone)]
pub struct Ordered {
    /// The order.
    pub order: Arc<Order>,
    /// The value of each of its fields, or why it is not carried out; known once it was held against the record.
    pub outcome: Option<Result<Vec<(usize, Value)>, String>>,
}

impl Ordered {
    /// An order that was not looked at yet.
    pub const fn new(order: Arc<Order>) -> Self {
        Self { order, outcome: None }
    }

    /// Whether it is going to be carried out.
    pub const fn stands(&self) -> bool {
        matches!(self.outcome, Some(Ok(_)))
    }

    /// The value that a field is to get.
    fn value(&self, field: usize) -> Option<&Value> {
        let values = self.outcome.as_ref()?.as_ref().ok()?;
        values.iter().find(|(n, _)| *n == field).map(|(_, value)| value)
    }
}

/// Finds out what the record's order comes to.
pub fn examine(entity: &Entity, record: &mut Record) {
    let order =
        record.order.as_ref().filter(|ordered| ordered.outcome.is_none()).map(|ordered| Arc::clone(&ordered.order));
    let Some(order) = order else { return };
    let outcome = values(entity, record, &order);
    if let Some(ordered) = &mut record.order {
        ordered.outcome = Some(outcome);
    }
}

fn values(entity: &Entity, record: &Record, order: &Order) -> Result<Vec<(usize, Value)>, String> {
    if let Some(closure) = record.closed.iter().flatten().next() {
        return Err(format!("writing this record is paused (pause {})", closure.pause));
    }
    let images = match (&record.legacy, &record.renaissance) {
        (Some(legacy), Some(renaissance)) => [legacy, renaissance],
        (None, _) => return Err("the record is gone from legacy".to_owned()),
        (_, None) => return Err("the record is gone from renaissance".to_owned()),
    };
    if let Some(problem) = &record.blocked {
        return Err(format!("the record waits as a whole: {problem}"));
    }
    if !scope::is_synced(entity, record) {
        return Err("the record does not belong to what is synced any more".to_owned());
    }
    order.fields.iter().map(|ordered| Ok((ordered.field, value(entity, images, order, ordered)?))).collect()
}

fn value(entity: &Entity, images: [&Image; 2], order: &Order, ordered: &OrderedField) -> Result<Value, String> {
    let field = entity.fields.get(ordered.field).ok_or("the field is not mapped any more")?;
    let [legacy, renaissance] = both(field, images);
    // what was made of both values is neither, and nobody keeps what it was
    let made = matches!(field.policy, Policy::Union | Policy::Sum) && legacy.digest() == renaissance.digest();
    for ((side, image), expected) in Side::ALL.into_iter().zip(images).zip(ordered.expected) {
        let reading = field.get(side, image);
        // half of it may have been carried out before
        let known = |digest| digest == expected || ordered.values.iter().any(|value| Digest::of(value) == digest);
        if !reading.digest().is_some_and(known) && made {
            return Err(format!(
                "{}: both sides hold what its policy {} made of both values, or what they were changed to since: change it in \
                 either application",
                field.name,
                field.policy.as_str()
            ));
        }
        if !reading.digest().is_some_and(known) {
            return Err(format!("{} has changed since: {side} now holds {}", field.name, shown(&reading)));
        }
    }
    let is_ordered = |n: usize| order.fields.iter().any(|other| other.field == n);
    let together = entity.fields.iter().enumerate().filter(|(_, f)| field.group.is_some() && f.group == field.group);
    for (_, other) in together.filter(|(n, other)| !is_ordered(*n) && !other.once) {
        let [legacy, renaissance] = both(other, images);
        if legacy.digest() != renaissance.digest() {
            return Err(format!("{}, which is decided together with {}, has changed since", other.name, field.name));
        }
    }
    let fits =
        |value: &&Value| Side::ALL.into_iter().zip(images).all(|(side, i)| field.put(side, value, Some(i)).is_ok());
    if let Some(value) = ordered.values.iter().find(fits) {
        return Ok(value.clone());
    }
    let problem = Side::ALL
        .into_iter()
        .zip(images)
        .find_map(|(side, image)| field.put(side, ordered.values.first()?, Some(image)).err());
    Err(problem.map_or_else(|| "there is nothing to take".to_owned(), |problem| problem.to_string()))
}

fn both(field: &Field, images: [&Image; 2]) -> [Reading; 2] {
    [field.get(Side::Legacy, images[0]), field.get(Side::Renaissance, images[1])]
}

/// Enough of a value to recognise it by.
fn shown(reading: &Reading) -> String {
    match reading {
        Reading::Value(Value::Text(text)) => format!("text {}", mask(text)),
        Reading::Value(value) => format!("another {}", value.type_name()),
        Reading::Absent => "nothing".to_owned(),
        Reading::Invalid(problem) => format!("what cannot be read: {}", problem.detail),
    }
}

impl Draft<'_> {
    /// Whether an order stands that is about this field.
    pub(super) fn is_ordered(&self, n: usize) -> bool {
        self.record.order.as_ref().is_some_and(|ordered| ordered.value(n).is_some())
    }

    /// Sets a field as ordered; false if no order stands that is about it.
    pub(super) fn obey(&mut self, n: usize, field: &Field, images: [&Image; 2]) -> bool {
        let Some(value) = self.record.order.as_ref().and_then(|ordered| ordered.value(n)) else { return false };
        let [legacy, renaissance] = both(field, images);
        let digest = Digest::of(value);
        match [&legacy, &renaissance].map(|reading| reading.digest() != Some(digest)) {
            [false, false] => self.agree(n, field, digest, value, true),
            [true, false] => _ = self.copy(n, field, Side::Legacy, value),
            [false, true] => _ = self.copy(n, field, Side::Renaissance, value),
            [true, true] => self.combine(n, field, value, &legacy),
        }
        true
    }
}
