use proptest::prelude::*;

use super::*;
use crate::model::key::{LegacyId, SideId};

const STREAM: Lane = Lane::Stream(Side::Renaissance);

fn key(id: i64) -> Key {
    Key { entity: EntityIndex(0), id: SideId::Renaissance(id) }
}

fn hint(id: i64, xid: u32) -> Hint {
    Hint { key: key(id), freshness: Freshness::Xid(xid), committed_at: Some(i64::from(xid)) }
}

fn of_legacy(id: u8) -> Hint {
    let key = Key { entity: EntityIndex(0), id: SideId::Legacy(LegacyId::new([id; 12])) };
    Hint { key, freshness: Freshness::Any, committed_at: None }
}

fn tracker() -> Tracker {
    Tracker::new(1 << 20)
}

fn take(tracker: &mut Tracker) -> Vec<Key> {
    tracker.take(100, 0).into_iter().map(|taken| taken.key).collect()
}

#[test]
fn a_position_becomes_durable_only_after_the_hints_before_it() {
    let mut t = tracker();
    t.offer(STREAM, &hint(1, 10)).unwrap();
    t.position(STREAM, Position::Lsn(10));
    t.offer(STREAM, &hint(2, 11)).unwrap();
    t.position(STREAM, Position::Lsn(11));
    assert_eq!(t.durable(STREAM), None);
    let keys = take(&mut t);
    t.done([keys[1]]);
    assert_eq!(t.durable(STREAM), None, "the older hint is still open");
    t.done([keys[0]]);
    assert_eq!(t.durable(STREAM), Some(&Position::Lsn(11)));
    assert!(t.is_empty());
    assert_eq!(t.bytes(), 0);
}

#[test]
fn a_hint_that_arrives_during_a_reconcile_is_not_settled_by_it() {
    let mut t = tracker();
    t.offer(STREAM, &hint(1, 10)).unwrap();
    t.position(STREAM, Position::Lsn(10));
    let keys = take(&mut t);
    t.offer(STREAM, &hint(1, 11)).unwrap();
    t.position(STREAM, Position::Lsn(11));
    assert!(take(&mut t).is_empty(), "one reconcile of a key at a time");
    t.done(keys);
    assert_eq!(t.durable(STREAM), Some(&Position::Lsn(10)));
    assert_eq!(take(&mut t), [key(1)]);
}

#[test]
fn hints_of_one_key_coalesce_and_keep_every_need() {
    let mut t = tracker();
    for xid in [10, 11, 11, 12] {
        t.offer(STREAM, &hint(1, xid)).unwrap();
    }
    let taken = t.take(10, 0);
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].needs.xids, [10, 11, 12]);
    assert_eq!(taken[0].committed_at, Some(10));
}

#[test]
fn a_key_put_back_waits_and_keeps_its_place_in_the_log() {
    let mut t = tracker();
    t.offer(STREAM, &hint(1, 10)).unwrap();
    t.position(STREAM, Position::Lsn(10));
    let keys = take(&mut t);
    t.offer(STREAM, &hint(1, 11)).unwrap();
    t.position(STREAM, Position::Lsn(11));
    t.put_back(keys, 50);
    assert!(t.take(10, 49).is_empty());
    assert_eq!(t.next_due(), Some(50));
    let again = t.take(10, 50);
    assert_eq!((again[0].needs.xids.as_slice(), again[0].attempts), (&[10, 11][..], 1));
    assert_eq!(t.durable(STREAM), None);
    t.done([key(1)]);
    assert_eq!(t.durable(STREAM), Some(&Position::Lsn(11)), "it settled both hints");
    assert_eq!(t.backlog(STREAM), (0, Some(11)), "durable up to the newest");
}

#[test]
fn it_refuses_new_keys_when_full_but_still_coalesces() {
    let mut t = Tracker::new(4 * KEY_BYTES + 8);
    t.offer(STREAM, &hint(1, 10)).unwrap();
    t.offer(STREAM, &hint(2, 10)).unwrap();
    t.offer(Lane::Stream(Side::Legacy), &of_legacy(1)).unwrap();
    t.offer(Lane::Stream(Side::Legacy), &of_legacy(2)).unwrap();
    assert_eq!(t.offer(STREAM, &hint(3, 10)), Err(Full));
    t.offer(STREAM, &hint(1, 11)).unwrap();
    let keys = take(&mut t);
    t.done(keys);
    t.offer(STREAM, &hint(3, 10)).unwrap();
}

