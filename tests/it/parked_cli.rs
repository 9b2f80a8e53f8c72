//! `parked list --user`: whatever names a person leads to what is parked of them and of all they own.

use mongodb::bson::{Document, doc, oid::ObjectId};
use serde_json::Value as Json;

use crate::{bed::Bed, cli_harness::Answer};

fn asked(bed: &Bed, user: &str) -> Answer {
    Answer::from(bed.command(&["parked", "list", "--user", user, "--json"]).output().unwrap())
}

/// What is parked of a person: entity, field, reason.
fn entries(answer: &Answer) -> Vec<(String, String, String)> {
    let text = |entry: &Json, key: &str| entry[key].as_str().unwrap_or("").to_owned();
    let list = answer.json();
    let entries = list["parked"].as_array().unwrap_or_else(|| panic!("{}", answer.err)).iter();
    let mut entries: Vec<_> =
        entries.map(|entry| (text(entry, "entity"), text(entry, "field"), text(entry, "reason"))).collect();
    entries.sort();
    entries
}

fn found(expected: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    expected.iter().map(|(entity, field, reason)| ((*entity).into(), (*field).into(), (*reason).into())).collect()
}

async fn insert(bed: &Bed, collection: &str, document: Document) -> ObjectId {
    let inserted = bed.legacy.collection::<Document>(collection).insert_one(document).await.unwrap();
    inserted.inserted_id.as_object_id().unwrap()
}

async fn biograph(bed: &Bed, user: ObjectId, title: &str) -> ObjectId {
    insert(bed, "biographapp_biographmodel", doc! { "user_id": user, "title": title }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_entries_are_found_under_whatever_a_person_is_called() {
    let bed = Bed::new().await;
    let phone = doc! { "phone_number": "8475550123", "email": "ada@example.com", "username": "ada" };
    let ada = bed.insert_person(&"x".repeat(200), phone).await;
    biograph(&bed, ada, &"t".repeat(130)).await;
    // not in Renaissance, and so neither is what is theirs
    let nobody = bed.insert_person("Nobody", doc! { "username": "", "email": "nobody@example.com" }).await;
    let theirs = biograph(&bed, nobody, "Mine").await;
    let co_author = doc! { "biograph_id": theirs, "co_author_id": nobody, "is_approved": true, "is_removed": false };
    insert(&bed, "biographapp_coauthormodel", co_author).await;
    bed.insert_person("Called Like A Number", doc! { "username": "8475550123" }).await;
    let backfill = Answer::from(bed.command(&["backfill"]).output().unwrap());
    assert_eq!(backfill.code, Some(0), "{}", backfill.err);

    let row = bed.count("SELECT id FROM users WHERE username = 'ada'").await;
    let mine = found(&[("biograph", "title", "too_long"), ("user", "name", "too_long")]);
    for name in [
        &format!("legacy:{ada}"),
        &ada.to_hex(),
        &format!("renaissance:{row}"),
        &row.to_string(),
        "phone:+1 (847) 555-0123",
        "phone:847.555.0123",
        "001 847 555 0123",
        "email:ada@example.com",
        "ada",
    ] {
        let answer = asked(&bed, name);
        assert_eq!(entries(&answer), mine, "{name}: {}{}", answer.out, answer.err);
    }
    let waiting =
        [("biograph", "", "missing_reference"), ("co_author", "", "missing_reference"), ("user", "", "not_null")];
    assert_eq!(entries(&asked(&bed, "nobody@example.com")), found(&waiting));
    assert_eq!(entries(&asked(&bed, "username:8475550123")), []);

    for (name, code, said) in [
        ("8475550123", 1, "several persons"),
        ("phone:8475550199", 1, "nobody has this phone"),
        ("legacy:65f0c0ffee00000000000abc", 1, "nobody has this legacy"),
        ("renaissance:4000000", 1, "nobody has this renaissance"),
        ("grace@example.com", 1, "nobody has this email or username"),
        ("phone:ask her", 2, "`phone:` cannot be read"),
        ("fax:8475550123", 2, "use one of: legacy, renaissance, phone, email, username"),
    ] {
        let answer = asked(&bed, name);
        assert_eq!(
            (answer.code, answer.err.contains(said)),
            (Some(code), true),
            "{name}: {}{}",
            answer.out,
            answer.err
        );
        assert!(!answer.err.contains("84755501") && !answer.err.contains('@'), "{}", answer.err);
    }
    let several = asked(&bed, "8475550123").err;
    assert!(several.contains(&format!("user legacy:{ada} renaissance:{row}, by phone\n")), "{several}");
}
