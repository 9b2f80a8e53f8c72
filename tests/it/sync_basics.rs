//! People stay in sync both ways.

use mongodb::bson::doc;
use sqlx::Row;

use crate::bed::{Bed, holds};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_inserted_in_biograph_appears_in_renaissance_with_a_profile() {
    let (bed, _daemon) = Bed::running().await;
    let id = bed.insert_person("Ada Lovelace", doc! { "country_code": 44, "is_premium_member": true }).await;
    let row = bed.until_name(id, "Ada Lovelace").await;
    assert_eq!(row.get::<String, _>("country_code"), "44");
    assert_eq!(row.get::<String, _>("subscription_status"), "premium");
    assert_eq!(row.get::<String, _>("profile_visibility"), "public");
    assert!(row.get::<bool, _>("migrated_from_old_system") && row.get::<bool, _>("is_phone_verified"));
    let password: String = row.get("password");
    assert!(password.starts_with('!') && password.len() == 41, "Django's unusable password");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_in_biograph_crosses_and_so_does_a_delete() {
    let (bed, _daemon) = Bed::running().await;
    let id = bed.insert_person("Ada", doc! {}).await;
    bed.until_name(id, "Ada").await;
    bed.set(id, "name", "Ada King").await;
    bed.until_name(id, "Ada King").await;
    bed.set(id, "email_notification.all", false).await;
    bed.until_row(id, |row| !row.get::<bool, _>("email_notifications")).await;
    bed.users().delete_one(doc! { "_id": id }).await.unwrap();
    bed.until_count("SELECT count(*) FROM users", 0).await;
    bed.until_count("SELECT count(*) FROM user_profiles", 0).await;
    let kept: serde_json::Value =
        sqlx::query_scalar("SELECT record FROM biograph_bridge.tombstone").fetch_one(&bed.pool).await.unwrap();
    assert_eq!(kept["users"]["first_name"], "Ada King");
    assert_eq!(kept["user_profiles"]["profile_visibility"], "public");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_born_in_renaissance_appears_in_biograph_changes_and_goes() {
    let (bed, _daemon) = Bed::running().await;
    let row = bed.register("grace", "Grace Hopper").await;
    let document = bed.until_document(doc! { "username": "grace" }, |_| true).await;
    assert_eq!(document.get_str("name").unwrap(), "Grace Hopper");
    assert_eq!(document.get_str("profile_settings").unwrap(), "O");
    assert!(holds(&document, "email_notification.all", false));
    assert!(holds(&document, "is_premium_member", true));
    let id = document.get_object_id("_id").unwrap();
    let linked = bed.until_row(id, |_| true).await;
    assert_eq!(linked.get::<i64, _>("id"), row);
    assert!(!linked.get::<bool, _>("migrated_from_old_system"), "born here");

    sqlx::query("UPDATE users SET first_name = 'Rear Admiral' WHERE id = $1")
        .bind(row)
        .execute(&bed.pool)
        .await
        .unwrap();
    bed.until_document(doc! { "_id": id }, |d| holds(d, "name", "Rear Admiral")).await;
    sqlx::query("UPDATE user_profiles SET profile_visibility = 'friends' WHERE user_id = $1")
        .bind(row)
        .execute(&bed.pool)
        .await
        .unwrap();
    bed.until_document(doc! { "_id": id }, |d| holds(d, "profile_settings", "F")).await;
    bed.set(id, "is_premium_member", true).await;
    bed.set(id, "name", "Grace").await;
    let row_now = bed.until_name(id, "Grace").await;
    assert_eq!(row_now.get::<String, _>("subscription_status"), "pro", "the richer value stays");

    for sql in ["DELETE FROM user_profiles WHERE user_id = $1", "DELETE FROM users WHERE id = $1"] {
        sqlx::query(sql).bind(row).execute(&bed.pool).await.unwrap();
    }
    let started = std::time::Instant::now();
    while bed.users().find_one(doc! { "_id": id }).await.unwrap().is_some() {
        assert!(started.elapsed() < crate::bed::PATIENCE, "the document stays: {}", bed.log_tail());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let kept: serde_json::Value =
        sqlx::query_scalar("SELECT record FROM biograph_bridge.tombstone").fetch_one(&bed.pool).await.unwrap();
    assert_eq!(kept["name"], "Grace");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keys_of_a_nested_object_survive() {
    let (bed, _daemon) = Bed::running().await;
    let settings = doc! { "email_notification": { "all": true, "likes": false, "nested": { "deep": [1, 2] } } };
    let id = bed.insert_person("Ada", settings).await;
    bed.until_name(id, "Ada").await;
    sqlx::query(
        "UPDATE user_profiles SET email_notifications = false \
         WHERE user_id = (SELECT id FROM users WHERE old_user_id = $1)",
    )
    .bind(id.to_hex())
    .execute(&bed.pool)
    .await
    .unwrap();
    let document = bed.until_document(doc! { "_id": id }, |d| holds(d, "email_notification.all", false)).await;
    assert!(holds(&document, "email_notification.likes", false));
    assert!(holds(&document, "email_notification.nested.deep", vec![1, 2]));
}
