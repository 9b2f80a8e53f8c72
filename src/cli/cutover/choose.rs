//! Who moves together: the people in a file, those whom a condition chooses.

use std::{
    fs,
    io::{IsTerminal, stdout},
    path::Path,
};

use serde::Serialize;
use tokio::time::Instant;

use super::together::SAY_EVERY;
use crate::{
    cli::{Failure, person, print},
    config::Databases,
    error::Error,
    model::{
        cohort::lines,
        condition::{Condition, Mistake},
        mapping::Entity,
        person::persons,
    },
    postgres::{Pool, cohorts::draft},
    sync::choice::Choice,
};

/// People added to a draft at once.
const CHUNK: usize = 10_000;

/// People who were chosen.
#[derive(Debug, Serialize)]
pub(super) struct Chosen {
    /// The draft that names them.
    #[serde(skip)]
    pub(super) draft: i64,
    /// Who they are, in words.
    #[serde(skip)]
    pub(super) words: String,
    /// How many were looked at.
    looked: u64,
    /// How many were chosen.
    chosen: u64,
    /// Of how many it cannot be told.
    untold: u64,
}

fn usage(what: String) -> Failure {
    Failure::Usage(Box::new(Error::halt(what)))
}

/// A condition as it was typed.
pub(super) fn condition(text: &str) -> Result<Condition, Failure> {
    Condition::parse(text).map_err(|mistake| wrong(text, &mistake))
}

fn wrong(text: &str, mistake: &Mistake) -> Failure {
    let error = Error::halt(format!("--where: {}", mistake.shown(text)));
    Failure::Usage(Box::new(match &mistake.hint {
        Some(hint) => error.with_hint(hint.clone()),
        None => error,
    }))
}

/// Drafts everybody on BioGraph who meets a condition, saying how far it is unless `quiet`.
pub(super) async fn meeting(
    (text, condition): (&str, &Condition),
    pool: &Pool,
    (databases, entities): (&Databases, &[Entity]),
    quiet: bool,
) -> Result<Chosen, Failure> {
    let (legacy, store, entities) = person::stores(databases, entities).await?;
    let (mut asked, mut mistake, mut words) = (Vec::new(), None, None);
    for (index, entity) in persons(&entities) {
        match condition.bind(entity) {
            Ok(bound) => {
                words = Some(format!("where {}", bound.shown()));
                asked.push((index, bound));
            }
            Err(found) => mistake = mistake.or(Some(found)),
        }
    }
    // an entity without one of the fields has nobody who meets it; if none has them all, that is a mistake
    let Some(words) = words else {
        return Err(
            mistake.map_or_else(|| usage("the mappings know no people".to_owned()), |found| wrong(text, &found))
        );
    };
    let draft = draft::begin(pool).await?;
    let mut choice = Choice::new(&legacy, &store, &entities, asked);
    let (mut chosen, mut said, bar) = (0, Instant::now(), stdout().is_terminal());
    while let Some(people) = choice.next().await? {
        let people: Vec<String> = people.iter().map(ToString::to_string).collect();
        chosen += draft::add(pool, draft, &people).await?;
        if !quiet && (bar || said.elapsed() >= SAY_EVERY) {
            let line = format!("{} people looked at, {chosen} meet the condition", choice.looked);
            print::text(&if bar { format!("\r\x1b[K{line}") } else { format!("{line}\n") })?;
            said = Instant::now();
        }
    }
    let Choice { looked, untold, .. } = choice;
    if !quiet {
        let untold = match untold {
            0 => String::new(),
            many => format!("; of {many} it cannot be told, as a field cannot be read: they are not chosen"),
        };
        let clear = if bar { "\r\x1b[K" } else { "" };
        print::text(&format!("{clear}{looked} people looked at, {chosen} meet the condition{untold}\n"))?;
    }
    Ok(Chosen { draft, words, looked, chosen, untold })
}

/// Drafts the people whom a file names. Every line that names nobody, or somebody twice, is named.
pub(super) async fn listed(
    file: &Path,
    pool: &Pool,
    (databases, entities): (&Databases, &[Entity]),
) -> Result<Chosen, Failure> {
    let people = people(file, databases, entities).await?;
    let draft = draft::begin(pool).await?;
    for some in people.chunks(CHUNK) {
        draft::add(pool, draft, some).await?;
    }
    let count = people.len() as u64;
    Ok(Chosen { draft, words: format!("a file of {count}"), looked: count, chosen: count, untold: 0 })
}

async fn people(file: &Path, databases: &Databases, entities: &[Entity]) -> Result<Vec<String>, Failure> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| usage(format!("cannot read {name}: {error}")))?;
    let named = lines(&text);
    if named.is_empty() {
        return Err(usage(format!("{name} names nobody")));
    }
    let texts: Vec<&str> = named.iter().map(|(_, user)| *user).collect();
    let (mut ids, mut problems) = (Vec::with_capacity(texts.len()), Vec::new());
    let mut first: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for ((line, _), found) in named.iter().zip(person::each(&texts, databases, entities).await?) {
        match found {
            Ok(found) => match found.legacy_id {
                None => problems.push(format!("line {line}: this person is on renaissance only and not linked yet")),
                Some(id) => match first.get(&id) {
                    Some(first) => problems.push(format!("line {line}: the same person as in line {first}")),
                    None => {
                        first.insert(id.clone(), *line);
                        ids.push(id);
                    }
                },
            },
            Err(Failure::Usage(error) | Failure::Failed(error)) => problems.push(format!("line {line}: {error}")),
            Err(other) => return Err(other),
        }
    }
    if problems.is_empty() {
        return Ok(ids);
    }
    Err(usage(format!("{name}: nothing has begun\n  {}", problems.join("\n  "))))
}
