//! `conflicts show`: everything about one entry of the journal.

use clap::Args;
use serde_json::Value as Json;

use super::{headline, hide, outcome};
use crate::{
    cli::{Failure, listing, options::SettingFlags, paint::Paint, print},
    error::Error,
    postgres::conflicts::{self, Conflict},
};

/// Show everything about one entry; the values only with --reveal
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge conflicts show 7
  biograph-bridge conflicts show 7 --reveal
  biograph-bridge conflicts show 7 --reveal --json")]
pub(crate) struct Show {
    /// Its number, as in `conflicts list`
    id: i64,
    /// Print the values as they are: they may be people's data
    #[arg(long)]
    reveal: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let query = async |pool: &_, narrow: &_, limit| conflicts::conflicts(pool, narrow, (None, false), limit).await;
        let Some(mut row) = listing::entry(self.id, settings, query)? else {
            let error = Error::halt(format!("the journal has no entry {}", self.id));
            return Err(error.with_hint("see `biograph-bridge conflicts list`").into());
        };
        if !self.reveal {
            hide(&mut row);
        }
        if self.json {
            return print::json(&row);
        }
        print::text(&render(&row, self.reveal, Paint::stdout()))
    }
}

fn render(row: &Conflict, revealed: bool, paint: Paint) -> String {
    let mut lines = vec![paint.attention(&headline(row)), outcome(row), String::new()];
    let mut line = |name: &str, content: Option<String>| {
        if let Some(content) = content {
            lines.push(format!("{name:<22} {content}"));
        }
    };
    line("at", Some(row.at.clone()));
    line("person", row.person.clone());
    for (side, value, updated) in [
        ("legacy", &row.legacy_value, &row.legacy_updated_at),
        ("renaissance", &row.renaissance_value, &row.renaissance_updated_at),
    ] {
        let shown = match value {
            Some(Json::String(text)) if !revealed => text.clone(),
            Some(value) => value.to_string(),
            None => "nothing".to_owned(),
        };
        line(&format!("{side} held"), Some(shown));
        line(&format!("{side} updated"), updated.clone());
    }
    line("legacy position", row.legacy_position.clone());
    line("renaissance position", row.renaissance_position.clone());
    line("mapping", row.mapping.clone());
    line("its fields", row.mapping_fields.as_ref().map(|fields| fields.join(", ")));
    lines.push(String::new());
    if !revealed {
        lines.push(format!("Values are masked; as they are:  biograph-bridge conflicts show {} --reveal", row.id));
    }
    if row.field.is_some() && row.taken.is_none() && !row.shadow {
        lines.push(format!("Decide it by hand:  biograph-bridge conflicts resolve {} --take renaissance", row.id));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::conflicts::tests::row;

    #[test]
    fn an_entry_is_shown_with_what_it_was_decided_under() {
        let text = render(&row(), true, Paint::plain());
        for expected in
            ["legacy held            \"Ada King\"\n", "mapping                00000000000000ff\n", "resolve 7 --take"]
        {
            assert!(text.contains(expected), "{text}");
        }
        assert!(!text.contains("masked"), "{text}");
    }
}
