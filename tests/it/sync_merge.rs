//! Both sides at work on one person: every interleaving ends with both sides equal and nothing lost silently.

use mongodb::bson::{Document, doc, oid::ObjectId};
use serde_json::json;
use sqlx::{PgPool, Row};

use crate::{
    bed::{Bed, holds},
    observed::Conflict,
};

/// A row as the ORM read it.
async fn read_row(pool: &PgPool, id: i64) -> serde_json::Value {
    sqlx::query_scalar("SELECT to_jsonb(u) FROM users u WHERE id = $1").bind(id).fetch_one(pool).await.unwrap()
}

/// `save()`: every column as the ORM holds it.
async fn save_row(pool: &PgPool, id: i64, row: serde_json::Value) {
    let columns = "password, last_login, is_superuser, username, first_name, last_name, is_staff, is_active, date_joined, \
                   email, phone_number, country_code, is_phone_verified, migrated_from_old_system, old_user_id, bio, \
                   profile_picture, date_of_birth, google_id, apple_id, is_verified, subscription_status, created_at, updated_at";
    let sql = format!(
        "UPDATE users SET ({columns}) = (SELECT {columns} FROM jsonb_populate_record(NULL::users, $2)) WHERE id = $1"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).bind(row).execute(pool).await.unwrap();
}

fn name_conflict(legacy: &str, renaissance: &str, winner: &str) -> Conflict {
    Conflict {
        // the application that a person has left goes on writing
        kind: if winner == "renaissance" { "stale_owner_write" } else { "update_update" }.to_owned(),
        field: Some("name".to_owned()),
        legacy: json!(legacy),
        renaissance: json!(renaissance),
        winner: Some(winner.to_owned()),
        owner: winner.to_owned(),
    }
}

async fn rename_row(bed: &Bed, row: i64, name: &str) {
    bed.sql(&format!("UPDATE users SET first_name = '{name}' WHERE id = {row}")).await;
}

