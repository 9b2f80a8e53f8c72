//! The oracle of both applications' values: all three processes crash at random under two-sided load, and in the end every value
//! that was ever written is there, was replaced by somebody who had seen it, was merged by its rule, or is in the journal.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use biograph_bridge::model::side::Side;
use futures_util::TryStreamExt;
use mongodb::bson::{Document, deserialize_from_document, doc, oid::ObjectId, serialize_to_document};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value as Json;
use sqlx::Row;
use tokio::task::JoinSet;

use crate::{
    bed::Daemon,
    observed::pause,
    pages::{Application, Entry, Ids, MAPPING, MORTAL, PAGES, Page, TABLES},
    sync_crash::{rounds, seed},
    toys::Toys,
};

/// Longer than for one change: what comes last may be a crash.
const PATIENCE: Duration = Duration::from_secs(90);
/// Applications at work, in turn of either side.
const WORKERS: usize = 4;

/// Both applications at work until stopped.
struct Work {
    stop: Arc<AtomicBool>,
    workers: JoinSet<u64>,
}

impl Work {
    fn begin(toys: &Toys, ids: &[Ids], (round, seed): (u64, u64)) -> Self {
        let (stop, mut workers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for (number, side) in Side::ALL.into_iter().cycle().enumerate().take(WORKERS) {
            let (application, ids, stop) = (Application::of(side, toys), ids.to_vec(), Arc::clone(&stop));
            workers.spawn(async move {
                let (mut rng, mut done) = (StdRng::seed_from_u64(seed + number as u64), 0);
                for step in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // some are worked on much more than others
                    let page = rng.random_range(0..PAGES).min(rng.random_range(0..PAGES));
                    let by = format!("{side} {round} {number} {step}");
                    done += u64::from(application.step((page, ids[page]), &by, &mut rng).await);
                    tokio::time::sleep(Duration::from_millis(rng.random_range(1..12))).await;
                }
                done
            });
        }
        Self { stop, workers }
    }

    /// How many writes succeeded.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.join_all().await.into_iter().sum()
    }
}

async fn documents(toys: &Toys) -> BTreeMap<String, Page> {
    let pages = toys.bed.legacy.collection::<Document>("pages");
    let found: Vec<Document> = pages.find(doc! {}).await.unwrap().try_collect().await.unwrap();
    let page = |found: Document| {
        (found.get_object_id("_id").unwrap().to_hex(), sorted(deserialize_from_document(found).unwrap()))
    };
    found.into_iter().map(page).collect()
}

/// By the ids of their documents, or by their own if they have none.
async fn rows(toys: &Toys) -> BTreeMap<String, Page> {
    let rows =
        sqlx::query("SELECT coalesce(old_id, id::text), to_jsonb(p) FROM pages p").fetch_all(&toys.bed.pool).await;
    let page = |row: &sqlx::postgres::PgRow| (row.get(0), sorted(serde_json::from_value(row.get(1)).unwrap()));
    rows.unwrap().iter().map(page).collect()
}

fn sorted(mut page: Page) -> Page {
    page.tags.sort_unstable();
    page
}

/// Waits until both sides say the same about every page, and nothing is on its way; what they say.
async fn until_equal(toys: &Toys, daemon: &Daemon) -> BTreeMap<String, Page> {
    let started = Instant::now();
    loop {
        let idle = daemon.metric("queue_keys").await == Some(0.0);
        let (documents, rows) = (documents(toys).await, rows(toys).await);
        if idle && documents == rows && toys.cell("SELECT count(*) FROM biograph_bridge.intent").await == "0" {
            return documents;
        }
        if started.elapsed() > PATIENCE {
            let differ: Vec<_> = documents.iter().filter(|(id, page)| rows.get(*id) != Some(page)).collect();
            let parked =
                "SELECT string_agg(DISTINCT concat_ws(' ', field, reason, detail), ', ') FROM biograph_bridge.parked";
            let (parked, log) = (toys.cell(parked).await, toys.bed.log_tail());
            panic!("idle: {idle}; parked: {parked}; in legacy: {differ:#?}; in renaissance: {rows:#?}\n{log}");
        }
        pause().await;
    }
}

