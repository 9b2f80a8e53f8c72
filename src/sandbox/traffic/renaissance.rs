//! Renaissance at work: the Django ORM reads a row, changes an attribute and saves every column of it again.

mod content;

use std::time::Duration;

use mongodb::bson::oid::ObjectId;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{ATTEMPTS, Change, ChangeKind, LOOK_AGAIN, Newcomers, ROSTER, SandboxError};
use crate::model::{
    key::{LegacyId, SideId},
    side::Side,
};
use crate::sandbox::{names, people::picture_path};

const USERS_COLUMNS: &str = "password, last_login, is_superuser, username, first_name, last_name, is_staff, is_active, \
    date_joined, email, phone_number, country_code, is_phone_verified, migrated_from_old_system, old_user_id, bio, \
    profile_picture, date_of_birth, google_id, apple_id, is_verified, subscription_status, created_at, updated_at";
const PROFILES_COLUMNS: &str = "profile_visibility, email_notifications, push_notifications, sms_notifications, theme, \
    created_at, updated_at, user_id";
const MEDIA_HOST: &str = "https://media.example.com";
/// An application gives up on a server that is down, and its caller may come back.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What Django's collector deletes before a user, deepest first.
const CHILDREN: [&str; 11] = [
    "DELETE FROM notifications WHERE from_user_id = $1 OR to_user_id = $1",
    "DELETE FROM notifications WHERE biograph_id IN (SELECT id FROM biographs WHERE user_id = $1)",
    "DELETE FROM co_authors WHERE co_author_id = $1",
    "DELETE FROM co_authors WHERE biograph_id IN (SELECT id FROM biographs WHERE user_id = $1)",
    "DELETE FROM biographs WHERE user_id = $1",
    "DELETE FROM books WHERE user_id = $1",
    "DELETE FROM recorded_times WHERE user_id = $1",
    "DELETE FROM subscriptions WHERE user_id = $1",
    "DELETE FROM social_accounts WHERE user_id = $1",
    "DELETE FROM user_profiles WHERE user_id = $1",
    "DELETE FROM users WHERE id = $1",
];

/// A row as the ORM holds it: every column.
type Row = Map<String, Value>;

pub(super) struct RenaissanceApp {
    pool: PgPool,
    roster: Vec<i64>,
    steps: u32,
    newcomers: Newcomers,
    spared: Option<String>,
}

impl RenaissanceApp {
    pub(super) fn new(url: &str, newcomers: Newcomers, spared: Option<LegacyId>) -> Result<Self, SandboxError> {
        let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(CONNECT_LIMIT).connect_lazy(url)?;
        Ok(Self { pool, roster: Vec::new(), steps: 0, newcomers, spared: spared.map(|id| id.to_string()) })
    }

    pub(super) async fn act(&mut self, rng: &mut StdRng, kind: ChangeKind) -> Result<Change, SandboxError> {
        if self.steps.is_multiple_of(LOOK_AGAIN) || self.roster.is_empty() {
            self.look_around().await?;
        }
        self.steps += 1;
        for _ in 0..ATTEMPTS {
            if kind == ChangeKind::Join || self.roster.is_empty() {
                break;
            }
            let place = rng.random_range(0..self.roster.len());
            let id = self.roster[place];
            if self.write(rng, kind, id).await? {
                if kind == ChangeKind::Delete {
                    self.roster.swap_remove(place);
                }
                return Ok(Change { kind, id: SideId::Renaissance(id) });
            }
            self.roster.swap_remove(place);
        }
        let id = self.join(rng).await?;
        self.roster.push(id);
        Ok(Change { kind: ChangeKind::Join, id: SideId::Renaissance(id) })
    }

    /// Saves the row with another name.
    pub(super) async fn rename(&self, id: i64, name: &str) -> Result<(), SandboxError> {
        if let Some(mut row) = self.user(id).await? {
            named(&mut row, name);
            self.save(id, row).await?;
        }
        Ok(())
    }

