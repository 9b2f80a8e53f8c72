//! `explain`: the timeline of one record.

use clap::Args;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{Failure, ask, load, options::SettingFlags, paint::Paint, person, print};
use crate::{
    error::Error,
    model::key::{LegacyId, RenaissanceId},
    postgres::{
        connect, lease,
        timeline::{self, Event, LinkShown},
    },
    telemetry::Audience,
};

/// Show what happened to one record: hints, decisions and writes, what is journalled, parked or deleted; no values
#[derive(Debug, Args)]
#[command(after_help = "\
What is durable comes from the state. What the daemon did lately (changes it heard of, fields it wrote, races it lost) it keeps in memory
only, for a while; without a daemon that part is missing, and it says so. Echoes of the bridge's own writes are only counted and
never shown here.

Examples:
  biograph-bridge explain phone:+18475550100
  biograph-bridge explain legacy:65f0c0ffee00000000000abc
  biograph-bridge explain renaissance:42 --entity biograph
  biograph-bridge explain renaissance:42 --entity biograph --json")]
pub(super) struct Explain {
    /// The record: legacy:ID or renaissance:ID, or, of a person, anything that `parked list --user` takes
    #[arg(value_name = "KEY")]
    key: String,
    /// Its entity, unless it is a person
    #[arg(long, value_name = "E")]
    entity: Option<String>,
    /// At most this many durable events
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Everything there is to say.
#[derive(Serialize)]
struct Document {
    entity: String,
    legacy_id: Option<String>,
    renaissance_id: Option<i64>,
    link: Option<LinkShown>,
    /// What is durable, oldest first.
    events: Vec<Event>,
    /// What the daemon remembers, oldest first; null without a daemon.
    lately: Option<Json>,
}

impl Explain {
    pub(super) fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        let document = print::block_on(async {
            let (entity, legacy, renaissance) = match &self.entity {
                Some(name) => {
                    let (_, entity) = load::named(&entities, name)?;
                    let (legacy, renaissance) = id(&self.key)?;
                    (entity.name.clone(), legacy.map(|id| id.to_string()), renaissance)
                }
                None => {
                    let found = person::filter(&self.key, &databases, &entities).await?;
                    (found.entity, found.legacy_id, found.renaissance_id)
                }
            };
            let pool = connect::pool(databases.renaissance_url.expose())?;
            let ids = (legacy.as_deref(), renaissance);
            let (link, events) = timeline::timeline(&pool, &entity, ids, self.limit).await?;
            let legacy_id = link.as_ref().map(|link| link.legacy_id.clone()).or(legacy);
            let renaissance_id = link.as_ref().map(|link| link.renaissance_id).or(renaissance);
            let lately = if lease::is_held(&pool).await? {
                let about = json!({ "entity": entity, "legacy_id": legacy_id, "renaissance_id": renaissance_id });
                Some(ask::daemon(&pool, "explain", &about).await?)
            } else {
                None
            };
            Ok(Document { entity, legacy_id, renaissance_id, link, events, lately })
        })?;
        if self.json {
            return print::json(&document);
        }
        print::text(&render(&document, Paint::stdout()))
    }
}

/// `legacy:65f0…`, `renaissance:42`, or either id alone.
fn id(text: &str) -> Result<(Option<LegacyId>, Option<RenaissanceId>), Failure> {
    let (word, value) = text.split_once(':').map_or((None, text), |(word, value)| (Some(word), value));
    let (legacy, renaissance) = (value.trim().parse::<LegacyId>().ok(), value.trim().parse::<RenaissanceId>().ok());
    match (word, legacy, renaissance) {
        (None | Some("legacy"), Some(id), _) => Ok((Some(id), None)),
        (None | Some("renaissance"), _, Some(id)) => Ok((None, Some(id))),
        _ => {
            let error =
                Error::halt("KEY names no record: with --entity, write legacy:ID (24 hex digits) or renaissance:ID");
            Err(Failure::Usage(Box::new(error)))
        }
    }
}

fn render(document: &Document, paint: Paint) -> String {
    let legacy = document.legacy_id.as_deref().unwrap_or("-");
    let renaissance = document.renaissance_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let name = format!("{} legacy:{legacy} renaissance:{renaissance}", document.entity);
    let mut lines = vec![paint.attention(&name)];
    match &document.link {
        None => lines.push("not linked".to_owned()),
        Some(link) => {
            let base = if link.agreed { "on both sides" } else { "being made" };
            let owner = link.owner.as_deref().unwrap_or("legacy");
            let state = match (link.state.as_deref(), link.epoch, &link.since) {
                (Some(state), Some(epoch), Some(since)) => format!("{state} (epoch {epoch}, since {since})"),
                _ => "legacy (never moved)".to_owned(),
            };
            let person =
                link.person.as_ref().map_or_else(|| "a person".to_owned(), |id| format!("belongs to legacy:{id}"));
            lines.push(format!("linked, {base}; {person}; owner: {owner}; state: {state}"));
        }
    }
    let lately = document.lately.as_ref().and_then(|lately| lately.get("steps")).and_then(Json::as_array);
    let text = |step: &Json, key: &str| step.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let steps = lately.into_iter().flatten().map(|step| (text(step, "at"), text(step, "what"), text(step, "detail")));
    let durable = document.events.iter().map(|event| {
        let number = event.id.map(|id| format!("#{id} ")).unwrap_or_default();
        (event.at.clone(), event.what.clone(), format!("{number}{}", event.detail))
    });
    let mut all: Vec<(String, String, String)> = durable.chain(steps).collect();
    all.sort();
    lines.push(String::new());
    lines.extend(all.iter().map(|(at, what, detail)| format!("{at}  {what:<11} {detail}")));
    if all.is_empty() {
        lines.push("nothing is known of it".to_owned());
    }
    match &document.lately {
        None => lines.push(paint.dim("no daemon is active: what it did lately is not known")),
        Some(lately) => {
            let since = lately.get("since").and_then(Json::as_str).unwrap_or("now");
            lines.push(paint.dim(&format!("what the daemon did is known since {since}")));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_durable_and_what_the_daemon_did_are_one_timeline() {
        let event = |at: &str, what: &str, detail: &str| Event {
            at: at.into(),
            what: what.into(),
            id: Some(3),
            detail: detail.into(),
        };
        let lately = json!({ "since": "2026-11-22T11:00:00.000Z",
            "steps": [{ "at": "2026-11-22T12:00:01.000Z", "what": "written", "detail": "to renaissance: name" }] });
        let document = Document {
            entity: "user".into(),
            legacy_id: Some("65f0c0ffee00000000000abc".into()),
            renaissance_id: None,
            link: None,
            events: vec![
                event("2026-11-22T12:00:00.000Z", "journal", "field name: update_update"),
                event("2026-11-22T12:00:02.000Z", "parked", "field name: too_long"),
            ],
            lately: Some(lately),
        };
        assert_eq!(
            render(&document, Paint::plain()),
            "user legacy:65f0c0ffee00000000000abc renaissance:-\nnot linked\n\n\
             2026-11-22T12:00:00.000Z  journal     #3 field name: update_update\n\
             2026-11-22T12:00:01.000Z  written     to renaissance: name\n\
             2026-11-22T12:00:02.000Z  parked      #3 field name: too_long\n\
             what the daemon did is known since 2026-11-22T11:00:00.000Z\n"
        );
        assert!(id("renaissance:7").is_ok() && id("65f0c0ffee00000000000abc").is_ok());
        assert!(id("legacy:7").is_err() && id("ada").is_err());
    }
}
