//! The directory against a plain list of people.

use proptest::prelude::{Strategy, any, prop, proptest};

use super::*;

fn known(legacy: Option<u8>, renaissance: Option<u8>, names: &[u64]) -> Known {
    let legacy = legacy.map(|byte| LegacyId::new([byte; 12]));
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    let renaissance = renaissance.map(i64::from);
    Known { entity: EntityIndex(0), legacy, renaissance, names, ways: [1, 3], row: CutoverRow::UNMOVED }
}

/// What happens to a directory.
#[derive(Clone, Debug)]
enum Event {
    Put(Known),
    Remove(SideId),
    Stand(u8, i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let id = 0..12_u8;
    // few names, so that people share them; some of them begin at the same place of the table
    let name = (0..6_u64, any::<bool>()).prop_map(|(n, high)| if high { u64::MAX - n } else { n + 1 });
    let names = prop::collection::vec(name, 0..5);
    let put = (prop::option::of(id.clone()), prop::option::of(id.clone()), names)
        .prop_filter("somewhere", |(legacy, renaissance, _)| legacy.is_some() || renaissance.is_some())
        .prop_map(|(legacy, renaissance, names)| Event::Put(known(legacy, renaissance, &names)));
    let remove = (id.clone(), any::<bool>()).prop_map(|(id, left)| {
        Event::Remove(if left { SideId::Legacy(LegacyId::new([id; 12])) } else { SideId::Renaissance(id.into()) })
    });
    let stand = (id, 1..9_i64).prop_map(|(id, epoch)| Event::Stand(id, epoch));
    prop::collection::vec(proptest::prop_oneof![4 => put, 1 => remove, 1 => stand], 0..120)
}

fn is(person: &Known, id: SideId) -> bool {
    match id {
        SideId::Legacy(id) => person.legacy == Some(id),
        SideId::Renaissance(id) => person.renaissance == Some(id),
    }
}

/// What the same says as a list.
fn apply(list: &mut Vec<Known>, event: &Event) {
    match event {
        Event::Put(new) => {
            list.retain(|known| {
                !(new.legacy.is_some() && known.legacy == new.legacy
                    || new.renaissance.is_some() && known.renaissance == new.renaissance)
            });
            list.push(new.clone());
        }
        Event::Remove(id) => list.retain(|known| !is(known, *id)),
        Event::Stand(id, epoch) => {
            let moved = list.iter_mut().filter(|known| known.legacy == Some(LegacyId::new([*id; 12])));
            moved.for_each(|known| known.row = moved_to(*epoch));
        }
    }
}

fn moved_to(epoch: i64) -> CutoverRow {
    CutoverRow { state: PersonState::Renaissance, owner: Side::Renaissance, epoch }
}

fn expected<'a>(mut found: impl Iterator<Item = &'a Known>) -> Found {
    match (found.next(), found.next()) {
        (None, _) => Found::Nobody,
        (Some(one), None) => {
            let ways = one.ways[usize::from(one.row.owner == Side::Renaissance)];
            Found::One(Whereabouts { entity: one.entity, row: one.row, ways })
        }
        (Some(_), Some(_)) => Found::Several,
    }
}

proptest! {
    #[test]
    fn it_finds_whom_a_list_finds_whatever_happened_before(events in events()) {
        let (mut people, mut list) = (People::new((1, 2)), Vec::new());
        for event in &events {
            apply(&mut list, event);
            match event {
                Event::Put(known) => people.put(known),
                Event::Remove(id) => people.remove(EntityIndex(0), *id),
                Event::Stand(id, epoch) => drop(people.stand(LegacyId::new([*id; 12]), moved_to(*epoch))),
            }
            assert_eq!(people.len(), list.len());
        }
        for n in 0..12 {
            for id in [SideId::Legacy(LegacyId::new([n; 12])), SideId::Renaissance(n.into())] {
                assert_eq!(people.with_id(id), expected(list.iter().filter(|known| is(known, id))), "{id}");
            }
        }
        for name in (0..6).flat_map(|n| [n + 1, u64::MAX - n]) {
            let holders = list.iter().filter(|known| known.names.contains(&name));
            assert_eq!(people.named(&[name]), expected(holders), "{name}");
        }
        let linked = list.iter().filter(|known| known.legacy.is_some() && known.renaissance.is_some());
        let moved = linked.clone().filter(|known| known.row != CutoverRow::UNMOVED).count();
        let counts = people.counts();
        let count = |state| counts.iter().find(|(known, _)| *known == state).map(|(_, count)| *count);
        assert_eq!(count(PersonState::Renaissance), i64::try_from(moved).ok());
        assert_eq!(count(PersonState::Legacy), i64::try_from(linked.count() - moved).ok());
    }
}

#[test]
fn several_spellings_of_one_name_are_one_person_and_one_name_of_two_is_several() {
    let mut people = People::new((1, 2));
    people.put(&known(Some(1), Some(1), &[7, 8, 9, 10]));
    people.put(&known(Some(2), None, &[9]));
    assert!(matches!(people.named(&[7, 8, 10, 77]), Found::One(_)));
    assert_eq!(people.named(&[9]), Found::Several);
    assert_eq!(people.named(&[7, 9]), Found::Several);
    assert_eq!(people.named(&[11]), Found::Nobody);
}

#[test]
fn whom_a_walk_does_not_meet_is_forgotten_and_who_came_meanwhile_stays() {
    let mut people = People::new((1, 2));
    (1..=3).for_each(|n| people.put(&known(Some(n), Some(n), &[n.into()])));
    people.begin_walk();
    people.put(&known(Some(1), Some(1), &[1]));
    people.put(&known(Some(4), None, &[4]));
    people.end_walk();
    let met: Vec<bool> = (1..=4).map(|name| people.named(&[name]) != Found::Nobody).collect();
    assert_eq!(met, [true, false, false, true]);
}

#[test]
fn nothing_of_a_name_shows_without_the_key() {
    let name = Value::Text("+18475550100".into());
    let [one, other] = [(1, 2), (3, 4)].map(|key| People::new(key).seal("phone", &name));
    assert!(one != other && one != People::new((1, 2)).seal("username", &name));
}