    /// Somebody who came from BioGraph, so is on both sides.
    pub(super) async fn somebody_on_both(&mut self, rng: &mut StdRng) -> Result<Option<(i64, ObjectId)>, SandboxError> {
        if self.roster.is_empty() {
            self.look_around().await?;
        }
        if self.roster.is_empty() {
            return Ok(None);
        }
        let id = self.roster[rng.random_range(0..self.roster.len())];
        let found: Option<Option<String>> = sqlx::query_scalar("SELECT old_user_id FROM users WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.flatten().and_then(|hex| ObjectId::parse_str(hex).ok()).map(|document| (id, document)))
    }

    async fn look_around(&mut self) -> Result<(), SandboxError> {
        let newest = "SELECT id FROM users WHERE old_user_id IS DISTINCT FROM $1 ORDER BY id DESC LIMIT $2";
        self.roster =
            sqlx::query_scalar(newest).bind(&self.spared).bind(i64::from(ROSTER)).fetch_all(&self.pool).await?;
        Ok(())
    }

    /// Whether the person was still there.
    async fn write(&self, rng: &mut StdRng, kind: ChangeKind, id: i64) -> Result<bool, SandboxError> {
        match kind {
            ChangeKind::Delete => self.delete(id).await,
            ChangeKind::Replace => self.save_profile(rng, id).await,
            ChangeKind::Publish => self.publish(rng, id).await,
            ChangeKind::Revise => self.revise(rng, id).await,
            ChangeKind::Withdraw => self.withdraw(rng, id).await,
            ChangeKind::Befriend => self.befriend(rng, id).await,
            ChangeKind::Edit | ChangeKind::Leave | ChangeKind::Join | ChangeKind::Clash => {
                let Some(mut row) = self.user(id).await? else { return Ok(false) };
                if kind == ChangeKind::Leave {
                    let active = row.get("is_active") == Some(&Value::Bool(true));
                    row.insert("is_active".to_owned(), json!(!active));
                } else {
                    edit(rng, &mut row);
                }
                self.save(id, row).await
            }
        }
    }

    async fn user(&self, id: i64) -> Result<Option<Row>, SandboxError> {
        let found: Option<Value> = sqlx::query_scalar("SELECT to_jsonb(u) FROM users u WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.and_then(into_row))
    }

    async fn save(&self, id: i64, mut row: Row) -> Result<bool, SandboxError> {
        row.insert("updated_at".to_owned(), now());
        let sql = save_sql("users", USERS_COLUMNS);
        let saved = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(Value::Object(row)).execute(&self.pool).await?;
        Ok(saved.rows_affected() == 1)
    }

    async fn save_profile(&self, rng: &mut StdRng, user: i64) -> Result<bool, SandboxError> {
        let found: Option<Value> = sqlx::query_scalar("SELECT to_jsonb(p) FROM user_profiles p WHERE user_id = $1")
            .bind(user)
            .fetch_optional(&self.pool)
            .await?;
        let Some(mut row) = found.and_then(into_row) else { return Ok(false) };
        let Some(id) = row.get("id").and_then(Value::as_i64) else { return Ok(false) };
        edit_profile(rng, &mut row);
        row.insert("updated_at".to_owned(), now());
        let sql = save_sql("user_profiles", PROFILES_COLUMNS);
        let saved = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(Value::Object(row)).execute(&self.pool).await?;
        Ok(saved.rows_affected() == 1)
    }

    async fn delete(&self, id: i64) -> Result<bool, SandboxError> {
        let mut transaction = self.pool.begin().await?;
        // nobody gives them anything new meanwhile, which would be refused at the end
        sqlx::query("SELECT FROM users WHERE id = $1 FOR UPDATE").bind(id).execute(&mut *transaction).await?;
        let mut deleted = 0;
        for sql in CHILDREN {
            deleted = sqlx::query(sql).bind(id).execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(deleted == 1)
    }

    async fn join(&mut self, rng: &mut StdRng) -> Result<i64, SandboxError> {
        let newcomer = self.newcomers.next(rng, Side::Renaissance);
        let (first, last) = newcomer.name.split_once(' ').unwrap_or((&newcomer.name, ""));
        let phone = rng.random_bool(0.5).then_some(newcomer.phone);
        let mut user = json!({
            "password": format!("!{:032x}", rng.random::<u128>()), "last_login": null, "is_superuser": false,
            "username": newcomer.username, "first_name": first, "last_name": last, "is_staff": false,
            "is_active": true, "date_joined": now(), "email": newcomer.email, "phone_number": phone,
            "country_code": newcomer.country.to_string(), "is_phone_verified": phone.is_some(),
            "migrated_from_old_system": false, "old_user_id": null, "bio": "", "profile_picture": picture(rng),
            "date_of_birth": "1990-04-01", "google_id": "", "apple_id": "", "is_verified": true,
            "subscription_status": "free",
        });
        let mut profile = json!({
            "profile_visibility": "friends", "email_notifications": true, "push_notifications": true,
            "sms_notifications": false, "theme": "light",
        });
        for row in [&mut user, &mut profile] {
            row["created_at"] = now();
            row["updated_at"] = now();
        }
        let mut transaction = self.pool.begin().await?;
        let sql = insert_sql("users", USERS_COLUMNS);
        let id: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).bind(user).fetch_one(&mut *transaction).await?;
        profile["user_id"] = json!(id);
        let sql = insert_sql("user_profiles", PROFILES_COLUMNS);
        sqlx::query(AssertSqlSafe(sql)).bind(profile).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(id)
    }
}

/// Only constants of this file get in here. Each column is set to what the row held when it was read, as `save()` does.
fn save_sql(table: &str, columns: &str) -> String {
    format!(
        "UPDATE {table} SET ({columns}) = (SELECT {columns} FROM jsonb_populate_record(NULL::{table}, $2)) WHERE id = $1"
    )
}

fn insert_sql(table: &str, columns: &str) -> String {
    format!(
        "INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, $1) RETURNING id"
    )
}

fn into_row(value: Value) -> Option<Row> {
    match value {
        Value::Object(row) => Some(row),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

fn edit(rng: &mut StdRng, row: &mut Row) {
    match rng.random_range(0..8) {
        0..4 => named(row, &names::random_name(rng)),
        4 => put(row, "profile_picture", json!(picture(rng))),
        5 => put(row, "bio", json!(format!("I tell stories about {}.", names::random_name(rng)))),
        6 => put(row, "subscription_status", json!(["free", "premium", "pro"][rng.random_range(0..3)])),
        _ => {
            let username = row.get("username").and_then(Value::as_str).unwrap_or_default().to_owned();
            put(row, "email", json!(names::email(rng, &username)));
        }
    }
}

fn edit_profile(rng: &mut StdRng, row: &mut Row) {
    match rng.random_range(0..6) {
        0 | 1 => put(row, "profile_visibility", json!(["public", "friends", "private"][rng.random_range(0..3)])),
        2 | 3 => toggle(row, "email_notifications"),
        4 => toggle(row, "push_notifications"),
        _ => put(row, "theme", json!(["light", "dark", "auto"][rng.random_range(0..3)])),
    }
}

/// People from BioGraph have their whole name in the first column; those who joined here in two.
fn named(row: &mut Row, name: &str) {
    let in_two = row.get("last_name").and_then(Value::as_str).is_some_and(|last| !last.is_empty());
    let (first, last) = name.split_once(' ').filter(|_| in_two).unwrap_or((name, ""));
    put(row, "first_name", json!(first));
    put(row, "last_name", json!(last));
}

fn put(row: &mut Row, column: &str, value: Value) {
    row.insert(column.to_owned(), value);
}

fn toggle(row: &mut Row, column: &str) {
    let on = row.get(column) == Some(&Value::Bool(true));
    put(row, column, json!(!on));
}

fn picture(rng: &mut StdRng) -> String {
    format!("{MEDIA_HOST}/{}", picture_path(rng))
}

fn now() -> Value {
    OffsetDateTime::now_utc().format(&Rfc3339).map_or(Value::Null, Value::String)
}
