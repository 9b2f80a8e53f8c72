//! A field's two half-lenses: slots of a side ↔ canonical value. Every law is kept here, whatever the transform:
//! what a side already reads as is left alone (get-put), and what would not read back is refused (put-get).

use std::borrow::Cow;

use super::{
    Field, OnInvalid,
    limits::{self, Limits},
    transform::{NullForm, Place, Shape, Transform, Write, timestamp},
};
use crate::model::{
    image::{Image, Patch},
    problem::{Problem, Reason},
    reading::Reading,
    side::Side,
    value::{Slot, Value},
};

/// One side of a field.
#[derive(Clone, PartialEq)]
pub struct HalfLens {
    /// Indices into the side's slots, in the order the transform takes them.
    pub(crate) slots: Vec<usize>,
    /// What they are called, for messages.
    pub(crate) names: Vec<String>,
    /// What the bound columns accept; empty for legacy and before binding.
    pub(crate) limits: Vec<Limits>,
    /// The labels of the bound columns that are enums, by place; empty for every other.
    pub(crate) labels: Vec<Vec<String>>,
    /// How the slots hold the value.
    pub(crate) transform: Transform,
    /// What nothing means.
    pub(crate) missing: Missing,
    /// How nothing is written.
    pub(crate) null_as: NullForm,
}

/// What an absent, null or empty slot means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Missing {
    /// Canonical null.
    Null,
    /// This value.
    Default(Value),
    /// The time inside the document's ObjectId.
    IdTime,
}

/// Where the document's `_id` is among the legacy slots.
pub(crate) const ID_SLOT: usize = 0;

impl HalfLens {
    fn places<'a>(&'a self, slots: &'a [Slot]) -> impl Iterator<Item = Place<'a>> {
        let held = |slot: &usize| slots.get(*slot).and_then(Option::as_ref);
        self.slots.iter().zip(&self.names).map(move |(slot, name)| Place { name, held: held(slot) })
    }

    /// Shows what is at its places, which are few.
    fn with_places<T>(&self, slots: &[Slot], show: impl FnOnce(&[Place<'_>]) -> T) -> T {
        let mut few = [const { Place { name: "", held: None } }; 4];
        match few.get_mut(..self.slots.len()) {
            Some(few) => {
                few.iter_mut().zip(self.places(slots)).for_each(|(at, place)| *at = place);
                show(few)
            }
            None => show(&self.places(slots).collect::<Vec<_>>()),
        }
    }

    /// What its first slot holds.
    fn first<'a>(&self, slots: &'a [Slot]) -> Option<&'a Value> {
        self.slots.first().and_then(|slot| slots.get(*slot)?.as_ref())
    }

    /// Whether any of its slots is there.
    fn is_there(&self, slots: &[Slot]) -> bool {
        self.slots.iter().any(|slot| slots.get(*slot).is_some_and(Option::is_some))
    }

    /// The canonical value of these slots of the side.
    fn read(&self, slots: &[Slot]) -> Result<Value, Problem> {
        self.look(slots).map(Cow::into_owned)
    }

