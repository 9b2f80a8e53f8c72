//! People move from one side to the other and back, on real servers and with the real binary.

use std::{
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mongodb::bson::{Document, doc, oid::ObjectId};
use serde_json::{Value as Json, json};

use crate::bed::{Bed, holds};

/// How long applications have to notice, here.
const DRAIN: Duration = Duration::from_millis(500);

impl Bed {
    /// A bed on which people move quickly.
    pub(crate) async fn for_moves() -> Self {
        let mut bed = Self::new().await;
        bed.settings.push(("BRIDGE_CUTOVER_DRAIN", format!("{}ms", DRAIN.as_millis())));
        bed
    }

    /// `cutover …`, with its exit code and what it printed as JSON.
    pub(crate) fn cutover(&self, arguments: &[&str]) -> (i32, Json) {
        let output = self.cutover_output(&[arguments, &["--json"]].concat());
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        let json =
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}{err} {}", self.log_tail()));
        (output.status.code().unwrap(), json)
    }

    pub(crate) fn cutover_output(&self, arguments: &[&str]) -> Output {
        self.command(&[&["cutover"], arguments].concat()).env("RUST_LOG", "warn").output().unwrap()
    }

    /// State and epoch: of the row, and of the mirror.
    pub(crate) async fn whereabouts(&self, id: ObjectId) -> [Option<(String, i64)>; 2] {
        let row: Option<(String, i64)> =
            sqlx::query_as("SELECT state, epoch FROM biograph_bridge.cutover WHERE legacy_id = $1")
                .bind(id.to_hex())
                .fetch_optional(&self.pool)
                .await
                .unwrap();
        let mirror = self.legacy.collection::<Document>("biograph_bridge_cutover");
        let mirror = mirror
            .find_one(doc! { "_id": id })
            .await
            .unwrap()
            .map(|mirror| (mirror.get_str("state").unwrap().to_owned(), mirror.get_i64("epoch").unwrap()));
        [row, mirror]
    }

    pub(crate) async fn steps(&self, id: ObjectId) -> Vec<String> {
        sqlx::query_scalar("SELECT step FROM biograph_bridge.cutover_history WHERE legacy_id = $1 ORDER BY id")
            .bind(id.to_hex())
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Fields of a person whose former owner's write was journalled, with the side that wrote.
    async fn stale_writes(&self, id: ObjectId) -> Vec<(String, String)> {
        sqlx::query_as(
            "SELECT field, owner FROM biograph_bridge.conflict WHERE legacy_id = $1 AND kind = 'stale_owner_write' ORDER BY id",
        )
        .bind(id.to_hex())
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }
}

pub(crate) fn user(id: ObjectId) -> String {
    format!("legacy:{id}")
}

pub(crate) fn on(state: &str, epoch: i64) -> [Option<(String, i64)>; 2] {
    [Some((state.to_owned(), epoch)), Some((state.to_owned(), epoch))]
}

/// An application that reads its flag before each write, and takes a while for it. Writes as long as its side is allowed to; the last
/// number that it wrote.
async fn application(
    bed: Arc<Bed>,
    id: ObjectId,
    numbers: Arc<std::sync::atomic::AtomicU32>,
    on_legacy: bool,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        let [row, mirror] = bed.whereabouts(id).await;
        let (state, side) = if on_legacy { (mirror, "legacy") } else { (row, "renaissance") };
        let allowed = state.map_or(on_legacy, |(state, _)| state == side);
        if allowed {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let name = format!("Ada {}", numbers.fetch_add(1, Ordering::SeqCst) + 1);
            if on_legacy {
                bed.set(id, "name", name).await;
            } else {
                let renamed = sqlx::query("UPDATE users SET first_name = $2 WHERE old_user_id = $1");
                renamed.bind(id.to_hex()).bind(name).execute(&bed.pool).await.unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_moves_over_and_back_while_both_applications_write_and_nothing_is_lost() {
    let bed = Arc::new(Bed::for_moves().await);
    let daemon = bed.start().await;
    let (ada, bystander) = (bed.insert_person("Ada 0", doc! {}).await, bed.insert_person("Grace", doc! {}).await);
    bed.until_name(ada, "Ada 0").await;
    bed.until_name(bystander, "Grace").await;

    let (code, looked) = bed.cutover(&["start", &user(ada), "--dry-run"]);
    assert_eq!((code, &looked["people"][0]["outcome"]), (0, &json!("would_move")), "{looked}");
    assert_eq!(bed.whereabouts(ada).await, [None, None], "a dry run changes nothing");

    let (numbers, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let applications = [true, false].map(|on_legacy| {
        tokio::spawn(application(Arc::clone(&bed), ada, Arc::clone(&numbers), on_legacy, Arc::clone(&stop)))
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    let (code, moved) = bed.cutover(&["start", &user(ada), "--reason", "first volunteer"]);
    eprintln!("moved in {:?}, of which {DRAIN:?} to drain", begun.elapsed());
    assert_eq!((code, &moved["people"][0]["outcome"]), (0, &json!("moved")), "{moved}");
    assert_eq!(bed.whereabouts(ada).await, on("renaissance", 2));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (code, again) = bed.cutover(&["start", &user(ada)]);
    assert_eq!((code, &again["people"][0]["outcome"]), (3, &json!("already")), "{again}");
    let (code, back) = bed.cutover(&["rollback", &user(ada), "--yes"]);
    assert_eq!((code, &back["people"][0]["outcome"]), (0, &json!("moved")), "{back}");
    assert_eq!(bed.whereabouts(ada).await, on("legacy", 4));
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    for application in applications {
        application.await.unwrap();
    }
    let last = format!("Ada {}", numbers.load(Ordering::SeqCst));
    bed.until_name(ada, &last).await;
    bed.until_document(doc! { "_id": ada }, |document| holds(document, "name", last.as_str())).await;
    assert_eq!(bed.stale_writes(ada).await, [], "nobody wrote who was not to");
    let steps = ["asked", "fenced", "mirrored", "drained", "caught_up", "compared", "moved", "mirrored"];
    assert_eq!(bed.steps(ada).await, [&steps[..], &["asked", "refused"], &steps].concat());
    let reason: String =
        sqlx::query_scalar("SELECT reason FROM biograph_bridge.cutover_history WHERE step = 'moved' ORDER BY id")
            .fetch_one(&bed.pool)
            .await
            .unwrap();
    assert_eq!(reason, "first volunteer");
    let (_, metrics) = daemon.get("/metrics").await.unwrap();
    assert!(metrics.contains("cutover_duration_seconds_count 2"), "{metrics}");
    let (_, shown) = bed.cutover(&["show", &user(ada)]);
    assert_eq!(
        (&shown["state"], &shown["epoch"], &shown["mirror_epoch"]),
        (&json!("legacy"), &json!(4), &json!(4)),
        "{shown}"
    );
    assert_eq!(bed.whereabouts(bystander).await, [None, None]);

    // whom they left goes on writing: merged, and journalled
    let renamed = sqlx::query("UPDATE users SET first_name = 'Stale' WHERE old_user_id = $1");
    renamed.bind(ada.to_hex()).execute(&bed.pool).await.unwrap();
    bed.until_document(doc! { "_id": ada }, |document| holds(document, "name", "Stale")).await;
    assert_eq!(bed.stale_writes(ada).await, [("name".to_owned(), "legacy".to_owned())]);
    let (code, _) = bed.cutover(&["start", &user(ada)]);
    assert_eq!(code, 0);
    bed.set(ada, "name", "Stale too").await;
    bed.until_name(ada, "Stale too").await;
    assert_eq!(bed.stale_writes(ada).await[1..], [("name".to_owned(), "renaissance".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_move_stays_and_hears_why() {
    let bed = Bed::for_moves().await;
    let _daemon = bed.start().await;
    let (differs, parked, twice) = (
        bed.insert_person("Ada", doc! {}).await,
        bed.insert_person("Grace", doc! { "is_premium_member": ["odd"] }).await,
        bed.insert_person("Edith", doc! {}).await,
    );
    for id in [differs, parked, twice] {
        bed.until_row(id, |_| true).await;
    }
    // a change that the capture takes for the bridge's own
    let mut transaction = bed.pool.begin().await.unwrap();
    for sql in [
        "SELECT pg_logical_emit_message(true, 'biograph_bridge', '')".to_owned(),
        format!("UPDATE users SET first_name = 'Other' WHERE old_user_id = '{differs}'"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
    let (code, told) = bed.cutover(&["start", &user(differs), &user(parked), "email:nobody@example.org"]);
    let people = told["people"].as_array().unwrap();
    assert_eq!(code, 3);
    assert_eq!(people[0]["outcome"], "differed", "{told}");
    let finding = &people[0]["findings"][0];
    assert_eq!(finding["check"], "user");
    assert!(finding["detail"].as_str().unwrap().contains("differs in name (moved: renaissance)"), "{finding}");
    assert_eq!(bed.whereabouts(differs).await, on("legacy", 2));
    assert_eq!(people[1]["outcome"], "refused", "{told}");
    assert_eq!(people[1]["findings"][0]["check"], "parked");
    assert_eq!(bed.whereabouts(parked).await, [None, None], "refused before anybody was held");
    assert_eq!(people[2]["outcome"], "refused", "{told}");
    let text = told.to_string();
    assert!(!text.contains("Other") && !text.contains("odd"), "no values: {text}");
    assert_eq!(bed.cutover_output(&["start", "fax:1"]).status.code(), Some(2));

    // a move that was cancelled has changed no owner: nobody is a former one
    let renamed = sqlx::query("UPDATE users SET first_name = 'Third' WHERE old_user_id = $1");
    renamed.bind(differs.to_hex()).execute(&bed.pool).await.unwrap();
    bed.until_document(doc! { "_id": differs }, |document| holds(document, "name", "Third")).await;
    assert_eq!(bed.stale_writes(differs).await, []);

    // two at once: one of them moves, and the epoch says so
    let outcomes: Vec<Json> = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| bed.cutover(&["start", &user(twice)]).1));
        both.map(|one| one.join().unwrap()["people"][0]["outcome"].clone()).into()
    });
    assert!(outcomes.contains(&json!("moved")) && outcomes.contains(&json!("already")), "{outcomes:?}");
    assert_eq!(bed.whereabouts(twice).await, on("renaissance", 2));
    assert_eq!(bed.command(&["pause", "--user", &user(twice)]).output().unwrap().status.code(), Some(0));
    let (code, told) = bed.cutover(&["rollback", &user(twice), "--yes"]);
    assert_eq!((code, &told["people"][0]["findings"][0]["check"]), (3, &json!("pauses")), "{told}");
    let output = bed.cutover_output(&["rollback", &user(twice)]);
    assert_eq!(output.status.code(), Some(3), "nobody can answer here");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.starts_with("what Renaissance holds that BioGraph cannot:\n"),
        "it is said before anybody is asked: {said}"
    );
}
