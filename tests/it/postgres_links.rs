//! What the state keeps about links: whom a record belongs to, and who waits for it.

use biograph_bridge::{
    model::{
        conflict::ConflictKind,
        cutover::CutoverRow,
        digest::Base,
        key::{Key, SideId},
        problem::{Problem, Reason},
        side::Side,
    },
    sync::ports::{
        By, ConflictRow, CutoverStore, IntentKind, Journey, Outcome, ParkedRow, RecordPlan, RenaissanceStore, Step,
        Swapped,
    },
};
use uuid::Uuid;

use crate::town::{PERSON, befriend, commit, friends, legacy, plan, read, town};

#[tokio::test]
async fn who_waits_for_a_record_is_woken_when_it_is_linked() {
    let (on, store) = town().await;
    let waits = |id| vec![(PERSON, id)];
    let parked = |field: &str, waits| ParkedRow {
        field: Some(field.to_owned()),
        problem: Problem::new(Reason::MissingReference, "waits"),
        waits,
    };
    let mut first = plan(1, None);
    first.parked =
        vec![parked("friends", waits(SideId::Renaissance(2))), parked("nick", waits(SideId::Legacy(legacy(3))))];
    let mut fourth = plan(4, None);
    fourth.parked =
        vec![parked("friends", vec![(PERSON, SideId::Legacy(legacy(3))), (PERSON, SideId::Legacy(legacy(2)))])];
    assert_eq!(commit(&store, vec![first, fourth]).await, [Outcome::Written, Outcome::Written]);

    let base = Base::empty(3);
    let linking = |id| RecordPlan { linked: false, base: Some(base.clone()), ..plan(id, None) };
    let commit = async |plans: Vec<RecordPlan>| {
        let committed = store.commit(PERSON, Uuid::new_v4(), &plans).await.unwrap();
        let mut woken: Vec<SideId> = committed.woken.into_iter().map(|key: Key| key.id).collect();
        woken.sort();
        woken
    };
    assert_eq!(commit(vec![linking(5)]).await, [], "nobody waits for them");
    assert_eq!(commit(vec![linking(2)]).await, [SideId::Legacy(legacy(1)), SideId::Legacy(legacy(4))]);

    // a document that has yet to be written wakes nobody until it has landed
    let intent = Uuid::new_v4();
    let written = RecordPlan { linked: false, intent: Some((IntentKind::Insert, base.clone())), ..plan(3, None) };
    assert!(store.commit(PERSON, intent, &[written]).await.unwrap().woken.is_empty());
    let woken = store.settle(intent, &[legacy(3)]).await.unwrap();
    assert_eq!(woken.len(), 2);
    assert_eq!(on.ask::<i64>("SELECT count(*) FROM biograph_bridge.parked").await, 3, "they stay until they are tried");
    assert_eq!(store.parked_for_others().await.unwrap().len(), 3);
}

#[tokio::test]
async fn only_people_who_are_linked_are_counted_wherever_they_are() {
    let (on, store) = town().await;
    let linking = |id| RecordPlan { linked: false, base: Some(Base::empty(3)), ..plan(id, None) };
    commit(&store, vec![linking(1), linking(2)]).await;
    let moved = |id, state| {
        format!("INSERT INTO biograph_bridge.cutover (legacy_id, state) VALUES ('{}', '{state}');", legacy(id))
    };
    on.sql(&(moved(2, "renaissance") + &moved(3, "renaissance") + &moved(4, "draining"))).await;
    let counted = async || store.people().await.unwrap().into_iter().map(|(_, count)| count).collect::<Vec<_>>();
    assert_eq!(counted().await, [1, 0, 1], "on legacy, on their way, on renaissance");
    commit(&store, vec![linking(4)]).await;
    assert_eq!(counted().await, [1, 1, 1]);
}

