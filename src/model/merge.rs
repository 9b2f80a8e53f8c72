//! The merge: what to do about a record, given what both sides hold and what they last agreed on. Pure.

mod together;

use std::{cmp::Ordering, collections::HashSet};

pub use self::together::{Member, Together, together};
use super::{digest::Digest, policy::Policy, problem::Problem, reading::Reading, side::Side, sum::sum, value::Value};

/// What both sides last agreed on for one field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreed<'a> {
    /// The digest of the value; `None` if they never agreed.
    pub value: Option<Digest>,
    /// The digests of its members, if they are kept.
    pub members: Option<&'a [u64]>,
    /// The number itself, if it is kept.
    pub number: Option<&'a Value>,
}

impl From<Option<Digest>> for Agreed<'_> {
    fn from(value: Option<Digest>) -> Self {
        Self { value, members: None, number: None }
    }
}

/// What to do about one field.
#[derive(Clone, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub enum Verdict {
    /// Both sides hold the same value, which becomes the base.
    Agreed(Digest),
    /// Nothing to write and nothing newly agreed.
    Keep,
    /// One side moved, or the policy combined both: write the value to `to`.
    Copy {
        /// The side that is behind.
        to: Side,
        /// What it gets.
        value: Value,
    },
    /// Both sides get a value that combines what both hold.
    Combined(Value),
    /// Both sides moved away from base to different values and one of them wins. Always journalled.
    Conflict {
        /// The side whose value stays; the other one gets it.
        winner: Side,
        /// The winning value.
        value: Value,
    },
    /// Both sides moved and the policy leaves it to a person. Always journalled.
    Undecided,
    /// One side holds something that cannot be read.
    Unreadable(Side, Problem),
}

/// Decides one field.
///
/// Equal values agree (under `sum` only if both sides did not add the same); if only one side moved away from base its value
/// is copied; if both did, the policy decides. Without a base both sides count as moved. A side that has no place for the
/// field has no opinion.
pub fn merge<'a>(
    policy: Policy,
    owner: Side,
    base: impl Into<Agreed<'a>>,
    legacy: &Reading,
    renaissance: &Reading,
) -> Verdict {
    let base = base.into();
    match (legacy, renaissance) {
        (Reading::Invalid(problem), _) => Verdict::Unreadable(Side::Legacy, problem.clone()),
        (_, Reading::Invalid(problem)) => Verdict::Unreadable(Side::Renaissance, problem.clone()),
        (Reading::Absent, Reading::Absent) => Verdict::Keep,
        (Reading::Value(value), Reading::Absent) => fill(Side::Renaissance, base.value, value),
        (Reading::Absent, Reading::Value(value)) => fill(Side::Legacy, base.value, value),
        (Reading::Value(legacy), Reading::Value(renaissance)) => both(policy, owner, base, legacy, renaissance),
    }
}

/// A value on one side and no place for it on the other: only a change creates the place.
fn fill(to: Side, base: Option<Digest>, value: &Value) -> Verdict {
    if base == Some(Digest::of(value)) { Verdict::Keep } else { Verdict::Copy { to, value: value.clone() } }
}

fn both(policy: Policy, owner: Side, base: Agreed<'_>, legacy: &Value, renaissance: &Value) -> Verdict {
    let (left, right) = (Digest::of(legacy), Digest::of(renaissance));
    // both counted up by the same: once more than either knows
    let counted = policy == Policy::Sum && base.number.is_some_and(|number| Digest::of(number) != left);
    if left == right && !counted {
        return Verdict::Agreed(left);
    }
    if base.value == Some(left) {
        return Verdict::Copy { to: Side::Legacy, value: renaissance.clone() };
    }
    if base.value == Some(right) {
        return Verdict::Copy { to: Side::Renaissance, value: legacy.clone() };
    }
    let value_of = |side| match side {
        Side::Legacy => legacy.clone(),
        Side::Renaissance => renaissance.clone(),
    };
    let total = base.number.filter(|_| policy == Policy::Sum).and_then(|from| sum(from, legacy, renaissance));
    if let Some(total) = total {
        return Verdict::Combined(total);
    }
    if left == right {
        return Verdict::Agreed(left);
    }
    if policy == Policy::Union {
        return union(base.members.unwrap_or_default(), legacy, renaissance);
    }
    if let Some(winner) = policy.winner(owner) {
        return Verdict::Conflict { winner, value: value_of(winner) };
    }
    let greater = match order(legacy, renaissance) {
        Some(Ordering::Greater) => Side::Legacy,
        Some(Ordering::Less) => Side::Renaissance,
        // Values that cannot be ordered cannot be combined.
        Some(Ordering::Equal) | None => return Verdict::Undecided,
    };
    match policy {
        Policy::Max => Verdict::Copy { to: greater.other(), value: value_of(greater) },
        Policy::Min => Verdict::Copy { to: greater, value: value_of(greater.other()) },
        Policy::Union
        | Policy::Sum
        | Policy::Park
        | Policy::Owner
        | Policy::Latest
        | Policy::Legacy
        | Policy::Renaissance => Verdict::Undecided,
    }
}

