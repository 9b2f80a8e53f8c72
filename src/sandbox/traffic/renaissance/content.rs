//! What people do in Renaissance beside their settings. Each is one transaction that holds the person, as a view under
//! Django's `select_for_update` does.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Postgres, Transaction};

use super::{MEDIA_HOST, RenaissanceApp, insert_sql, now};
use crate::sandbox::{
    SandboxError,
    content::{KEYWORDS, media_path, story},
    names::pick,
};

const BIOGRAPHS_COLUMNS: &str = "user_id, title, record_text, record_time, words_count, photo_url, record_url, video_url, \
    biograph_type, all_keywords, location, co_authors, books, monologues, is_published, is_removed, status_key, \
    last_played_record, last_updated_title, created_date, updated_date, migrated_from_old_system, old_biograph_id";
const BOOKS_COLUMNS: &str = "user_id, title, synopsis, biographs, is_published, is_removed, status_key, created_date, \
    updated_date, migrated_from_old_system, old_book_id";
const CO_AUTHORS_COLUMNS: &str = "biograph_id, co_author_id, is_approved, is_removed, created_date, updated_date, \
    migrated_from_old_system, old_coauthor_id";
const NOTIFICATIONS_COLUMNS: &str = "from_user_id, to_user_id, biograph_id, notification_type, is_read, is_removed, \
    status_key, created_date, updated_date, migrated_from_old_system, old_notification_id";
const RECORDED_TIMES_COLUMNS: &str = "user_id, listening_time, date_of_listening, is_removed, status_key, created_date, \
    updated_date, migrated_from_old_system, old_recorded_time_id";
const SUBSCRIPTIONS_COLUMNS: &str = "user_id, receipt_id, duration, product_id, start_date, end_date, \
    migrated_from_old_system, old_subscription_id";

/// One thing of a person, changed.
const REVISIONS: [&str; 6] = [
    "UPDATE biographs SET title = $2, updated_date = now() WHERE id = (SELECT max(id) FROM biographs WHERE user_id = $1)",
    "UPDATE biographs SET all_keywords = jsonb_build_array($2), updated_date = now()
     WHERE id = (SELECT min(id) FROM biographs WHERE user_id = $1)",
    "UPDATE biographs SET monologues = jsonb_build_object('one', jsonb_build_object('text', $2, 'share', 0.25)),
     is_published = NOT is_published WHERE id = (SELECT max(id) FROM biographs WHERE user_id = $1)",
    "UPDATE books SET synopsis = $2, updated_date = now() WHERE id = (SELECT max(id) FROM books WHERE user_id = $1)",
    "UPDATE notifications SET is_read = NOT is_read, updated_date = now()
     WHERE id = (SELECT max(id) FROM notifications WHERE to_user_id = $1 AND $2 <> '')",
    "UPDATE recorded_times SET listening_time = listening_time + length($2), updated_date = now()
     WHERE id = (SELECT max(id) FROM recorded_times WHERE user_id = $1)",
];

/// One thing of a person, deleted with what hangs on it.
const WITHDRAWALS: [&[&str]; 3] = [
    &[
        "DELETE FROM notifications WHERE biograph_id = (SELECT max(id) FROM biographs WHERE user_id = $1)",
        "DELETE FROM co_authors WHERE biograph_id = (SELECT max(id) FROM biographs WHERE user_id = $1)",
        "DELETE FROM biographs WHERE id = (SELECT max(id) FROM biographs WHERE user_id = $1)",
    ],
    &["DELETE FROM books WHERE id = (SELECT max(id) FROM books WHERE user_id = $1)"],
    &["DELETE FROM recorded_times WHERE id = (SELECT max(id) FROM recorded_times WHERE user_id = $1)"],
];