#[test]
fn keys_of_one_side_that_cannot_be_settled_leave_room_for_those_of_the_other() {
    let mut t = Tracker::new(8 * KEY_BYTES);
    let legacy = Lane::Stream(Side::Legacy);
    let held = (1..).take_while(|id| t.offer(STREAM, &hint(*id, 10)).is_ok()).count();
    assert_eq!(held, 6);
    let keys = take(&mut t);
    t.put_back(keys, 1_000);
    for id in 1..20 {
        t.offer(legacy, &of_legacy(id)).unwrap();
        t.position(legacy, Position::Lsn(id.into()));
        let keys = take(&mut t);
        assert_eq!(keys, [of_legacy(id).key]);
        t.done(keys);
        assert_eq!(t.durable(legacy), Some(&Position::Lsn(id.into())));
    }
    assert_eq!((t.durable(STREAM), t.len()), (None, held));
}

#[test]
fn keys_that_wait_for_a_database_are_told_apart_until_they_are_settled_or_fail_otherwise() {
    let mut t = tracker();
    for id in 1..=3 {
        t.offer(STREAM, &hint(id, 10)).unwrap();
    }
    let keys = take(&mut t);
    t.hold(&keys, 0);
    t.hold(&[key(9)], 0);
    assert_eq!((t.moving(), t.len()), (0, 3));
    let keys = take(&mut t);
    assert_eq!(t.moving(), 0, "another attempt is no progress");
    t.offer(STREAM, &hint(1, 11)).unwrap();
    t.done([key(1)]);
    t.put_back([key(2)], 0);
    t.hold(&keys[2..], 0);
    assert_eq!((t.moving(), t.len()), (2, 3));
}

#[test]
fn an_idle_stream_advances() {
    let mut t = tracker();
    t.position(STREAM, Position::Lsn(7));
    assert_eq!(t.durable(STREAM), Some(&Position::Lsn(7)));
}

#[test]
fn a_sweep_does_not_hold_the_stream_back() {
    let mut t = tracker();
    let sweep = Lane::Sweep(Side::Renaissance);
    let swept = Hint { key: key(1), freshness: Freshness::Any, committed_at: None };
    let seq = t.offer(sweep, &swept).unwrap();
    t.position(STREAM, Position::Lsn(7));
    assert_eq!(t.durable(STREAM), Some(&Position::Lsn(7)));
    assert!(!t.is_durable(sweep, seq));
    let keys = take(&mut t);
    t.done(keys);
    assert!(t.is_durable(sweep, seq));
}

#[test]
fn entities_take_turns() {
    let mut t = tracker();
    for id in 0..4 {
        for entity in 0..2 {
            let key = Key { entity: EntityIndex(entity), id: SideId::Renaissance(id) };
            t.offer(STREAM, &Hint { key, freshness: Freshness::Any, committed_at: None }).unwrap();
        }
    }
    let order: Vec<u16> = (0..4).map(|_| t.take(2, 0)[0].key.entity.0).collect();
    assert_eq!(order, [0, 1, 0, 1]);
}

#[test]
fn the_sides_of_an_entity_share_each_batch() {
    let mut t = tracker();
    for id in 0..100 {
        t.offer(Lane::Stream(Side::Legacy), &of_legacy(id)).unwrap();
    }
    for id in 0..13 {
        t.offer(STREAM, &hint(id, 10)).unwrap();
    }
    let mut rows = |max| {
        let taken = t.take(max, 0);
        assert_eq!(taken.len(), max);
        taken.iter().filter(|one| one.key.id.side() == Side::Renaissance).count()
    };
    assert_eq!(rows(10), 5, "whoever has changed little does not wait for the backlog of the other side");
    assert_eq!(rows(1) + rows(1), 1, "neither side is left out");
    assert_eq!(rows(10), 5);
    assert_eq!(rows(10), 2, "what one side does not need the other has");
    assert_eq!(rows(10), 0);
}

#[test]
fn a_key_that_changes_all_the_time_keeps_nobody_waiting() {
    let mut t = tracker();
    for id in 1..=10 {
        t.offer(STREAM, &hint(id, 10)).unwrap();
    }
    let mut met = HashSet::new();
    for turn in 0..11 {
        t.offer(STREAM, &hint(0, 11 + turn)).unwrap();
        let keys = take_few(&mut t);
        t.offer(STREAM, &hint(0, 11 + turn)).unwrap();
        met.extend(keys.iter().copied());
        t.done(keys);
    }
    assert_eq!(met.len(), 11);
}

