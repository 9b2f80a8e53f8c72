//! A generated BioGraph of all seven collections, broken documents included: copied while part of it is there already,
//! then changed on both sides, then compared field by field.
//!
//! `BRIDGE_TEST_DOCUMENTS`, `BRIDGE_TEST_CHANGES` and `BRIDGE_TEST_SEED` make it longer or the same as before.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use biograph_bridge::sandbox::{
    BIOGRAPHS, NOTIFICATIONS, Population, Traffic, TrafficOptions, USERS, content_id, person_id,
};
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    bed::{Bed, Daemon},
    whole_compare::{Outcome, compare},
};

/// Documents per person, about.
const EACH: u32 = 6;

fn setting<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Waits until nothing differs.
async fn until_equal(bed: &Bed, daemon: &Daemon, patience: Duration) -> Outcome {
    let started = Instant::now();
    loop {
        let outcome = compare(bed).await;
        if outcome.differences.is_empty() {
            return outcome;
        }
        let shown: Vec<&String> = outcome.differences.iter().take(12).collect();
        assert!(
            started.elapsed() < patience,
            "{} of {} differ: {shown:#?}\n{:?}\n{}",
            outcome.differences.len(),
            outcome.documents,
            daemon.status().await,
            bed.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// What an earlier script copied of the first people and their biographs: some of it as it was, some of it changed since.
async fn copy_some(bed: &Bed, seed: u64, people: u32) {
    for index in 0..people {
        let id = person_id(seed, index).to_hex();
        let name = if index % 3 == 0 { "renamed since" } else { "" };
        bed.sql(&format!(
            "WITH person AS (INSERT INTO users (password, is_superuser, username, first_name, last_name, is_staff, is_active,
               date_joined, country_code, is_phone_verified, migrated_from_old_system, old_user_id, bio, profile_picture,
               google_id, apple_id, is_verified, subscription_status, created_at, updated_at)
             VALUES ('!', false, 'copied-{id}', '{name}', '', false, true, now(), '1', true, true, '{id}', 'written here', '',
               '', '', false, 'free', now(), '2001-01-01') RETURNING id),
             profile AS (INSERT INTO user_profiles (user_id, profile_visibility, email_notifications, push_notifications,
               sms_notifications, theme, created_at, updated_at)
             SELECT id, 'private', true, true, true, 'dark', now(), now() FROM person)
             INSERT INTO biographs (user_id, title, record_time, biograph_type, all_keywords, co_authors, books, monologues,
               is_published, is_removed, status_key, last_played_record, last_updated_title, created_date, updated_date,
               migrated_from_old_system, old_biograph_id)
             SELECT id, 'copied', 0, '1', '[]', '[]', '[]', '{{}}', true, false, 1, '', '{{}}', now(), '2001-01-01', true, '{}'
             FROM person",
            content_id(seed, BIOGRAPHS, index, 0).to_hex()
        ))
        .await;
    }
}

/// The people of whom the earlier script copied something that BioGraph no longer has are left out of it.
async fn drop_unknown_copies(bed: &Bed) {
    for (table, collection, column) in [("biographs", BIOGRAPHS, "old_biograph_id"), ("users", USERS, "old_user_id")] {
        let known = bed.legacy.collection::<Document>(collection).distinct("_id", doc! {}).await.unwrap();
        let known: Vec<String> = known.iter().filter_map(Bson::as_object_id).map(ObjectId::to_hex).collect();
        let sql = format!("DELETE FROM {table} WHERE NOT {column} = ANY($1)");
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(known).execute(&bed.pool).await.unwrap();
    }
}

/// Some documents break and some that were broken are mended, some move to somebody else.
async fn break_mend_and_move(bed: &Bed, rng: &mut StdRng, seed: u64, people: u32) {
    let [users, biographs, notifications] =
        [USERS, BIOGRAPHS, NOTIFICATIONS].map(|name| bed.legacy.collection::<Document>(name));
    for _ in 0..40 {
        let (one, other) = (rng.random_range(0..people), rng.random_range(0..people));
        let (id, biograph) = (person_id(seed, one), content_id(seed, BIOGRAPHS, one, 0));
        let set = |path: &str, value: Bson| doc! { "$set": { path: value } };
        match rng.random_range(0..6) {
            0 => users.update_one(doc! { "_id": id }, set("name", Bson::Array(vec![]))).await,
            1 => users.update_one(doc! { "name": { "$type": "array" } }, set("name", "mended".into())).await,
            2 => biographs.update_one(doc! { "_id": biograph }, set("title", "t".repeat(121).into())).await,
            3 => {
                let broken = doc! { "user_id": null };
                biographs.update_one(broken, set("user_id", person_id(seed, other).into())).await
            }
            4 => {
                biographs
                    .update_one(doc! { "_id": biograph }, set("user_id", person_id(seed, other).to_hex().into()))
                    .await
            }
            _ => notifications.update_one(doc! { "notification_type": null }, set("notification_type", 2.into())).await,
        }
        .unwrap();
        let moved = "UPDATE books SET user_id = (SELECT id FROM users WHERE old_user_id = $1), synopsis = 'given away'
                     WHERE id = (SELECT min(id) FROM books WHERE synopsis IS DISTINCT FROM 'given away')
                       AND EXISTS (SELECT FROM users WHERE old_user_id = $1)";
        sqlx::query(moved).bind(person_id(seed, other).to_hex()).execute(&bed.pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_documents_of_all_kinds_are_equal_on_both_sides_or_parked_with_the_right_reason() {
    let seed = setting("BRIDGE_TEST_SEED", rand::rng().random_range(1..1_000_000_u64));
    let documents = setting("BRIDGE_TEST_DOCUMENTS", 20_000_u32);
    let changes = setting("BRIDGE_TEST_CHANGES", 600_u32);
    println!("seed {seed}, {documents} documents, {changes} changes");
    let people = documents / EACH;
    let patience = Duration::from_secs(120 + u64::from(documents / 200));

    let bed = Bed::new().await;
    let loaded = Population { seed, people, broken: 0.02 }.load(&bed.legacy).await.unwrap();
    copy_some(&bed, seed, 60).await;
    drop_unknown_copies(&bed).await;
    let started = Instant::now();
    let daemon = bed.spawn();
    let state = "SELECT (to_regclass('biograph_bridge.parked') IS NOT NULL)::int::bigint";
    bed.until("the state schema is there", async || bed.count(state).await == 1).await;
    let outcome = until_equal(&bed, &daemon, patience).await;
    println!("copied after {:?}: {outcome:#?}, parked: {:#?}", started.elapsed(), outcome.parked);
    assert_eq!(outcome.documents as u64, loaded);
    assert!(outcome.fields > 9 * outcome.rows, "{} fields of {} rows", outcome.fields, outcome.rows);
    let settled = "SELECT count(DISTINCT kind) FROM biograph_bridge.conflict \
         WHERE kind NOT IN ('adopted', 'insert_exists', 'unique_taken')";
    assert_eq!(bed.count(settled).await, 0, "what an earlier script left is settled and noted, and nobody disagreed");
    assert!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await > 0);
    let renamed = "SELECT count(*) FROM users WHERE first_name = 'renamed since' AND NOT EXISTS
        (SELECT FROM biograph_bridge.parked WHERE legacy_id = old_user_id AND coalesce(field, 'name') = 'name')";
    assert_eq!(bed.count(renamed).await, 0, "the owner is right, as far as its name can be read");

    let analyzed =
        "SELECT analyze_count FROM pg_stat_user_tables WHERE schemaname = 'biograph_bridge' AND relname = 'link'";
    bed.until("statistics followed the growth", async || bed.count(analyzed).await > 0).await;

    let started = Instant::now();
    let mut rng = StdRng::seed_from_u64(seed);
    let options = TrafficOptions { seed, clashes: true, ..TrafficOptions::default() };
    let mut traffic = Traffic::new(&bed.legacy_uri, &bed.renaissance_url, options).await.unwrap();
    for step in 0..changes {
        // one that failed is one that an application would try again or give up
        drop(traffic.step().await);
        if step == changes / 2 {
            break_mend_and_move(&bed, &mut rng, seed, people).await;
        }
    }
    println!("changed in {:?}: {:?}", started.elapsed(), traffic.counts());
    let outcome = until_equal(&bed, &daemon, patience).await;
    println!("equal after {:?}: {outcome:#?}", started.elapsed());
    // and so it stays
    bed.until("the queue is empty", async || daemon.metric("queue_keys").await == Some(0.0)).await;
    assert_eq!(compare(&bed).await.differences, Vec::<String>::new());
    assert_eq!(daemon.stop().await, Some(0));
}
