//! Whether both databases say the same about everybody, written by hand: nothing of the mapping code is used here.

use std::{collections::BTreeMap, time::Instant};

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use sqlx::{FromRow, Row, postgres::PgRow};

use crate::{
    bed::{Bed, at},
    observed::pause,
};

/// Longer than for one change: a crash costs reconnecting.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A person as either side describes them.
#[derive(Clone, Debug, PartialEq)]
struct Person {
    username: String,
    phone: Option<String>,
    name: String,
    email: Option<String>,
    picture: String,
    premium: bool,
    active: bool,
    visibility: String,
    notified: (bool, bool),
    created: i64,
    updated: i64,
}

fn text(document: &Document, field: &str) -> String {
    document.get_str(field).unwrap_or_default().to_owned()
}

fn whole(value: Option<&Bson>) -> Option<i64> {
    match value? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => format!("{number:.0}").parse().ok(),
        Bson::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn time(document: &Document, field: &str) -> i64 {
    match document.get(field) {
        Some(Bson::DateTime(time)) => time.timestamp_millis(),
        Some(Bson::String(text)) => DateTime::parse_rfc3339_str(text).unwrap().timestamp_millis(),
        _ => document.get_object_id("_id").unwrap().timestamp().timestamp_millis(),
    }
}

fn phone(document: &Document) -> Option<String> {
    let written = text(document, "phone_number");
    let digits: String = written.chars().filter(char::is_ascii_digit).collect();
    let country = whole(document.get("country_code")).unwrap_or(1);
    match (digits.is_empty(), written.starts_with('+')) {
        (true, _) => None,
        (false, true) => Some(format!("+{digits}")),
        (false, false) => Some(format!("+{country}{digits}")),
    }
}

fn of_document(document: &Document) -> Person {
    let switched = |path| !matches!(at(document, path), Some(Bson::Boolean(false)));
    let picture = text(document, "profile_pic_url");
    Person {
        username: text(document, "username"),
        phone: phone(document),
        name: text(document, "name"),
        email: Some(text(document, "email")).filter(|email| !email.is_empty()),
        picture: if picture.starts_with("users/") { format!("https://media.example.com/{picture}") } else { picture },
        premium: document.get_bool("is_premium_member").unwrap_or(false),
        active: !document.get_bool("is_removed").unwrap_or(false)
            && whole(document.get("status_key")).unwrap_or(1) == 1,
        visibility: match document.get_str("profile_settings") {
            Ok("P") => "public",
            Ok("O") => "private",
            _ => "friends",
        }
        .to_owned(),
        notified: (switched("email_notification.all"), switched("push_notification.all")),
        created: time(document, "created_time"),
        updated: time(document, "updated_time"),
    }
}

impl FromRow<'_, PgRow> for Person {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let (country, number): (String, Option<String>) = (row.try_get("country_code")?, row.try_get("phone_number")?);
        let (first, last): (String, String) = (row.try_get("first_name")?, row.try_get("last_name")?);
        Ok(Self {
            username: row.try_get("username")?,
            phone: number.map(|number| format!("+{country}{number}")),
            name: format!("{first} {last}").trim().to_owned(),
            email: row.try_get("email")?,
            picture: row.try_get("profile_picture")?,
            premium: row.try_get::<String, _>("subscription_status")? != "free",
            active: row.try_get("is_active")?,
            visibility: row.try_get("profile_visibility")?,
            notified: (row.try_get("email_notifications")?, row.try_get("push_notifications")?),
            created: row.try_get("created")?,
            updated: row.try_get("updated")?,
        })
    }
}

/// Deleted in BioGraph while Renaissance gave them something: parked for that reason, and it is true.
const HELD: &str = "SELECT u.old_user_id FROM users u JOIN biograph_bridge.parked p ON p.legacy_id = u.old_user_id \
    WHERE p.entity = 'user' AND p.field IS NULL AND p.reason = 'still_referenced' \
      AND (EXISTS (SELECT FROM biographs WHERE user_id = u.id) OR EXISTS (SELECT FROM books WHERE user_id = u.id) \
        OR EXISTS (SELECT FROM notifications WHERE u.id IN (from_user_id, to_user_id)) \
        OR EXISTS (SELECT FROM recorded_times WHERE user_id = u.id) \
        OR EXISTS (SELECT FROM subscriptions WHERE user_id = u.id) \
        OR EXISTS (SELECT FROM co_authors WHERE co_author_id = u.id))";

/// Everybody who differs or is on one side only, apart from those with something parked.
async fn differences(bed: &Bed) -> Vec<String> {
    let documents: Vec<Document> = bed.users().find(doc! {}).await.unwrap().try_collect().await.unwrap();
    let rows = sqlx::query(
        "SELECT u.*, p.profile_visibility, p.email_notifications, p.push_notifications, \
           floor(extract(epoch FROM u.created_at) * 1000)::bigint AS created, \
           floor(extract(epoch FROM u.updated_at) * 1000)::bigint AS updated \
         FROM users u JOIN user_profiles p ON p.user_id = u.id",
    )
    .fetch_all(&bed.pool)
    .await
    .unwrap();
    let parked: Vec<Option<String>> =
        sqlx::query_scalar("SELECT legacy_id FROM biograph_bridge.parked").fetch_all(&bed.pool).await.unwrap();
    let held: Vec<Option<String>> = sqlx::query_scalar(HELD).fetch_all(&bed.pool).await.unwrap();
    let mut left: BTreeMap<String, Person> =
        documents.iter().map(|d| (d.get_object_id("_id").unwrap().to_hex(), of_document(d))).collect();
    let mut differences = Vec::new();
    for row in &rows {
        let (id, right): (Option<String>, Person) = (row.get("old_user_id"), Person::from_row(row).unwrap());
        match id.as_ref().and_then(|id| left.remove(id)) {
            Some(left) if left == right || parked.contains(&id) => {}
            Some(left) => differences.push(format!("{id:?}: {left:?} is not {right:?}")),
            None if held.contains(&id) => {}
            None => differences.push(format!("row {} ({id:?}) has no document", row.get::<i64, _>("id"))),
        }
    }
    left.retain(|id, _| !parked.iter().flatten().any(|parked| parked == id));
    differences.extend(left.keys().map(|id| format!("document {id} has no row")));
    differences
}

impl Bed {
    /// Waits until both sides say the same about everybody; how many rows there are.
    pub(crate) async fn until_converged(&self) -> i64 {
        let started = Instant::now();
        loop {
            let differences = differences(self).await;
            if differences.is_empty() {
                break;
            }
            let shown: Vec<_> = differences.iter().take(5).collect();
            assert!(started.elapsed() < PATIENCE, "{} differ: {shown:#?}\n{}", differences.len(), self.log_tail());
            pause().await;
        }
        for twice in [
            "SELECT count(*) - count(DISTINCT old_user_id) FROM users",
            "SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT FROM biograph_bridge.link l WHERE l.renaissance_id = u.id)",
            "SELECT count(*) FROM biograph_bridge.intent",
        ] {
            self.until_count(twice, 0).await;
        }
        let names: Vec<Bson> = self.users().distinct("username", doc! {}).await.unwrap();
        assert_eq!(names.len() as u64, self.users().count_documents(doc! {}).await.unwrap(), "nobody is there twice");
        self.count("SELECT count(*) FROM users").await
    }
}