impl RenaissanceApp {
    /// Something new of a person, or something told to them.
    pub(super) async fn publish(&self, rng: &mut StdRng, person: i64) -> Result<bool, SandboxError> {
        let Some(mut transaction) = self.holding(person).await? else { return Ok(false) };
        let (table, columns, mut row) = match rng.random_range(0..6) {
            0 | 1 => ("biographs", BIOGRAPHS_COLUMNS, biograph(rng, person)),
            2 => {
                let row = json!({ "user_id": person, "title": format!("On {}", pick(rng, &KEYWORDS)), "synopsis": null,
                    "biographs": [], "is_published": true, "old_book_id": null });
                ("books", BOOKS_COLUMNS, row)
            }
            3 => match self.invitation(rng, person, &mut transaction).await? {
                Some(row) => ("co_authors", CO_AUTHORS_COLUMNS, row),
                None => ("biographs", BIOGRAPHS_COLUMNS, biograph(rng, person)),
            },
            4 => {
                let row = json!({ "from_user_id": person, "to_user_id": person, "biograph_id": null,
                    "notification_type": rng.random_range(1..=6), "is_read": false });
                ("notifications", NOTIFICATIONS_COLUMNS, row)
            }
            _ if rng.random_bool(0.2) => {
                let row = json!({ "user_id": person, "receipt_id": format!("in_{:x}", rng.random::<u64>()), "duration": 30,
                    "product_id": "pro_monthly", "start_date": "2024-05-06", "end_date": "2024-06-05" });
                ("subscriptions", SUBSCRIPTIONS_COLUMNS, row)
            }
            _ => {
                let row = json!({ "user_id": person, "listening_time": rng.random_range(1..3600),
                    "date_of_listening": "2024-05-06" });
                ("recorded_times", RECORDED_TIMES_COLUMNS, row)
            }
        };
        for (column, value) in
            [("is_removed", json!(false)), ("status_key", json!(1)), ("migrated_from_old_system", json!(false))]
        {
            row[column] = value;
        }
        for column in ["created_date", "updated_date"] {
            row[column] = now();
        }
        sqlx::query(AssertSqlSafe(insert_sql(table, columns))).bind(row).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// A change to something a person has; something new if they have nothing of the kind.
    pub(super) async fn revise(&self, rng: &mut StdRng, person: i64) -> Result<bool, SandboxError> {
        let sql = REVISIONS[rng.random_range(0..REVISIONS.len())];
        let text = format!("Again: {}", pick(rng, &KEYWORDS));
        if sqlx::query(sql).bind(person).bind(text).execute(&self.pool).await?.rows_affected() == 1 {
            return Ok(true);
        }
        self.publish(rng, person).await
    }

    /// Deletes one thing of a person for good.
    pub(super) async fn withdraw(&self, rng: &mut StdRng, person: i64) -> Result<bool, SandboxError> {
        let Some(mut transaction) = self.holding(person).await? else { return Ok(false) };
        for sql in WITHDRAWALS[rng.random_range(0..WITHDRAWALS.len())] {
            sqlx::query(*sql).bind(person).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// A friend or a subscriber more, or one less.
    pub(super) async fn befriend(&self, rng: &mut StdRng, person: i64) -> Result<bool, SandboxError> {
        let other = self.roster.get(rng.random_range(0..self.roster.len().max(1))).copied().unwrap_or(person);
        let Some(mut transaction) = self.holding(person).await? else { return Ok(false) };
        let [more, less] = if rng.random_bool(0.7) {
            [
                "INSERT INTO friendships SELECT $1, id FROM users WHERE id = $2 FOR KEY SHARE ON CONFLICT DO NOTHING",
                "DELETE FROM friendships WHERE user_id = $1 AND friend_id = (SELECT max(friend_id) FROM friendships WHERE user_id = $1 AND $2 > 0)",
            ]
        } else {
            [
                "INSERT INTO subscribers SELECT $1, id FROM users WHERE id = $2 FOR KEY SHARE ON CONFLICT DO NOTHING",
                "DELETE FROM subscribers WHERE user_id = $1 AND subscriber_id = (SELECT max(subscriber_id) FROM subscribers WHERE user_id = $1 AND $2 > 0)",
            ]
        };
        let sql = if rng.random_bool(0.6) { more } else { less };
        sqlx::query(sql).bind(person).bind(other).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// A transaction in which nobody else can delete the person; `None` if they are gone.
    async fn holding(&self, person: i64) -> Result<Option<Transaction<'static, Postgres>>, SandboxError> {
        let mut transaction = self.pool.begin().await?;
        let held: Option<i64> = sqlx::query_scalar("SELECT id FROM users WHERE id = $1 FOR KEY SHARE")
            .bind(person)
            .fetch_optional(&mut *transaction)
            .await?;
        Ok(held.map(|_| transaction))
    }

    /// Somebody else to write in one of a person's biographs, who does not yet.
    async fn invitation(
        &self,
        rng: &mut StdRng,
        person: i64,
        transaction: &mut Transaction<'static, Postgres>,
    ) -> Result<Option<Value>, SandboxError> {
        let other = self.roster.get(rng.random_range(0..self.roster.len().max(1))).copied().unwrap_or(person);
        let sql = "SELECT b.id FROM biographs b, users u WHERE b.user_id = $1 AND u.id = $2 AND NOT EXISTS
                     (SELECT FROM co_authors c WHERE c.biograph_id = b.id AND c.co_author_id = u.id)
                   ORDER BY b.id LIMIT 1 FOR KEY SHARE";
        let found: Option<i64> =
            sqlx::query_scalar(sql).bind(person).bind(other).fetch_optional(&mut **transaction).await?;
        Ok(found.map(|biograph| json!({ "biograph_id": biograph, "co_author_id": other, "is_approved": true })))
    }
}

fn biograph(rng: &mut StdRng, person: i64) -> Value {
    let photo = format!("{MEDIA_HOST}/{}", media_path(rng, "photo", "jpg"));
    json!({
        "user_id": person, "title": format!("About {}", pick(rng, &KEYWORDS)), "record_text": story(rng), "record_time": 0,
        "words_count": null, "photo_url": photo, "record_url": null, "video_url": null, "biograph_type": "1",
        "all_keywords": [pick(rng, &KEYWORDS)], "location": null, "co_authors": [], "books": [], "monologues": {},
        "is_published": rng.random_bool(0.5), "last_played_record": "", "last_updated_title": {},
    })
}
