use proptest::prelude::*;

use super::*;

fn value() -> impl Strategy<Value = Value> {
    // Few distinct values, so that equal edits on both sides and returns to base are common.
    prop_oneof![
        Just(Value::Null),
        (0..4i64).prop_map(Value::Int),
        (0..3u8).prop_map(|n| Value::Text(format!("v{n}").into())),
        (0..3i64).prop_map(Value::Timestamp),
        any::<bool>().prop_map(Value::Bool),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    (0..5i64).prop_map(Value::Int)
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Legacy), Just(Side::Renaissance)]
}

fn decided_by_side() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Owner), Just(Policy::Legacy), Just(Policy::Renaissance)]
}

/// One field on both sides with its base, as the reconciler keeps it.
#[derive(Clone, Debug, PartialEq)]
struct World {
    legacy: Value,
    renaissance: Value,
    base: Option<Digest>,
    conflicts: Vec<(Side, Value)>,
}

impl World {
    fn agreed(value: Value) -> Self {
        let base = Some(Digest::of(&value));
        Self { legacy: value.clone(), renaissance: value, base, conflicts: vec![] }
    }

    fn place(&mut self, side: Side) -> &mut Value {
        match side {
            Side::Legacy => &mut self.legacy,
            Side::Renaissance => &mut self.renaissance,
        }
    }

    fn verdict(&self, policy: Policy, owner: Side) -> Verdict {
        let read = |value: &Value| Reading::Value(value.clone());
        merge(policy, owner, self.base, &read(&self.legacy), &read(&self.renaissance))
    }

    fn reconcile(&mut self, policy: Policy, owner: Side) {
        match self.verdict(policy, owner) {
            Verdict::Agreed(digest) => self.base = Some(digest),
            Verdict::Copy { to, value } => {
                self.base = Some(Digest::of(&value));
                *self.place(to) = value;
            }
            Verdict::Combined(value) => {
                self.base = Some(Digest::of(&value));
                self.legacy = value.clone();
                self.renaissance = value;
            }
            Verdict::Conflict { winner, value } => {
                let lost = std::mem::replace(self.place(winner.other()), value.clone());
                self.conflicts.push((winner, lost));
                self.base = Some(Digest::of(&value));
            }
            Verdict::Keep | Verdict::Undecided | Verdict::Unreadable(..) => {}
        }
    }
}