/// Three-way merge of two sets: in is what both hold and what one side holds that was not agreed on (it was added there);
/// out is what one side lacks that was (it was removed there). Null is the set without members. Members keep the order of the
/// legacy side; sets, whose members are in ascending order on both sides, stay so.
fn union(agreed: &[u64], legacy: &Value, renaissance: &Value) -> Verdict {
    let (Some(left), Some(right)) = (members(legacy), members(renaissance)) else { return Verdict::Undecided };
    let digests = |items: &[Value]| items.iter().map(|item| Digest::of(item).to_bits()).collect::<HashSet<u64>>();
    let (in_left, in_right): (HashSet<u64>, HashSet<u64>) = (digests(left), digests(right));
    let mut seen = HashSet::new();
    let mut merged: Vec<Value> = Vec::new();
    for (item, other) in left.iter().map(|item| (item, &in_right)).chain(right.iter().map(|item| (item, &in_left))) {
        let digest = Digest::of(item).to_bits();
        let stays = other.contains(&digest) || agreed.binary_search(&digest).is_err();
        if stays && seen.insert(digest) {
            merged.push(item.clone());
        }
    }
    if ascending(left) && ascending(right) {
        merged.sort_by(member_order);
    }
    let same = |side: &HashSet<u64>| *side == seen;
    match (same(&in_left) && *legacy != Value::Null, same(&in_right)) {
        (true, _) => Verdict::Copy { to: Side::Renaissance, value: legacy.clone() },
        (false, true) => Verdict::Copy { to: Side::Legacy, value: renaissance.clone() },
        (false, false) => Verdict::Combined(Value::List(merged)),
    }
}

const fn members(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(items) => Some(items.as_slice()),
        Value::Null => Some(&[]),
        _ => None,
    }
}

fn ascending(items: &[Value]) -> bool {
    items.is_sorted_by(|a, b| member_order(a, b) == Ordering::Less)
}

/// The order in which the members of a set are read, whatever order they are held in; a merged set has to be in it too, or it
/// is not what will be read.
pub fn member_order(left: &Value, right: &Value) -> Ordering {
    let ranked = match (left, right) {
        (Value::Id(left), Value::Id(right)) => Some(left.cmp(right)),
        _ => order(left, right),
    };
    ranked.unwrap_or_else(|| Digest::of(left).to_bits().cmp(&Digest::of(right).to_bits()))
}

/// Decides one field that crosses only to `to`: that side follows, whatever the policy. An edit of its own loses, as a
/// conflict, so that it is journalled.
pub fn follow<'a>(to: Side, base: impl Into<Agreed<'a>>, legacy: &Reading, renaissance: &Reading) -> Verdict {
    let base = base.into();
    let (leading, following) = match to {
        Side::Legacy => (renaissance, legacy),
        Side::Renaissance => (legacy, renaissance),
    };
    match (leading, following) {
        (Reading::Invalid(problem), _) => Verdict::Unreadable(to.other(), problem.clone()),
        (_, Reading::Invalid(problem)) => Verdict::Unreadable(to, problem.clone()),
        (Reading::Absent, _) => Verdict::Keep,
        (Reading::Value(value), Reading::Absent) => fill(to, base.value, value),
        (Reading::Value(value), Reading::Value(held)) => match (Digest::of(value), Digest::of(held)) {
            (led, followed) if led == followed => Verdict::Agreed(led),
            (_, followed) if base.value == Some(followed) => Verdict::Copy { to, value: value.clone() },
            _ => Verdict::Conflict { winner: to.other(), value: value.clone() },
        },
    }
}

/// The order `max` and `min` use: numbers, times and text among themselves, null below everything.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Null, _) => Some(Ordering::Less),
        (_, Value::Null) => Some(Ordering::Greater),
        (Value::Int(a), Value::Int(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => Some(a.total_cmp(b)),
        (Value::Decimal(a), Value::Decimal(b)) => Some(a.cmp(b)),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// What to do about a whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// On both sides: merge field by field.
    Both,
    /// New: create it on this side from the other.
    Create(Side),
    /// Deleted on the other side and unchanged here: delete it on this side too.
    Delete(Side),
    /// Deleted on the other side but changed here, and the deleting side is the owner: delete it here, journal it.
    DeleteChanged(Side),
    /// Deleted on this side but changed on the other, which is the owner: create it again here, journal it.
    Restore(Side),
    /// On neither side.
    Gone,
}

/// Decides whether a record is created or deleted. `agreed`: both sides held it at some time. `changed`: the remaining
/// side moved away from base since.
pub const fn existence(legacy: bool, renaissance: bool, agreed: bool, changed: bool, owner: Side) -> Existence {
    let (missing, remaining) = match (legacy, renaissance) {
        (true, true) => return Existence::Both,
        (false, false) => return Existence::Gone,
        (false, true) => (Side::Legacy, Side::Renaissance),
        (true, false) => (Side::Renaissance, Side::Legacy),
    };
    if !agreed {
        Existence::Create(missing)
    } else if !changed {
        Existence::Delete(remaining)
    } else if matches!((owner, missing), (Side::Legacy, Side::Legacy) | (Side::Renaissance, Side::Renaissance)) {
        Existence::DeleteChanged(remaining)
    } else {
        Existence::Restore(missing)
    }
}

#[cfg(test)]
mod tests;
