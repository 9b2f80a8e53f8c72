//! `sandbox show` and `sandbox edit`: one person of the running sandbox, from another terminal.

use std::fmt::Write;

use clap::Subcommand;
use serde_json::Value;

use super::super::{Failure, options::SettingFlags, print};
use crate::{
    error::{Error, Result},
    model::key::{LegacyId, SideId},
    sandbox::Running,
    telemetry::Audience,
};

/// What can be done to the sandbox that runs in another terminal.
#[derive(Debug, Subcommand)]
pub(super) enum ByHand {
    /// Show one person of the running sandbox on both sides
    Show {
        /// The document's _id (24 hex digits) or the row's id
        #[arg(value_parser = side_id)]
        id: SideId,
    },
    /// Change a document of the running sandbox and wait until the change has arrived in Postgres
    Edit {
        /// The document's _id
        id: LegacyId,
        /// Fields with their new values, as JSON or plain text: name='Ada Lovelace' email_notification.all=false
        #[arg(required = true, value_name = "FIELD=VALUE", value_parser = assignment)]
        fields: Vec<(String, Value)>,
    },
}

impl ByHand {
    pub(super) fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        settings.local(Audience::Command)?;
        print::block_on(async move {
            let mut running = Running::find().await.map_err(Error::from)?;
            let text = match self {
                Self::Show { id } => show(&running.show(id).await.map_err(Error::from)?),
                Self::Edit { id, fields } => {
                    let arrival = running.edit(id, &fields).await.map_err(Error::from)?;
                    let mut text = format!("arrived in Postgres after {} ms\n", arrival.after.as_millis());
                    push(&mut text, arrival.columns.iter().map(|(column, value)| (column.as_str(), value.to_string())));
                    text
                }
            };
            print::text(&text)
        })
    }
}

fn show(sides: &[Option<Vec<(String, String)>>; 2]) -> String {
    let mut text = String::new();
    for (title, side) in ["legacy (MongoDB)", "renaissance (Postgres)"].into_iter().zip(sides) {
        text.push_str(title);
        text.push('\n');
        match side {
            Some(fields) => push(&mut text, fields.iter().map(|(name, value)| (name.as_str(), value.clone()))),
            None => text.push_str("  nobody\n"),
        }
    }
    text
}

fn push<'a>(text: &mut String, fields: impl Iterator<Item = (&'a str, String)>) {
    for (name, value) in fields {
        // writing to a String cannot fail
        writeln!(text, "  {name:<26}{value}").unwrap_or_default();
    }
}

fn side_id(text: &str) -> Result<SideId, String> {
    let legacy = text.parse().map(SideId::Legacy).ok();
    let id = legacy.or_else(|| text.parse().map(SideId::Renaissance).ok());
    id.ok_or_else(|| "24 hex digits (a document) or a number (a row) are expected".to_owned())
}

fn assignment(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((path, value)) if !path.is_empty() && !path.starts_with('$') && path != "_id" => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((path.to_owned(), value))
        }
        Some(_) | None => Err("FIELD=VALUE is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_or_plain_text() {
        let value = |text: &str| assignment(text).unwrap().1;
        assert_eq!(value("name=Ada = Lovelace"), Value::String("Ada = Lovelace".into()));
        assert_eq!(value("email_notification.all=false"), Value::Bool(false));
        for wrong in ["name", "=x", "$set=1", "_id=1"] {
            assert!(assignment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_id_is_of_one_side() {
        assert!(matches!(side_id("65f0c0ffee00000000000abc"), Ok(SideId::Legacy(_))));
        assert_eq!(side_id("17"), Ok(SideId::Renaissance(17)));
        assert!(side_id("ada").is_err());
    }
}
