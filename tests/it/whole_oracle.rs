//! What both systems should say about every document, written by hand after the description of the two systems; nothing of
//! the mapping code is used here. Each field is one canonical JSON value, or the reason why it cannot cross.

use std::collections::{BTreeMap, BTreeSet};

use biograph_bridge::sandbox::{BIOGRAPHS, BOOKS, CO_AUTHORS, NOTIFICATIONS, RECORDED_TIMES, SUBSCRIPTIONS, USERS};
use mongodb::bson::{Bson, DateTime, Document};
use serde_json::{Value as Json, json};

use crate::bed::at;

/// A canonical value, or why there is none.
pub(crate) type Said = Result<Json, &'static str>;

/// One kind of record.
pub(crate) struct Kind {
    pub(crate) entity: &'static str,
    pub(crate) collection: &'static str,
    pub(crate) table: &'static str,
    pub(crate) legacy_id: &'static str,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) legacy: Box<dyn Fn(&Document) -> Said>,
    pub(crate) column: &'static str,
    pub(crate) holds: Holds,
    /// Without it there is no row: the column is NOT NULL and nothing can stand in.
    pub(crate) required: bool,
}

/// How a column holds it.
#[derive(Clone, Copy)]
pub(crate) enum Holds {
    Plain,
    Moment,
    Json,
    /// The number of a row of this table.
    Row(&'static str),
    /// Something of several columns.
    Of(fn(&Json) -> Json),
    /// The members that a join table has for it.
    Members,
}

pub(crate) fn kinds() -> Vec<Kind> {
    let kind = |entity, collection, table, legacy_id, fields| Kind { entity, collection, table, legacy_id, fields };
    vec![
        kind("user", USERS, "users", "old_user_id", user()),
        kind("biograph", BIOGRAPHS, "biographs", "old_biograph_id", biograph()),
        kind("book", BOOKS, "books", "old_book_id", book()),
        kind("co_author", CO_AUTHORS, "co_authors", "old_coauthor_id", co_author()),
        kind("notification", NOTIFICATIONS, "notifications", "old_notification_id", notification()),
        kind("recorded_time", RECORDED_TIMES, "recorded_times", "old_recorded_time_id", recorded_time()),
        kind("subscription", SUBSCRIPTIONS, "subscriptions", "old_subscription_id", subscription()),
    ]
}

fn field(
    name: &'static str,
    column: &'static str,
    holds: Holds,
    legacy: impl Fn(&Document) -> Said + 'static,
) -> Field {
    Field { name, legacy: Box::new(legacy), column, holds, required: false }
}

fn plain(name: &'static str, column: &'static str, legacy: impl Fn(&Document) -> Said + 'static) -> Field {
    field(name, column, Holds::Plain, legacy)
}

fn required(field: Field) -> Field {
    Field { required: true, ..field }
}

fn user() -> Vec<Field> {
    let switch = |path: &'static str| move |d: &Document| boolean(at(d, path), true);
    vec![
        required(plain("username", "username", |d| text(d.get("username"), Json::Null, 150))),
        field("phone", "phone_number", Holds::Of(row_phone), phone),
        field("name", "first_name", Holds::Of(row_name), |d| {
            text(d.get("name"), json!(""), 150).map(|name| json!(name.as_str().unwrap_or_default()))
        }),
        plain("email", "email", |d| {
            text(d.get("email"), Json::Null, 254).map(|email| if email == "" { Json::Null } else { email })
        }),
        plain("profile_picture", "profile_picture", |d| media(d.get("profile_pic_url"), json!(""))),
        field("premium", "subscription_status", Holds::Of(|row| json!(row["subscription_status"] != "free")), |d| {
            boolean(d.get("is_premium_member"), false)
        }),
        plain("active", "is_active", |d| {
            let removed = boolean(d.get("is_removed"), false)? == true;
            Ok(json!(!removed && whole(d.get("status_key"), Some(1))? == 1))
        }),
        plain("profile_visibility", "profile_visibility", |d| match d.get("profile_settings") {
            None | Some(Bson::Null) => Ok(json!("friends")),
            Some(Bson::String(word)) => match word.as_str() {
                "P" => Ok(json!("public")),
                "F" => Ok(json!("friends")),
                "O" => Ok(json!("private")),
                _ => Err("unknown_value"),
            },
            Some(_) => Err("unknown_value"),
        }),
        plain("email_notifications", "email_notifications", switch("email_notification.all")),
        plain("push_notifications", "push_notifications", switch("push_notification.all")),
        field("friends", "friendships", Holds::Members, |d| ids(d.get("friends")).map(|list| as_set(&list))),
        field("subscribers", "subscribers", Holds::Members, |d| ids(d.get("subscribers")).map(|list| as_set(&list))),
        field("created", "created_at", Holds::Moment, |d| moment(d, "created_time")),
        field("updated", "updated_at", Holds::Moment, |d| moment(d, "updated_time")),
    ]
}

fn standing(published: bool, counted: bool) -> Vec<Field> {
    let mut fields = vec![
        plain("removed", "is_removed", |d| boolean(d.get("is_removed"), false)),
        field("created", "created_date", Holds::Moment, |d| moment(d, "created_date")),
        field("updated", "updated_date", Holds::Moment, |d| moment(d, "updated_date")),
    ];
    if published {
        fields.push(plain("published", "is_published", |d| boolean(d.get("is_published"), false)));
    }
    if counted {
        fields.push(plain("status", "status_key", |d| whole(d.get("status_key"), Some(1))));
    }
    fields
}

fn refers(name: &'static str, path: &'static str, column: &'static str, table: &'static str) -> Field {
    field(name, column, Holds::Row(table), move |d| d.get(path).map_or(Ok(Json::Null), id))
}

fn biograph() -> Vec<Field> {
    let mut fields = vec![
        required(refers("user", "user_id", "user_id", "users")),
        plain("title", "title", |d| text(d.get("title"), json!(""), 120)),
        plain("record_text", "record_text", |d| text(d.get("record_text"), Json::Null, usize::MAX)),
        plain("record_time", "record_time", |d| whole(d.get("record_time"), Some(0))),
        plain("words_count", "words_count", |d| text(d.get("words_count"), Json::Null, 120)),
        plain("photo", "photo_url", |d| media(d.get("photo_url"), Json::Null)),
        plain("record", "record_url", |d| media(d.get("record_url"), Json::Null)),
        plain("video", "video_url", |d| media(d.get("video_url"), Json::Null)),
        plain("type", "biograph_type", |d| match text(d.get("biograph_type"), json!("1"), 99)?.as_str() {
            Some(word @ ("1" | "2")) => Ok(json!(word)),
            _ => Err("unknown_value"),
        }),
        field("keywords", "all_keywords", Holds::Json, |d| structure(d.get("allKeywords"), json!([]))),
        plain("location", "location", |d| text(d.get("location"), Json::Null, 120)),
        plain("co_authors", "co_authors", |d| ids(d.get("co_authors"))),
        plain("books", "books", |d| ids(d.get("books"))),
        field("monologues", "monologues", Holds::Json, |d| structure(d.get("monologues"), json!({}))),
        plain("last_played_record", "last_played_record", |d| text(d.get("last_played_record"), json!(""), 120)),
        field("last_updated_title", "last_updated_title", Holds::Json, |d| {
            structure(d.get("last_updated_title"), json!({}))
        }),
    ];
    fields.extend(standing(true, true));
    fields
}

fn book() -> Vec<Field> {
    let mut fields = vec![
        required(refers("user", "user_id", "user_id", "users")),
        plain("title", "title", |d| text(d.get("title"), json!(""), 120)),
        plain("synopsis", "synopsis", |d| text(d.get("synopsis"), Json::Null, 250)),
        plain("biographs", "biographs", |d| ids(d.get("biographs"))),
    ];
    fields.extend(standing(true, true));
    fields
}

fn co_author() -> Vec<Field> {
    let mut fields = vec![
        required(refers("biograph", "biograph_id", "biograph_id", "biographs")),
        required(refers("co_author", "co_author_id", "co_author_id", "users")),
        plain("approved", "is_approved", |d| boolean(d.get("is_approved"), false)),
    ];
    fields.extend(standing(false, false));
    fields
}

fn notification() -> Vec<Field> {
    let mut fields = vec![
        required(refers("from", "from_id", "from_user_id", "users")),
        required(refers("to", "to_id", "to_user_id", "users")),
        refers("biograph", "biograph_id", "biograph_id", "biographs"),
        required(plain("type", "notification_type", |d| whole(d.get("notification_type"), None))),
        plain("read", "is_read", |d| boolean(d.get("is_read"), false)),
    ];
    fields.extend(standing(false, true));
    fields
}

fn recorded_time() -> Vec<Field> {
    let mut fields = vec![
        required(refers("user", "user_id", "user_id", "users")),
        plain("listening_time", "listening_time", |d| whole(d.get("listening_time"), Some(0))),
        plain("date_of_listening", "date_of_listening", |d| day(d, "date_of_listening")),
    ];
    fields.extend(standing(false, true));
    fields
}

fn subscription() -> Vec<Field> {
    vec![
        required(refers("user", "user_id", "user_id", "users")),
        plain("receipt", "receipt_id", |d| text(d.get("receipt_id"), json!(""), 200)),
        plain("duration", "duration", |d| whole(d.get("duration"), Some(0))),
        plain("product", "product_id", |d| text(d.get("product_id"), json!(""), 120)),
        plain("start", "start_date", |d| day(d, "start_date")),
        plain("end", "end_date", |d| day(d, "end_date")),
    ]
}

fn text(held: Option<&Bson>, missing: Json, most: usize) -> Said {
    let text = match held {
        None | Some(Bson::Null) => return Ok(missing),
        Some(Bson::String(text)) => text.clone(),
        Some(Bson::Int32(number)) => number.to_string(),
        Some(Bson::Int64(number)) => number.to_string(),
        Some(Bson::Double(number)) => number.to_string(),
        Some(_) => return Err("wrong_type"),
    };
    if text.contains('\0') {
        return Err("nul_character");
    }
    if text.chars().count() > most { Err("too_long") } else { Ok(json!(text)) }
}

fn number(held: Option<&Bson>) -> Option<i64> {
    match held? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) if number.fract() == 0.0 => format!("{number:.0}").parse().ok(),
        Bson::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A number of an `integer` column.
fn whole(held: Option<&Bson>, missing: Option<i64>) -> Said {
    match held {
        None | Some(Bson::Null) => missing.map(|number| json!(number)).ok_or("not_null"),
        held => match number(held) {
            Some(number) if i32::try_from(number).is_ok() => Ok(json!(number)),
            Some(_) => Err("out_of_range"),
            None => Err("wrong_type"),
        },
    }
}

fn boolean(held: Option<&Bson>, missing: bool) -> Said {
    match held {
        None | Some(Bson::Null) => Ok(json!(missing)),
        Some(Bson::Boolean(flag)) => Ok(json!(flag)),
        Some(Bson::String(text)) if ["true", "false"].contains(&text.as_str()) => Ok(json!(text == "true")),
        held => match number(held) {
            Some(0) => Ok(json!(false)),
            Some(1) => Ok(json!(true)),
            _ => Err("wrong_type"),
        },
    }
}

/// Milliseconds.
fn millis(document: &Document, path: &str) -> Result<i64, &'static str> {
    match document.get(path) {
        None | Some(Bson::Null) => Ok(document.get_object_id("_id").unwrap().timestamp().timestamp_millis()),
        Some(Bson::DateTime(time)) => Ok(time.timestamp_millis()),
        Some(Bson::String(text)) => {
            DateTime::parse_rfc3339_str(text).map(DateTime::timestamp_millis).map_err(|_| "wrong_type")
        }
        Some(_) => Err("wrong_type"),
    }
}

