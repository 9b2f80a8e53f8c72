//! Filters: which records belong to the sync at all. One that does not is left alone: neither written nor deleted.

use super::transform::same_content;
use crate::model::{
    image::Image,
    side::Side,
    value::{Slot, Value},
};

/// A condition on one slot of one side.
#[derive(Clone, PartialEq)]
pub struct Filter {
    /// Whose records it looks at.
    pub side: Side,
    /// The slot it looks at.
    pub slot: usize,
    /// Contents that belong; a missing or null slot counts as [`Value::Null`].
    pub any_of: Vec<Value>,
    /// Whether it is the other contents that belong.
    pub negated: bool,
}

impl Filter {
    /// Whether a slot with this content belongs. Numbers and the texts that spell them are the same, as everywhere.
    pub fn admits(&self, held: &Slot) -> bool {
        let held = held.as_ref().unwrap_or(&Value::Null);
        self.any_of.iter().any(|listed| same_content(listed, held)) != self.negated
    }
}

impl super::Entity {
    /// Whether a side's record meets every filter on that side.
    pub fn belongs(&self, side: Side, image: &Image) -> bool {
        let mut filters = self.filters.iter().filter(|filter| filter.side == side);
        filters.all(|filter| filter.admits(image.slots.get(filter.slot).unwrap_or(&None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(any_of: &[Value], negated: bool) -> Filter {
        Filter { side: Side::Legacy, slot: 1, any_of: any_of.to_vec(), negated }
    }

    #[test]
    fn missing_and_null_are_the_same_and_spellings_do_not_matter() {
        let no_test = filter(&[Value::Bool(true), Value::Text("1".into())], true);
        assert!(
            no_test.admits(&None) && no_test.admits(&Some(Value::Null)) && no_test.admits(&Some(Value::Bool(false)))
        );
        assert!(!no_test.admits(&Some(Value::Bool(true))) && !no_test.admits(&Some(Value::Int(1))));
        let named = filter(&[Value::Null, Value::Text("live".into())], false);
        assert!(named.admits(&None) && named.admits(&Some(Value::Text("live".into()))));
        assert!(!named.admits(&Some(Value::Text("draft".into()))));
    }
}
