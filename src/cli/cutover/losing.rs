//! The loss report: what Renaissance holds of people who go back that BioGraph cannot.

use std::io::{IsTerminal, stdout};

use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::together::SAY_EVERY;
use crate::{
    cli::{Failure, paint::Paint, person, print},
    config::Databases,
    error::Result,
    model::{key::LegacyId, mapping::Entity},
    postgres::{Pool, cohorts::draft},
    sync::cutover::{LossReport, Lost},
};

/// People looked at at once.
const CHUNK: usize = 200;

/// The report, and what each person would lose who would lose something.
#[derive(Default)]
pub(super) struct Losing {
    pub(super) all: LossReport,
    /// Kept only if somebody wants to read it.
    persons: Vec<(LegacyId, Lost)>,
}

impl Losing {
    /// The report for these people.
    pub(super) async fn of(people: &[LegacyId], databases: &Databases, entities: &[Entity]) -> Result<Self> {
        let (legacy, renaissance, entities) = person::stores(databases, entities).await?;
        let mut losing = Self::default();
        for some in people.chunks(CHUNK) {
            losing.persons.extend(losing.all.add((&legacy, &renaissance), &entities, some).await?);
        }
        Ok(losing)
    }

    /// The report for everybody in a draft, saying how far it is; `each`: with what each would lose, and in silence.
    pub(super) async fn of_draft(
        draft: i64,
        pool: &Pool,
        (databases, entities): (&Databases, &[Entity]),
        each: bool,
    ) -> std::result::Result<Self, Failure> {
        let (legacy, renaissance, entities) = person::stores(databases, entities).await?;
        let (mut losing, mut after, mut said, bar) =
            (Self::default(), String::new(), Instant::now(), stdout().is_terminal());
        loop {
            let members = draft::members(pool, draft, &after, CHUNK as i64).await?;
            let Some(last) = members.last() else { break };
            after.clone_from(last);
            let people: Vec<LegacyId> = members.iter().filter_map(|id| id.parse().ok()).collect();
            let lost = losing.all.add((&legacy, &renaissance), &entities, &people).await?;
            if each {
                losing.persons.extend(lost);
            } else if bar || said.elapsed() >= SAY_EVERY {
                let line = format!("{} people looked at", losing.all.people);
                print::text(&if bar { format!("\r\x1b[K{line}") } else { format!("{line}\n") })?;
                said = Instant::now();
            }
        }
        if bar && !each {
            print::text("\r\x1b[K")?;
        }
        Ok(losing)
    }

    /// The report with stable keys.
    pub(super) fn as_json(&self) -> Json {
        let LossReport { people, concerned, fields, tables, columns, unread } = &self.all;
        let fields = fields.iter().map(|(lost, extent)| {
            json!({ "entity": lost.entity, "field": lost.field, "why": lost.why, "records": extent.count, "people": extent.people })
        });
        let tables = tables
            .iter()
            .map(|(table, extent)| json!({ "table": table, "rows": extent.count, "people": extent.people }));
        let persons = self.persons.iter().map(|(id, lost)| {
            let fields = lost.fields.iter().map(
                |(lost, records)| json!({ "entity": lost.entity, "field": lost.field, "why": lost.why, "records": records }),
            );
            let tables = lost.tables.iter().map(|(table, rows)| json!({ "table": table, "rows": rows }));
            json!({
                "legacy_id": id.to_string(), "fields": fields.collect::<Vec<_>>(), "tables": tables.collect::<Vec<_>>(),
            })
        });
        json!({
            "people": people, "concerned": concerned, "fields": fields.collect::<Vec<_>>(),
            "tables": tables.collect::<Vec<_>>(), "columns": columns, "unread": unread, "persons": persons.collect::<Vec<_>>(),
        })
    }
}

/// The report as people read it.
pub(super) fn shown(loss: &LossReport, paint: Paint) -> String {
    let mut lines = vec![paint.bold("what Renaissance holds that BioGraph cannot:")];
    let of = |people: u64| {
        if loss.people > 1 { format!(" of {}", count(people, "person", "people")) } else { String::new() }
    };
    lines.extend(loss.fields.iter().map(|(lost, extent)| {
        let records = count(extent.count, "record", "records");
        format!("  {} of {}, {records}{}: {}", lost.field, lost.entity, of(extent.people), lost.why)
    }));
    lines.extend(loss.tables.iter().map(|(table, extent)| {
        let rows = count(extent.count, "row", "rows");
        format!("  {rows} of {table}{}, which no mapping knows", of(extent.people))
    }));
    if lines.len() == 1 {
        lines.push("  nothing that is mapped, and no rows of other tables".to_owned());
    }
    if !loss.columns.is_empty() {
        lines.push(format!("  columns that no mapping knows, and whatever they hold: {}", loss.columns.join(", ")));
    }
    if !loss.unread.is_empty() {
        let tables = loss.unread.join(", ");
        lines.push(format!("  tables that no mapping knows and the bridge may not read: {tables}"));
        lines.push(format!("    to have their rows counted: GRANT SELECT ON {tables} TO the bridge's role"));
    }
    if loss.people > 1 {
        lines.push(format!("  it concerns {} of {}", loss.concerned, count(loss.people, "person", "people")));
    }
    lines.push("  it stays in Renaissance, and BioGraph does not show it".to_owned());
    lines.join("\n") + "\n"
}

/// `1 person`, `2 people`.
pub(super) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::cutover::{Extent, LostField};

    #[test]
    fn a_loss_names_fields_tables_and_columns_and_no_values() {
        let lost = LostField { entity: "user".into(), field: "premium".into(), why: "one word for several".into() };
        let mut loss = LossReport {
            people: 1,
            concerned: 1,
            fields: [(lost, Extent { count: 1, people: 1 })].into(),
            tables: [("payments".to_owned(), Extent { count: 3, people: 1 })].into(),
            columns: vec!["users.bio".to_owned()],
            unread: Vec::new(),
        };
        assert_eq!(
            shown(&loss, Paint::plain()),
            "what Renaissance holds that BioGraph cannot:\n  premium of user, 1 record: one word for several\n  \
             3 rows of payments, which no mapping knows\n  columns that no mapping knows, and whatever they hold: users.bio\n  \
             it stays in Renaissance, and BioGraph does not show it\n"
        );
        loss.unread = vec!["letters".to_owned()];
        assert!(shown(&loss, Paint::plain()).contains("GRANT SELECT ON letters"));
        loss.people = 20;
        let many = shown(&loss, Paint::plain());
        assert!(
            many.contains("3 rows of payments of 1 person, which") && many.contains("it concerns 1 of 20 people"),
            "{many}"
        );
        assert!(shown(&LossReport::default(), Paint::plain()).contains("nothing that is mapped"));
    }
}