fn moment(document: &Document, path: &str) -> Said {
    millis(document, path).map(|millis| json!(millis))
}

fn day(document: &Document, path: &str) -> Said {
    let text = DateTime::from_millis(millis(document, path)?).try_to_rfc3339_string().unwrap();
    Ok(json!(text[..10]))
}

fn media(held: Option<&Bson>, missing: Json) -> Said {
    let full = match held {
        None | Some(Bson::Null) => return Ok(missing),
        Some(Bson::String(text)) if text.starts_with("users/BioGraph/") => format!("https://media.example.com/{text}"),
        Some(Bson::String(text)) => text.clone(),
        Some(_) => return Err("wrong_type"),
    };
    if full.chars().count() > 200 { Err("too_long") } else { Ok(json!(full)) }
}

fn id(held: &Bson) -> Said {
    match held {
        Bson::Null => Ok(Json::Null),
        Bson::ObjectId(id) => Ok(json!(id.to_hex())),
        Bson::String(text) => {
            mongodb::bson::oid::ObjectId::parse_str(text).map(|id| json!(id.to_hex())).map_err(|_| "wrong_type")
        }
        _ => Err("wrong_type"),
    }
}

fn ids(held: Option<&Bson>) -> Said {
    match held {
        None | Some(Bson::Null) => Ok(json!([])),
        Some(Bson::Array(items)) => items.iter().map(id).collect::<Result<Vec<_>, _>>().map(Json::Array),
        Some(_) => Err("wrong_type"),
    }
}

