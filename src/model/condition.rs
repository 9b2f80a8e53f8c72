//! Conditions on canonical fields, by which people are chosen: `created < '2024-01-01' and not premium = true`. Pure.
//!
//! What can be asked of a field: `=`, `!=`, `<`, `<=`, `>`, `>=`, `in ('a', 'b')`, `starts with 'a'`, `is missing`; joined by `and`,
//! `or`, `not` and parentheses. A field that is missing equals nothing and is neither less nor more than anything. Where a field
//! that matters cannot be read, there is no answer.

mod bind;
mod parse;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use super::{image::Image, mapping::Entity, mask::mask, reading::Reading, side::Side, sum::number, value::Value};

/// A condition as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: Vec<char>,
    tree: Tree<Test>,
}

/// What is wrong with a condition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Characters in front of it.
    pub at: usize,
    /// How many characters it is about, one at least.
    pub length: usize,
    /// What is wrong.
    pub what: String,
    /// What was meant, perhaps.
    pub hint: Option<String>,
}

impl Mistake {
    fn new(place: Place, what: impl Into<String>) -> Self {
        Self { at: place.at, length: place.length.max(1), what: what.into(), hint: None }
    }

    /// The condition with the place marked below it.
    pub fn shown(&self, text: &str) -> String {
        let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        format!("{}\n  {line}\n  {}{}", self.what, " ".repeat(self.at), "^".repeat(self.length))
    }
}

/// A part of the text, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: usize,
    length: usize,
}

/// Questions joined by `and`, `or` and `not`.
#[derive(Clone, Debug, PartialEq)]
enum Tree<T> {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Leaf(T),
}

impl<T> Tree<T> {
    fn try_map<U, E>(&self, change: &mut impl FnMut(&T) -> Result<U, E>) -> Result<Tree<U>, E> {
        Ok(match self {
            Self::All(parts) => Tree::All(parts.iter().map(|part| part.try_map(change)).collect::<Result<_, _>>()?),
            Self::Any(parts) => Tree::Any(parts.iter().map(|part| part.try_map(change)).collect::<Result<_, _>>()?),
            Self::Not(part) => Tree::Not(Box::new(part.try_map(change)?)),
            Self::Leaf(leaf) => Tree::Leaf(change(leaf)?),
        })
    }

    /// The answer, as far as those of the leaves decide it.
    fn holds(&self, answer: &impl Fn(&T) -> Option<bool>) -> Option<bool> {
        // one part with this answer decides; without it, one that has none leaves it open
        let decided = |parts: &[Self], by: bool| {
            let mut open = false;
            for part in parts {
                match part.holds(answer) {
                    Some(said) if said == by => return Some(by),
                    Some(_) => {}
                    None => open = true,
                }
            }
            (!open).then_some(!by)
        };
        match self {
            Self::All(parts) => decided(parts, false),
            Self::Any(parts) => decided(parts, true),
            Self::Not(part) => part.holds(answer).map(|said| !said),
            Self::Leaf(leaf) => answer(leaf),
        }
    }
}

/// A question about a field, as written.
#[derive(Clone, Debug, PartialEq)]
struct Test {
    field: String,
    place: Place,
    ask: Ask,
}

#[derive(Clone, Debug, PartialEq)]
enum Ask {
    /// Whether it equals one of these; `=` has one.
    Among(Vec<Literal>),
    Order(Comparison, Literal),
    StartsWith(Literal),
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Comparison {
    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
struct Literal {
    place: Place,
    spelled: Spelled,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Spelled {
    Text(String),
    Number(String),
    Bool(bool),
}

/// A condition on the fields of one entity.
#[derive(Clone)]
pub struct Bound {
    tree: Tree<BoundTest>,
    shown: String,
}

#[derive(Clone)]
struct BoundTest {
    field: usize,
    ask: BoundAsk,
}

#[derive(Clone)]
enum BoundAsk {
    Among(Vec<Value>),
    Order(Comparison, Value),
    StartsWith(String),
    Missing,
}

impl Bound {
    /// Whether a record of the entity, as one side has it, meets the condition; `None` if what matters cannot be read.
    pub fn holds(&self, entity: &Entity, side: Side, image: &Image) -> Option<bool> {
        self.tree.holds(&|test: &BoundTest| match entity.fields.get(test.field)?.get(side, image) {
            Reading::Value(value) => Some(test.ask.holds(&value)),
            Reading::Absent => Some(test.ask.holds(&Value::Null)),
            Reading::Invalid(_) => None,
        })
    }

    /// The condition for the record of what was done: texts in it are masked, as they may be somebody's.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

impl BoundAsk {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Among(values) => values.iter().any(|one| order(value, one).is_some_and(Ordering::is_eq)),
            Self::Order(comparison, than) => order(value, than).is_some_and(|order| comparison.holds(order)),
            Self::StartsWith(beginning) => value.as_text().is_some_and(|text| text.starts_with(beginning)),
            Self::Missing => *value == Value::Null || matches!(value, Value::List(items) if items.is_empty()),
        }
    }
}

/// How two values of one kind follow each other; `None` for values that cannot be compared.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => match (number(left), number(right)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => (left == right).then_some(Ordering::Equal),
        },
    }
}

/// The text with these places masked.
fn masked(text: &[char], places: &[Place]) -> String {
    let (mut shown, mut from) = (String::new(), 0);
    for place in places {
        shown.extend(text.get(from..place.at).unwrap_or_default());
        let hidden: String = text.get(place.at..place.at + place.length).unwrap_or_default().iter().collect();
        shown += &format!("'{}'", mask(&hidden));
        from = place.at + place.length;
    }
    shown.extend(text.get(from..).unwrap_or_default());
    shown
}
