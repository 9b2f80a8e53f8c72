//! `conflicts resolve`: carried out by the active daemon.

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use crate::{
    cli::{Failure, ask, options::SettingFlags, print, who},
    error::Error,
    postgres::connect,
    telemetry::Audience,
};

/// Decide an entry by hand: both sides get what is taken
#[derive(Debug, Args)]
#[command(after_help = "\
The daemon writes it like any other change, and notes in the journal who decided what and when. Refused, with nothing written,
if either side has changed since the conflict, if the record is gone, or if a side cannot hold the value. Fields that are
decided together are resolved together. Exit codes: 0 resolved, 1 refused, 3 no daemon is active.

Examples:
  biograph-bridge conflicts resolve 7 --take renaissance
  biograph-bridge conflicts resolve 7 --take value --value '\"Ada King\"'
  biograph-bridge conflicts resolve 7 --take value --value null --json")]
pub(crate) struct Resolve {
    /// Its number, as in `conflicts list`
    id: i64,
    /// Whose value both sides get
    #[arg(long, value_name = "WHOSE")]
    take: Take,
    /// With `--take value`: which, as JSON; times as ISO 8601 text, ids as hex digits
    #[arg(long, value_name = "JSON", value_parser = parse, required_if_eq("take", "value"))]
    value: Option<Json>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Take {
    /// The value that BioGraph held
    Legacy,
    /// The value that Renaissance held
    Renaissance,
    /// The one given with --value
    Value,
}

fn parse(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|_| "not JSON; text needs quotes of its own: '\"Ada\"'".to_owned())
}

impl Resolve {
    pub(super) fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        if self.value.is_some() && self.take != Take::Value {
            return Err(Failure::Usage(Box::new(Error::halt("--value goes with `--take value`"))));
        }
        let take = match self.take {
            Take::Legacy => "legacy",
            Take::Renaissance => "renaissance",
            Take::Value => "value",
        };
        let mut arguments = json!({ "id": self.id, "take": take, "by": who::asks() });
        // null is a value too
        if let (Some(value), Some(object)) = (self.value, arguments.as_object_mut()) {
            object.insert("value".to_owned(), json!({ "json": value }));
        }
        let (_, databases) = settings.with_databases(Audience::Command)?;
        let done = print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            ask::daemon(&pool, "conflict_resolve", &arguments).await
        })?;
        if self.json {
            return print::json(&done);
        }
        let ids: Vec<String> =
            done.get("resolved").and_then(Json::as_array).into_iter().flatten().map(|id| format!("#{id}")).collect();
        print::text(&format!("resolved {}: both sides hold it\n", ids.join(", ")))
    }
}