fn as_set(list: &Json) -> Json {
    let items = list.as_array().cloned().unwrap_or_default();
    let set: BTreeSet<String> = items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
    json!(set)
}

/// An object or a list, whichever `missing` is.
fn structure(held: Option<&Bson>, missing: Json) -> Said {
    let json = match held {
        None | Some(Bson::Null) => return Ok(missing),
        Some(held) => serde_json::to_value(held).unwrap(),
    };
    if json.is_object() != missing.is_object() || json.is_array() != missing.is_array() {
        return Err("wrong_type");
    }
    if json.to_string().contains("\\u0000") { Err("nul_character") } else { Ok(normal(&json)) }
}

/// With one spelling for each number.
pub(crate) fn normal(json: &Json) -> Json {
    match json {
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => json!(whole),
            (None, Some(double)) => format!("{double}").parse::<i64>().map_or(json!(double), |whole| json!(whole)),
            (None, None) => json.clone(),
        },
        Json::Array(items) => items.iter().map(normal).collect(),
        Json::Object(entries) => Json::Object(entries.iter().map(|(key, item)| (key.clone(), normal(item))).collect()),
        Json::Null | Json::Bool(_) | Json::String(_) => json.clone(),
    }
}

fn phone(document: &Document) -> Said {
    let written = match document.get("phone_number") {
        None | Some(Bson::Null) => return Ok(Json::Null),
        Some(Bson::String(text)) => text.clone(),
        Some(_) => return Err("wrong_type"),
    };
    let digits: String = written.chars().filter(char::is_ascii_digit).collect();
    let country = number(document.get("country_code")).unwrap_or(1);
    match (written.is_empty(), digits.is_empty(), written.starts_with('+')) {
        (true, ..) => Ok(Json::Null),
        (_, true, _) => Err("wrong_type"),
        (_, _, true) => Ok(json!(format!("+{digits}"))),
        (_, _, false) => Ok(json!(format!("+{country}{digits}"))),
    }
}