    /// The same, without copying what is there if that is the canonical value itself.
    fn look<'a>(&self, slots: &'a [Slot]) -> Result<Cow<'a, Value>, Problem> {
        let value = match self.transform.shape() {
            Shape::Compound(compound) => Cow::Owned(self.with_places(slots, |places| compound.read(places))?),
            Shape::Scalar(scalar) => match self.first(slots) {
                None | Some(Value::Null) => Cow::Owned(Value::Null),
                Some(held) if scalar.is_canonical(held) => Cow::Borrowed(held),
                Some(held) => {
                    let name = self.names.first().map_or("", String::as_str);
                    Cow::Owned(scalar.read(held, &Place { name, held: Some(held) })?)
                }
            },
        };
        Ok(if *value == Value::Null { Cow::Owned(self.nothing(slots)) } else { value })
    }

    /// The canonical values that somebody may mean who types this text.
    pub fn meant(&self, text: &str) -> Vec<Value> {
        match self.transform.shape() {
            Shape::Compound(compound) => compound.meant(text),
            Shape::Scalar(scalar) => {
                let held = Value::Text(text.into());
                scalar.read(&held, &Place { name: "the text", held: Some(&held) }).into_iter().collect()
            }
        }
    }

    /// What nothing means.
    fn nothing(&self, slots: &[Slot]) -> Value {
        match (&self.missing, slots.get(ID_SLOT)) {
            (Missing::Default(default), _) => default.clone(),
            (Missing::IdTime, Some(Some(Value::Id(id)))) => self.id_time(*id),
            (Missing::Null | Missing::IdTime, _) => Value::Null,
        }
    }

    /// The creation time inside an ObjectId as what the field holds: a moment, or its day.
    pub(crate) fn id_time(&self, id: [u8; 12]) -> Value {
        let moment = timestamp::id_time(id);
        let read = match self.transform.shape() {
            Shape::Scalar(scalar) => scalar.read(&moment, &Place { name: "_id", held: Some(&moment) }).ok(),
            Shape::Compound(_) => None,
        };
        read.unwrap_or(moment)
    }

    /// What to do to each slot so that they read as the value.
    fn writes(&self, value: &Value, slots: &[Slot]) -> Result<Vec<Write>, Problem> {
        match self.transform.shape() {
            Shape::Compound(compound) => self.with_places(slots, |places| compound.write(value, places, self.null_as)),
            Shape::Scalar(scalar) => {
                let write = if *value == Value::Null { self.null_as.write() } else { Write::Set(scalar.write(value)?) };
                Ok(vec![write; self.slots.len()])
            }
        }
    }

    /// The slots that have to change so that `current` reads as the value.
    pub(super) fn patch(&self, value: &Value, current: &[Slot]) -> Result<Patch, Problem> {
        let writes = self.writes(value, current)?;
        // of the others only `_id` is ever looked at
        let highest = self.slots.iter().max().map_or(0, |slot| slot + 1);
        let mut after = vec![None; current.len().max(highest)];
        for slot in self.slots.iter().chain([&ID_SLOT]) {
            if let (Some(after), Some(held)) = (after.get_mut(*slot), current.get(*slot)) {
                after.clone_from(held);
            }
        }
        let mut patch = Patch::new();
        for (place, (write, slot)) in writes.into_iter().zip(&self.slots).enumerate() {
            let content = match write {
                Write::Keep => continue,
                Write::Set(content) => Some(content),
                Write::Remove => None,
            };
            let Some(held) = after.get_mut(*slot).filter(|held| **held != content) else { continue };
            if let (Some(content), Some(limits), Some(name)) = (&content, self.limits.get(place), self.names.get(place))
            {
                limits::check(content, *limits, name)?;
                limits::check_label(content, self.labels.get(place).map_or(&[], Vec::as_slice), name)?;
            }
            held.clone_from(&content);
            patch.push((*slot, content));
        }
        match self.read(&after)? == *value {
            true => Ok(patch),
            false => Err(self.would_not_read_back(value)),
        }
    }

    /// Whether a side's slots can hold the value.
    pub(crate) fn can_hold(&self, value: &Value) -> bool {
        self.patch(value, &[]).is_ok()
    }

    fn would_not_read_back(&self, value: &Value) -> Problem {
        let place = self.names.join(" and ");
        match value {
            Value::Null => Problem::new(Reason::NotNull, format!("{place} has a default and cannot hold null")),
            value => {
                Problem::new(Reason::WrongType, format!("{place} cannot hold this {} unchanged", value.type_name()))
            }
        }
    }
}

impl Field {
    /// One side of the field.
    pub const fn half(&self, side: Side) -> &HalfLens {
        match side {
            Side::Legacy => &self.legacy,
            Side::Renaissance => &self.renaissance,
        }
    }

    /// The slots of a side that the field writes.
    pub fn slots(&self, side: Side) -> &[usize] {
        &self.half(side).slots
    }

    /// What a side's record says about this field. Total: any content gives a value or says why not.
    pub fn get(&self, side: Side, image: &Image) -> Reading {
        let half = self.half(side);
        if side == Side::Renaissance && !half.is_there(&image.slots) {
            return Reading::Absent;
        }
        let meaning = self.meaning(side, &image.slots);
        meaning.map_or_else(|problem| Reading::Invalid(on(side, &problem)), Reading::Value)
    }

    /// Whether both sides say the same: a value, and the same one.
    pub fn agrees(&self, legacy: &Image, renaissance: &Image) -> bool {
        if self.same(legacy, renaissance).is_some() {
            return true;
        }
        let readings = || (self.get(Side::Legacy, legacy), self.get(Side::Renaissance, renaissance));
        // what cannot be read is seen as it is
        self.on_invalid != OnInvalid::Park
            && matches!(readings(), (Reading::Value(one), Reading::Value(other)) if one == other)
    }

