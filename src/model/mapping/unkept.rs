//! What a Renaissance record holds that would not come back from legacy: the price of moving back.

use super::{Entity, Field, Flow};
use crate::model::{image::Image, reading::Reading, side::Side};

/// Why a field would not come back as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unkept {
    /// Several contents read as one, and it holds another than the normal form.
    Form,
    /// Legacy cannot hold the value.
    Unfit,
    /// It crosses only when a record is made, and was changed since.
    Once,
    /// It holds what no mapping can read.
    Unreadable,
}

impl Unkept {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Form => "another form of it would come back",
            Self::Unfit => "BioGraph cannot hold the value",
            Self::Once => "crosses only when a record is made, and was changed since",
            Self::Unreadable => "cannot be converted",
        }
    }
}

impl Entity {
    /// The fields of a record that legacy does not keep as Renaissance holds them. References are left out: they lead to the same
    /// records on both sides or are parked.
    pub fn unkept(&self, legacy: Option<&Image>, renaissance: &Image) -> Vec<(usize, Unkept)> {
        let fields = self.fields.iter().enumerate();
        fields.filter_map(|(n, field)| Some((n, field.unkept(legacy, renaissance)?))).collect()
    }
}

impl Field {
    /// Why it would not come back as it is, in words: with what is lost, where several contents read as one.
    pub fn unkept_because(&self, why: Unkept) -> String {
        let lost = match why {
            Unkept::Form => self.losses_on(Side::Renaissance).into_iter().chain(self.on_invalid.loss()).collect(),
            Unkept::Unfit | Unkept::Once | Unkept::Unreadable => Vec::new(),
        };
        let lost: Vec<String> = lost.into_iter().map(|loss| loss.what).collect();
        if lost.is_empty() { why.as_str().to_owned() } else { format!("{} ({})", why.as_str(), lost.join("; ")) }
    }

    fn unkept(&self, legacy: Option<&Image>, renaissance: &Image) -> Option<Unkept> {
        // one that follows legacy is made anew from there
        if self.flow == Flow::To(Side::Renaissance) || self.refers.as_ref().is_some_and(|refers| refers.linked) {
            return None;
        }
        let value = match self.get(Side::Renaissance, renaissance) {
            Reading::Absent => return None,
            Reading::Invalid(_) => return Some(Unkept::Unreadable),
            Reading::Value(value) => value,
        };
        let there = legacy.map(|image| self.get(Side::Legacy, image));
        if self.once && there.is_some_and(|there| there.value() != Some(&value)) {
            return Some(Unkept::Once);
        }
        if self.put(Side::Legacy, &value, legacy).is_err() {
            return Some(Unkept::Unfit);
        }
        let anew = self.put(Side::Renaissance, &value, None).ok()?;
        let held = |slot: usize| renaissance.slots.get(slot).cloned().flatten();
        anew.into_iter().any(|(slot, content)| held(slot) != content).then_some(Unkept::Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        image::Version,
        mapping::parse,
        value::{Slot, Value},
    };

    #[test]
    fn one_of_several_words_for_the_same_does_not_come_back() {
        let entity = parse("user.toml", include_str!("../../../mappings/user.toml")).unwrap();
        let premium = entity.field("premium").unwrap();
        let column = entity.fields[premium].slots(Side::Renaissance)[0];
        let holding = |word: &str| {
            let mut slots: Vec<Slot> = vec![None; entity.renaissance.columns.len()];
            slots[column] = Some(Value::Text(word.into()));
            let image = Image { slots, version: Version(vec![1]) };
            let found = entity.unkept(None, &image);
            found.into_iter().find(|(field, _)| *field == premium).map(|(_, why)| why)
        };
        assert_eq!(holding("premium"), None);
        assert_eq!(holding("pro"), Some(Unkept::Form));
        assert_eq!(holding("unheard of"), Some(Unkept::Unreadable));
        let because = |name: &str, why| entity.fields[entity.field(name).unwrap()].unkept_because(why);
        assert!(because("premium", Unkept::Form).contains("\"pro\""), "{}", because("premium", Unkept::Form));
        assert_eq!(because("updated", Unkept::Form), "another form of it would come back (microseconds are cut off)");
        assert_eq!(because("updated", Unkept::Unfit), "BioGraph cannot hold the value");
    }
}
