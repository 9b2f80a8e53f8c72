//! `as = "name"`: a person's whole name over a first and a last name. Read: both joined by a space; where it was split is lost.
//! Written: whole into `first` (`normal_form = "first"`), or split at its first space (`normal_form = "split"`).
//! ```toml
//! [[field]]
//! name = "name"
//! empty = "null"
//! normal_form = "first"
//! legacy = { path = "name", null_as = "empty" }
//! renaissance = { as = "name", first = "first_name", last = "last_name", null_as = "empty" }
//! ```

use super::{Compound, NullForm, Place, Write, misfit, text::as_text};
use crate::model::{catalog::ColumnKind, mapping::Loss, problem::Problem, value::Value};

/// A whole name over two slots, first and last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeName {
    /// Whether it is split at its first space.
    pub split: bool,
    /// Whether an empty name means nothing.
    pub empty_is_null: bool,
}

impl Compound for WholeName {
    fn read(&self, places: &[Place<'_>]) -> Result<Value, Problem> {
        let mut parts = Vec::new();
        for place in places {
            let Some(held) = place.value() else { continue };
            let part = as_text(held).ok_or_else(|| place.wrong("text"))?;
            if !part.is_empty() {
                parts.push(part);
            }
        }
        let nothing = places.iter().all(|place| place.value().is_none());
        let empty = parts.is_empty() && (self.empty_is_null || nothing);
        Ok(if empty { Value::Null } else { Value::Text(parts.join(" ").into()) })
    }

    fn write(&self, value: &Value, places: &[Place<'_>], null: NullForm) -> Result<Vec<Write>, Problem> {
        if *value == Value::Null {
            return Ok(places.iter().map(|_| null.write()).collect());
        }
        let whole = value.as_text().ok_or_else(|| misfit(value, "text"))?;
        let halves = whole.split_once(' ').filter(|(first, last)| self.split && !first.is_empty() && !last.is_empty());
        let (first, last) = halves.unwrap_or((whole, ""));
        Ok([first, last].map(|part| Write::Set(Value::Text(part.into()))).into())
    }

    fn forms(&self, value: &Value) -> Vec<Vec<(usize, Value)>> {
        let Some(whole) = value.as_text() else { return Vec::new() };
        let text = |part: &str| Value::Text(part.into());
        let halves = whole.match_indices(' ').map(|(at, _)| (&whole[..at], &whole[at + 1..]));
        let splits = halves
            .filter(|(first, last)| !first.is_empty() && !last.is_empty())
            .map(|(first, last)| vec![(0, text(first)), (1, text(last))]);
        std::iter::once(vec![(0, text(whole)), (1, text(""))]).chain(splits.take(3)).collect()
    }

    fn fits(&self, _place: usize, kind: ColumnKind) -> bool {
        matches!(kind, ColumnKind::Text(_))
    }

    fn losses(&self, names: &[String]) -> Vec<Loss> {
        let what = format!("where a name is split into {} is not kept", names.join(" and "));
        vec![Loss::word(what, &["first", "split"])]
    }
}
