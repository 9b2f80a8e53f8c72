//! What the sandbox says before it starts: where everything is, and two changes to try by hand.

use std::{net::SocketAddr, path::Path};

use serde::Serialize;

use super::super::paint::Paint;
use crate::sandbox::{Stage, USERS};

/// Where everything is.
#[derive(Debug, Serialize)]
pub(super) struct Intro {
    legacy_uri: String,
    renaissance_url: String,
    http: String,
    example: String,
    settings: String,
    #[serde(skip)]
    psql: String,
}

impl Intro {
    pub(super) fn new(stage: &Stage, listen: SocketAddr, settings: &Path) -> Self {
        Self {
            legacy_uri: stage.legacy_uri(),
            renaissance_url: stage.renaissance_url(),
            http: format!("http://{listen}"),
            example: stage.example().to_string(),
            settings: quoted(settings),
            psql: stage.psql().map_or_else(|| "psql".to_owned(), |path| quoted(&path)),
        }
    }

    /// For people.
    pub(super) fn text(&self, paint: Paint) -> String {
        let Self { legacy_uri, renaissance_url, http, example, settings, psql } = self;
        let bridge = program();
        let title = paint.bold("Two real databases, and the bridge between them.");
        let (hand, terminal) =
            (paint.bold("Change somebody by hand"), "in another terminal; nobody else touches this person");
        format!(
            "\n{title} Ctrl-C ends it and removes everything.

  legacy       {legacy_uri}
  renaissance  {renaissance_url}
  bridge       {http}/  {http}/metrics  {http}/readyz

{hand} ({terminal}):

  {one} In Postgres; then what both sides hold:
{psql} '{renaissance_url}' -c \"UPDATE users SET first_name = 'Grace Hopper', updated_at = now() WHERE old_user_id = '{example}'\"
{bridge} sandbox show {example}

  {two} In MongoDB, with the time until it has arrived in Postgres:
{bridge} sandbox edit {example} name='Ada Lovelace'
  {or} mongosh '{legacy_uri}' --eval 'db.{USERS}.updateOne({{_id: ObjectId(\"{example}\")}}, {{$set: {{name: \"Ada Lovelace\", updated_time: new Date()}}}})'

  {three} Any other command takes these settings; this one moves that person to Renaissance:
{bridge} --config {settings} cutover start legacy:{example}

",
            one = paint.bold("1"),
            two = paint.bold("2"),
            three = paint.bold("3"),
            or = paint.dim("or, if you have mongosh:"),
        )
    }
}

/// This program as it can be called from anywhere.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| "biograph-bridge".to_owned(), |path| quoted(&path))
}

/// For a shell.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@".contains(letter);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_can_be_pasted() {
        assert_eq!(quoted(Path::new("/usr/bin/psql")), "/usr/bin/psql");
        assert_eq!(quoted(Path::new("/home/a b/it's")), r"'/home/a b/it'\''s'");
    }
}
