//! Documents that do not fit: everything else crosses, the misfit is listed with its reason and crosses once it is fixed.

use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use sqlx::Row;

use crate::bed::{Bed, at};

/// A field that cannot cross: where it is, what it holds, the parked field with its reason, and a good value.
struct Misfit {
    path: &'static str,
    bad: Bson,
    field: &'static str,
    reason: &'static str,
    good: Bson,
}

fn misfits() -> Vec<Misfit> {
    let misfit = |path, bad: Bson, field, reason, good: Bson| Misfit { path, bad, field, reason, good };
    vec![
        misfit("name", "A\0da".into(), "name", "nul_character", "Ada".into()),
        misfit("name", "x".repeat(151).into(), "name", "too_long", "x".repeat(150).into()),
        misfit("name", doc! { "first": "Ada" }.into(), "name", "wrong_type", "Ada L".into()),
        misfit("profile_settings", "Z".into(), "profile_visibility", "unknown_value", "O".into()),
        misfit("created_time", "yesterday".into(), "created", "wrong_type", "2021-03-04T05:06:07Z".into()),
        misfit("email_notification.all", "perhaps".into(), "email_notifications", "wrong_type", false.into()),
        misfit("is_premium_member", Bson::Array(vec![]), "premium", "wrong_type", true.into()),
        misfit("phone_number", Bson::Array(vec![]), "phone", "wrong_type", Bson::Null),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_does_not_fit_is_parked_alone_and_crosses_once_fixed() {
    let (bed, daemon) = Bed::running().await;
    let misfits = misfits();
    let mut people: Vec<(ObjectId, &Misfit)> = Vec::new();
    daemon.hold();
    for misfit in &misfits {
        let id = bed.insert_person("Born so", doc! {}).await;
        bed.set(id, misfit.path, misfit.bad.clone()).await;
        people.push((id, misfit));
    }
    daemon.go_on();
    for misfit in &misfits {
        let (id, _) = bed.shared_person("Became so").await;
        let change = doc! { misfit.path: misfit.bad.clone(), "push_notification.all": true };
        bed.users().update_one(doc! { "_id": id }, doc! { "$set": change }).await.unwrap();
        bed.until_row(id, |row| row.get("push_notifications")).await;
        people.push((id, misfit));
    }
    let mut parked: Vec<(&str, &str)> = people.iter().map(|(_, misfit)| (misfit.field, misfit.reason)).collect();
    parked.sort_unstable();
    bed.until_parked(&parked).await;
    let told = bed.log_all().lines().filter(|line| line.contains("parked until it fits")).count();
    assert!((1..people.len()).contains(&told), "in the log, but not for each: {told}");
    for (n, (id, misfit)) in people.iter().enumerate() {
        let row = bed.until_row(*id, |row| row.get::<String, _>("email") == format!("{id}@example.org")).await;
        let name = if n >= misfits.len() {
            "Became so"
        } else if misfit.field == "name" {
            ""
        } else {
            "Born so"
        };
        assert_eq!(row.get::<String, _>("first_name"), name, "{}", misfit.path);
        let document = bed.document(*id).await.unwrap();
        assert_eq!(at(&document, misfit.path), Some(&misfit.bad), "nothing is repaired unasked");
    }
    for (id, misfit) in &people {
        bed.set(*id, misfit.path, misfit.good.clone()).await;
    }
    bed.until_parked(&[]).await;
    bed.until_settled(&daemon).await;
    let count = |sql: &'static str| bed.count(sql);
    assert_eq!(count("SELECT count(*) FROM users WHERE first_name IN ('Ada', 'Ada L')").await, 4);
    assert_eq!(count("SELECT count(*) FROM users WHERE length(first_name) = 150").await, 2);
    assert_eq!(count("SELECT count(*) FROM users WHERE created_at = '2021-03-04T05:06:07Z'").await, 2);
    assert_eq!(count("SELECT count(*) FROM users WHERE phone_number IS NULL").await, 2);
    assert_eq!(count("SELECT count(*) FROM user_profiles WHERE NOT email_notifications").await, 2);
    assert_eq!(count("SELECT count(*) FROM users WHERE subscription_status = 'premium'").await, 2);
    assert_eq!(count("SELECT count(*) FROM user_profiles WHERE profile_visibility = 'private'").await, 2);
    assert_eq!(count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_null_fields_have_their_meaning_and_park_nothing() {
    let (bed, daemon) = Bed::running().await;
    let bare = ObjectId::new();
    bed.users().insert_one(doc! { "_id": bare, "username": "bare" }).await.unwrap();
    let nulls = bed.insert_person("x", doc! {}).await;
    let mut document: Document = bed.document(nulls).await.unwrap();
    let fields: Vec<String> = document.keys().filter(|key| *key != "_id" && *key != "username").cloned().collect();
    for field in fields {
        document.insert(field, Bson::Null);
    }
    bed.users().replace_one(doc! { "_id": nulls }, document.clone()).await.unwrap();
    for id in [bare, nulls] {
        let row = bed.until_row(id, |row| row.get::<String, _>("first_name").is_empty()).await;
        assert!(row.get::<bool, _>("is_active") && row.get::<bool, _>("email_notifications"));
        assert_eq!(row.get::<Option<String>, _>("email"), None);
        assert_eq!(row.get::<Option<String>, _>("phone_number"), None);
        assert_eq!(row.get::<String, _>("profile_visibility"), "friends");
        assert_eq!(row.get::<String, _>("subscription_status"), "free");
    }
    bed.until_settled(&daemon).await;
    assert_eq!(bed.parked().await, []);
    assert_eq!(bed.document(nulls).await.unwrap(), document, "nothing is filled in unasked");
    // a first switch makes the place for it
    bed.sql(&format!("UPDATE user_profiles SET email_notifications = false FROM users u WHERE u.id = user_id AND u.old_user_id = '{nulls}'")).await;
    bed.until_document(doc! { "_id": nulls }, |d| at(d, "email_notification.all") == Some(&Bson::Boolean(false))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_value_that_somebody_else_holds_is_parked_and_the_batch_goes_through() {
    let (bed, daemon) = Bed::running().await;
    let (ada, _) = bed.shared_person("Ada").await;
    let (grace, grace_row) = bed.shared_person("Grace").await;
    bed.set(ada, "username", "ada").await;
    bed.until_row(ada, |row| row.get::<String, _>("username") == "ada").await;
    let mut others = Vec::new();
    for n in 0..10 {
        others.push(bed.shared_person(&format!("person {n}")).await.0);
    }
    daemon.hold();
    let change = doc! { "$set": { "username": "ada", "name": "Grace H" } };
    bed.users().update_one(doc! { "_id": grace }, change).await.unwrap();
    for id in &others {
        bed.set(*id, "name", "changed").await;
    }
    daemon.go_on();
    bed.until_count("SELECT count(*) FROM users WHERE first_name = 'changed'", 10).await;
    let row = bed.until_name(grace, "Grace H").await;
    assert_ne!(row.get::<String, _>("username"), "ada");
    bed.until_parked(&[("username", "unique_taken")]).await;
    // it crosses once the other one lets go
    bed.set(ada, "username", "ada-lovelace").await;
    bed.until_row(grace, |row| row.get::<String, _>("username") == "ada").await;
    bed.until_parked(&[]).await;
    assert_eq!(bed.row(grace).await.unwrap().get::<i64, _>("id"), grace_row);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_people_three_bad_ones_hold_up_nobody() {
    let (bed, daemon) = Bed::running().await;
    daemon.hold();
    let holder = bed.insert_person("holder", doc! { "username": "taken", "phone_number": "5550001111" }).await;
    for n in 0..196 {
        bed.insert_person(&format!("person {n}"), doc! {}).await;
    }
    let bad = [
        bed.insert_person("no username", doc! { "username": Bson::Null }).await,
        bed.insert_person("username taken", doc! { "username": "taken" }).await,
        // another number in E.164, and yet the same text in a unique column
        bed.insert_person("phone taken", doc! { "country_code": 44, "phone_number": "5550001111" }).await,
    ];
    bed.users().insert_one(doc! { "_id": "a text", "username": "text", "name": "odd id" }).await.unwrap();
    daemon.go_on();
    bed.until_row(holder, |_| true).await;
    bed.until_count("SELECT count(*) FROM users WHERE first_name LIKE 'person %'", 196).await;
    bed.until("the bad ones are listed", async || bed.parked().await.len() == 4).await;
    let reasons: Vec<String> = bed.parked().await.into_iter().map(|(_, reason)| reason).collect();
    for reason in ["not_null", "unique_taken", "unsupported_id"] {
        assert!(reasons.iter().any(|known| known == reason), "{reason} of {reasons:?}");
    }
    bed.until_settled(&daemon).await;
    // all of them can be helped
    bed.set(bad[0], "username", "at-last").await;
    bed.set(bad[1], "username", "another").await;
    bed.set(bad[2], "phone_number", "5550002222").await;
    for (id, name) in bad.into_iter().zip(["no username", "username taken", "phone taken"]) {
        let row = bed.until_name(id, name).await;
        assert!(!row.get::<String, _>("username").is_empty());
    }
    bed.until_parked(&[("", "unsupported_id")]).await;
    assert_eq!(bed.count("SELECT count(*) FROM users").await, 201, "and the canary");
}