fn take_few(tracker: &mut Tracker) -> Vec<Key> {
    tracker.take(2, 0).into_iter().map(|taken| taken.key).collect()
}

/// A step of a random run: offer a hint (and its position), take, settle or put back.
#[derive(Clone, Debug)]
enum Step {
    Offer(i64),
    Take(usize),
    Done(usize),
    PutBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6i64).prop_map(Step::Offer),
        2 => (1..4usize).prop_map(Step::Take),
        2 => (0..4usize).prop_map(Step::Done),
        1 => (0..4usize).prop_map(Step::PutBack),
    ]
}

proptest! {
    #[test]
    fn a_checkpoint_never_passes_an_unsettled_hint_and_never_moves_back(steps in prop::collection::vec(step(), 1..200)) {
        let mut t = tracker();
        let mut log: Vec<(u64, i64, bool)> = vec![]; // (position, key, settled)
        let mut flying: Vec<(Key, usize)> = vec![]; // (key, log length when taken)
        let mut last = 0;
        for step in steps {
            match step {
                Step::Offer(id) => {
                    let at = log.len() as u64 + 1;
                    t.offer(STREAM, &hint(id, u32::try_from(at).unwrap())).unwrap();
                    t.position(STREAM, Position::Lsn(at));
                    log.push((at, id, false));
                }
                Step::Take(max) => flying.extend(t.take(max, u64::MAX).into_iter().map(|taken| (taken.key, log.len()))),
                Step::Done(n) if n < flying.len() => {
                    let (key, seen) = flying.remove(n);
                    let SideId::Renaissance(id) = key.id else { unreachable!() };
                    log.iter_mut().take(seen).filter(|entry| entry.1 == id).for_each(|entry| entry.2 = true);
                    t.done([key]);
                }
                Step::PutBack(n) if n < flying.len() => t.put_back([flying.remove(n).0], 0),
                Step::Done(_) | Step::PutBack(_) => {}
            }
            let durable = match t.durable(STREAM) { Some(Position::Lsn(lsn)) => *lsn, _ => 0 };
            prop_assert!(durable >= last);
            last = durable;
            let settled = log.iter().take_while(|entry| entry.2).count() as u64;
            prop_assert_eq!(durable, settled, "exactly the settled prefix is durable");
        }
        loop {
            let taken = t.take(100, u64::MAX);
            if taken.is_empty() && flying.is_empty() { break; }
            t.done(taken.into_iter().map(|taken| taken.key).chain(flying.drain(..).map(|(key, _)| key)));
        }
        prop_assert!(t.is_empty());
        prop_assert_eq!(t.bytes(), 0);
    }
}

const SWEEP: Lane = Lane::Sweep(Side::Renaissance);

fn swept(id: i64) -> Hint {
    Hint { key: key(id), freshness: Freshness::Any, committed_at: None }
}

#[test]
fn sweeps_give_way_to_streams_but_for_a_fair_share() {
    let mut t = tracker();
    for id in 0..100 {
        t.offer(SWEEP, &swept(id)).unwrap();
    }
    for id in 100..200 {
        t.offer(STREAM, &hint(id, 10)).unwrap();
    }
    let turns: Vec<bool> = (0..20).map(|_| t.take(5, 0)[0].key.id >= SideId::Renaissance(100)).collect();
    assert!(turns[..4].iter().all(|streamed| *streamed), "{turns:?}");
    assert_eq!(turns.iter().filter(|streamed| !**streamed).count(), 4, "every fifth turn: {turns:?}");
}

#[test]
fn a_key_that_waits_for_a_sweep_comes_first_once_a_stream_hints_at_it() {
    let mut t = tracker();
    for id in 0..10 {
        t.offer(SWEEP, &swept(id)).unwrap();
    }
    t.offer(STREAM, &hint(7, 10)).unwrap();
    assert_eq!(take(&mut t), [key(7)]);
    t.offer(STREAM, &hint(7, 11)).unwrap();
    let rest = take(&mut t);
    assert_eq!(rest.len(), 9, "one reconcile of a key at a time");
    assert!(!rest.contains(&key(7)));
    t.done([key(7)]);
    assert_eq!(take(&mut t), [key(7)]);
    t.done(rest);
    t.done([key(7)]);
    assert!(t.is_empty());
    assert!(take(&mut t).is_empty());
}