proptest! {
    #[test]
    fn it_converges_in_one_step_and_is_then_silent(
        start in value(), left in value(), right in value(), policy in decided_by_side(), owner in side()
    ) {
        let mut world = World::agreed(start);
        world.legacy = left;
        world.renaissance = right;
        world.reconcile(policy, owner);
        prop_assert_eq!(&world.legacy, &world.renaissance);
        let settled = matches!(world.verdict(policy, owner), Verdict::Agreed(digest) if Some(digest) == world.base);
        prop_assert!(settled, "a second look must find nothing to do");
    }

    #[test]
    fn the_order_in_which_hints_arrive_does_not_matter(
        start in value(), edits in prop::collection::vec((side(), value()), 1..6), policy in decided_by_side(), owner in side(),
        extra in prop::collection::vec(0..6usize, 0..4)
    ) {
        // Hints arrive late, twice or in any order: all edits are in place, then reconciles happen any number of times.
        let mut once = World::agreed(start);
        for (side, value) in &edits {
            *once.place(*side) = value.clone();
        }
        let mut often = once.clone();
        once.reconcile(policy, owner);
        for _ in 0..=extra.len() {
            often.reconcile(policy, owner);
        }
        prop_assert_eq!(once, often);
    }

    #[test]
    fn a_field_nobody_changed_is_never_touched(start in value(), policy in decided_by_side(), owner in side()) {
        let world = World::agreed(start);
        let untouched = matches!(world.verdict(policy, owner), Verdict::Agreed(digest) if Some(digest) == world.base);
        prop_assert!(untouched);
    }

    #[test]
    fn a_single_edit_always_wins_and_is_never_a_conflict(
        start in value(), edited in value(), side in side(), policy in decided_by_side(), owner in side()
    ) {
        let mut world = World::agreed(start);
        *world.place(side) = edited.clone();
        world.reconcile(policy, owner);
        prop_assert!(world.conflicts.is_empty());
        prop_assert_eq!(&world.legacy, &edited);
        prop_assert_eq!(&world.renaissance, &edited);
    }

    #[test]
    fn a_value_is_lost_only_into_the_journal(
        start in value(), left in value(), right in value(), policy in decided_by_side(), owner in side()
    ) {
        let mut world = World::agreed(start.clone());
        world.legacy = left.clone();
        world.renaissance = right.clone();
        world.reconcile(policy, owner);
        for edited in [left, right] {
            let present = world.legacy == edited;
            let journalled = world.conflicts.iter().any(|(_, lost)| *lost == edited);
            prop_assert!(present || journalled || edited == start, "an edit vanished");
        }
    }

    #[test]
    fn swapping_the_sides_swaps_the_verdict(
        base in prop::option::of(value()), left in value(), right in value(), policy in decided_by_side(), owner in side()
    ) {
        let mirrored = match policy {
            Policy::Legacy => Policy::Renaissance,
            Policy::Renaissance => Policy::Legacy,
            other => other,
        };
        let base = base.as_ref().map(Digest::of);
        let read = |value: &Value| Reading::Value(value.clone());
        let straight = merge(policy, owner, base, &read(&left), &read(&right));
        let swapped = merge(mirrored, owner.other(), base, &read(&right), &read(&left));
        let swapped = match swapped {
            Verdict::Copy { to, value } => Verdict::Copy { to: to.other(), value },
            Verdict::Conflict { winner, value } => Verdict::Conflict { winner: winner.other(), value },
            other => other,
        };
        prop_assert_eq!(straight, swapped);
    }

    #[test]
    fn max_combines_without_a_conflict(start in number(), left in number(), right in number(), owner in side()) {
        let mut world = World::agreed(start.clone());
        world.legacy = left.clone();
        world.renaissance = right.clone();
        world.reconcile(Policy::Max, owner);
        prop_assert!(world.conflicts.is_empty());
        prop_assert_eq!(&world.legacy, &world.renaissance);
        if left != start && right != start {
            let greater = if order(&left, &right) == Some(Ordering::Less) { right } else { left };
            prop_assert_eq!(world.legacy, greater);
        }
    }

    #[test]
    fn an_unreadable_side_is_never_overwritten(other in value(), base in prop::option::of(value()), side in side(), owner in side()) {
        let invalid = Reading::Invalid(Problem::new(crate::model::problem::Reason::WrongType, "x"));
        let fine = Reading::Value(other);
        let (legacy, renaissance) = match side { Side::Legacy => (&invalid, &fine), Side::Renaissance => (&fine, &invalid) };
        let verdict = merge(Policy::Owner, owner, base.as_ref().map(Digest::of), legacy, renaissance);
        prop_assert!(matches!(verdict, Verdict::Unreadable(at, _) if at == side));
    }
}

#[test]
fn a_missing_child_row_is_filled_only_by_a_change() {
    let public = Value::Text("public".into());
    let merged = |base: Option<&Value>| {
        merge(Policy::Owner, Side::Legacy, base.map(Digest::of), &Reading::Value(public.clone()), &Reading::Absent)
    };
    assert_eq!(merged(Some(&public)), Verdict::Keep);
    assert_eq!(merged(Some(&Value::Null)), Verdict::Copy { to: Side::Renaissance, value: public.clone() });
    assert_eq!(merged(None), Verdict::Copy { to: Side::Renaissance, value: public.clone() });
}

#[test]
fn park_leaves_a_conflict_to_a_person() {
    let read = |n| Reading::Value(Value::Int(n));
    let base = Some(Digest::of(&Value::Int(0)));
    assert_eq!(merge(Policy::Park, Side::Legacy, base, &read(1), &read(2)), Verdict::Undecided);
    let copied = merge(Policy::Park, Side::Legacy, base, &read(1), &read(0));
    assert_eq!(copied, Verdict::Copy { to: Side::Renaissance, value: Value::Int(1) }, "one-sided edits still travel");
}

