//! 64-bit digests of canonical values: what a base keeps instead of people's data.

use std::{collections::BTreeMap, hash::Hasher, num::NonZeroU64};

use siphasher::sip::SipHasher13;

use super::{side::Side, sum, value::Value};

/// The digest of a canonical value, stable across builds and machines. Never zero: zero marks "no base" in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(NonZeroU64);

impl Digest {
    /// Digests a value (SipHash-1-3 over a tagged, length-prefixed encoding).
    pub fn of(value: &Value) -> Self {
        let mut hasher = hasher();
        feed(value, &mut hasher);
        Self::from_hash(hasher.finish())
    }

    /// Digests several values as the list of them.
    pub fn of_all<'a>(values: impl ExactSizeIterator<Item = &'a Value>) -> Self {
        let mut hasher = hasher();
        tagged(7, &(values.len() as u64).to_le_bytes(), &mut hasher);
        values.for_each(|value| feed(value, &mut hasher));
        Self::from_hash(hasher.finish())
    }

    /// Digests bytes as they are.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut hasher = hasher();
        hasher.write(bytes);
        Self::from_hash(hasher.finish())
    }

    fn from_hash(hash: u64) -> Self {
        Self(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN))
    }

    /// The stored form; `None` for zero, which stands for "no base".
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }

    /// The number to store.
    pub const fn to_bits(self) -> u64 {
        self.0.get()
    }
}

/// With the keys of whatever is stored: they never change.
fn hasher() -> SipHasher13 {
    SipHasher13::new_with_keys(0x6269_6f67_7261_7068, 0x6272_6964_6765_2d31)
}

fn feed(value: &Value, hasher: &mut SipHasher13) {
    match value {
        Value::Null => hasher.write_u8(0),
        Value::Bool(flag) => hasher.write(&[1, u8::from(*flag)]),
        Value::Int(number) => tagged(2, &number.to_le_bytes(), hasher),
        Value::Float(number) => {
            let one = if number.is_nan() { f64::NAN } else { *number };
            tagged(3, &one.to_bits().to_le_bytes(), hasher);
        }
        Value::Text(text) => tagged(4, text.as_bytes(), hasher),
        Value::Timestamp(micros) => tagged(5, &micros.to_le_bytes(), hasher),
        Value::Id(bytes) => tagged(6, bytes, hasher),
        Value::List(items) => {
            tagged(7, &(items.len() as u64).to_le_bytes(), hasher);
            items.iter().for_each(|item| feed(item, hasher));
        }
        Value::Object(entries) => {
            tagged(8, &(entries.len() as u64).to_le_bytes(), hasher);
            for (key, item) in entries {
                tagged(4, key.as_bytes(), hasher);
                feed(item, hasher);
            }
        }
        Value::Opaque(name) => tagged(9, name.as_bytes(), hasher),
        Value::Decimal(number) => tagged(10, number.to_string().as_bytes(), hasher),
        Value::Date(days) => tagged(11, &days.to_le_bytes(), hasher),
        Value::Uuid(bytes) => tagged(12, bytes, hasher),
        Value::Binary(subtype, bytes) => {
            hasher.write_u8(*subtype);
            tagged(13, bytes, hasher);
        }
        Value::Dangling(held) => {
            hasher.write_u8(14);
            feed(held, hasher);
        }
    }
}

fn tagged(tag: u8, bytes: &[u8], hasher: &mut SipHasher13) {
    hasher.write_u8(tag);
    hasher.write(&(bytes.len() as u64).to_le_bytes());
    hasher.write(bytes);
}

/// The hash of a value under a word, keyed: without the key nobody can tell from it which value it was. Never zero.
pub fn sealed((one, other): (u64, u64), word: &str, value: &Value) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(one, other);
    tagged(4, word.as_bytes(), &mut hasher);
    feed(value, &mut hasher);
    hasher.finish().max(1)
}

/// What both sides last agreed on, one digest per field of the entity in mapping order; `None` where they never agreed.
/// Fields that are merged member by member also keep a digest per member, those that are added up the number itself. Beside them:
/// where the record ceased to belong.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    fields: Vec<Option<Digest>>,
    /// Field → the digests of its members, in order.
    members: BTreeMap<usize, Vec<u64>>,
    /// Field → the number.
    numbers: BTreeMap<usize, Value>,
    /// The sides where it does not belong.
    outside: [bool; 2],
    /// Whether what was agreed on no longer counts.
    forgotten: bool,
}