#[tokio::test]
async fn a_record_belongs_to_the_person_its_link_names() {
    let (on, store) = town().await;
    let of = |id, person| RecordPlan {
        person: Some(legacy(person)),
        linked: false,
        base: Some(Base::empty(3)),
        ..plan(id, None)
    };
    assert_eq!(commit(&store, vec![of(1, 4), of(2, 5)]).await, [Outcome::Written, Outcome::Written]);
    on.sql(&format!(
        "INSERT INTO biograph_bridge.cutover (legacy_id, state, epoch) VALUES ('{}', 'renaissance', 3)",
        legacy(4)
    ))
    .await;
    let resolve = async || {
        let mut found = store.resolve(PERSON, &[legacy(1)], &[2]).await.unwrap();
        found.sort_by_key(|resolved| resolved.link.renaissance);
        found.into_iter().map(|found| (found.person, found.owner, found.epoch)).collect::<Vec<_>>()
    };
    assert_eq!(resolve().await, [(Some(legacy(4)), Side::Renaissance, 3), (Some(legacy(5)), Side::Legacy, 0)]);

    // it changes hands: at once with a base, or with a document that is yet to be written
    let given = RecordPlan { linked: true, ..of(1, 5) };
    let intent = Some((IntentKind::Update, Base::empty(3)));
    let taken = RecordPlan { linked: true, base: None, intent, ..of(2, 4) };
    assert_eq!(commit(&store, vec![given, taken]).await, [Outcome::Written, Outcome::Written]);
    assert_eq!(resolve().await, [(Some(legacy(5)), Side::Legacy, 0), (Some(legacy(4)), Side::Renaissance, 3)]);
    // a plan that does not know leaves it
    let silent = RecordPlan { base: Some(Base::empty(3)), ..plan(1, None) };
    assert_eq!(commit(&store, vec![silent]).await, [Outcome::Written]);
    assert_eq!(resolve().await[0].0, Some(legacy(5)));
}

#[tokio::test]
async fn what_legacy_won_stays_in_the_journal_when_the_document_is_not_written() {
    let (on, store) = town().await;
    let conflict = |field: &str, winner| ConflictRow {
        kind: ConflictKind::UpdateUpdate,
        field: Some(field.to_owned()),
        legacy_value: "l".into(),
        renaissance_value: "r".into(),
        policy: "owner",
        winner: Some(winner),
        digests: [None; 2],
        updated: [None; 2],
    };
    let intent = Uuid::new_v4();
    let decided = RecordPlan {
        intent: Some((IntentKind::Update, Base::empty(3))),
        conflicts: vec![conflict("written", Side::Legacy), conflict("to_be_written", Side::Renaissance)],
        ..plan(1, None)
    };
    assert_eq!(store.commit(PERSON, intent, &[decided]).await.unwrap().outcomes, [Outcome::Written]);
    store.settle(intent, &[]).await.unwrap();
    assert_eq!(on.ask::<String>("SELECT string_agg(field, ' ') FROM biograph_bridge.conflict").await, "written");
}

#[tokio::test]
async fn what_was_decided_before_a_person_moved_is_not_written_after_it() {
    let (on, store) = town().await;
    let [mover, other] = [read(&store, 3).await.version, read(&store, 4).await.version];
    let by = By { who: Some("ada".into()), reason: Some("first".into()) };
    let journey = Journey {
        person: legacy(3),
        renaissance: Some(3),
        to: Side::Renaissance,
        by,
        batch: None,
        request: None,
        timeout: None,
    };
    // nobody has a row as yet: this very store learns of the first one
    let draining = CutoverRow::UNMOVED.draining(Side::Renaissance).unwrap();
    let step = Step { name: "fenced", ..Step::default() };
    let (swapped, _) = store.swap(&journey, CutoverRow::UNMOVED, draining, &step).await.unwrap();
    assert_eq!(swapped, Swapped::Done);
    let decided = |epoch| RecordPlan { epoch, ..befriend(3, &mover, &[1]) };
    let plans = vec![decided(0), befriend(4, &other, &[1])];
    assert_eq!(commit(&store, plans).await, [Outcome::LostRace, Outcome::Written], "only who moves is decided anew");
    assert_eq!((friends(&on, 3).await, friends(&on, 4).await), (vec![], vec![1]));
    assert_eq!(commit(&store, vec![decided(1)]).await, [Outcome::Written]);
    // the step is there with the row, and says who and why
    let noted = "SELECT concat_ws(' ', step, state, epoch, who, reason) FROM biograph_bridge.cutover_history";
    assert_eq!(on.ask::<String>(noted).await, "fenced draining 1 ada first");
}
