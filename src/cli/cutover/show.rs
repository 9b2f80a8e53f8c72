//! `cutover show`: where a person is, and what is in the way of a move.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::history::line;
use crate::{
    cli::{Failure, load, options::SettingFlags, paint::Paint, person, print},
    error::Error,
    model::{key::LegacyId, person::persons},
    mongo::Legacy,
    postgres::{
        connect,
        cutover::history::{self, PastStep, Place},
        entries::Narrow,
        parked,
    },
    sync::ports::CutoverMirror,
    telemetry::Audience,
};

/// Steps shown.
const STEPS: i64 = 10;
/// Parked entries counted at most.
const PARKED: i64 = 1000;

/// Show where a person is, what belongs to them, and what is in the way of a move
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge cutover show phone:+18475550100
  biograph-bridge cutover show legacy:65f0c0ffee00000000000abc --json")]
pub(in crate::cli) struct Show {
    /// The person: legacy:ID, renaissance:ID, phone:NUMBER, … as for `parked list`
    #[arg(value_name = "USER")]
    user: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is known of a person.
#[derive(Serialize)]
struct Document {
    legacy_id: String,
    renaissance_id: Option<i64>,
    state: String,
    owner: String,
    epoch: i64,
    since: Option<String>,
    /// What the mirror in MongoDB says; null: nothing.
    mirror_epoch: Option<i64>,
    /// Linked records, by entity.
    records: Vec<Records>,
    parked: usize,
    /// The last steps, newest first.
    history: Vec<PastStep>,
}

#[derive(Serialize)]
struct Records {
    entity: String,
    count: i64,
}

impl Show {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        let document = print::block_on(async {
            let found = person::filter(&self.user, &databases, &entities).await?;
            let unknown =
                || Error::halt("this person has no legacy id yet: they are on renaissance only, and not linked");
            let legacy_id = found.legacy_id.clone().ok_or_else(unknown)?;
            let pool = connect::pool(databases.renaissance_url.expose())?;
            let names: Vec<&str> = persons(&entities).map(|(_, entity)| entity.name.as_str()).collect();
            let place = history::place(&pool, &legacy_id).await?;
            let records = history::owned(&pool, &legacy_id, &names).await?;
            let history = history::last(&pool, Some(&legacy_id), STEPS).await?;
            let renaissance_id = found.renaissance_id;
            let theirs = Narrow { person: Some(found), ..Narrow::default() };
            let parked = parked::parked(&pool, &theirs, None, PARKED).await?.len();
            let legacy = Legacy::connect(databases.legacy_uri.expose(), Arc::new(entities.clone())).await?;
            let id: LegacyId = legacy_id.parse().map_err(|_| unknown())?;
            let mirror_epoch = legacy.mirrored(&[id]).await?.first().map(|(_, epoch)| *epoch);
            let never = || Place { state: "legacy".into(), owner: "legacy".into(), epoch: 0, since: String::new() };
            let since = place.as_ref().map(|place| place.since.clone());
            let Place { state, owner, epoch, .. } = place.unwrap_or_else(never);
            let records = records.into_iter().map(|(entity, count)| Records { entity, count }).collect();
            Ok(Document {
                legacy_id,
                renaissance_id,
                state,
                owner,
                epoch,
                since,
                mirror_epoch,
                records,
                parked,
                history,
            })
        })?;
        if self.json {
            return print::json(&document);
        }
        print::text(&render(&document, Paint::stdout()))
    }
}

fn render(document: &Document, paint: Paint) -> String {
    let renaissance = document.renaissance_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let Document { legacy_id, state, owner, epoch, .. } = document;
    let since = document.since.as_ref().map_or("never moved".to_owned(), |since| format!("since {since}"));
    let mirror = match document.mirror_epoch {
        Some(mirror) if mirror == *epoch => "the mirror in MongoDB says the same".to_owned(),
        None if *epoch == 0 => "the mirror in MongoDB has nothing of them, which means legacy".to_owned(),
        Some(mirror) => format!("the mirror in MongoDB is at epoch {mirror}"),
        None => "the mirror in MongoDB has nothing of them".to_owned(),
    };
    let records: Vec<String> = document.records.iter().map(|r| format!("{} {}", r.count, r.entity)).collect();
    let mut lines = vec![
        paint.attention(&format!("legacy:{legacy_id} renaissance:{renaissance}")),
        format!("{state} (epoch {epoch}, {since}); owner: {owner}; {mirror}"),
        format!("linked records: {}", if records.is_empty() { "none".to_owned() } else { records.join(", ") }),
    ];
    if document.parked > 0 {
        lines.push(format!("{} parked: biograph-bridge parked list --user legacy:{legacy_id}", document.parked));
    }
    if !document.history.is_empty() {
        lines.push("last steps, newest first:".to_owned());
        lines.extend(document.history.iter().map(|step| format!("  {}", line(step))));
    }
    lines.join("\n") + "\n"
}
