//! A second opinion on a sample of the linked records: both servers count and add up what is stored, and the lenses have no part in
//! it. It knows nothing about single records: it would show a mapping that reads a field wrongly, and hides that from `verify`
//! itself.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    cli::{engine::bound, paint::Paint},
    config::Databases,
    error::Result,
    model::{
        key::EntityIndex,
        mapping::{Entity, Plain},
    },
    mongo::Legacy,
    postgres::{catalog, connect, store::Postgres},
    sync::ports::{LegacyStore, RawSums, RenaissanceStore},
};

/// Records of each entity.
const SAMPLE: i64 = 2000;
/// A double that was added up in another order is not quite the same.
const ROUNDING: f64 = 1e-9;

/// What is counted of an entity.
#[derive(Serialize)]
pub(super) struct Opinion {
    entity: String,
    /// All documents and rows, roughly.
    documents: u64,
    rows: u64,
    /// Records that were counted.
    sample: usize,
    /// Fields that were counted.
    fields: usize,
    /// What is not the same on both sides.
    warnings: Vec<Warning>,
}

/// A number that is not the same on both sides.
#[derive(Serialize)]
struct Warning {
    /// The field; null: the records themselves.
    field: Option<String>,
    /// `records`, `empty`, `length`, `true`, `sum`.
    what: &'static str,
    legacy: f64,
    renaissance: f64,
}

/// Counts a sample of each of these entities (by name; none means all).
pub(super) async fn look(databases: &Databases, entities: &[Entity], names: &[String]) -> Result<Vec<Opinion>> {
    let pool = connect::reading_pool(databases.renaissance_url.expose())?;
    let tables: Vec<&str> = entities.iter().flat_map(Entity::table_names).collect();
    let catalog = catalog::load(&pool, &tables).await?;
    let entities = Arc::new(bound(entities, &catalog)?);
    let legacy = Legacy::connect(databases.legacy_uri.expose(), Arc::clone(&entities)).await?;
    let store = Postgres::open_for_reading(pool, Arc::clone(&entities), &catalog).await?;
    let mut opinions = Vec::new();
    for (index, entity) in (0..=u16::MAX).map(EntityIndex).zip(entities.iter()) {
        if names.is_empty() || names.contains(&entity.name) {
            opinions.push(of_entity((&legacy, &store), (index, entity)).await?);
        }
    }
    Ok(opinions)
}

async fn of_entity((legacy, store): (&Legacy, &Postgres), (index, entity): (EntityIndex, &Entity)) -> Result<Opinion> {
    let fields = entity.plain_fields();
    let links = store.sample_of_links(index, SAMPLE).await?;
    let (documents, rows): (Vec<_>, Vec<_>) = links.iter().copied().unzip();
    let mut warnings = Vec::new();
    if !links.is_empty() {
        let held = (legacy.raw_sums(index, &documents, &fields).await?, store.raw_sums(index, &rows, &fields).await?);
        warnings = compared(entity, &fields, &held);
    }
    Ok(Opinion {
        entity: entity.name.clone(),
        documents: legacy.count(index).await?,
        rows: store.count(index).await?,
        sample: links.len(),
        fields: fields.len(),
        warnings,
    })
}

fn compared(entity: &Entity, fields: &[(usize, Plain)], (legacy, renaissance): &(RawSums, RawSums)) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut note = |field: Option<String>, what, legacy: f64, renaissance: f64| {
        if (legacy - renaissance).abs() > ROUNDING * legacy.abs().max(renaissance.abs()).max(1.0) {
            warnings.push(Warning { field, what, legacy, renaissance });
        }
    };
    note(None, "records", legacy.records, renaissance.records);
    for ((field, plain), (left, right)) in fields.iter().zip(legacy.fields.iter().zip(&renaissance.fields)) {
        let name = || entity.fields.get(*field).map(|field| field.name.clone());
        let what = match plain {
            Plain::Text => "length",
            Plain::Truth => "true",
            Plain::Number => "sum",
        };
        note(name(), "empty", left.empty, right.empty);
        note(name(), what, left.sum, right.sum);
    }
    warnings
}

/// For people: a line per entity, and one per warning.
pub(super) fn text(opinions: &[Opinion]) -> String {
    let paint = Paint::stdout();
    let mut text =
        format!("\n{}\n", paint.bold("independent check (counted by the servers, without the mappings' conversions)"));
    for one in opinions {
        let verdict = if one.warnings.is_empty() { "alike" } else { "not alike" };
        let (fields, sample) = (one.fields, one.sample);
        text.push_str(&format!(
            "  {}: {} documents, {} rows; {sample} linked records, and {fields} plain fields of theirs: {verdict}\n",
            one.entity, one.documents, one.rows
        ));
        for warning in &one.warnings {
            let field = warning.field.as_deref().unwrap_or("records");
            let words = format!(
                "{field}, {}: {} in legacy, {} in renaissance",
                warning.what, warning.legacy, warning.renaissance
            );
            text.push_str(&format!("    {} {words}\n", paint.attention("warning:")));
        }
    }
    if opinions.iter().any(|one| !one.warnings.is_empty()) {
        text.push_str("  changes on their way show here too: if it stays so while `verify` finds nothing, look at the mapping of the field\n");
    }
    text
}
