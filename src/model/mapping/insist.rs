//! References that a record cannot be without, and the circles they may form: there nobody can be the first.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::Hash,
};

use super::{Entity, MappingError};
use crate::model::{key::EntityIndex, value::Value};

impl Entity {
    /// Whether no record can be made without what this field refers to: as it is the owner, or as its column refuses NULL
    /// (which is known once the mapping is bound).
    pub fn insists_on(&self, field: usize) -> bool {
        self.fields.get(field).is_some_and(|found| {
            let single = found.refers.as_ref().is_some_and(|refers| refers.linked && !refers.many);
            single && (self.owner == Some(field) || !found.renaissance.can_hold(&Value::Null))
        })
    }

    /// The fields it insists on, with the entity each refers to.
    fn insisted(&self) -> impl Iterator<Item = (usize, EntityIndex)> {
        let insisted = self.fields.iter().enumerate().filter(|(n, _)| self.insists_on(*n));
        insisted.filter_map(|(n, field)| Some((n, field.refers.as_ref()?.entity)))
    }
}

/// For each entity that insists on itself, be it through others: the field where the way round begins. Such records can refer
/// to what is on both sides already, but new ones that name each other cannot be made.
pub fn circles(entities: &[Entity]) -> Vec<MappingError> {
    let of = |index: EntityIndex| entities.get(usize::from(index.0));
    let next = |index: EntityIndex| of(index).into_iter().flat_map(Entity::insisted).map(|(_, to)| to).collect();
    let circle = |index: EntityIndex| {
        let (entity, way) = (of(index)?, round(index, next)?);
        let (field, _) = entity.insisted().find(|(_, to)| way.get(1) == Some(to))?;
        let field = entity.fields.get(field)?;
        Some(MappingError {
            file: entity.origin.file.clone(),
            line: field.line,
            field: Some(field.name.clone()),
            message: format!("insists on records that insist on this one: {}", names(entities, &way)),
            hint: None,
        })
    };
    (0..=u16::MAX).map(EntityIndex).take(entities.len()).filter_map(circle).collect()
}

/// The names of the entities on a way: `page → book → page`.
pub fn names(entities: &[Entity], way: &[EntityIndex]) -> String {
    let names = way.iter().filter_map(|index| entities.get(usize::from(index.0)));
    names.map(|entity| entity.name.as_str()).collect::<Vec<_>>().join(" → ")
}

/// The shortest way from here round to here again, both ends included.
pub fn round<K: Copy + Eq + Hash>(from: K, next: impl Fn(K) -> Vec<K>) -> Option<Vec<K>> {
    let (mut came, mut queue) = (HashMap::new(), VecDeque::from([from]));
    while let Some(at) = queue.pop_front() {
        for to in next(at) {
            if to == from {
                let mut way = vec![from, at];
                // `from` itself came from nowhere, so that this ends there
                while let Some(before) = way.last().and_then(|last| came.get(last)) {
                    way.push(*before);
                }
                way.reverse();
                return Some(way);
            }
            if let Entry::Vacant(free) = came.entry(to) {
                free.insert(at);
                queue.push_back(to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_way_round_is_found_from_everyone_on_it_and_from_nobody_else() {
        let next = |from: u8| match from {
            0 => vec![1],
            1 => vec![2, 4],
            2 => vec![3],
            3 | 4 => vec![1],
            5 => vec![5],
            _ => vec![],
        };
        assert_eq!(round(0, next), None, "it only leads into one");
        assert_eq!(round(1, next), Some(vec![1, 4, 1]));
        assert_eq!(round(3, next), Some(vec![3, 1, 2, 3]));
        assert_eq!(round(5, next), Some(vec![5, 5]));
        assert_eq!(round(6, next), None);
    }
}
