//! `tombstones restore`: carried out by the active daemon.

use clap::Args;
use serde_json::{Value as Json, json};

use crate::{
    cli::{Failure, ask, options::SettingFlags, print, who},
    postgres::connect,
    telemetry::Audience,
};

/// Put a deleted record back, under its old id, as it was
#[derive(Debug, Args)]
#[command(after_help = "\
It comes back on the side where the bridge deleted it, exactly; on the other side, where the application deleted it, it is made
again like any new record. What belonged to it has entries of its own: put back first what others refer to. Refused if something
is there by now under its id or a unique value of it is taken. Exit codes: 0 restored, 1 refused, 3 no daemon is active.

Examples:
  biograph-bridge tombstones restore 7
  biograph-bridge tombstones restore 7 --json")]
pub(crate) struct Restore {
    /// Its number, as in `tombstones list`
    id: i64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (_, databases) = settings.with_databases(Audience::Command)?;
        let done = print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            ask::daemon(&pool, "tombstone_restore", &json!({ "id": self.id, "by": who::asks() })).await
        })?;
        if self.json {
            return print::json(&done);
        }
        let text = |key: &str| done.get(key).and_then(Json::as_str).unwrap_or("-").to_owned();
        print::text(&format!(
            "put back in {}: {} legacy:{}; the other side follows\n",
            text("side"),
            text("entity"),
            text("legacy_id")
        ))
    }
}
