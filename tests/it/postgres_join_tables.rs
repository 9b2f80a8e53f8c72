//! Join tables on real servers: a record's rows are one slot, read, compared, written and deleted as one.

use biograph_bridge::{
    model::{image::Image, problem::Reason, value::Value},
    sync::ports::{Outcome, RecordPlan, RenaissanceChange, RenaissanceStore},
};

use crate::town::{PERSON, befriend, commit, friends, ids, plan, read, town};

#[tokio::test]
async fn a_set_is_read_whole_and_every_change_of_it_is_a_new_version() {
    let (on, store) = town().await;
    let answer = store.read(PERSON, &[1, 4, 99]).await.unwrap();
    let [Some(first), Some(fourth), None] = &answer.images[..] else { panic!("two of three are there") };
    assert!(first.slots[1] == Some(ids(&[2, 3])), "sorted");
    assert!(fourth.slots[1] == Some(ids(&[])), "no rows are an empty set, not a missing one");
    assert_eq!(fourth.version.0[1], 1, "a set without rows is there");

    let mut versions = vec![first.version.clone()];
    for change in [
        "INSERT INTO friends VALUES (1, 4, now())",
        "DELETE FROM friends WHERE person_id = 1 AND friend_id = 4",
        "UPDATE friends SET since = now() WHERE person_id = 1 AND friend_id = 3",
        "DELETE FROM friends WHERE (person_id, friend_id) = (1, 3); INSERT INTO friends VALUES (1, 3, now())",
        "UPDATE friends SET friend_id = 5 WHERE person_id = 1 AND friend_id = 3",
        "DELETE FROM friends WHERE person_id = 1",
    ] {
        on.sql(change).await;
        versions.push(read(&store, 1).await.version);
    }
    let rooted = versions.iter().all(|version| version.0[0] == versions[0].0[0]);
    assert!(rooted, "the root row did not change");
    // the second change restores exactly the first state
    assert_eq!(versions.remove(2), versions[0]);
    for (n, version) in versions.iter().enumerate() {
        assert!(!versions[n + 1..].contains(version), "change {n} is seen: {versions:?}");
    }
}

#[tokio::test]
async fn a_written_set_adds_and_removes_only_what_differs() {
    let (on, store) = town().await;
    on.sql("UPDATE friends SET since = '2001-01-01'").await;
    let image = read(&store, 1).await;
    assert_eq!(commit(&store, vec![befriend(1, &image.version, &[2, 4, 5])]).await, [Outcome::Written]);
    assert_eq!(friends(&on, 1).await, [2, 4, 5]);
    let untouched = "SELECT array_agg(friend_id) FROM friends WHERE person_id = 1 AND since = '2001-01-01'";
    assert_eq!(on.ask::<Vec<i32>>(untouched).await, [2], "rows that stay are not written, new ones get insert values");

    let mut made = plan(
        0,
        Some(RenaissanceChange::Insert(vec![(0, Some(Value::Text("Newcomer".into()))), (1, Some(ids(&[1, 2])))])),
    );
    (made.renaissance, made.linked) = (None, false);
    let image = read(&store, 4).await;
    assert_eq!(
        commit(&store, vec![made, befriend(4, &image.version, &[])]).await,
        [Outcome::Written, Outcome::Written]
    );
    let new: i64 = on.ask("SELECT id FROM people WHERE name = 'Newcomer'").await;
    assert_eq!(friends(&on, new).await, [1, 2]);
}

#[tokio::test]
async fn a_set_that_changed_meanwhile_loses_the_race_and_nothing_of_it_is_written() {
    let (on, store) = town().await;
    let images = [read(&store, 1).await, read(&store, 2).await, read(&store, 4).await];
    on.sql("INSERT INTO friends VALUES (1, 5, now()), (4, 1, now())").await;
    let plans = [(1, &images[0]), (2, &images[1]), (4, &images[2])];
    let plans = plans.map(|(id, image)| befriend(id, &image.version, &[3])).into();
    assert_eq!(commit(&store, plans).await, [Outcome::LostRace, Outcome::Written, Outcome::LostRace]);
    assert_eq!(friends(&on, 1).await, [2, 3, 5]);
    assert_eq!(friends(&on, 2).await, [3]);
    assert_eq!(friends(&on, 4).await, [1]);

    // a row that an application holds is not waited for
    let image = read(&store, 1).await;
    let mut other = on.pool.begin().await.unwrap();
    sqlx::query("DELETE FROM friends WHERE person_id = 1 AND friend_id = 5").execute(&mut *other).await.unwrap();
    assert_eq!(commit(&store, vec![befriend(1, &image.version, &[3])]).await, [Outcome::LostRace]);
    other.rollback().await.unwrap();
    assert_eq!(commit(&store, vec![befriend(1, &image.version, &[3])]).await, [Outcome::Written]);

    // one that is not committed yet is neither seen nor touched
    let image = read(&store, 3).await;
    let mut other = on.pool.begin().await.unwrap();
    sqlx::query("INSERT INTO friends VALUES (3, 1, now())").execute(&mut *other).await.unwrap();
    assert_eq!(commit(&store, vec![befriend(3, &image.version, &[2])]).await, [Outcome::Written]);
    other.commit().await.unwrap();
    assert_eq!(friends(&on, 3).await, [1, 2]);
}