/// Kills some of the three processes, and starts them again in any order.
async fn crash(toys: &mut Toys, daemon: Daemon, rng: &mut StdRng) -> Daemon {
    let [mut bridge, mut mongod, mut postgres] = [rng.random_bool(0.6), rng.random_bool(0.3), rng.random_bool(0.3)];
    if !mongod && !postgres {
        bridge = true;
    }
    println!("crash of bridge {bridge}, mongod {mongod}, postgres {postgres}");
    let mut running = Some(daemon);
    if bridge {
        running.take().unwrap().kill();
    }
    if mongod {
        toys.bed.mongo.kill_member(0).await.unwrap();
    }
    if postgres {
        toys.bed.postgres.kill().await.unwrap();
    }
    while bridge || mongod || postgres {
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
        match rng.random_range(0..3) {
            0 if bridge => {
                running = Some(toys.bed.spawn());
                bridge = false;
            }
            1 if mongod => {
                toys.bed.mongo.restart_member(0).await.unwrap();
                mongod = false;
            }
            2 if postgres => {
                toys.bed.postgres.start_again().await.unwrap();
                postgres = false;
            }
            _ => {}
        }
    }
    running.unwrap()
}

/// Everything the applications have written.
async fn log(toys: &Toys) -> Vec<Entry> {
    let entries = toys.bed.legacy.collection::<Entry>("app_log").find(doc! {}).await.unwrap();
    let mut entries: Vec<Entry> = entries.try_collect().await.unwrap();
    let rows: Vec<Json> = sqlx::query_scalar("SELECT entry FROM app_log").fetch_all(&toys.bed.pool).await.unwrap();
    entries.extend(rows.into_iter().map(|entry| serde_json::from_value(entry).unwrap()));
    entries
}

/// Every text inside a JSON value.
fn texts(value: &Json, into: &mut HashSet<String>) {
    match value {
        Json::String(text) => drop(into.insert(text.clone())),
        Json::Array(items) => items.iter().for_each(|item| texts(item, into)),
        Json::Object(members) => members.values().for_each(|item| texts(item, into)),
        _ => {}
    }
}

/// What the journal keeps of those who lost, and the tombstones of what was deleted; and the pairs that were called a conflict.
async fn journal(toys: &Toys) -> (HashSet<String>, Vec<[Option<String>; 2]>) {
    let (mut kept, mut pairs) = (HashSet::new(), Vec::new());
    let rows = "SELECT field, winner, coalesce(legacy_value, 'null'), coalesce(renaissance_value, 'null') \
                FROM biograph_bridge.conflict WHERE intent IS NULL";
    for row in sqlx::query(rows).fetch_all(&toys.bed.pool).await.unwrap() {
        let (field, winner): (Option<String>, Option<String>) = (row.get(0), row.get(1));
        let values: [Json; 2] = [row.get(2), row.get(3)];
        let lost = values.iter().zip(Side::ALL).filter(|(_, side)| winner.as_deref() != Some(side.as_str()));
        lost.for_each(|(value, _)| texts(value, &mut kept));
        if field.is_some() {
            pairs.push(values.map(|value| value.as_str().map(str::to_owned)));
        }
    }
    let tombstones = sqlx::query_scalar("SELECT record FROM biograph_bridge.tombstone WHERE intent IS NULL");
    let tombstones: Vec<Json> = tombstones.fetch_all(&toys.bed.pool).await.unwrap();
    tombstones.iter().for_each(|record| texts(record, &mut kept));
    (kept, pairs)
}

/// Texts and notes: each is there, was seen by who replaced it, or is in the journal.
fn assert_no_value_lost(entries: &[Entry], pages: &BTreeMap<String, Page>, kept: &HashSet<String>) {
    let present: HashSet<&str> = pages.values().flat_map(|page| [&*page.text, &*page.note]).collect();
    let single = || entries.iter().filter(|entry| ["text", "note"].contains(&&*entry.field));
    let seen: HashSet<&str> = single().filter_map(|entry| entry.old.as_deref()).collect();
    let written = single().filter_map(|entry| entry.new.as_deref());
    let lost: Vec<&str> =
        written.filter(|new| !present.contains(new) && !seen.contains(new) && !kept.contains(*new)).collect();
    assert!(lost.is_empty(), "lost: {lost:#?}");
}

