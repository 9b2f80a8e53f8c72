//! What people ordered about the records of a batch.

use super::{Reconciler, Work, references::Pull};
use crate::{
    error::Result,
    model::{
        key::{EntityIndex, LegacyId, SideId},
        links::Links,
        mapping::Entity,
        value::Value,
    },
    sync::{
        plan::{Order, Ordered},
        ports::{LegacyStore, RenaissanceStore},
    },
};

impl<L: LegacyStore, R: RenaissanceStore> Reconciler<L, R> {
    /// Gives orders to their records, and looks up whom they refer to.
    pub(super) async fn take_orders(
        &self,
        (index, entity): (EntityIndex, &Entity),
        works: &mut [Work],
        (links, pull): (&mut Links, &mut Pull),
    ) -> Result<()> {
        if self.orders.is_empty() {
            return Ok(());
        }
        let mut wanted = Vec::new();
        for work in works {
            let Some(order) = self.orders.about(index, work.record.legacy_id) else { continue };
            wanted.extend(named(entity, &order));
            work.record.order = Some(Ordered::new(order));
        }
        if wanted.is_empty() { Ok(()) } else { self.look_up(links, wanted, pull).await }
    }
}

/// The records that an order refers to.
fn named(entity: &Entity, order: &Order) -> Vec<(EntityIndex, SideId)> {
    fn ids(value: &Value) -> Vec<LegacyId> {
        match value {
            Value::Id(id) => vec![LegacyId::new(*id)],
            Value::List(items) => items.iter().flat_map(ids).collect(),
            _ => Vec::new(),
        }
    }
    let references = order.fields.iter().filter_map(|ordered| {
        let refers = entity.fields.get(ordered.field)?.refers.as_ref().filter(|refers| refers.linked)?;
        Some((refers.entity, ordered.values.iter().flat_map(ids)))
    });
    references.flat_map(|(entity, ids)| ids.map(move |id| (entity, SideId::Legacy(id)))).collect()
}
