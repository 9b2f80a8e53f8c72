//! What Renaissance's application makes in one transaction appears complete in BioGraph, whatever was inserted first.

use biograph_bridge::sandbox::{BIOGRAPHS, BOOKS, NOTIFICATIONS, SUBSCRIPTIONS};
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};

use crate::bed::{Bed, USERS, holds};

const USER: &str = "INSERT INTO users (id, password, is_superuser, username, is_staff, is_active, date_joined, first_name, \
    last_name, email, country_code, is_phone_verified, migrated_from_old_system, bio, profile_picture, google_id, apple_id, \
    is_verified, subscription_status, created_at, updated_at) VALUES (900, 'pbkdf2', false, 'grace', false, true, now(), \
    'Grace', 'Hopper', 'grace@example.net', '1', false, false, '', '', '', '', true, 'pro', now(), now())";
const PROFILE: &str = "INSERT INTO user_profiles (user_id, profile_visibility, email_notifications, push_notifications, \
    sms_notifications, theme, created_at, updated_at) VALUES (900, 'private', false, true, true, 'dark', now(), now())";
const BIOGRAPH: &str = "INSERT INTO biographs (id, user_id, title, record_text, record_time, words_count, photo_url, \
    biograph_type, all_keywords, co_authors, books, monologues, is_published, is_removed, status_key, last_played_record, \
    last_updated_title, created_date, updated_date, migrated_from_old_system) VALUES (910, 900, 'The compiler', 'It worked.', \
    61, '2', 'https://media.example.com/users/BioGraph/photo/moth.jpg', '2', '[\"moth\", \"relay\"]', '[]', '[]', \
    '{\"one\": {\"length\": 0.1, \"big\": 9007199254740993}}', true, false, 1, '', '{}', '2024-05-06 07:08:09.123456+00', now(), false)";
const BOOK: &str = "INSERT INTO books (id, user_id, title, synopsis, biographs, is_published, is_removed, status_key, \
    created_date, updated_date, migrated_from_old_system) VALUES (920, 900, 'Nanoseconds', NULL, '[]', false, false, 1, now(), \
    now(), false)";
const PURCHASE: &str = "INSERT INTO subscriptions (id, user_id, receipt_id, duration, product_id, start_date, end_date, \
    migrated_from_old_system) VALUES (930, 900, 'in_1', 30, 'pro_monthly', '2024-05-06', '2024-06-05', false)";

/// The only document of a collection, once it is there.
async fn only(bed: &Bed, collection: &str) -> Document {
    let of = bed.legacy.collection::<Document>(collection);
    bed.until(collection, async || of.find_one(doc! {}).await.unwrap().is_some()).await;
    assert_eq!(of.count_documents(doc! {}).await.unwrap(), 1, "{collection}");
    of.find_one(doc! {}).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_a_book_a_biograph_a_friend_and_a_purchase_appears_complete_in_biograph() {
    let (bed, daemon) = Bed::running().await;
    let (ada, ada_row) = bed.shared_person("Ada").await;
    let friends = format!("INSERT INTO friendships VALUES (900, {ada_row}), ({ada_row}, 900)");
    let told = format!(
        "INSERT INTO notifications (id, from_user_id, to_user_id, biograph_id, notification_type, is_read, is_removed, \
         status_key, created_date, updated_date, migrated_from_old_system) \
         VALUES (940, 900, {ada_row}, 910, 4, false, false, 1, now(), now(), false)"
    );
    // children before parents: Django's foreign keys are looked at when it commits
    let all = ["BEGIN", &told, PURCHASE, BOOK, BIOGRAPH, &friends, PROFILE, USER, "COMMIT"].join(";");
    bed.sql(&all).await;

    let grace = bed.until_document(doc! { "username": "grace" }, |d| holds(d, "friends", vec![ada])).await;
    let id = grace.get_object_id("_id").unwrap();
    assert_eq!(grace.get_str("name").unwrap(), "Grace Hopper");
    assert!(holds(&grace, "profile_settings", "O") && holds(&grace, "is_premium_member", true));
    bed.until_document(doc! { "_id": ada }, |d| holds(d, "friends", vec![id])).await;

    let (biograph, book) = (only(&bed, BIOGRAPHS).await, only(&bed, BOOKS).await);
    let purchase = only(&bed, SUBSCRIPTIONS).await;
    // it may be there before its biograph is, and learns of it then
    let about = async || holds(&only(&bed, NOTIFICATIONS).await, "biograph_id", biograph.get_object_id("_id").unwrap());
    bed.until("the notification names its biograph", about).await;
    let notification = only(&bed, NOTIFICATIONS).await;
    let biograph_id = biograph.get_object_id("_id").unwrap();
    let expected: Vec<(&Document, &str, Bson)> = vec![
        (&biograph, "user_id", id.into()),
        (&biograph, "title", "The compiler".into()),
        (&biograph, "record_time", 61.into()),
        (&biograph, "photo_url", "users/BioGraph/photo/moth.jpg".into()),
        (&biograph, "biograph_type", "2".into()),
        (&biograph, "allKeywords", vec!["moth", "relay"].into()),
        (&biograph, "monologues.one.big", 9_007_199_254_740_993_i64.into()),
        (&biograph, "is_published", true.into()),
        (&biograph, "location", Bson::Null),
        (&biograph, "co_authors", Bson::Array(vec![])),
        (&biograph, "created_date", DateTime::parse_rfc3339_str("2024-05-06T07:08:09.123Z").unwrap().into()),
        (&book, "user_id", id.into()),
        (&book, "title", "Nanoseconds".into()),
        (&book, "synopsis", Bson::Null),
        (&purchase, "user_id", id.into()),
        (&purchase, "receipt_id", "in_1".into()),
        (&purchase, "duration", 30.into()),
        (&purchase, "start_date", DateTime::parse_rfc3339_str("2024-05-06T00:00:00Z").unwrap().into()),
        (&purchase, "end_date", DateTime::parse_rfc3339_str("2024-06-05T00:00:00Z").unwrap().into()),
        (&notification, "from_id", id.into()),
        (&notification, "to_id", ada.into()),
        (&notification, "biograph_id", biograph_id.into()),
        (&notification, "notification_type", 4.into()),
    ];
    for (document, path, value) in expected {
        assert_eq!(crate::bed::at(document, path), Some(&value), "{path} of {document}");
    }
    let told: [(&str, &str, ObjectId); 4] = [
        ("biographs", "old_biograph_id", biograph_id),
        ("books", "old_book_id", book.get_object_id("_id").unwrap()),
        ("subscriptions", "old_subscription_id", purchase.get_object_id("_id").unwrap()),
        ("notifications", "old_notification_id", notification.get_object_id("_id").unwrap()),
    ];
    for (table, column, id) in told {
        let sql = format!("SELECT count(*) FROM {table} WHERE {column} = $1 AND NOT migrated_from_old_system");
        let named = async || {
            let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql.as_str())).bind(id.to_hex());
            count.fetch_one(&bed.pool).await.unwrap() == 1
        };
        bed.until(&format!("{table} knows its document"), named).await;
    }
    bed.until_settled(&daemon).await;
    assert_eq!(bed.parked().await, []);
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
    assert_eq!(bed.legacy.collection::<Document>(USERS).count_documents(doc! {}).await.unwrap(), 3, "and the canary");
}
