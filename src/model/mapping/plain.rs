//! Fields that both sides hold in the same way, so that they can be counted and added up without reading them through the lenses.

use super::{Entity, Field, Flow, OnInvalid, lens::Missing, transform::Transform};
use crate::model::side::Side;

/// What a plain field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Text: its length counts.
    Text,
    /// A truth value: how often it is true counts.
    Truth,
    /// A number: it is added up.
    Number,
}

impl Field {
    /// What it holds, if it is one path and one column, crosses both ways as it is, and nothing stands for something.
    pub fn plain(&self) -> Option<Plain> {
        let (legacy, renaissance) = (self.half(Side::Legacy), self.half(Side::Renaissance));
        let alike = self.flow == Flow::Both
            && !self.once
            && self.refers.is_none()
            && self.on_invalid == OnInvalid::Park
            && legacy.transform == renaissance.transform
            && [legacy, renaissance].iter().all(|half| half.slots.len() == 1 && half.missing == Missing::Null);
        match legacy.transform {
            Transform::Text(_) if alike => Some(Plain::Text),
            Transform::Bool(_) if alike => Some(Plain::Truth),
            Transform::Int(_) | Transform::Float(_) if alike => Some(Plain::Number),
            _ => None,
        }
    }
}

impl Entity {
    /// The fields that are plain, by their places.
    pub fn plain_fields(&self) -> Vec<(usize, Plain)> {
        let fields = self.fields.iter().enumerate();
        fields.filter_map(|(n, field)| Some((n, field.plain()?))).collect()
    }
}
