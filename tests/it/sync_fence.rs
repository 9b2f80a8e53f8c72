//! One writer: whoever was the active daemon and does not know that it is no longer writes nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use biograph_bridge::{
    error::{Disposition, Error},
    model::{hint::Position, side::Side},
    postgres::lease::{Lease, raise},
    sync::ports::{LegacyChange, LegacyStore, LegacyWrite, Outcome, RenaissanceStore},
};
use mongodb::bson::doc;
use sqlx::Connection;
use uuid::Uuid;

use crate::{
    bed::Bed,
    mongo_support::{USER, World, bridge, id, slot, text},
    sync_crash::{Load, some_people},
    town::{PERSON, befriend, commit, friends, open_in, read, town},
};

fn only_taken_over(error: &Error) {
    assert_eq!(error.disposition(), Disposition::Retry, "{error}");
    assert!(error.to_string().contains("another daemon has taken over"), "{error}");
}

#[tokio::test]
async fn a_former_daemon_writes_nothing_to_postgres() {
    let (on, _) = town().await;
    let lease = Lease::acquire(&on.pool).await.unwrap().unwrap();
    assert!(Lease::acquire(&on.pool).await.unwrap().is_none(), "there is one lease");
    let first = raise(&on.pool, lease.session()).await.unwrap();
    let former = open_in(&on, first).await;
    let version = read(&former, 3).await.version;
    assert_eq!(commit(&former, vec![befriend(3, &version, &[1])]).await, [Outcome::Written]);

    // in the middle of a write, and gone silent there
    let mut open = on.pool.acquire().await.unwrap().detach();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("BEGIN; SELECT biograph_bridge.fence({first})")))
        .execute(&mut open)
        .await
        .unwrap();
    let started = Instant::now();
    let second = raise(&on.pool, lease.session()).await.unwrap();
    assert!(second > first && started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(open.ping().await.is_err(), "the write that had begun cannot commit");

    let version = read(&former, 3).await.version;
    only_taken_over(
        &former.commit(PERSON, Uuid::new_v4(), &[befriend(3, &version, &[1, 2])]).await.err().expect("refused"),
    );
    let position = [(Side::Renaissance, Position::Lsn(1))];
    only_taken_over(&former.save_checkpoint(&position).await.unwrap_err());
    assert_eq!(friends(&on, 3).await, [1]);
    assert_eq!(former.checkpoint(Side::Renaissance).await.unwrap(), None);

    let present = open_in(&on, second).await;
    present.save_checkpoint(&position).await.unwrap();
    assert_eq!(commit(&present, vec![befriend(3, &version, &[1, 2])]).await, [Outcome::Written]);

    let stranger = raise(&on.pool, -1).await.unwrap_err();
    assert_eq!(stranger.disposition(), Disposition::Retry, "only who holds the lease raises the epoch: {stranger}");
    let epoch: i64 = on.ask("SELECT epoch FROM biograph_bridge.lease").await;
    assert_eq!(epoch, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_daemon_writes_nothing_to_mongodb() {
    let world = World::new().await;
    let (former, stop) = (world.legacy.clone(), Arc::new(AtomicBool::new(false)));
    let insert = |id| LegacyWrite { id, change: LegacyChange::Insert(vec![(slot("name"), text("a"))]), born: None };
    let ended = Arc::clone(&stop);
    let writing = tokio::spawn(async move {
        let mut refusals = Vec::new();
        while !ended.load(Ordering::Relaxed) {
            let written = former.write(USER, Uuid::new_v4(), &[insert(former.new_id())]).await;
            refusals.extend(written.err());
        }
        refusals
    });
    while world.people().count_documents(doc! {}).await.unwrap() < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let (next, _) = bridge(&world.set).await;
    next.raise_fence(2).await.unwrap();
    let landed = world.people().count_documents(doc! {}).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let refusals = writing.await.unwrap();
    assert_eq!(world.people().count_documents(doc! {}).await.unwrap(), landed, "not one more after the fence");
    assert!(!refusals.is_empty());
    refusals.iter().for_each(only_taken_over);

    assert_eq!(next.write(USER, Uuid::new_v4(), &[insert(id(1))]).await.unwrap().outcomes, [Outcome::Written]);
    only_taken_over(&world.legacy.raise_fence(1).await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_is_replaced_and_when_it_goes_on_it_waits() {
    let seed = rand::random_range(1..1_000_000);
    let (bed, first) = Bed::running().await;
    let people = some_people(&bed, 20).await;
    let second = bed.spawn_on(bed.another_port());
    bed.until("the second one waits", async || second.status().await.is_some_and(|s| s["state"] == "standby")).await;
    let load = Load::of_different_fields(&bed, people, seed);
    tokio::time::sleep(Duration::from_millis(700)).await;

    first.hold();
    let started = Instant::now();
    bed.until("the second one leads", async || second.status().await.is_some_and(|s| s["state"] == "streaming")).await;
    println!("seed {seed}: taken over after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());

    first.go_on();
    bed.until("the first one waits", async || first.status().await.is_some_and(|s| s["state"] == "standby")).await;
    load.stop().await;
    bed.until_converged().await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
    let log = std::fs::read_to_string(&bed.log).unwrap();
    for line in ["the active daemon has fallen silent", "the lease of the active daemon was lost"] {
        assert!(log.contains(line), "{line}: {}", bed.log_tail());
    }
    assert_eq!((first.stop().await, second.stop().await), (Some(0), Some(0)));
}