    /// The value that both sides hold, told at a glance. That there is none says nothing.
    pub fn same<'a>(&self, legacy: &'a Image, renaissance: &'a Image) -> Option<Cow<'a, Value>> {
        if self.on_invalid != OnInvalid::Park || !self.renaissance.is_there(&renaissance.slots) {
            return None;
        }
        if let Some(text) = self.same_text(&legacy.slots, &renaissance.slots) {
            return Some(Cow::Borrowed(text));
        }
        let one = self.legacy.look(&legacy.slots).ok()?;
        let other = self.renaissance.look(&renaissance.slots).ok()?;
        (one == other).then_some(one)
    }

    /// The text that is the canonical value on both sides, as it is of most fields.
    fn same_text<'a>(&self, legacy: &'a [Slot], renaissance: &[Slot]) -> Option<&'a Value> {
        let is_text = |half: &HalfLens| matches!(half.transform, Transform::Text(_));
        let held = self.legacy.first(legacy).filter(|_| is_text(&self.legacy) && is_text(&self.renaissance))?;
        let text = held.as_text().filter(|text| !text.is_empty())?;
        (self.renaissance.first(renaissance)?.as_text() == Some(text)).then_some(held)
    }

    /// What these slots mean, whatever `on_invalid` says about what cannot be converted, or held by the other side.
    fn meaning(&self, side: Side, slots: &[Slot]) -> Result<Value, Problem> {
        let half = self.half(side);
        let read = half.read(slots);
        let fallback = || match &self.on_invalid {
            OnInvalid::Value(value) => value.clone(),
            OnInvalid::Park | OnInvalid::Missing | OnInvalid::Truncate(_) => half.nothing(slots),
        };
        match (&self.on_invalid, read) {
            (OnInvalid::Park, read) => read,
            (OnInvalid::Truncate(length), Ok(Value::Text(text))) => Ok(Value::Text(cut(text.into(), *length).into())),
            (OnInvalid::Truncate(_), read) => read,
            // a reference that may come to life is waited for
            (_, Err(problem)) if problem.reason == Reason::MissingReference => Err(problem),
            (_, Err(_)) => Ok(fallback()),
            (_, Ok(value)) if value == Value::Null || self.half(side.other()).can_hold(&value) => Ok(value),
            (_, Ok(_)) => Ok(fallback()),
        }
    }

    /// The slots that have to change so that `current` reads as `value`; for an insert (`None`) all that must be there.
    /// What is put reads back as exactly this value, or it is refused.
    pub fn put(&self, side: Side, value: &Value, current: Option<&Image>) -> Result<Patch, Problem> {
        let current = match current.map(|image| (image, self.get(side, image))) {
            Some((_, Reading::Value(held))) if held == *value => return Ok(Patch::new()),
            Some((image, Reading::Value(_) | Reading::Invalid(_))) => image.slots.as_slice(),
            Some((_, Reading::Absent)) | None => &[],
        };
        let half = self.half(side);
        let patch = half.patch(value, current).map_err(|problem| on(side, &problem))?;
        if self.on_invalid != OnInvalid::Park && self.meaning(side, &applied(current, &patch)).as_ref() != Ok(value) {
            return Err(on(side, &half.would_not_read_back(value)));
        }
        Ok(patch)
    }

    /// For natural keys: every content of the side's slots that may hold this value. Null has none: nothing is no identity.
    /// A slot content of `Some(Null)` matches a missing field too.
    pub fn forms(&self, side: Side, value: &Value) -> Vec<Patch> {
        if *value == Value::Null {
            return Vec::new();
        }
        let half = self.half(side);
        let patch = |form: Vec<(usize, Value)>| -> Option<Patch> {
            form.into_iter().map(|(place, content)| Some((*half.slots.get(place)?, Some(content)))).collect()
        };
        match half.transform.shape() {
            Shape::Scalar(scalar) => {
                scalar.forms(value).into_iter().filter_map(|form| patch(vec![(0, form)])).collect()
            }
            Shape::Compound(compound) => compound.forms(value).into_iter().filter_map(patch).collect(),
        }
    }
}

/// The slots after the patch.
fn applied(slots: &[Slot], patch: &Patch) -> Vec<Slot> {
    let mut after = slots.to_vec();
    for (slot, content) in patch {
        after.resize(after.len().max(slot + 1), None);
        if let Some(held) = after.get_mut(*slot) {
            held.clone_from(content);
        }
    }
    after
}

/// The text without what comes after this many characters.
fn cut(mut text: String, length: u32) -> String {
    if let Some((at, _)) = text.char_indices().nth(length as usize) {
        text.truncate(at);
    }
    text
}

/// Says on which side.
fn on(side: Side, problem: &Problem) -> Problem {
    Problem::new(problem.reason, format!("{side} {}", problem.detail))
}
