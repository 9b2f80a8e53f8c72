//! `pause` and `resume`.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Executor;
use crate::{
    error::{Error, Result},
    model::{
        fact::PauseCause,
        key::LegacyId,
        pause::{Deletions, Pause, Scope},
        side::{Direction, Side},
    },
    sync::{
        ports::{By, CutoverStore, LegacyStore, NewPause, RenaissanceStore, VerifyStore},
        queue::HintQueue,
        status::PauseReport,
    },
};

/// Arguments of `pause` and `resume`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseArguments {
    direction: Option<String>,
    entity: Option<String>,
    /// The legacy id of a person.
    person: Option<String>,
    /// What is to become of records that are missing.
    deletions: Option<String>,
    who: Option<String>,
    reason: Option<String>,
}

impl PauseArguments {
    fn by(&self) -> By {
        By { who: self.who.clone(), reason: self.reason.clone() }
    }
}

impl<L: LegacyStore, R: RenaissanceStore + VerifyStore + CutoverStore, Q: HintQueue> Executor<'_, L, R, Q> {
    fn scope(&self, arguments: &PauseArguments) -> Result<Scope> {
        let way = |word: &String| {
            let known = Direction::ALL.into_iter().find(|way| way.as_str() == *word);
            known.ok_or_else(|| Error::halt(format!("there is no direction `{word}`")))
        };
        let person =
            |id: &String| id.parse::<LegacyId>().map_err(|_| Error::halt("a person is named by their legacy id"));
        let entity = match &arguments.entity {
            Some(name) => self.named(std::slice::from_ref(name))?.first().copied(),
            None => None,
        };
        Ok(Scope {
            direction: arguments.direction.as_ref().map(way).transpose()?,
            entity,
            person: arguments.person.as_ref().map(person).transpose()?,
        })
    }

    /// Begins a pause; once that is answered, nothing it is about is written any more. Again is once.
    pub(super) async fn pause(&self, arguments: PauseArguments) -> Result<Json> {
        let (scope, by) = (self.scope(&arguments)?, arguments.by());
        let detail = by.reason.clone().unwrap_or_default();
        let new = NewPause { scope, cause: PauseCause::Asked, detail, missing_on: None, event: None, by };
        let begun = self.pauses.begin(self.store, &new).await?;
        self.pauses.settled().await;
        let now = self.pauses.now();
        let same = now.0.iter().filter(|pause| pause.scope == scope && pause.cause == PauseCause::Asked);
        Ok(json!({ "begun": begun, "pauses": self.shown(same) }))
    }

    /// Ends the pauses that lie within a scope. Again changes nothing.
    pub(super) async fn resume(&self, arguments: PauseArguments) -> Result<Json> {
        let (scope, by) = (self.scope(&arguments)?, arguments.by());
        let answer = match arguments.deletions.as_deref() {
            Some(word) => {
                let known = Deletions::named(word);
                Some(known.ok_or_else(|| Error::halt(format!("deletions are applied or restored, not `{word}`")))?)
            }
            None => None,
        };
        let now = self.pauses.now();
        let (within, others): (Vec<&Pause>, Vec<&Pause>) = now.0.iter().partition(|pause| scope.contains(&pause.scope));
        let (asking, plain): (Vec<&Pause>, Vec<&Pause>) =
            within.into_iter().partition(|pause| pause.missing_on.is_some());
        let unanswered: Vec<&Pause> = asking.iter().copied().filter(|pause| pause.answer.is_none()).collect();
        if answer.is_none() && plain.is_empty() && !unanswered.is_empty() {
            return Err(self.asks(&unanswered));
        }
        if answer.is_some() {
            self.refuse_missing_tables(&unanswered).await?;
        }
        let numbers = |pauses: &[&Pause]| pauses.iter().map(|pause| pause.id).collect::<Vec<i64>>();
        if let Some(answer) = answer {
            self.store.answer_pauses(&numbers(&unanswered), answer, &by).await?;
        }
        self.store.end_pauses(&numbers(&plain), &by, &[]).await?;
        self.pauses.load(self.store).await?;
        self.pauses.tell_ended();
        let wider = others.into_iter().filter(|pause| pause.scope.contains(&scope));
        let asks = if answer.is_none() { unanswered } else { Vec::new() };
        let ending = asking.into_iter().filter(|pause| !asks.iter().any(|open| open.id == pause.id));
        Ok(json!({
            "ended": self.shown(plain),
            "ending": self.shown(ending),
            "asks": self.shown(asks.iter().copied()),
            "still": self.shown(wider),
        }))
    }

    fn asks(&self, pauses: &[&Pause]) -> Error {
        let details: Vec<String> = pauses.iter().map(|pause| format!("pause {}: {}", pause.id, pause.detail)).collect();
        Error::halt(format!(
            "records may be missing that nobody deleted one by one: {}; say what is to become of them: --deletions apply \
             (delete them on the other side as well) or --deletions restore (make them again from the other side)",
            details.join("; ")
        ))
    }

    /// Without its tables an entity cannot go on.
    async fn refuse_missing_tables(&self, pauses: &[&Pause]) -> Result<()> {
        for entity in
            pauses.iter().filter(|pause| pause.missing_on == Some(Side::Renaissance)).filter_map(|p| p.scope.entity)
        {
            if self.store.tables(entity).await?.iter().any(|(_, table)| table.is_none()) {
                let name = self.entities.get(usize::from(entity.0)).map_or("", |entity| entity.name.as_str());
                return Err(Error::halt(format!("a table of {name} is missing in renaissance; create it first")));
            }
        }
        Ok(())
    }

    fn shown<'p>(&self, pauses: impl IntoIterator<Item = &'p Pause>) -> Vec<PauseReport> {
        let name = |index: crate::model::key::EntityIndex| {
            self.entities.get(usize::from(index.0)).map_or_else(String::new, |entity| entity.name.clone())
        };
        pauses.into_iter().map(|pause| PauseReport::new(pause, name)).collect()
    }
}
