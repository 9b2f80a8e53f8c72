//! A bridge that dies at any step of a move, in either direction: the next one ends it.

use std::time::{Duration, Instant};

use mongodb::bson::{doc, oid::ObjectId};

use crate::{
    bed::{Bed, PATIENCE},
    cutover::{on, user},
};

/// The only one at which nothing has begun.
const BEFORE: &str = "cutover before the fence";
/// Where it dies.
const POINTS: [&str; 11] = [
    BEFORE,
    "cutover after the fence",
    "cutover before mirroring",
    "cutover after mirroring",
    "cutover after a step",
    "cutover after the mark",
    "cutover after comparing",
    "cutover before the end",
    "cutover after the end",
    "cutover before mirroring:2",
    "cutover after mirroring:2",
];

/// A move: the command, the side and the epoch that a person has before it, and the side they arrive on.
struct Way {
    command: &'static [&'static str],
    from: (&'static str, i64),
    to: &'static str,
}

const OVER: Way = Way { command: &["start"], from: ("legacy", 0), to: "renaissance" };
const BACK: Way = Way { command: &["rollback", "--yes"], from: ("renaissance", 2), to: "legacy" };

impl Bed {
    /// Whether the application on the side that a person leaves may write, by the flag in its own database.
    async fn may_write(&self, id: ObjectId, side: &str) -> bool {
        let [row, mirror] = self.whereabouts(id).await;
        let flag = if side == "legacy" { mirror } else { row };
        flag.map_or(side == "legacy", |(state, _)| state == side)
    }

    /// What the application of a side does with a person.
    async fn rename_on(&self, id: ObjectId, side: &str, name: &str) {
        if side == "legacy" {
            return self.set(id, "name", name).await;
        }
        let renamed = sqlx::query("UPDATE users SET first_name = $2 WHERE old_user_id = $1");
        renamed.bind(id.to_hex()).bind(name).execute(&self.pool).await.unwrap();
    }

    /// Has a bridge die at a point of a person's move, and the next one end it.
    async fn die_on_the_way(&mut self, point: &str, way: &Way, id: ObjectId) {
        let (side, epoch) = way.from;
        self.settings.push(("BRIDGE_CRASH_AT", point.to_owned()));
        let doomed = self.start().await;
        let person = user(id);
        let begun = self.cutover_output(&[way.command, &[&person, "--no-wait"]].concat());
        assert_eq!(begun.status.code(), Some(0), "{point}: {begun:?}");
        assert_eq!(doomed.end().await, Some(6), "{point}: {}", self.log_tail());
        self.settings.pop();
        // the application that the person leaves goes on as its flag allows
        let writes = self.may_write(id, side).await;
        let name = if writes { "Ada King" } else { "Ada" };
        if writes {
            self.rename_on(id, side, name).await;
        }
        let next = self.start().await;
        let started = Instant::now();
        let unmoved = if epoch == 0 { [None, None] } else { on(side, epoch) };
        let wanted = if point == BEFORE { unmoved } else { on(way.to, epoch + 2) };
        while self.whereabouts(id).await != wanted {
            let found = self.whereabouts(id).await;
            assert!(started.elapsed() < PATIENCE, "{point}: {found:?} {}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.until_name(id, name).await;
        self.until_document(doc! { "_id": id }, |document| crate::bed::holds(document, "name", name)).await;
        while point == BEFORE && self.steps(id).await.pop().as_deref() != Some("refused") {
            assert!(started.elapsed() < PATIENCE, "who asked hears that nothing was changed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        next.kill();
    }

    /// Somebody for each point.
    async fn one_for_each(&self) -> Vec<(&'static str, ObjectId)> {
        let mut people = Vec::new();
        for point in POINTS {
            people.push((point, self.insert_person("Ada", doc! {}).await));
        }
        for (_, id) in &people {
            self.until_name(*id, "Ada").await;
        }
        people
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_dies_at_any_step_of_a_move_leaves_nobody_on_the_way() {
    let mut bed = Bed::for_moves().await;
    let calm = bed.start().await;
    let people = bed.one_for_each().await;
    calm.kill();
    for (point, id) in people {
        bed.die_on_the_way(point, &OVER, id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_dies_at_any_step_of_the_way_back_leaves_nobody_on_the_way() {
    let mut bed = Bed::for_moves().await;
    let calm = bed.start().await;
    let people = bed.one_for_each().await;
    let (code, moved) = bed.cutover(&["batch", "--percent", "100"]);
    assert_eq!((code, moved["batch"]["moved"].as_u64()), (0, Some(people.len() as u64)), "{moved}");
    calm.kill();
    for (point, id) in people {
        bed.die_on_the_way(point, &BACK, id).await;
    }
}
