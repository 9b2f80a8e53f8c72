//! `backfill --dry-run`: what a first copy would do, by entity and reason. Reads on sessions that cannot write.

use std::{
    io::{IsTerminal, stderr},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    cli::{Failure, engine::bound, paint::Paint, print, screen::count},
    config::{Config, Databases},
    error::Result,
    model::{key::EntityIndex, mapping::Entity},
    mongo::Legacy,
    postgres::{catalog, connect, store::Postgres},
    sync::{
        pace::Pace,
        reconcile::Reconciler,
        rehearsal::{Counted, EntityRehearsal, rehearse},
    },
};

/// How often people hear how far it has come.
const NEWS: Duration = Duration::from_secs(10);
/// Where values start.
const LABEL: usize = 26;

/// Rehearses and reports.
pub(super) fn run(
    config: &Config,
    databases: &Databases,
    entities: &[Entity],
    wanted: &[EntityIndex],
    json: bool,
) -> Result<(), Failure> {
    let reports = print::block_on(async { Ok(rehearsed(config, databases, entities, wanted).await?) })?;
    if json {
        return print::json(&Document { dry_run: true, entities: &reports });
    }
    print::text(&render(&reports, Paint::stdout()))
}

async fn rehearsed(
    config: &Config,
    databases: &Databases,
    entities: &[Entity],
    wanted: &[EntityIndex],
) -> Result<Vec<EntityRehearsal>> {
    let pool = connect::reading_pool(databases.renaissance_url.expose())?;
    let tables: Vec<&str> = entities.iter().flat_map(Entity::table_names).collect();
    let catalog = catalog::load(&pool, &tables).await?;
    let entities = Arc::new(bound(entities, &catalog)?);
    let legacy = Legacy::connect(databases.legacy_uri.expose(), Arc::clone(&entities)).await?;
    let store = Postgres::open_for_reading(pool, Arc::clone(&entities), &catalog).await?;
    let reconciler = Reconciler::new(legacy, store, Arc::clone(&entities));
    let pace = Pace::new(config.engine.sweep_chunk, config.engine.backfill_rate);
    let mut said = Instant::now();
    let news = |entity: &str, records: u64| {
        if said.elapsed() >= NEWS || stderr().is_terminal() && said.elapsed() >= NEWS / 10 {
            said = Instant::now();
            eprintln!("{entity}: {} read", count(records));
        }
    };
    rehearse(&reconciler, &entities, wanted, &pace, news).await
}

fn render(reports: &[EntityRehearsal], paint: Paint) -> String {
    let mut lines = vec!["Nothing was written. A backfill now would do this:".to_owned()];
    for report in reports {
        let read = format!("{} documents, {} rows", count(report.documents), count(report.rows));
        lines.push(String::new());
        lines.push(format!("{}  {}", paint.bold(&report.entity), paint.dim(&read)));
        if report.outcomes.is_empty() {
            lines.push("  nothing to do".to_owned());
        }
        for (outcome, counted) in &report.outcomes {
            part(&mut lines, &outcome.replace('_', " "), counted, *outcome == "parked", paint);
        }
        if report.conflicts.count > 0 {
            part(&mut lines, "in conflict (journalled)", &report.conflicts, true, paint);
        }
        for (reason, counted) in &report.parked {
            part(&mut lines, &format!("parks {reason}"), counted, true, paint);
        }
    }
    lines.join("\n") + "\n"
}

/// A count, with its samples where somebody may want to look into them.
fn part(lines: &mut Vec<String>, what: &str, counted: &Counted, samples: bool, paint: Paint) {
    lines.push(format!("  {what:<LABEL$}{}", count(counted.count)));
    for sample in counted.samples.iter().filter(|_| samples) {
        let field = sample.field.as_ref().map(|field| format!("  field {field}")).unwrap_or_default();
        let label = sample.label.as_deref().unwrap_or("");
        lines.push(paint.dim(format!("      {}{field}  {label}", sample.id).trim_end()));
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    dry_run: bool,
    entities: &'a [EntityRehearsal],
}
