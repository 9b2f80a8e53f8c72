//! Where people are, for the applications: /api/route follows both of them, and whoever moves people.

use std::time::Instant;

use mongodb::bson::doc;
use serde_json::Value as Json;

use crate::{
    bed::{Bed, Daemon, PATIENCE},
    observed::pause,
};

/// Asks until the answer is as wanted.
async fn until(daemon: &Daemon, bed: &Bed, query: &str, wanted: impl Fn(u16, &Json) -> bool) -> Json {
    let started = Instant::now();
    loop {
        let (code, body) = daemon.get(&format!("/api/route?{query}")).await.unwrap();
        let answer: Json = serde_json::from_str(&body).unwrap();
        if wanted(code, &answer) {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "{query}: {code} {answer} {}", bed.log_tail());
        pause().await;
    }
}

async fn until_code(daemon: &Daemon, bed: &Bed, query: &str, wanted: u16) {
    until(daemon, bed, query, |code, _| code == wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_where_they_are_whatever_happens_to_them() {
    let bed = Bed::new().await;
    // one who is there from the start, in BioGraph only
    let extra = doc! { "phone_number": "(847) 555-0100", "country_code": "1", "email": "ada@example.org" };
    let ada = bed.insert_person("Ada", extra).await;
    let daemon = bed.start().await;
    let id = bed.until_name(ada, "Ada").await;
    let row: i64 = sqlx::Row::get(&id, "id");
    for query in ["phone=%2B18475550100", "phone=847-555-0100", "email=ada@example.org"] {
        let answer = until(&daemon, &bed, query, |code, _| code == 200).await;
        assert_eq!(answer.to_string(), r#"{"epoch":0,"logins":["phone_otp"],"side":"legacy","state":"legacy"}"#);
    }
    until_code(&daemon, &bed, &format!("legacy_id={ada}"), 200).await;
    until_code(&daemon, &bed, &format!("renaissance_id={row}"), 200).await;

    // changed in either application
    bed.set(ada, "phone_number", "8475550101").await;
    until_code(&daemon, &bed, "phone=8475550101", 200).await;
    until_code(&daemon, &bed, "phone=8475550100", 404).await;
    bed.sql(&format!("UPDATE users SET phone_number = '8475550102' WHERE id = {row}")).await;
    until_code(&daemon, &bed, "phone=8475550102", 200).await;
    until_code(&daemon, &bed, "phone=8475550101", 404).await;

    // born in Renaissance, by email alone
    let grace = bed.register("grace", "Grace").await;
    let answer = until(&daemon, &bed, "email=grace@example.net", |code, _| code == 200).await;
    assert!(answer["side"] == "legacy" || answer["epoch"] == 1, "{answer}");
    let born = until(&daemon, &bed, "email=grace@example.net", |_, answer| answer["side"] == "renaissance").await;
    assert_eq!((&born["state"], &born["epoch"]), (&"renaissance".into(), &1.into()), "since their document was made");
    assert_eq!(born["logins"], serde_json::json!(["email_jwt"]));

    // whoever changes the row
    bed.sql(&format!(
        "INSERT INTO biograph_bridge.cutover (legacy_id, renaissance_id, state, epoch) VALUES ('{ada}', {row}, 'draining', 1)"
    ))
    .await;
    let query = format!("renaissance_id={row}");
    let answer = until(&daemon, &bed, &query, |_, answer| answer["state"] == "draining").await;
    assert_eq!((&answer["side"], &answer["epoch"]), (&"legacy".into(), &1.into()), "the side that is left");
    bed.sql(&format!("UPDATE biograph_bridge.cutover SET state = 'renaissance', epoch = 2 WHERE legacy_id = '{ada}'"))
        .await;
    let answer = until(&daemon, &bed, "phone=8475550102", |_, answer| answer["side"] == "renaissance").await;
    assert_eq!(answer["logins"], serde_json::json!(["phone_otp"]), "the bridge gave her a password that opens nothing");
    // chosen along with something that is synced, emptied alone, chosen and shut along with a name, and a phone that is given up
    let opens = serde_json::json!(["phone_otp", "email_jwt"]);
    bed.sql(&format!("UPDATE users SET password = 'pbkdf2', first_name = 'Ada K' WHERE id = {row}")).await;
    until(&daemon, &bed, &query, |_, answer| answer["logins"] == opens).await;
    bed.sql(&format!("UPDATE users SET password = '' WHERE id = {row}")).await;
    until(&daemon, &bed, &query, |_, answer| answer["logins"] == serde_json::json!(["phone_otp"])).await;
    for (password, logins) in [("pbkdf2", &opens), ("!", &serde_json::json!(["phone_otp"]))] {
        bed.sql(&format!("UPDATE users SET password = '{password}', last_name = '{password}' WHERE id = {row}")).await;
        until(&daemon, &bed, &query, |_, answer| answer["logins"] == *logins).await;
    }
    bed.sql(&format!("UPDATE users SET password = 'pbkdf2', phone_number = NULL WHERE id = {row}")).await;
    until(&daemon, &bed, &query, |_, answer| answer["logins"] == serde_json::json!(["email_jwt"])).await;
    let started = Instant::now();
    while daemon.status().await.is_none_or(|status| status["people"]["renaissance"] != 2) {
        assert!(started.elapsed() < PATIENCE, "nobody is counted");
        pause().await;
    }
    bed.sql("DELETE FROM biograph_bridge.cutover").await;
    let none = serde_json::json!([]);
    // who has no phone in BioGraph does not log in there
    until(&daemon, &bed, &query, |_, answer| answer["epoch"] == 0 && answer["logins"] == none).await;

    // gone
    bed.sql(&format!("DELETE FROM user_profiles WHERE user_id = {grace}")).await;
    bed.sql(&format!("DELETE FROM users WHERE id = {grace}")).await;
    until_code(&daemon, &bed, "email=grace@example.net", 404).await;
    until_code(&daemon, &bed, &format!("renaissance_id={grace}"), 404).await;
    assert!(!bed.log_all().contains("847555"), "numbers are not for the log");
    daemon.stop().await;
}