#[test]
fn a_record_is_created_deleted_or_restored() {
    use Existence::{Both, Create, Delete, DeleteChanged, Gone, Restore};
    use Side::{Legacy, Renaissance};
    assert_eq!(existence(true, true, true, true, Legacy), Both);
    assert_eq!(existence(true, false, false, true, Legacy), Create(Renaissance));
    assert_eq!(existence(false, true, false, true, Legacy), Create(Legacy));
    assert_eq!(existence(false, true, true, false, Renaissance), Delete(Renaissance));
    assert_eq!(existence(true, false, true, false, Legacy), Delete(Legacy));
    assert_eq!(existence(false, true, true, true, Legacy), DeleteChanged(Renaissance));
    assert_eq!(existence(false, true, true, true, Renaissance), Restore(Legacy));
    assert_eq!(existence(true, false, true, true, Renaissance), DeleteChanged(Legacy));
    assert_eq!(existence(true, false, true, true, Legacy), Restore(Renaissance));
    assert_eq!(existence(false, false, true, false, Legacy), Gone);
}

/// A set over small members, sorted and without repetition, as a set field reads.
fn set() -> impl Strategy<Value = std::collections::BTreeSet<i64>> {
    proptest::collection::btree_set(0_i64..8, 0..6)
}

fn list(members: &std::collections::BTreeSet<i64>) -> Value {
    Value::List(members.iter().copied().map(Value::Int).collect())
}

#[test]
fn nothing_is_a_set_without_members_where_sets_are_merged() {
    let agreed = |members: Value| {
        let mut base = crate::model::digest::Base::empty(1);
        base.set(0, Some(Digest::of(&members)));
        base.keep_members(0, &members);
        base
    };
    let set = |members: &[i64]| list(&members.iter().copied().collect());
    let copy = |to, value| Verdict::Copy { to, value };
    for (base, left, right, expected) in [
        (set(&[1]), Value::Null, set(&[1, 2]), Verdict::Combined(set(&[2]))),
        (set(&[1]), Value::Null, set(&[2]), copy(Side::Legacy, set(&[2]))),
        (set(&[1]), set(&[1, 2]), Value::Null, Verdict::Combined(set(&[2]))),
        (set(&[1]), set(&[2]), Value::Null, copy(Side::Renaissance, set(&[2]))),
        (set(&[1]), Value::Null, set(&[]), copy(Side::Legacy, set(&[]))),
        (set(&[1]), set(&[]), Value::Null, copy(Side::Renaissance, set(&[]))),
        (Value::Null, set(&[1]), set(&[2]), Verdict::Combined(set(&[1, 2]))),
    ] {
        let base = agreed(base);
        let known = Agreed { value: base.get(0), members: base.members(0), number: None };
        let found = merge(Policy::Union, Side::Legacy, known, &Reading::Value(left), &Reading::Value(right));
        assert_eq!(found, expected);
    }
}

