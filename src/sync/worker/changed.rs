//! Of whom the directory has to look again after a batch.

use std::collections::{HashMap, HashSet};

use crate::{
    model::{
        key::{Key, LegacyId, SideId},
        mapping::Entity,
        side::Direction,
    },
    sync::reconcile::BatchReport,
};

/// What may have changed of who somebody is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    /// Nothing: only fields that nobody is known by were exchanged.
    Nothing,
    /// What a way to log in needs: it is no field, and may have changed along with one.
    Doors,
    Everything,
}

/// The keys of a batch by what may have changed of who the records are: everything, or only what a way to log in needs.
pub(super) fn unlike_before(entity: &Entity, report: &BatchReport) -> (Vec<Key>, Vec<Key>) {
    if report.effects.iter().any(|effect| effect.parks) {
        return (report.settled.clone(), Vec::new());
    }
    let logins = entity.logins.iter().map(|login| login.field);
    let has_doors = entity.logins.iter().any(|login| login.needs.is_some());
    let names: HashSet<usize> = entity.natural_keys.iter().flatten().copied().chain(logins).collect();
    let mut by_record: HashMap<LegacyId, Changed> = HashMap::with_capacity(report.crossings.len());
    for crossing in &report.crossings {
        let changed = if crossing.fields.is_empty() || crossing.fields.iter().any(|field| names.contains(field)) {
            Changed::Everything
        } else if has_doors && crossing.direction == Direction::RenaissanceToLegacy {
            Changed::Doors
        } else {
            Changed::Nothing
        };
        let most = by_record.entry(crossing.legacy_id).or_insert(changed);
        *most = changed.max(*most);
    }
    let by_key = report.crossings.iter().filter_map(|one| Some((one.key?, *by_record.get(&one.legacy_id)?)));
    let by_key: HashMap<Key, Changed> = by_key.collect();
    let changed = |key: &Key| match key.id {
        SideId::Legacy(id) => by_record.get(&id).copied(),
        SideId::Renaissance(_) => by_key.get(key).copied(),
    };
    let those = |wanted| {
        report.settled.iter().filter(|key| changed(key).unwrap_or(Changed::Everything) == wanted).copied().collect()
    };
    (those(Changed::Everything), those(Changed::Doors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::key::EntityIndex,
        sync::{plan::tests::user, reconcile::Crossing},
    };

    fn id(n: u8) -> LegacyId {
        LegacyId::new([n; 12])
    }

    fn document(n: u8) -> Key {
        Key { entity: EntityIndex(0), id: SideId::Legacy(id(n)) }
    }

    fn row(n: u8) -> Key {
        Key { entity: EntityIndex(0), id: SideId::Renaissance(n.into()) }
    }

    /// What is to be looked at of a batch in which these fields of these records crossed, and which settled these keys.
    fn looked_at(crossed: &[(u8, Direction, &[&str])], settled: Vec<Key>) -> (Vec<Key>, Vec<Key>) {
        let entity = user();
        let field = |name: &&str| entity.fields.iter().position(|field| field.name == **name).unwrap();
        let crossing = |(n, direction, fields): &(u8, Direction, &[&str])| Crossing {
            direction: *direction,
            legacy_id: id(*n),
            fields: fields.iter().map(field).collect(),
            label: None,
            key: Some(if *direction == Direction::LegacyToRenaissance { document(*n) } else { row(*n) }),
        };
        let crossings = crossed.iter().map(crossing).collect();
        unlike_before(&entity, &BatchReport { settled, crossings, ..BatchReport::default() })
    }

    #[test]
    fn who_exchanged_only_what_nobody_is_known_by_is_not_looked_at() {
        let crossed: &[(u8, Direction, &[&str])] = &[
            (1, Direction::LegacyToRenaissance, &["name", "premium"]),
            (2, Direction::LegacyToRenaissance, &["name", "email"]),
            (3, Direction::LegacyToRenaissance, &[]),
        ];
        let settled = vec![document(1), document(2), document(3), document(4), row(5)];
        let everything = vec![document(2), document(3), document(4), row(5)];
        assert_eq!(looked_at(crossed, settled), (everything, vec![]));
    }

    #[test]
    fn a_row_may_have_got_another_password_along_with_what_crossed() {
        let crossed: &[(u8, Direction, &[&str])] = &[
            (1, Direction::RenaissanceToLegacy, &["name"]),
            (2, Direction::RenaissanceToLegacy, &["phone"]),
            (3, Direction::LegacyToRenaissance, &["name"]),
            (3, Direction::RenaissanceToLegacy, &["premium"]),
        ];
        let settled = vec![row(1), row(2), document(3), row(3)];
        assert_eq!(looked_at(crossed, settled), (vec![row(2)], vec![row(1), document(3), row(3)]));
    }
}
