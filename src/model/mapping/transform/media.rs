//! `as = "media"`: the address of a file. Legacy stores some as a path below a known folder; canonical is the full URL. `prefixes` are
//! pairs `[path prefix, URL prefix]`; what matches none of them, such as an already full or unknown URL, passes unchanged.
//! `stored = "path"` on one side writes the short form there, `"url"` (the default) the full one; both are read everywhere.
//! ```toml
//! [[field]]
//! name = "profile_picture"
//! as = "media"
//! empty = "null"
//! prefixes = [["users/BioGraph/", "https://media.example.com/users/BioGraph/"]]
//! legacy = { path = "profile_pic_url", stored = "path", null_as = "empty" }
//! renaissance = { column = "profile_picture", null_as = "empty" }
//! ```

use super::{Place, Scalar, misfit};
use crate::model::{catalog::ColumnKind, problem::Problem, value::Value};

/// The address of a file in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Pairs of path prefix and URL prefix.
    pub prefixes: Vec<(String, String)>,
    /// Whether the slot is written in the short form.
    pub short: bool,
    /// Whether the empty text means nothing.
    pub empty_is_null: bool,
}

impl Media {
    /// Two prefixes of the table of which one begins with the other, which would make it ambiguous. Two paths for the
    /// same URL prefix are fine: the first is written.
    pub fn ambiguity(&self) -> Option<(&str, &str)> {
        let texts: Vec<&str> = self.prefixes.iter().flat_map(|(path, url)| [path.as_str(), url.as_str()]).collect();
        let clash = |(a, i): (&str, usize), (b, j): (&str, usize)| {
            let same_url = a == b && i % 2 == 1 && j % 2 == 1;
            !same_url && (a.starts_with(b) || b.starts_with(a))
        };
        texts.iter().enumerate().find_map(|(i, a)| {
            texts.iter().enumerate().skip(i + 1).find(|(j, b)| clash((a, i), (b, *j))).map(|(_, b)| (*a, *b))
        })
    }

    fn full(&self, text: &str) -> String {
        let pair =
            self.prefixes.iter().find_map(|(path, url)| text.strip_prefix(path.as_str()).map(|rest| (url, rest)));
        pair.map_or_else(|| text.to_owned(), |(url, rest)| format!("{url}{rest}"))
    }

    fn path(&self, text: &str) -> String {
        let pair =
            self.prefixes.iter().find_map(|(path, url)| text.strip_prefix(url.as_str()).map(|rest| (path, rest)));
        pair.map_or_else(|| text.to_owned(), |(path, rest)| format!("{path}{rest}"))
    }
}

impl Scalar for Media {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        let text = held.as_text().ok_or_else(|| place.wrong("text"))?;
        Ok(if text.is_empty() && self.empty_is_null { Value::Null } else { Value::Text(self.full(text).into()) })
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        let text = value.as_text().ok_or_else(|| misfit(value, "text"))?;
        Ok(Value::Text(if self.short { self.path(text).into() } else { text.into() }))
    }

    fn forms(&self, value: &Value) -> Vec<Value> {
        value
            .as_text()
            .map(|text| vec![Value::Text(self.path(text).into()), Value::Text(text.into())])
            .unwrap_or_default()
    }

    fn is_canonical(&self, held: &Value) -> bool {
        let is_full = |text: &str| !self.prefixes.iter().any(|(path, _)| text.starts_with(path.as_str()));
        held.as_text().is_some_and(|text| !(text.is_empty() && self.empty_is_null) && is_full(text))
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        matches!(kind, ColumnKind::Text(_))
    }
}