proptest! {
    /// The textbook three-way merge of sets, written as set algebra.
    #[test]
    fn a_union_keeps_every_addition_and_every_removal(base in set(), left in set(), right in set()) {
        let mut agreed = crate::model::digest::Base::empty(1);
        agreed.set(0, Some(Digest::of(&list(&base))));
        agreed.keep_members(0, &list(&base));
        let expected: std::collections::BTreeSet<i64> = (0..8)
            .filter(|n| if base.contains(n) { left.contains(n) && right.contains(n) } else { left.contains(n) || right.contains(n) })
            .collect();
        let known = Agreed { value: agreed.get(0), members: agreed.members(0), number: None };
        let read = |members| Reading::Value(list(members));
        let verdict = merge(Policy::Union, Side::Legacy, known, &read(&left), &read(&right));
        let found = match verdict {
            Verdict::Agreed(_) => list(&left),
            Verdict::Copy { value, .. } | Verdict::Combined(value) => value,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(found, list(&expected), "in the order that sets read in");
    }

    /// The follower's own edit is the only thing that can lose, and then it is a conflict.
    #[test]
    fn a_follower_ends_up_with_what_leads(to in side(), base in value(), left in value(), right in value()) {
        let readings = [Reading::Value(left.clone()), Reading::Value(right.clone())];
        let verdict = follow(to, Some(Digest::of(&base)), &readings[0], &readings[1]);
        let (leading, following) = if to == Side::Legacy { (&right, &left) } else { (&left, &right) };
        match verdict {
            Verdict::Agreed(_) => prop_assert_eq!(leading, following),
            Verdict::Copy { to: written, value } => {
                prop_assert_eq!((written, &value, following), (to, leading, &base));
            }
            Verdict::Conflict { winner, value } => {
                prop_assert_eq!((winner, &value), (to.other(), leading));
                prop_assert!(*following != base);
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }

    /// A group of one is decided like a field of its own.
    #[test]
    fn a_group_of_one_is_no_different(policy in decided_by_side(), owner in side(), base in value(), left in value(), right in value()) {
        let readings = [Reading::Value(left), Reading::Value(right)];
        let base = Some(Digest::of(&base));
        let alone = merge(policy, owner, base, &readings[0], &readings[1]);
        let grouped = together(policy, owner, None, &[Member { base, readings: &readings }]);
        let same = match (alone, grouped) {
            (Verdict::Agreed(_), Together::Agreed) => true,
            (Verdict::Copy { to, .. }, Together::Copy(grouped)) => to == grouped,
            (Verdict::Conflict { winner, .. }, Together::Conflict(grouped)) => winner == grouped,
            _ => false,
        };
        prop_assert!(same);
    }

    #[test]
    fn sets_that_never_agreed_lose_nothing(left in set(), right in set()) {
        let read = |members| Reading::Value(list(members));
        let verdict = merge(Policy::Union, Side::Legacy, None, &read(&left), &read(&right));
        let all = left.union(&right).count();
        match verdict {
            Verdict::Agreed(_) => prop_assert_eq!(left, right),
            Verdict::Copy { value: Value::List(found), .. } | Verdict::Combined(Value::List(found)) => {
                prop_assert_eq!(found.len(), all);
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }
}

proptest! {
    #[test]
    fn a_sum_has_both_changes_once_and_is_then_silent(
        start in number(), left in number(), right in number(), owner in side()
    ) {
        let read = |value: &Value| Reading::Value(value.clone());
        let known = |value| Agreed { value: Some(Digest::of(value)), members: None, number: Some(value) };
        let verdict = merge(Policy::Sum, owner, known(&start), &read(&left), &read(&right));
        let found = match verdict {
            Verdict::Agreed(_) => left.clone(),
            Verdict::Copy { value, .. } | Verdict::Combined(value) => value,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(Some(found.clone()), sum(&start, &left, &right));
        let again = merge(Policy::Sum, owner, known(&found), &read(&found), &read(&found));
        prop_assert_eq!(again, Verdict::Agreed(Digest::of(&found)));
        // where the rows were written and the document was not, it is what was agreed on
        let between = merge(Policy::Sum, owner, known(&left), &read(&left), &read(&found));
        let caught_up = Verdict::Copy { to: Side::Legacy, value: found };
        prop_assert!(matches!(between, Verdict::Agreed(_)) || between == caught_up);
    }

    #[test]
    fn the_later_side_wins_and_the_owner_where_there_is_none(
        start in value(), left in value(), right in value(), times in [prop::option::of(0..3i64), prop::option::of(0..3i64)], owner in side()
    ) {
        let mut world = World::agreed(start);
        (world.legacy, world.renaissance) = (left, right);
        world.reconcile(Policy::Latest.at_times(times), owner);
        if let [(winner, _)] = &world.conflicts[..] {
            let later = match times {
                [Some(legacy), Some(renaissance)] if legacy > renaissance => Side::Legacy,
                [Some(legacy), Some(renaissance)] if legacy < renaissance => Side::Renaissance,
                _ => owner,
            };
            prop_assert_eq!(*winner, later);
        }
        prop_assert_eq!(&world.legacy, &world.renaissance);
    }
}

#[test]
fn numbers_that_cannot_be_added_are_the_owners() {
    let read = |value| Reading::Value(value);
    let never = merge(Policy::Sum, Side::Legacy, None, &read(Value::Int(1)), &read(Value::Int(2)));
    assert_eq!(never, Verdict::Conflict { winner: Side::Legacy, value: Value::Int(1) });
    let ten = Value::Int(10);
    let known = Agreed { value: Some(Digest::of(&ten)), members: None, number: Some(&ten) };
    let taken = merge(Policy::Sum, Side::Renaissance, known, &read(Value::Null), &read(Value::Int(11)));
    assert_eq!(taken, Verdict::Conflict { winner: Side::Renaissance, value: Value::Int(11) });
    let both = merge(Policy::Sum, Side::Legacy, known, &read(Value::Null), &read(Value::Null));
    assert_eq!(both, Verdict::Agreed(Digest::of(&Value::Null)));
}