#[tokio::test]
async fn a_deleted_record_takes_its_rows_and_those_that_name_it_along() {
    let (on, store) = town().await;
    on.sql("INSERT INTO friends VALUES (3, 1, now()), (3, 2, now())").await;
    let (first, second) = (read(&store, 1).await, read(&store, 2).await);
    let plans = [(1, first), (2, second)];
    let plans = plans
        .map(|(id, image)| RecordPlan { unlink: true, ..plan(id, Some(RenaissanceChange::Delete(image.version))) });
    assert_eq!(commit(&store, plans.into()).await, [Outcome::Written, Outcome::Written]);
    assert_eq!(on.ask::<i64>("SELECT count(*) FROM people").await, 3);
    assert_eq!(on.ask::<i64>("SELECT count(*) FROM friends").await, 0);
    let kept = "SELECT record ->> 'friends' FROM biograph_bridge.tombstone WHERE renaissance_id = ";
    assert_eq!(on.ask::<String>(&format!("{kept} 1")).await, "[2, 3]");
    assert_eq!(on.ask::<String>(&format!("{kept} 2")).await, "[1]");

    // its set changed since it was read: not deleted
    let third = read(&store, 3).await;
    on.sql("INSERT INTO friends VALUES (3, 4, now())").await;
    assert_eq!(
        commit(&store, vec![plan(3, Some(RenaissanceChange::Delete(third.version)))]).await,
        [Outcome::LostRace]
    );
}

#[tokio::test]
async fn what_others_refer_to_is_not_deleted_and_says_who_they_are() {
    let (on, store) = town().await;
    on.sql("INSERT INTO letters VALUES (4)").await;
    let (fourth, fifth) = (read(&store, 4).await, read(&store, 5).await);
    let plans = [(4, fourth), (5, fifth)].map(|(id, image)| plan(id, Some(RenaissanceChange::Delete(image.version))));
    let outcomes = commit(&store, plans.into()).await;
    let [Outcome::Refused(None, problem), Outcome::Written] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(problem.reason, Reason::StillReferenced);
    assert!(problem.detail.contains("still referred to by rows of letters"), "{problem}");
}

#[tokio::test]
async fn a_deferred_foreign_key_that_fails_at_commit_names_the_one_record_and_its_field() {
    let (on, store) = town().await;
    on.sql("INSERT INTO people (name) SELECT 'Person ' || n FROM generate_series(6, 1005) n").await;
    on.sql("ANALYZE people").await;
    let all: Vec<i64> = (6..=1005).collect();
    let images = store.read(PERSON, &all).await.unwrap().images;
    let befriended = |friend: i64| {
        let plans = all.iter().zip(&images).map(move |(id, image)| {
            befriend(*id, &image.as_ref().unwrap().version, &[if *id == 777 { friend } else { 1 }])
        });
        plans.collect::<Vec<_>>()
    };
    // gone before the write: nothing but the constraint can tell
    on.sql("DELETE FROM people WHERE id = 5").await;
    let outcomes = commit(&store, befriended(5)).await;
    let refused: Vec<_> = outcomes.iter().enumerate().filter(|(_, outcome)| **outcome != Outcome::Written).collect();
    let [(place, Outcome::Refused(Some(1), problem))] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((all[*place], problem.reason), (777, Reason::MissingReference));
    assert!(problem.detail.contains("friends.friend_id refers to a row that is gone"), "{problem}");
    assert_eq!(on.ask::<i64>("SELECT count(*) FROM friends WHERE person_id > 5 AND friend_id = 1").await, 999);
}

#[tokio::test]
async fn a_target_that_goes_while_it_is_written_costs_its_record_the_race_and_no_other() {
    let (on, store) = town().await;
    let all = [2, 3, 4];
    let images = store.read(PERSON, &all).await.unwrap().images;
    let plans = || {
        let plan = |(id, image): (&i64, &Option<Image>)| {
            let friend = if *id == 3 { 5 } else { 1 };
            befriend(*id, &image.as_ref().unwrap().version, &[friend])
        };
        all.iter().zip(&images).map(plan).collect::<Vec<_>>()
    };
    let mut application = on.pool.begin().await.unwrap();
    sqlx::query("DELETE FROM people WHERE id = 5").execute(&mut *application).await.unwrap();
    // the deletion may yet be undone: only the commit of the foreign key can wait for it, and it does not for long
    assert_eq!(commit(&store, plans()).await, [Outcome::Written, Outcome::LostRace, Outcome::Written]);
    application.commit().await.unwrap();
    let again = commit(&store, plans()).await;
    let Outcome::Refused(Some(1), problem) = &again[1] else { panic!("{again:?}") };
    assert_eq!(problem.reason, Reason::MissingReference);
}
