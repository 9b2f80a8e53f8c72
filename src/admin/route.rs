//! `/api/route`: where a person is, from memory. Says nothing of what it was asked.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::{
        HeaderName, StatusCode,
        header::{CACHE_CONTROL, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::{
    model::{cutover::CutoverRow, key::SideId, person},
    sync::{
        directory::{Answer, Directory, Question},
        status::Status,
    },
};

/// The side again, for web servers that see headers only.
const SIDE: HeaderName = HeaderName::from_static("x-bridge-side");
const LEGACY_ID: &str = "legacy_id";
const RENAISSANCE_ID: &str = "renaissance_id";
/// A longer value is nobody's.
const LONGEST: usize = 1024;

pub(super) async fn route(State(status): State<Arc<Status>>, RawQuery(query): RawQuery) -> Response {
    let directory = status.directory();
    let mut response = match answer(directory, query.as_deref().unwrap_or_default()) {
        Some(Answer::Here(row, logins)) => here(row, &logins),
        Some(Answer::Nobody) => refusal(StatusCode::NOT_FOUND, "there is no such person"),
        Some(Answer::Several) => refusal(StatusCode::CONFLICT, "more than one person has this value"),
        Some(Answer::Unreadable) => refusal(StatusCode::BAD_REQUEST, "the value cannot be read as such a parameter"),
        Some(Answer::Loading) => unavailable("not everybody is known yet"),
        Some(Answer::Away) => unavailable("this daemon is not the active one"),
        Some(Answer::Unknown) | None => {
            let words: Vec<&str> = [LEGACY_ID, RENAISSANCE_ID].into_iter().chain(directory.words()).collect();
            refusal(StatusCode::BAD_REQUEST, &format!("ask by exactly one of: {}", words.join(", ")))
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    response
}

/// What the directory says to a query; `None` if it is no question.
pub(super) fn answer(directory: &Directory, query: &str) -> Option<Answer> {
    read(query).map(|(word, texts)| ask(directory, &word, &texts))
}

/// The one parameter of a query, with what its value may be; `None` if there is not exactly one.
fn read(query: &str) -> Option<(String, Vec<String>)> {
    let mut parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let (word, value) = parameters.next().filter(|only| only.len() <= LONGEST)?.split_once('=')?;
    if parameters.next().is_some() {
        return None;
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.trim().to_owned()).ok();
    // a plus is what it is, unless a form wrote it for a space
    let texts = [Some(value.to_owned()), value.contains('+').then(|| value.replace('+', " "))];
    let texts: Option<Vec<String>> = texts.into_iter().flatten().map(|text| decoded(&text)).collect();
    Some((decoded(word)?, texts?))
}

fn ask(directory: &Directory, word: &str, texts: &[String]) -> Answer {
    let first = texts.first().map_or("", String::as_str);
    let id = match word {
        LEGACY_ID => first.parse().ok().map(SideId::Legacy),
        RENAISSANCE_ID => person::renaissance_id(first).map(SideId::Renaissance),
        word => return directory.ask(Question::Name(word, texts)),
    };
    id.map_or(Answer::Unreadable, |id| directory.ask(Question::Id(id)))
}

fn here(row: CutoverRow, logins: &[String]) -> Response {
    let side = row.owner.as_str();
    let document = json!({ "side": side, "state": row.state.as_str(), "epoch": row.epoch, "logins": logins });
    ([(SIDE, side)], Json(document)).into_response()
}

fn refusal(code: StatusCode, error: &str) -> Response {
    (code, Json(json!({ "error": error }))).into_response()
}

fn unavailable(error: &str) -> Response {
    let fix = "ask again, or read the flag in your own database";
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], Json(json!({ "error": error, "fix": fix }))).into_response()
}