/// Marks the number of a field whose words are a number rather than digests of members.
const NUMBER: u64 = 1 << 63;

/// In storage, where the number of a field is.
const OUTSIDE: u64 = u64::MAX;

impl Base {
    /// A base in which nothing was ever agreed on.
    pub fn empty(fields: usize) -> Self {
        Self {
            fields: vec![None; fields],
            members: BTreeMap::new(),
            numbers: BTreeMap::new(),
            outside: [false; 2],
            forgotten: false,
        }
    }

    /// The digest agreed on for a field.
    pub fn get(&self, field: usize) -> Option<Digest> {
        self.fields.get(field).copied().flatten()
    }

    /// Records what was agreed on for a field.
    pub fn set(&mut self, field: usize, digest: Option<Digest>) {
        if let Some(entry) = self.fields.get_mut(field) {
            *entry = digest;
        }
    }

    /// The members of the set agreed on for a field, if they were kept.
    pub fn members(&self, field: usize) -> Option<&[u64]> {
        self.members.get(&field).map(Vec::as_slice)
    }

    /// Keeps the members of a set that was agreed on; a value that is no list keeps none.
    pub fn keep_members(&mut self, field: usize, value: &Value) {
        match value {
            Value::List(items) if field < self.fields.len() => {
                let mut members: Vec<u64> = items.iter().map(|item| Digest::of(item).to_bits()).collect();
                members.sort_unstable();
                members.dedup();
                self.members.insert(field, members);
            }
            _ => _ = self.members.remove(&field),
        }
    }

    /// Forgets what was agreed on for a set that has lost members without anybody having taken them out: if more were agreed on
    /// than there are now. Whether it had to.
    pub fn forget_lost_members(&mut self, field: usize, now: usize) -> bool {
        let lost = self.members(field).is_some_and(|members| members.len() > now);
        if lost {
            self.members.remove(&field);
            self.set(field, None);
        }
        lost
    }

    /// The number agreed on for a field, if it was kept.
    pub fn number(&self, field: usize) -> Option<&Value> {
        // a field that was not added up for a while may have one of long ago
        self.numbers.get(&field).filter(|number| self.get(field) == Some(Digest::of(number)))
    }

    /// Keeps a number that was agreed on; a value that is none, and not nothing either, keeps none.
    pub fn keep_number(&mut self, field: usize, value: &Value) {
        if field < self.fields.len() && sum::to_words(value).is_some() {
            self.numbers.insert(field, value.clone());
        } else {
            self.numbers.remove(&field);
        }
    }

    /// Whether the record was last seen on this side as one that does not belong to the sync. Should it be deleted there, that
    /// says nothing about the other side.
    pub const fn is_outside(&self, side: Side) -> bool {
        match side {
            Side::Legacy => self.outside[0],
            Side::Renaissance => self.outside[1],
        }
    }

    /// Notes whether the record belongs on this side.
    pub const fn set_outside(&mut self, side: Side, outside: bool) {
        match side {
            Side::Legacy => self.outside[0] = outside,
            Side::Renaissance => self.outside[1] = outside,
        }
    }

    /// Forgets what was agreed on, as one side was put back to an earlier state: then neither a difference nor an absence says
    /// what happened since. Where the record does not belong is kept.
    pub fn forget(&mut self) {
        *self = Self { outside: self.outside, forgotten: true, ..Self::empty(self.fields.len()) };
    }

    /// Whether it was forgotten. The record counts as new where it is missing.
    pub const fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    /// The same for writing down what is agreed on now.
    #[must_use]
    pub fn renewed(self) -> Self {
        Self { forgotten: false, ..self }
    }

