//! `mappings try`: one real record, translated to the other side and back.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::Value as Json;

use super::super::{Failure, load, options::SettingFlags, paint::Paint, print};
use crate::{
    error::Error,
    model::{
        mapping::{
            Entity,
            trial::{Outcome, Trial, Tried},
        },
        side::Side,
    },
    telemetry::Audience,
};

/// Translate one record to the other side and back, and say what is lost or cannot cross; needs no database
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("record").required(true).args(["legacy", "renaissance"])))]
#[command(after_help = "\
The file holds one document in MongoDB's extended JSON, or rows as {\"table\": {\"column\": …}}.
Everything in it is shown: mind who looks at your terminal.

Exit codes: 0 translated, 1 the file or the mappings are unusable.

Examples:
  biograph-bridge mappings try --legacy ada.json
  mongosh --quiet --eval 'EJSON.stringify(db.authapp_usermodel.findOne())' |
    biograph-bridge mappings try --legacy -
  biograph-bridge mappings try --renaissance rows.json --entity user --json")]
pub(in crate::cli) struct Try {
    /// File with a BioGraph document; - for standard input
    #[arg(long, value_name = "FILE")]
    legacy: Option<PathBuf>,
    /// File with Renaissance rows; - for standard input
    #[arg(long, value_name = "FILE")]
    renaissance: Option<PathBuf>,
    /// What it is, if that cannot be told from its contents
    #[arg(long, value_name = "ENTITY")]
    entity: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Try {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let config = settings.local(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        let (side, file) = match (&self.legacy, &self.renaissance) {
            (Some(file), _) => (Side::Legacy, file),
            (None, Some(file)) => (Side::Renaissance, file),
            (None, None) => return Err(Error::halt("neither --legacy nor --renaissance is given").into()),
        };
        let record = record(file)?;
        let entity = match &self.entity {
            Some(name) => load::named(&entities, name)?.1,
            None => guessed(&entities, side, &record)?,
        };
        let trial = entity.try_out(side, &record);
        if self.json {
            print::json(&Document::new(entity, &trial))
        } else {
            print::text(&render(entity, &trial, Paint::stdout()))
        }
    }
}

/// The one JSON object of the file.
fn record(file: &Path) -> Result<Json, Failure> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    let text = text.map_err(|error| Error::halt(format!("cannot read {name}")).with_source(error))?;
    let record: Json = serde_json::from_str(&text).map_err(|error| {
        Error::halt(format!("{name} is not JSON"))
            .with_hint("in mongosh: EJSON.stringify(db.collection.findOne())")
            .with_source(error)
    })?;
    if record.is_object() {
        Ok(record)
    } else {
        Err(Error::halt(format!("{name} does not hold one JSON object")).with_hint("give one record at a time").into())
    }
}

/// The entity that finds most in the record, if there is only one such.
fn guessed<'e>(entities: &'e [Entity], side: Side, record: &Json) -> Result<&'e Entity, Failure> {
    let fits: Vec<(usize, &Entity)> = entities.iter().map(|entity| (entity.fit(side, record), entity)).collect();
    let most = fits.iter().map(|(fit, _)| *fit).max().unwrap_or_default();
    let best: Vec<&Entity> = fits.iter().filter(|(fit, _)| *fit == most).map(|(_, entity)| *entity).collect();
    match best.as_slice() {
        [only] if most > 0 => Ok(only),
        _ if most == 0 => {
            let hint = "a document has its fields at the top; rows are {\"table\": {\"column\": …}}";
            Err(Error::halt(format!("no mapping finds any of its fields in this {side} record")).with_hint(hint).into())
        }
        several => {
            let names: Vec<&str> = several.iter().map(|entity| entity.name.as_str()).collect();
            let hint = format!("add --entity {}", names.join(" or --entity "));
            Err(Error::halt("the record could be of several entities").with_hint(hint).into())
        }
    }
}

