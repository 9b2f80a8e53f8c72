//! What belongs to somebody by what the records themselves say: links know nothing of a record that was missed.

use futures_util::future::try_join_all;

use super::ports::LegacyStore;
use crate::{
    error::Result,
    model::{
        key::{EntityIndex, LegacyId},
        mapping::Entity,
        person::persons,
    },
};

/// The documents that name these people, or documents that do, as their owner. One read for each entity, and one after the other
/// only where one leads to the next.
pub(super) async fn documents<L: LegacyStore>(
    legacy: &L,
    entities: &[Entity],
    people: &[LegacyId],
) -> Result<Vec<(EntityIndex, LegacyId)>> {
    let mut owners: Vec<(EntityIndex, Vec<LegacyId>)> =
        persons(entities).map(|(index, _)| (index, people.to_vec())).collect();
    let mut found = Vec::new();
    // owners lead to a person and never round in a circle, so this ends
    while !owners.is_empty() {
        let mut reads = Vec::new();
        for (parent, ids) in &owners {
            for index in children(entities, *parent) {
                reads.push(named_by(legacy, index, ids));
            }
        }
        owners = try_join_all(reads).await?;
        owners.retain(|(_, ids)| !ids.is_empty());
        found.extend(owners.iter().flat_map(|(index, ids)| ids.iter().map(|id| (*index, *id))));
    }
    Ok(found)
}

async fn named_by<L: LegacyStore>(
    legacy: &L,
    index: EntityIndex,
    owners: &[LegacyId],
) -> Result<(EntityIndex, Vec<LegacyId>)> {
    Ok((index, legacy.owned_by(index, owners).await?))
}

/// The entities whose records belong to records of this one.
fn children(entities: &[Entity], parent: EntityIndex) -> Vec<EntityIndex> {
    let owner = |entity: &Entity| entity.fields.get(entity.owner?)?.refers.as_ref().map(|refers| refers.entity);
    let known = (0..=u16::MAX).map(EntityIndex).zip(entities);
    known.filter(|(_, entity)| owner(entity) == Some(parent)).map(|(index, _)| index).collect()
}
