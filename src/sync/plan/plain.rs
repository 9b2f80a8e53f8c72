//! Telling at a glance that nothing is to be done.

use crate::model::{image::Image, mapping::Entity, policy::Policy, side::Side};

/// Whether both sides of a linked record, lifted, say the same in every field: then [`plan`](super::plan) writes to neither side,
/// whatever was agreed on before. That it is not plain says nothing.
pub fn is_plainly_equal(entity: &Entity, legacy: &Image, renaissance: &Image) -> bool {
    let belongs = [(Side::Legacy, legacy), (Side::Renaissance, renaissance)];
    let mut fields = entity.fields.iter().filter(|field| !field.once);
    belongs.into_iter().all(|(side, image)| entity.belongs(side, image))
        // both may have added the same, so that a sum may be due
        && fields.all(|field| field.policy != Policy::Sum && field.agrees(legacy, renaissance))
}
