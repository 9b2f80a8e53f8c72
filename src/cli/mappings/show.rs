//! `mappings show`: what corresponds to what, as a table.

use clap::Args;
use serde::Serialize;

use super::super::{Failure, load, options::SettingFlags, paint::Paint, print};
use crate::{
    model::{
        mapping::{DeleteRule, Entity, Field, Flow, Login, Table, spelled},
        side::Side,
    },
    telemetry::Audience,
};

/// Print the mappings as tables: field, where it lives on both sides, conversion, policy, what is lost
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge mappings show
  biograph-bridge mappings show user --json")]
pub(in crate::cli) struct Show {
    /// Only this entity
    #[arg(value_name = "ENTITY")]
    entity: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let config = settings.local(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        let chosen = match &self.entity {
            Some(name) => vec![load::named(&entities, name)?.1],
            None => entities.iter().collect(),
        };
        let shown: Vec<Shown> = chosen.into_iter().map(Shown::from).collect();
        if self.json {
            return print::json(&Document { entities: &shown });
        }
        let texts: Vec<String> = shown.iter().map(|entity| entity.render(Paint::stdout())).collect();
        print::text(&texts.join("\n"))
    }
}

#[derive(Serialize)]
struct Document<'a> {
    entities: &'a [Shown],
}

#[derive(Serialize)]
struct Shown {
    entity: String,
    file: String,
    legacy: String,
    renaissance: Vec<String>,
    owner: Option<String>,
    updated: Option<String>,
    natural_keys: Vec<Vec<String>>,
    logins: Vec<Way>,
    delete: &'static str,
    filters: Vec<String>,
    fields: Vec<Row>,
}

#[derive(Serialize)]
struct Way {
    way: String,
    by: String,
    sides: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<String>,
}

#[derive(Serialize)]
struct Row {
    field: String,
    legacy: Vec<String>,
    renaissance: Vec<String>,
    #[serde(rename = "as")]
    form: String,
    policy: &'static str,
    direction: &'static str,
    when: &'static str,
    normal_form: Option<String>,
    losses: Vec<String>,
}

impl From<&Entity> for Shown {
    fn from(entity: &Entity) -> Self {
        let name = |field: &usize| entity.fields.get(*field).map(|field| field.name.clone());
        let place = |table: &Table| {
            let optional = table.members.as_ref().is_some_and(|members| members.optional);
            if optional { format!("{} (optional)", table.name) } else { table.name.clone() }
        };
        let filter = |filter: &crate::model::mapping::Filter| {
            let listed: Vec<String> = filter.any_of.iter().map(spelled).collect();
            let word = if filter.negated { "none" } else { "one" };
            format!("{} {} is {word} of {}", filter.side, entity.place(filter.side, filter.slot), listed.join(", "))
        };
        Self {
            entity: entity.name.clone(),
            file: entity.origin.file.clone(),
            legacy: entity.legacy.collection.clone(),
            renaissance: entity.renaissance.tables.iter().map(place).collect(),
            owner: entity.owner.as_ref().and_then(name),
            updated: entity.updated.as_ref().and_then(name),
            natural_keys: entity.natural_keys.iter().map(|key| key.iter().filter_map(name).collect()).collect(),
            logins: entity.logins.iter().map(|login| way(entity, login)).collect(),
            delete: match entity.deletes {
                DeleteRule::Mirror => "mirror",
                DeleteRule::Keep => "keep",
                DeleteRule::Restore => "restore",
            },
            filters: entity.filters.iter().map(filter).collect(),
            fields: entity.fields.iter().map(|field| row(entity, field)).collect(),
        }
    }
}

fn way(entity: &Entity, login: &Login) -> Way {
    let by = entity.fields.get(login.field).map(|field| field.name.clone()).unwrap_or_default();
    let sides = Side::ALL.into_iter().zip(login.sides).filter(|(_, there)| *there);
    let needs = login.needs.as_ref().map(|needs| format!("{}.{}", needs.table, needs.column));
    Way { way: login.way.clone(), by, sides: sides.map(|(side, _)| side.to_string()).collect(), needs }
}

fn row(entity: &Entity, field: &Field) -> Row {
    let places = |side: Side| field.slots(side).iter().map(|slot| entity.place(side, *slot)).collect();
    let [left, right] = Side::ALL.map(|side| field.half(side).transform.word());
    let form = if left == right { left.to_owned() } else { format!("{left} ↔ {right}") };
    let form = field.refers.as_ref().map_or(form.clone(), |refers| format!("{form} to {}", refers.to));
    let normal_form: Vec<String> = field.normal_form.iter().map(spelled).collect();
    Row {
        field: field.name.clone(),
        legacy: places(Side::Legacy),
        renaissance: places(Side::Renaissance),
        form,
        policy: field.policy.as_str(),
        direction: match field.flow {
            Flow::Both => "both",
            Flow::To(Side::Legacy) => "to_legacy",
            Flow::To(Side::Renaissance) => "to_renaissance",
        },
        when: if field.once { "insert" } else { "always" },
        normal_form: (!normal_form.is_empty()).then(|| normal_form.join(", ")),
        losses: field.losses().into_iter().map(|loss| loss.what).collect(),
    }
}

impl Shown {
    fn render(&self, paint: Paint) -> String {
        let keys: Vec<String> = self.natural_keys.iter().map(|key| key.join(" and ")).collect();
        let tables = self.renaissance.join(", ");
        let mut lines = vec![format!("{}  {} ↔ {tables}", paint.bold(&self.entity), self.legacy)];
        lines.push(format!("  owner: {}", self.owner.as_deref().unwrap_or("each is a person itself")));
        if !keys.is_empty() {
            lines.push(format!("  recognised by: {}", keys.join(", then ")));
        }
        for login in &self.logins {
            let needs = login.needs.as_ref().map(|column| format!(", with {column} that will do")).unwrap_or_default();
            let sides = login.sides.join(" and ");
            lines.push(format!("  logs in by {}: {}, on {sides}{needs}", login.by, login.way));
        }
        lines.push(format!("  delete: {}", self.delete));
        lines.extend(self.filters.iter().map(|filter| format!("  only if {filter}")));
        lines.push(String::new());
        let heads = ["field", "legacy", "renaissance", "as", "policy", "crosses", "writes where it loses"];
        let mut rows: Vec<[String; 7]> = vec![heads.map(str::to_owned)];
        rows.extend(self.fields.iter().map(Row::cells));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        for (n, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let line = format!("  {}", cells.join("  ").trim_end());
            lines.push(if n == 0 { paint.dim(&line) } else { line });
        }
        lines.join("\n") + "\n"
    }
}

impl Row {
    fn cells(&self) -> [String; 7] {
        let crosses = match (self.direction, self.when) {
            ("to_legacy", _) => "← to legacy",
            ("to_renaissance", _) => "→ to renaissance",
            _ => "both ways",
        };
        let crosses = if self.when == "insert" { format!("{crosses}, once") } else { crosses.to_owned() };
        [
            self.field.clone(),
            self.legacy.join(", "),
            self.renaissance.join(", "),
            self.form.clone(),
            self.policy.to_owned(),
            crosses,
            self.normal_form.clone().unwrap_or_default(),
        ]
    }
}
