//! `cutover rollback`: people go back to BioGraph, once it is clear what that costs.

use std::io::{IsTerminal, stdin};

use clap::Args;
use serde_json::{Value as Json, json};

use super::{
    moving::{self, MoveFlags, Named},
    start::carry_out,
};
use crate::{
    cli::{Failure, ask, load, options::SettingFlags, paint::Paint, person, print},
    config::Databases,
    error::Error,
    model::{mapping::Entity, side::Side},
    postgres::connect,
    sync::cutover::LossReport,
    telemetry::Audience,
};

/// What has to be typed.
const YES: &str = "yes";

/// Move people back to BioGraph; first lists what Renaissance holds of theirs that BioGraph cannot
#[derive(Debug, Args)]
#[command(after_help = "\
Everything written in Renaissance has crossed all the while, so nothing has to be copied; the same steps as in `cutover start` are
taken with the sides swapped. What BioGraph cannot hold stays in Renaissance, where it is found again if the person comes back.
Asks unless --yes is given. Exit codes: 0 everybody is back, 2 what names nobody, 3 somebody was refused or stays, nobody
confirmed, or no daemon is active.

Examples:
  biograph-bridge cutover rollback phone:+18475550100 --dry-run
  biograph-bridge cutover rollback phone:+18475550100 --reason \"asked for it\"
  biograph-bridge cutover rollback legacy:65f0c0ffee00000000000abc --yes --json")]
pub(in crate::cli) struct Rollback {
    #[command(flatten)]
    moving: MoveFlags,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Rollback {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        let (people, loss) = print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            ask::refuse_without_daemon(&pool).await?;
            let mut people = moving::named(&self.moving.users, &databases, &entities).await?;
            let loss = loss_of(&people, &databases, &entities).await?;
            if !self.moving.json {
                print::text(&shown(&loss, Paint::stdout()))?;
            }
            if !self.moving.dry_run && !self.yes {
                confirm(&format!("Type {YES} to move {} back: ", count(people.len(), "person", "people")))?;
            }
            carry_out(&pool, &mut people, Side::Legacy, &self.moving).await?;
            Ok((people, loss))
        })?;
        moving::report(&people, &self.moving, Some(as_json(&loss)), Paint::stdout())
    }
}

async fn loss_of(people: &[Named], databases: &Databases, entities: &[Entity]) -> Result<LossReport, Failure> {
    let (legacy, renaissance, entities) = person::stores(databases, entities).await?;
    let mut loss = LossReport::default();
    for one in people {
        let ids = one.legacy_id.as_ref().and_then(|id| id.parse().ok()).zip(one.renaissance_id);
        if let Some(ids) = ids {
            loss.add((&legacy, &renaissance), &entities, ids).await?;
        }
    }
    Ok(loss)
}

/// The report as people read it.
pub(super) fn shown(loss: &LossReport, paint: Paint) -> String {
    let mut lines = vec![paint.bold("what Renaissance holds that BioGraph cannot:")];
    let records = |n: u64| count(usize::try_from(n).unwrap_or(usize::MAX), "record", "records");
    lines.extend(
        loss.fields
            .iter()
            .map(|(lost, n)| format!("  {} of {}, {}: {}", lost.field, lost.entity, records(*n), lost.why)),
    );
    let rows = |n: u64| count(usize::try_from(n).unwrap_or(usize::MAX), "row", "rows");
    lines.extend(loss.tables.iter().map(|(table, n)| format!("  {} of {table}, which no mapping knows", rows(*n))));
    if lines.len() == 1 {
        lines.push("  nothing that is mapped, and no rows of other tables".to_owned());
    }
    if !loss.columns.is_empty() {
        lines.push(format!("  columns that no mapping knows, and whatever they hold: {}", loss.columns.join(", ")));
    }
    lines.push("  it stays in Renaissance, and BioGraph does not show it".to_owned());
    lines.join("\n") + "\n"
}

/// The report with stable keys.
pub(super) fn as_json(loss: &LossReport) -> Json {
    let fields = loss.fields.iter().map(
        |(lost, records)| json!({ "entity": lost.entity, "field": lost.field, "why": lost.why, "records": records }),
    );
    let tables = loss.tables.iter().map(|(table, rows)| json!({ "table": table, "rows": rows }));
    json!({ "fields": fields.collect::<Vec<_>>(), "tables": tables.collect::<Vec<_>>(), "columns": loss.columns })
}

/// Asks whoever sits at the terminal; a "no" where nobody does.
pub(super) fn confirm(question: &str) -> Result<(), Failure> {
    if !stdin().is_terminal() {
        let error = Error::halt("moving back asks before anything is done, and nobody can answer here");
        return Err(Failure::No(Box::new(error.with_hint("add --yes"))));
    }
    print::text(question)?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| Error::halt("cannot read the answer").with_source(error))?;
    if answer.trim() == YES { Ok(()) } else { Err(Failure::No(Box::new(Error::halt("nobody was moved")))) }
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::cutover::LostField;

    #[test]
    fn a_loss_names_fields_tables_and_columns_and_no_values() {
        let lost = LostField { entity: "user".into(), field: "premium".into(), why: "one word for several".into() };
        let loss = LossReport {
            fields: [(lost, 1)].into(),
            tables: [("payments".to_owned(), 3)].into(),
            columns: vec!["users.bio".to_owned()],
        };
        assert_eq!(
            shown(&loss, Paint::plain()),
            "what Renaissance holds that BioGraph cannot:\n  premium of user, 1 record: one word for several\n  \
             3 rows of payments, which no mapping knows\n  columns that no mapping knows, and whatever they hold: users.bio\n  \
             it stays in Renaissance, and BioGraph does not show it\n"
        );
        assert!(shown(&LossReport::default(), Paint::plain()).contains("nothing that is mapped"));
    }
}