fn row_phone(row: &Json) -> Json {
    let country = row["country_code"].as_str().unwrap_or_default();
    row["phone_number"].as_str().map_or(Json::Null, |number| json!(format!("+{country}{number}")))
}

fn row_name(row: &Json) -> Json {
    let part = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
    json!(format!("{} {}", part("first_name"), part("last_name")).trim_end())
}

/// Who has which row number, by table: number → legacy id.
pub(crate) type Numbers = BTreeMap<&'static str, BTreeMap<i64, String>>;

/// What a row says about a field.
pub(crate) fn of_row(field: &Field, row: &Json, numbers: &Numbers) -> Json {
    let held = &row[field.column];
    match field.holds {
        Holds::Plain => held.clone(),
        Holds::Of(read) => read(row),
        Holds::Json => normal(held),
        Holds::Moment => {
            json!(DateTime::parse_rfc3339_str(held.as_str().unwrap()).unwrap().timestamp_millis())
        }
        Holds::Row(table) => {
            let number = held.as_i64().and_then(|number| numbers[table].get(&number));
            number.map_or_else(|| if held.is_null() { Json::Null } else { json!("an unknown row") }, |id| json!(id))
        }
        Holds::Members => {
            let members = held.as_array().cloned().unwrap_or_default();
            let id = |member: &Json| numbers["users"].get(&member.as_i64().unwrap()).cloned();
            let named = members.iter().map(|member| json!(id(member).unwrap_or_else(|| "an unlinked row".into())));
            as_set(&named.collect())
        }
    }
}