    /// Eight little-endian bytes per field, zero for "never agreed"; then, per field that keeps members, its number, how many
    /// there are and their digests, eight bytes each; per field that keeps a number likewise, marked by the highest bit; then, if
    /// it ceased to belong anywhere, in the same form where, and whether it was forgotten.
    pub fn to_bytes(&self) -> Vec<u8> {
        let fields = self.fields.iter().map(|entry| entry.map_or(0, Digest::to_bits));
        let members = self.members.iter().flat_map(|(field, members)| {
            [*field as u64, members.len() as u64].into_iter().chain(members.iter().copied())
        });
        let numbers = self.numbers.iter().filter_map(|(field, number)| Some((field, sum::to_words(number)?)));
        let numbers =
            numbers.flat_map(|(field, words)| [*field as u64 | NUMBER, words.len() as u64].into_iter().chain(words));
        let sides = u64::from(self.outside[0]) | u64::from(self.outside[1]) << 1 | u64::from(self.forgotten) << 2;
        let outside = [OUTSIDE, 1, sides].into_iter().filter(|_| sides != 0);
        let mut bytes = Vec::with_capacity(8 * self.fields.len());
        for word in fields.chain(members).chain(numbers).chain(outside) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`Base::to_bytes`] wrote, placing each stored field where `places` says (`None`: no longer mapped).
    pub fn from_bytes(bytes: &[u8], places: &[Option<usize>], fields: usize) -> Self {
        let mut base = Self::empty(fields);
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        for (bits, place) in words.by_ref().take(places.len()).zip(places) {
            if let Some(place) = place {
                base.set(*place, Digest::from_bits(bits));
            }
        }
        while let Some((field, count)) = words.next().zip(words.next()) {
            let kept: Vec<u64> = words.by_ref().take(usize::try_from(count).unwrap_or(usize::MAX)).collect();
            if field == OUTSIDE {
                let sides = kept.first().copied().unwrap_or_default();
                base.outside = [sides & 1 != 0, sides & 2 != 0];
                base.forgotten = sides & 4 != 0;
                continue;
            }
            let place = usize::try_from(field & !NUMBER).ok().and_then(|field| places.get(field).copied().flatten());
            let Some(place) = place else { continue };
            if field & NUMBER == 0 {
                base.members.insert(place, kept);
            } else if let Some(number) = sum::from_words(&kept) {
                base.numbers.insert(place, number);
            }
        }
        base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_pinned_because_it_is_stored() {
        assert_eq!(Digest::of(&Value::Text("Ada".into())).to_bits(), Digest::of(&Value::Text("Ada".into())).to_bits());
        assert_ne!(Digest::of(&Value::Null), Digest::of(&Value::Text("".into())));
        assert_ne!(Digest::of(&Value::Int(1)), Digest::of(&Value::Bool(true)));
    }

    #[test]
    fn doubles_have_one_digest_exactly_if_they_are_equal() {
        let negative_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 7);
        for (a, b, same) in [(f64::NAN, negative_nan, true), (0.0, -0.0, false), (0.1, 0.1, true)] {
            let (a, b) = (Value::Float(a), Value::Float(b));
            assert_eq!((a == b, Digest::of(&a) == Digest::of(&b)), (same, same));
        }
    }

    #[test]
    fn a_forgotten_base_survives_storage_until_something_is_agreed_on_again() {
        let mut base = Base::empty(2);
        base.set(0, Some(Digest::of(&Value::Int(7))));
        base.set_outside(Side::Legacy, true);
        base.forget();
        let stored = Base::from_bytes(&base.to_bytes(), &[Some(0), Some(1)], 2);
        assert_eq!(stored, base);
        assert!(stored.is_forgotten() && stored.is_outside(Side::Legacy) && stored.get(0).is_none());
        assert!(!Base::from_bytes(&base.renewed().to_bytes(), &[Some(0), Some(1)], 2).is_forgotten());
    }

    #[test]
    fn nested_values_do_not_run_together() {
        let pair = |a: &str, b: &str| Value::List(vec![Value::Text(a.into()), Value::Text(b.into())]);
        assert_ne!(Digest::of(&pair("ab", "c")), Digest::of(&pair("a", "bc")));
    }

    #[test]
    fn a_base_survives_storage_and_a_change_of_the_field_list() {
        let mut base = Base::empty(2);
        base.set(1, Some(Digest::of(&Value::Int(7))));
        base.keep_members(1, &Value::List(vec![Value::Int(3), Value::Int(1), Value::Int(3)]));
        base.keep_number(1, &Value::Int(7));
        let moved = Base::from_bytes(&base.to_bytes(), &[None, Some(0)], 3);
        assert_eq!(moved.get(0), Some(Digest::of(&Value::Int(7))));
        assert_eq!(moved.get(1), None);
        assert_eq!(moved.members(0).map(<[u64]>::len), Some(2));
        assert_eq!(moved.members(1), None);
        assert_eq!((moved.number(0), moved.number(1)), (Some(&Value::Int(7)), None));
        assert_eq!(Base::from_bytes(&base.to_bytes(), &[Some(0), Some(1)], 2), base);
        for side in Side::ALL {
            base.set_outside(side, true);
            assert_eq!(Base::from_bytes(&base.to_bytes(), &[Some(0), Some(1)], 2), base);
            assert!(Base::from_bytes(&base.to_bytes(), &[None, Some(0)], 3).is_outside(side));
        }
    }
}