async fn cut_over(bed: &Bed, id: ObjectId, row: i64) {
    let sql = "INSERT INTO biograph_bridge.cutover (legacy_id, renaissance_id, state, epoch)";
    bed.sql(&format!("{sql} VALUES ('{id}', {row}, 'renaissance', 1)")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_row_update_does_not_undo_a_concurrent_edit_of_another_field() {
    let (bed, daemon) = Bed::running().await;
    let (id, row) = bed.shared_person("Ada").await;
    let (late, late_row) = bed.shared_person("Grace").await;
    daemon.hold();
    let mut held = read_row(&bed.pool, row).await;
    bed.set(id, "name", "Ada King").await;
    bed.set(id, "push_notification.all", true).await;
    held["email"] = json!("king@example.org");
    save_row(&bed.pool, row, held).await;
    // the other way: BioGraph saves the whole document as it read it
    let mut document = bed.document(late).await.unwrap();
    rename_row(&bed, late_row, "Grace Hopper").await;
    document.insert("profile_settings", "O");
    bed.users().replace_one(doc! { "_id": late }, document).await.unwrap();
    daemon.go_on();

    bed.until_row(id, |row| row.get::<String, _>("first_name") == "Ada King" && row.get("push_notifications")).await;
    bed.until_document(doc! { "_id": id }, |d| holds(d, "email", "king@example.org")).await;
    bed.until_document(doc! { "_id": late }, |d| holds(d, "name", "Grace Hopper")).await;
    bed.until_row(late, |row| row.get::<String, _>("profile_visibility") == "private").await;
    bed.until_settled(&daemon).await;
    assert!(holds(&bed.document(id).await.unwrap(), "name", "Ada King"));
    assert_eq!(bed.row(late).await.unwrap().get::<String, _>("first_name"), "Grace Hopper");
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0, "different fields never conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_field_edited_on_both_sides_goes_to_the_owner_and_the_loser_is_kept() {
    let (bed, daemon) = Bed::running().await;
    let (ada, ada_row) = bed.shared_person("Ada").await;
    let (grace, grace_row) = bed.shared_person("Grace").await;
    cut_over(&bed, grace, grace_row).await;
    daemon.hold();
    bed.set(ada, "name", "Ada Legacy").await;
    rename_row(&bed, ada_row, "Ada Renaissance").await;
    bed.set(grace, "name", "Grace Legacy").await;
    rename_row(&bed, grace_row, "Grace Renaissance").await;
    daemon.go_on();

    bed.until_name(ada, "Ada Legacy").await;
    bed.until_document(doc! { "_id": grace }, |d| holds(d, "name", "Grace Renaissance")).await;
    bed.until_settled(&daemon).await;
    assert!(holds(&bed.document(ada).await.unwrap(), "name", "Ada Legacy"));
    assert_eq!(bed.row(grace).await.unwrap().get::<String, _>("first_name"), "Grace Renaissance");
    assert_eq!(bed.conflicts(ada).await, [name_conflict("Ada Legacy", "Ada Renaissance", "legacy")]);
    assert_eq!(bed.conflicts(grace).await, [name_conflict("Grace Legacy", "Grace Renaissance", "renaissance")]);
    let epoch = "SELECT epoch FROM biograph_bridge.conflict WHERE owner = 'renaissance'";
    assert_eq!(bed.count(epoch).await, 1);

    // a loser that edits again is heard: what was decided is the new common ground
    rename_row(&bed, ada_row, "Ada after all").await;
    bed.until_document(doc! { "_id": ada }, |d| holds(d, "name", "Ada after all")).await;
    assert_eq!(bed.conflicts(ada).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_moved_over_without_a_link_is_renaissances_as_soon_as_they_are_known() {
    let (bed, daemon) = Bed::running().await;
    let (known, unknown, ghost) = (bed.shared_person("Ada").await, ObjectId::new(), ObjectId::new());
    let sql = "INSERT INTO biograph_bridge.cutover (legacy_id, renaissance_id, state, epoch)";
    bed.sql(&format!("{sql} VALUES ('{unknown}', NULL, 'renaissance', 2), ('{ghost}', 4711, 'draining', 1)")).await;
    bed.set(known.0, "name", "Ada King").await;
    bed.until_name(known.0, "Ada King").await;

    daemon.hold();
    bed.insert_person("in BioGraph", doc! { "_id": unknown }).await;
    let row = bed.register("moved", "in Renaissance").await;
    bed.sql(&format!("UPDATE users SET old_user_id = '{unknown}' WHERE id = {row}")).await;
    daemon.go_on();
    bed.until_document(doc! { "_id": unknown }, |d| holds(d, "name", "in Renaissance")).await;
    // the entry is held back until it is known that the document has landed
    bed.until_count("SELECT count(*) FROM biograph_bridge.conflict WHERE intent IS NOT NULL", 0).await;
    let conflicts = bed.conflicts(unknown).await;
    assert!(conflicts.iter().all(|c| c.kind == "adopted" && c.owner == "renaissance"), "{conflicts:?}");
    let epochs = "SELECT count(*) FROM biograph_bridge.conflict WHERE epoch <> 2";
    assert_eq!((bed.count(epochs).await, conflicts.is_empty()), (0, false));
    // one who only has a row that names a document which is not there comes back under that id
    daemon.hold();
    let row = bed.register("ghost", "Ghost").await;
    bed.sql(&format!("UPDATE users SET old_user_id = '{ghost}' WHERE id = {row}")).await;
    daemon.go_on();
    bed.until_document(doc! { "_id": ghost }, |d| holds(d, "name", "Ghost")).await;
    bed.until_count("SELECT count(*) FROM users", 3).await;
    assert_eq!(bed.parked().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_against_a_concurrent_update_goes_to_the_owner() {
    let (bed, daemon) = Bed::running().await;
    let mut people = Vec::new();
    for name in ["one", "two", "three", "four"] {
        people.push(bed.shared_person(name).await);
    }
    let [(one, one_row), (two, two_row), (three, three_row), (four, four_row)] = people[..] else { panic!() };
    cut_over(&bed, three, three_row).await;
    cut_over(&bed, four, four_row).await;
    daemon.hold();
    for (document, row) in [(one, one_row), (three, three_row)] {
        rename_row(&bed, row, "changed").await;
        bed.users().delete_one(doc! { "_id": document }).await.unwrap();
    }
    for (document, row) in [(two, two_row), (four, four_row)] {
        bed.set(document, "name", "changed").await;
        bed.sql(&format!("DELETE FROM user_profiles WHERE user_id = {row}; DELETE FROM users WHERE id = {row}")).await;
    }
    daemon.go_on();

    // deleted by the owner: gone on both sides, what was changed stays in the tombstone
    bed.until("the row goes", async || bed.row(one).await.is_none()).await;
    bed.until("the document goes", async || bed.document(four).await.is_none()).await;
    // deleted by the other side: comes back as the owner has it
    bed.until_name(two, "changed").await;
    bed.until_document(doc! { "_id": three }, |d| holds(d, "name", "changed")).await;
    bed.until_settled(&daemon).await;
    let profiles =
        "SELECT count(*) FROM user_profiles p JOIN users u ON u.id = p.user_id WHERE u.first_name = 'changed'";
    assert_eq!(bed.count(profiles).await, 2);
    assert_eq!(bed.users().count_documents(doc! { "name": "changed" }).await.unwrap(), 2);
    let (gone, back) = ("delete_updated", "update_deleted");
    for (id, kind, winner) in
        [(one, gone, "legacy"), (two, back, "legacy"), (three, back, "renaissance"), (four, gone, "renaissance")]
    {
        let conflicts = bed.conflicts(id).await;
        let kinds: Vec<_> =
            conflicts.iter().map(|c| (c.kind.as_str(), c.winner.as_deref(), c.field.is_none())).collect();
        assert_eq!(kinds, [(kind, Some(winner), true)], "{conflicts:?}");
    }
    for (id, path) in [(one, "{users,first_name}"), (four, "{name}")] {
        let sql = "SELECT record #>> $2::text[] FROM biograph_bridge.tombstone WHERE legacy_id = $1 AND intent IS NULL";
        let kept: Vec<String> =
            sqlx::query_scalar(sql).bind(id.to_hex()).bind(path).fetch_all(&bed.pool).await.unwrap();
        assert_eq!(kept, ["changed"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_deleted_and_made_again_with_the_same_id_is_who_they_are_now() {
    let (bed, daemon) = Bed::running().await;
    let (held, _) = bed.shared_person("Ada").await;
    let (live, _) = bed.shared_person("Grace").await;
    let again = async |id: ObjectId, name: &str| {
        let mut document = bed.document(id).await.unwrap();
        bed.users().delete_one(doc! { "_id": id }).await.unwrap();
        document.insert("name", name);
        document.insert("profile_settings", "O");
        bed.users().insert_one(document).await.unwrap();
    };
    daemon.hold();
    again(held, "Ada II").await;
    daemon.go_on();
    for generation in 0..5 {
        again(live, &format!("Grace {generation}")).await;
    }
    for (id, name) in [(held, "Ada II"), (live, "Grace 4")] {
        let row = bed.until_name(id, name).await;
        assert_eq!(row.get::<String, _>("profile_visibility"), "private");
    }
    bed.until_settled(&daemon).await;
    assert_eq!(bed.count("SELECT count(*) FROM users").await, 3, "and the canary");
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.conflict").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_new_records_of_one_person_become_one_and_namesakes_are_parked() {
    let (bed, daemon) = Bed::running().await;
    daemon.hold();
    let same = bed.insert_person("Ada", doc! { "username": "ada-there", "phone_number": "8475550100" }).await;
    let same_row = bed.register("ada-here", "Ada").await;
    bed.sql(&format!("UPDATE users SET phone_number = '8475550100', email = NULL WHERE id = {same_row}")).await;
    bed.insert_person("Grace", doc! { "username": "grace", "phone_number": "8475550101" }).await;
    let other_row = bed.register("grace", "Grace H").await;
    bed.sql(&format!("UPDATE users SET phone_number = '8475550102' WHERE id = {other_row}")).await;
    daemon.go_on();

    bed.until_parked(&[("", "unique_taken"), ("", "unique_taken")]).await;
    let row = bed.until_row(same, |row| row.get::<String, _>("username") == "ada-there").await;
    assert_eq!(row.get::<i64, _>("id"), same_row, "linked, not copied");
    bed.until_settled(&daemon).await;
    assert_eq!(bed.count("SELECT count(*) FROM users").await, 3);
    assert_eq!(bed.users().count_documents(doc! {}).await.unwrap(), 3);
    let names = "SELECT username FROM users WHERE id = $1";
    let name: String = sqlx::query_scalar(names).bind(other_row).fetch_one(&bed.pool).await.unwrap();
    assert_eq!(name, "grace", "nobody is renamed");
    let named = "SELECT count(*) FROM biograph_bridge.parked WHERE (legacy_id IS NULL) <> (renaissance_id IS NULL)";
    assert_eq!(bed.count(named).await, 2, "each names the record it is about, and no other");
    // the loser of a name can choose another, and then crosses
    bed.sql(&format!("UPDATE users SET username = 'grace-2' WHERE id = {other_row}")).await;
    bed.until_document(doc! { "username": "grace-2" }, |_| true).await;
    // and that frees the name for the other one
    bed.until_count("SELECT count(*) FROM users WHERE username = 'grace'", 1).await;
    bed.until_parked(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_an_earlier_script_copied_is_adopted() {
    let bed = Bed::new().await;
    let id = bed.insert_person("Ada King", doc! { "email": "ada@example.org" }).await;
    let row = bed.register("ada", "Ada").await;
    bed.sql(&format!(
        "UPDATE users SET old_user_id = '{id}', migrated_from_old_system = true, email = 'ada@example.org' WHERE id = {row}"
    ))
    .await;
    let daemon = bed.start().await;
    let adopted = bed.until_name(id, "Ada King").await;
    assert_eq!(adopted.get::<i64, _>("id"), row);
    bed.until_settled(&daemon).await;
    assert_eq!(bed.count("SELECT count(*) FROM users").await, 2, "and the canary");
    let conflicts = bed.conflicts(id).await;
    let name = conflicts.iter().find(|conflict| conflict.field.as_deref() == Some("name")).unwrap();
    assert_eq!((&name.legacy, &name.renaissance), (&json!("Ada King"), &json!("Ada")));
    assert!(conflicts.iter().all(|c| c.kind == "adopted" && c.field.as_deref() != Some("email")), "{conflicts:?}");
    let _: Document = bed.document(id).await.unwrap();
}