fn render(entity: &Entity, trial: &Trial, paint: Paint) -> String {
    let mut lines =
        vec![format!("{}, from {} to {} and back", paint.bold(&entity.name), trial.from, trial.from.other())];
    if !trial.belongs {
        lines.push(format!("{} a filter leaves this record out: the bridge would not touch it", paint.attention("!")));
    }
    if trial.stray {
        let why = "its _id is not an ObjectId: the bridge would park it as unsupported_id";
        lines.push(format!("{} {why}", paint.bad("✗")));
    }
    let width = trial.fields.iter().map(|tried| tried.field.chars().count()).max().unwrap_or_default();
    for tried in &trial.fields {
        let indent = " ".repeat(width + 4);
        let (mark, notes) = judged(tried, paint);
        let way = [Some(&tried.held), tried.canonical.as_ref(), tried.written.as_ref()];
        let way: Vec<String> = way.into_iter().flatten().map(ToString::to_string).collect();
        lines.push(format!("{mark} {:<width$}  {}", tried.field, way.join(" → ")));
        lines.extend(notes.into_iter().map(|note| format!("{indent}{note}")));
    }
    if !trial.unmapped.is_empty() {
        lines.push(format!("not mapped, stays in {}: {}", trial.from, trial.unmapped.join(", ")));
    }
    let count = |wanted: fn(&Outcome) -> bool| trial.fields.iter().filter(|tried| wanted(&tried.outcome)).count();
    let lost = count(|outcome| matches!(outcome, Outcome::Loses(_)));
    let stuck = count(|outcome| matches!(outcome, Outcome::Stuck(_)));
    lines.push(format!("{} fields: {lost} lose something, {stuck} cannot cross", trial.fields.len()));
    let made = serde_json::to_string_pretty(&trial.made).unwrap_or_default();
    lines.push(format!("{}\n{made}", paint.bold(&format!("What a new record in {} gets:", trial.from.other()))));
    lines.join("\n") + "\n"
}

/// A mark and what there is to say.
fn judged(tried: &Tried, paint: Paint) -> (String, Vec<String>) {
    match &tried.outcome {
        Outcome::Kept => (paint.good("✓"), Vec::new()),
        Outcome::Loses(losses) => {
            let back = tried.returned.as_ref().map(ToString::to_string).unwrap_or_default();
            let notes =
                [format!("lost, if it were made anew from there: {back}"), format!("because {}", losses.join("; "))];
            (paint.attention("!"), notes.into())
        }
        Outcome::Stuck(problem) => (paint.bad("✗"), vec![format!("cannot cross: {problem}")]),
        Outcome::OneWay => (paint.dim("-"), vec!["crosses only the other way".to_owned()]),
        Outcome::Absent => (paint.dim("-"), vec!["not in the record: the other side's value would stay".to_owned()]),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    entity: &'a str,
    from: &'static str,
    belongs: bool,
    unsupported_id: bool,
    fields: Vec<Entry<'a>>,
    made: &'a Json,
    unmapped: &'a [String],
}

#[derive(Serialize)]
struct Entry<'a> {
    field: &'a str,
    held: &'a Json,
    canonical: Option<&'a Json>,
    written: Option<&'a Json>,
    returned: Option<&'a Json>,
    outcome: &'static str,
    reason: Option<&'static str>,
    why: Vec<String>,
}

impl<'a> Document<'a> {
    fn new(entity: &'a Entity, trial: &'a Trial) -> Self {
        let fields = trial.fields.iter().map(Entry::from).collect();
        let Trial { from, belongs, stray, made, unmapped, .. } = trial;
        let (entity, from) = (entity.name.as_str(), from.as_str());
        Self { entity, from, belongs: *belongs, unsupported_id: *stray, fields, made, unmapped }
    }
}

impl<'a> From<&'a Tried> for Entry<'a> {
    fn from(tried: &'a Tried) -> Self {
        let (outcome, reason, why) = match &tried.outcome {
            Outcome::Kept => ("kept", None, Vec::new()),
            Outcome::Loses(losses) => ("loses", None, losses.clone()),
            Outcome::Stuck(problem) => ("cannot_cross", Some(problem.reason.as_str()), vec![problem.detail.clone()]),
            Outcome::OneWay => ("one_way", None, Vec::new()),
            Outcome::Absent => ("absent", None, Vec::new()),
        };
        let Tried { field, held, canonical, written, returned, .. } = tried;
        let (canonical, written, returned) = (canonical.as_ref(), written.as_ref(), returned.as_ref());
        Self { field, held, canonical, written, returned, outcome, reason, why }
    }
}
