//! What the lists of parked keys, conflicts and deleted records have in common, and showing one entry of them.

use clap::Args;

use super::{Failure, load, moment, options::SettingFlags, person, print};
use crate::{
    error::Result,
    postgres::{Pool, connect, entries::Narrow},
    telemetry::Audience,
};

/// What a list may be narrowed to.
#[derive(Debug, Args)]
pub(super) struct Listing {
    /// Only of this entity
    #[arg(long, value_name = "E")]
    entity: Option<String>,
    /// Only of this person, with everything that belongs to them: legacy:ID, renaissance:ID, phone:NUMBER, email:ADDRESS,
    /// username:NAME (any natural key of a person in the mappings), or the value alone if it can mean only one person
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only from then on: a time, or an age such as 2h or 7d
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    since: Option<i64>,
    /// Only before that: a time, or an age
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    until: Option<i64>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    limit: i64,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl Listing {
    /// The entries that `query` finds, as many as were asked for, and whether there are more.
    pub(super) fn entries<T>(
        &self,
        settings: SettingFlags,
        query: impl AsyncFnOnce(&Pool, &Narrow, i64) -> Result<Vec<T>>,
    ) -> Result<(Vec<T>, bool), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let mut rows = print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            let person = match &self.user {
                Some(user) => Some(person::filter_or_gone(user, &databases, &load::entities(&config.mappings)?).await?),
                None => None,
            };
            let narrow = Narrow { id: None, entity: self.entity.clone(), person, since: self.since, until: self.until };
            Ok(query(&pool, &narrow, self.limit.saturating_add(1)).await?)
        })?;
        // nothing of an entity that no mapping declares is no answer: it is a slip
        if let Some(entity) = self.entity.as_ref().filter(|_| rows.is_empty()) {
            load::named(&load::entities(&config.mappings)?, entity)?;
        }
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > most;
        rows.truncate(most);
        Ok((rows, more))
    }
}

/// The entry with this number, if `query` finds it.
pub(super) fn entry<T>(
    id: i64,
    settings: SettingFlags,
    query: impl AsyncFnOnce(&Pool, &Narrow, i64) -> Result<Vec<T>>,
) -> Result<Option<T>, Failure> {
    let (_, databases) = settings.with_databases(Audience::Command)?;
    let narrow = Narrow { id: Some(id), ..Narrow::default() };
    let found = print::block_on(async {
        let pool = connect::pool(databases.renaissance_url.expose())?;
        Ok(query(&pool, &narrow, 1).await?)
    })?;
    Ok(found.into_iter().next())
}

/// `#7 user legacy:65f0… renaissance:-`.
pub(super) fn headline((id, entity): (i64, &str), legacy: Option<&str>, renaissance: Option<i64>) -> String {
    let renaissance = renaissance.map_or_else(|| "-".to_owned(), |id| id.to_string());
    format!("#{id} {entity} legacy:{} renaissance:{renaissance}", legacy.unwrap_or("-"))
}
