//! What looks equal at a glance is left alone by the plan.

use proptest::{prelude::*, sample::select};

use super::*;

/// Contents of a field: usual, unusual, none.
fn content() -> impl Strategy<Value = Value> {
    prop_oneof![
        select(vec![text("Ada"), text("Grace"), text(""), text("P"), text("1"), text("premium")]),
        select(vec![Value::Null, Value::Bool(true), Value::Int(1), Value::Timestamp(7_000), Value::List(vec![])]),
    ]
}

/// An edit: which field, on which sides, to what.
fn edit() -> impl Strategy<Value = (prop::sample::Index, [bool; 2], Value)> {
    (any::<prop::sample::Index>(), any::<[bool; 2]>(), content())
}

fn edited(entity: &Entity, edits: Vec<(prop::sample::Index, [bool; 2], Value)>) -> Record {
    let mut record = agreed(entity);
    for (index, sides, value) in edits {
        let field = &entity.fields[index.index(entity.fields.len())];
        for (side, _) in Side::ALL.into_iter().zip(sides).filter(|(_, edited)| *edited) {
            let image = if side == Side::Legacy { &mut record.legacy } else { &mut record.renaissance };
            let image = image.as_mut().unwrap();
            if let Ok(patch) = field.put(side, &value, Some(image)) {
                apply(image, &patch);
            } else if let Some(slot) = field.slots(side).first() {
                image.slots[*slot] = Some(value.clone());
            }
        }
    }
    record
}

proptest! {
    #[test]
    fn what_is_plainly_equal_is_left_alone_whatever_the_state_says(
        edits in prop::collection::vec(edit(), 0..4),
        base in 0..5,
        (parked, looping, moved, owner) in any::<(bool, bool, bool, bool)>(),
    ) {
        let entity = user();
        let mut record = edited(&entity, edits);
        match (base, &mut record.base) {
            (1, base) => *base = None,
            (2, base) => *base = Some(Base::empty(entity.fields.len())),
            (3, Some(base)) => base.forget(),
            (4, Some(base)) => base.set_outside(Side::Legacy, true),
            _ => {}
        }
        record.linked = true;
        (record.parked, record.looping) = (parked, looping);
        record.owner = if owner { Side::Legacy } else { Side::Renaissance };
        record.former = moved.then(|| record.owner.other());
        let equal = is_plainly_equal(&entity, record.legacy.as_ref().unwrap(), record.renaissance.as_ref().unwrap());
        let planned = plan(&entity, &record);
        if equal {
            let effect = planned.as_ref().map(|planned| (planned.effect(), planned.plan.conflicts.len(), planned.plan.unlink));
            let nothing = Effect { writes: [false, false], parks: false };
            prop_assert!(effect.is_none_or(|effect| effect == (nothing, 0, false)));
        }
    }
}

#[test]
fn a_record_that_both_sides_agree_about_is_plainly_equal_and_one_with_an_edit_is_not() {
    let entity = user();
    let mut record = agreed(&entity);
    let plain = |record: &Record| {
        is_plainly_equal(&entity, record.legacy.as_ref().unwrap(), record.renaissance.as_ref().unwrap())
    };
    assert!(plain(&record));
    set(&entity, &mut record.legacy, Side::Legacy, "name", &text("Ada Lovelace"));
    assert!(!plain(&record));
    set(&entity, &mut record.renaissance, Side::Renaissance, "name", &text("Ada Lovelace"));
    assert!(plain(&record));
    let place = entity.legacy.paths.iter().position(|path| path.0 == ["is_premium_member"]).unwrap();
    record.legacy.as_mut().unwrap().slots[place] = Some(Value::List(vec![]));
    assert!(!plain(&record), "what cannot be read is looked at properly");
}
