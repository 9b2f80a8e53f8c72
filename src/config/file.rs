//! Reading `bridge.toml`: every problem with its line.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{Spanned, de::DeTable, de::DeValue};

use super::{DEFAULT_FILE, Environment, Problems, Setting, Sourced, expand::expand};
use crate::model::nearest::did_you_mean;

/// The settings in the file. A missing default file is no file; a missing named file is a problem.
pub(super) fn read(
    named: Option<&Path>,
    wanted: fn(Setting) -> bool,
    environment: Environment<'_>,
    problems: &mut Problems,
) -> BTreeMap<Setting, Sourced> {
    let path = named.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_path_buf);
    if named.is_none() && !path.exists() {
        return BTreeMap::new();
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => File { path: &path, text: &text, wanted, environment, problems }.settings(),
        Err(error) => {
            let fix =
                format!("create it, or name another with --config (by default {DEFAULT_FILE} is used if it is there)");
            problems.push(path.display().to_string(), unreadable(&error), Some(fix));
            BTreeMap::new()
        }
    }
}

/// The content of a file that a setting refers to.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {}", path.display(), unreadable(&error)))
}

/// In our words: the error for a file that is not UTF-8 says nothing about files.
fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::InvalidData => "the file is not UTF-8 text".to_owned(),
        _ => format!("cannot be read ({error})"),
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    wanted: fn(Setting) -> bool,
    environment: Environment<'a>,
    problems: &'a mut Problems,
}

impl File<'_> {
    fn settings(mut self) -> BTreeMap<Setting, Sourced> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            // Not the parser's own rendering: it quotes the line, which may hold a password.
            let place = self.place(error.span().unwrap_or_default());
            self.problems.push(place, error.message(), None);
        }
        let mut settings = BTreeMap::new();
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            match Setting::from_key(name) {
                Some(setting) if (self.wanted)(setting) => {
                    if let Some(value) = self.value(setting, value) {
                        settings.insert(setting, value);
                    }
                }
                Some(_) => {}
                None => self.unknown(name, key.span()),
            }
        }
        settings
    }

    fn value(&mut self, setting: Setting, value: &Spanned<DeValue<'_>>) -> Option<Sourced> {
        let place = format!("{}: {}", self.place(value.span()), setting.key());
        let text = match value.get_ref() {
            DeValue::String(text) => text,
            DeValue::Integer(number) if setting.accepts_number() && number.radix() == 10 => {
                return Some(Sourced::new(number.as_str().to_owned(), place));
            }
            DeValue::Float(number) if setting.accepts_fraction() => {
                return Some(Sourced::new(number.as_str().to_owned(), place));
            }
            other => {
                let wanted = if setting.accepts_number() { "a number or text" } else { "text in quotes" };
                self.problems.push(place, format!("holds {}; {wanted} is expected", article(other.type_str())), None);
                return None;
            }
        };
        let folder = self.path.parent().unwrap_or(Path::new(""));
        match expand(text, folder, self.environment) {
            Ok(text) if setting.is_path() && !text.is_empty() => {
                Some(Sourced::new(folder.join(text).display().to_string(), place))
            }
            Ok(text) => Some(Sourced::new(text, place)),
            Err(wrong) => {
                wrong.into_iter().for_each(|message| self.problems.push(place.clone(), message, None));
                None
            }
        }
    }

    fn unknown(&mut self, name: &str, span: Range<usize>) {
        let keys = Setting::ALL.map(Setting::key);
        let fix = did_you_mean(name, keys).unwrap_or_else(|| format!("settings are: {}", keys.join(", ")));
        let place = self.place(span);
        self.problems.push(format!("{place}: {name}"), "is not a setting", Some(fix));
    }

    fn place(&self, span: Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        format!("{}:{}", self.path.display(), before.matches('\n').count() + 1)
    }
}

fn article(type_name: &str) -> String {
    let vowel = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if vowel { "an" } else { "a" })
}
