//! Thousands of changes at once: batches follow each other closely, the next being read while the former is written.

use mongodb::bson::{Document, doc, oid::ObjectId};

use crate::bed::Bed;

/// More than two batches.
const MANY: usize = 2500;

fn person(n: usize) -> Document {
    doc! { "_id": ObjectId::new(), "username": format!("user-{n}"), "name": format!("Person\t{n}\\"), "email": format!("{n}@example.org"), "status_key": 1 }
}

/// People who registered in Renaissance, several thousand at once.
async fn register_many(bed: &Bed) {
    bed.sql(&format!(
        "WITH made AS (INSERT INTO users (password, is_superuser, username, is_staff, is_active, date_joined, first_name, \
         last_name, email, phone_number, country_code, is_phone_verified, migrated_from_old_system, old_user_id, bio, \
         profile_picture, date_of_birth, google_id, apple_id, is_verified, subscription_status, created_at, updated_at) \
         SELECT 'pbkdf2', false, 'user-' || n, false, true, now(), 'Person', '', n || '@example.org', NULL, '1', false, false, \
         NULL, '', '', NULL, '', '', false, 'pro', now(), now() FROM generate_series({MANY} - 1, 0, -1) n RETURNING id) \
         INSERT INTO user_profiles (user_id, profile_visibility, email_notifications, push_notifications, \
         sms_notifications, theme, created_at, updated_at) \
         SELECT id, 'private', false, true, true, 'dark', now(), now() FROM made"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_username_holds_up_nobody_else_of_thousands() {
    let bed = Bed::new().await;
    let mut people: Vec<Document> = (0..MANY).map(person).collect();
    people[MANY / 2].insert("username", "user-7");
    people[MANY / 2].insert("email", "");
    bed.users().insert_many(people).await.unwrap();
    let daemon = bed.start().await;
    bed.until_parked(&[("", "unique_taken")]).await;
    bed.until_settled(&daemon).await;
    // with the canary, and without one of those two
    assert_eq!(bed.count("SELECT count(*) FROM users").await, 2500);
    assert_eq!(bed.count("SELECT count(*) FROM user_profiles").await, 2500);
    assert_eq!(bed.count("SELECT count(*) FROM users WHERE first_name = E'Person\\t11\\\\'").await, 1);
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.link").await, 2500);
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_of_people_that_come_up_in_neighbouring_batches_are_one_person_each() {
    let (bed, daemon) = Bed::running().await;
    daemon.hold();
    bed.users().insert_many((0..MANY).map(person)).await.unwrap();
    register_many(&bed).await;
    daemon.go_on();
    bed.until_count("SELECT count(*) FROM users WHERE old_user_id IS NOT NULL", 2500).await;
    bed.until_settled(&daemon).await;
    assert_eq!(bed.count("SELECT count(*) FROM users").await, 2501, "with the canary");
    assert_eq!(bed.users().count_documents(doc! {}).await.unwrap(), 2501);
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.link WHERE base IS NOT NULL").await, 2501);
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.parked").await, 0);

    daemon.hold();
    let update = doc! { "$set": { "profile_settings": "P" } };
    bed.users().update_many(doc! {}, update).await.unwrap();
    bed.sql("UPDATE users SET bio = 'unmapped', first_name = 'Changed ' || id").await;
    daemon.go_on();
    bed.until_count("SELECT count(*) FROM user_profiles WHERE profile_visibility = 'public'", 2501).await;
    bed.until_settled(&daemon).await;
    let changed = doc! { "name": { "$regex": "^Changed " }, "profile_settings": "P" };
    assert_eq!(bed.users().count_documents(changed).await.unwrap(), 2501);
    assert_eq!(bed.count("SELECT count(*) FROM users WHERE first_name = 'Changed ' || id").await, 2501);
    let conflicts = bed.count("SELECT count(*) FROM biograph_bridge.conflict WHERE kind = 'update_update'").await;
    assert_eq!(conflicts, 0, "different fields");
}