/// Two values are in conflict only if neither was written by somebody who had seen the other, or a successor of it.
fn assert_conflicts_true(entries: &[Entry], pairs: &[[Option<String>; 2]]) {
    let before: HashMap<&str, &str> =
        entries.iter().filter_map(|entry| Some((entry.new.as_deref()?, entry.old.as_deref()?))).collect();
    let had_seen = |later: &str, earlier: &str| {
        std::iter::successors(Some(later), |value| before.get(value).copied()).any(|value| value == earlier)
    };
    let mut known = BTreeSet::new();
    for pair in pairs {
        let [Some(legacy), Some(renaissance)] = pair else { continue };
        assert!(!had_seen(legacy, renaissance) && !had_seen(renaissance, legacy), "no conflict: {pair:?}");
        assert!(known.insert(pair), "decided twice: {pair:?}");
    }
}

/// Numbers that are added to, highest numbers and sets, of pages that were never deleted.
fn assert_merged_by_rule(entries: &[Entry], pages: &BTreeMap<String, Page>, ids: &[Ids]) {
    for (page, ids) in ids.iter().enumerate().take(MORTAL) {
        let of = |field: &'static str| entries.iter().filter(move |entry| entry.page == page && entry.field == field);
        let numbers = |field| of(field).map(|entry| entry.new.as_ref().unwrap().parse::<i32>().unwrap());
        let gone: BTreeSet<&String> = of("tags").filter_map(|entry| entry.old.as_ref()).collect();
        let tags = of("tags").filter_map(|entry| entry.new.as_ref()).filter(|tag| !gone.contains(tag));
        let tags: BTreeSet<&String> = tags.collect();
        let found = &pages[&ids.document.to_hex()];
        assert_eq!(found.count, 10 + numbers("count").sum::<i32>(), "everything was added once: page {page}");
        assert_eq!(found.top, numbers("top").max().unwrap_or(0), "page {page}");
        assert_eq!(found.tags.iter().collect::<Vec<_>>(), tags.into_iter().collect::<Vec<_>>(), "page {page}");
    }
}

async fn pages() -> (Toys, Vec<Ids>, Vec<Entry>) {
    let toys = Toys::new(&[("page", MAPPING)], TABLES).await;
    toys.bed.legacy.create_collection("app_log").await.unwrap();
    let (mut documents, mut entries) = (Vec::new(), Vec::new());
    for number in 0..PAGES {
        let (page, document) = (Page::new(&format!("start {number}")), ObjectId::new());
        let mut content = serialize_to_document(&page).unwrap();
        content.insert("_id", document);
        toys.insert("pages", content).await;
        entries.extend(page.entries(number, true));
        documents.push(document);
    }
    let daemon = toys.bed.start().await;
    until_equal(&toys, &daemon).await;
    daemon.kill();
    let mut ids = Vec::new();
    for document in documents {
        let row = toys.cell(&format!("SELECT id FROM pages WHERE old_id = '{document}'")).await;
        ids.push(Ids { document, row: row.parse().unwrap() });
    }
    (toys, ids, entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_crashes_each_value_is_there_or_was_seen_or_merged_or_is_in_the_journal() {
    let seed = seed();
    println!("seed {seed}");
    let (mut toys, ids, made) = pages().await;
    let (mut rng, mut daemon) = (StdRng::seed_from_u64(seed), toys.bed.start().await);
    for round in 0..rounds() {
        let work = Work::begin(&toys, &ids, (round, rng.random()));
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(rng.random_range(300..1500))).await;
            daemon = crash(&mut toys, daemon, &mut rng).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let writes = work.end().await;
        let pages = until_equal(&toys, &daemon).await;
        let entries = [made.clone(), log(&toys).await].concat();
        let (kept, pairs) = journal(&toys).await;
        println!("{writes} writes, {} pages, {} conflicts", pages.len(), pairs.len());
        assert_no_value_lost(&entries, &pages, &kept);
        assert_conflicts_true(&entries, &pairs);
        assert_merged_by_rule(&entries, &pages, &ids);
        assert_eq!(toys.parked().await, []);
    }
    assert_eq!(daemon.stop().await, Some(0), "{}", toys.bed.log_tail());
}
