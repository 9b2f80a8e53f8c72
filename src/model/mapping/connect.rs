//! Mappings among each other: references find the entity they name, and entities their order.

use super::{Entity, MappingError, error::did_you_mean};
use crate::model::key::EntityIndex;

/// Ties references to the entities they name; entities keep their places. Every reference that names nothing is an error, and
/// so is an owner that leads to no person.
pub fn connect(entities: &mut [Entity]) -> Vec<MappingError> {
    let names: Vec<String> = entities.iter().map(|entity| entity.name.clone()).collect();
    let mut errors = Vec::new();
    for entity in entities.iter_mut() {
        let file = entity.origin.file.clone();
        for field in &mut entity.fields {
            let Some(refers) = &mut field.refers else { continue };
            match (0..=u16::MAX).zip(&names).find(|(_, name)| **name == refers.to) {
                Some((index, _)) => refers.entity = EntityIndex(index),
                None => errors.push(MappingError {
                    file: file.clone(),
                    line: field.line,
                    field: Some(field.name.clone()),
                    message: format!("`to` names the entity `{}`, which no mapping file declares", refers.to),
                    hint: did_you_mean(&refers.to, names.iter().map(String::as_str)),
                }),
            }
        }
    }
    if errors.is_empty() {
        errors.extend(entities.iter().filter_map(|entity| ownerless(entity, entities)));
    }
    errors
}

/// Says so if the owners from this entity on lead round in a circle instead of to a person.
fn ownerless(entity: &Entity, entities: &[Entity]) -> Option<MappingError> {
    let mut way = vec![entity];
    while let Some(owner) = way.last().and_then(|last| last.fields.get(last.owner?)) {
        let next = entities.get(usize::from(owner.refers.as_ref()?.entity.0))?;
        let seen = way.iter().any(|passed| passed.name == next.name);
        way.push(next);
        if seen {
            let names: Vec<&str> = way.iter().map(|entity| entity.name.as_str()).collect();
            let field = entity.fields.get(entity.owner?)?;
            return Some(MappingError {
                file: entity.origin.file.clone(),
                line: field.line,
                field: Some(field.name.clone()),
                message: format!("`owner` leads round in a circle and to no person: {}", names.join(" → ")),
                hint: None,
            });
        }
    }
    None
}

/// The entities, those that others refer to first. Where references go round in a circle, the order of the files decides.
pub fn dependency_order(entities: &[Entity]) -> Vec<EntityIndex> {
    let mut order: Vec<EntityIndex> = Vec::with_capacity(entities.len());
    let mut left: Vec<EntityIndex> = (0..=u16::MAX).map(EntityIndex).take(entities.len()).collect();
    while !left.is_empty() {
        let ready = |index: &EntityIndex| {
            let fields = entities.get(usize::from(index.0)).map_or(&[][..], |entity| &entity.fields);
            // a set of references can be filled later, a single one has to be there at once
            let parents = fields.iter().filter_map(|field| field.refers.as_ref());
            parents
                .filter(|refers| refers.linked && !refers.many && refers.entity != *index)
                .all(|refers| !left.contains(&refers.entity))
        };
        let place = left.iter().position(ready).unwrap_or(0);
        order.push(left.remove(place));
    }
    order
}
