//! Reading TOML with positions: every key asked for is a known key, every other key is reported with its line.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::BTreeSet,
    ops::Range,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::super::error::{MappingError, did_you_mean};
use crate::model::{calendar, value::Value};

/// A file being read, with everything wrong found so far.
pub(super) struct Source<'t> {
    file: &'t str,
    text: &'t str,
    errors: RefCell<Vec<MappingError>>,
}

impl<'t> Source<'t> {
    pub(super) const fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, errors: RefCell::new(Vec::new()) }
    }

    /// The line, from 1, of a byte offset.
    pub(super) fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    pub(super) fn report(&self, at: usize, field: Option<&str>, message: impl Into<String>, hint: Option<String>) {
        self.errors.borrow_mut().push(MappingError {
            file: self.file.to_owned(),
            line: self.line(at),
            field: field.map(str::to_owned),
            message: message.into(),
            hint,
        });
    }

    pub(super) fn into_errors(self) -> Vec<MappingError> {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|error| error.line);
        errors.dedup();
        errors
    }
}

/// One table of the file and the keys that were asked for.
pub(super) struct Keys<'s> {
    pub(super) source: &'s Source<'s>,
    table: &'s DeTable<'s>,
    at: usize,
    /// The field it belongs to, once its name is known.
    pub(super) field: RefCell<Option<String>>,
    asked: RefCell<BTreeSet<&'static str>>,
    lenient: Cell<bool>,
}

/// A value with its place in the file.
pub(super) type Item<'s> = &'s Spanned<DeValue<'s>>;

impl<'s> Keys<'s> {
    pub(super) fn new(
        source: &'s Source<'s>,
        table: &'s DeTable<'s>,
        span: &Range<usize>,
        field: Option<String>,
    ) -> Self {
        let (field, asked, lenient) = (RefCell::new(field), RefCell::default(), Cell::new(false));
        Self { source, table, at: span.start, field, asked, lenient }
    }

    /// The line it opens on.
    pub(super) fn line(&self) -> usize {
        self.source.line(self.at)
    }

    pub(super) fn report(&self, item: Option<Item<'s>>, message: impl Into<String>, hint: Option<String>) {
        self.source.report(
            item.map_or(self.at, |item| item.span().start),
            self.field.borrow().as_deref(),
            message,
            hint,
        );
    }

    pub(super) fn get(&self, key: &'static str) -> Option<Item<'s>> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key)
    }

    /// Where an element of an array begins, to report it once its table is read.
    pub(super) fn element(&self, key: &'static str, index: usize) -> usize {
        let elements = self.table.get(key).and_then(|item| item.get_ref().as_array());
        elements.and_then(|elements| elements.get(index)).map_or(self.at, |item| item.span().start)
    }

    /// The value of a key; reports it if missing.
    pub(super) fn need(&self, key: &'static str, example: &str) -> Option<Item<'s>> {
        let item = self.get(key);
        if item.is_none() {
            self.report(None, format!("`{key}` is missing"), Some(format!("add `{key} = {example}`")));
        }
        item
    }

    /// Text that must be there.
    pub(super) fn need_text(&self, key: &'static str, example: &str) -> Option<String> {
        self.text_of(key, self.need(key, example)?)
    }

    /// Text that may be there.
    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        self.text_of(key, self.get(key)?)
    }

    pub(super) fn text_of(&self, key: &str, item: Item<'s>) -> Option<String> {
        let text = item.get_ref().as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.report(Some(item), format!("`{key}` must be text in quotes, not empty"), None);
        }
        text.map(str::to_owned)
    }

    /// The texts of an array whose elements are texts or arrays of texts; a text alone is a list of one.
    pub(super) fn text_lists(&self, key: &'static str) -> Vec<Vec<(String, Item<'s>)>> {
        let list = |item: Item<'s>| match item.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| Some((self.text_of(key, item)?, item))).collect(),
            _ => self.text_of(key, item).map(|text| (text, item)).into_iter().collect(),
        };
        self.items(key).into_iter().map(list).collect()
    }

    /// True or false; false if it is not there.
    pub(super) fn flag(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|item| self.flag_of(key, item))
    }

    pub(super) fn flag_of(&self, key: &str, item: Item<'s>) -> bool {
        let flag = item.get_ref().as_bool();
        if flag.is_none() {
            self.report(Some(item), format!("`{key}` must be true or false"), None);
        }
        flag.unwrap_or(false)
    }

    /// A whole number from 1 up.
    pub(super) fn count_of(&self, key: &str, item: Item<'s>) -> Option<u32> {
        let count = match plain(item.get_ref()) {
            Some(Value::Int(number)) => u32::try_from(number).ok().filter(|count| *count > 0),
            _ => None,
        };
        if count.is_none() {
            self.report(Some(item), format!("`{key}` must be a whole number, at least 1"), None);
        }
        count
    }

    /// The elements of an array; empty if the key is not there.
    pub(super) fn items(&self, key: &'static str) -> Vec<Item<'s>> {
        let Some(item) = self.get(key) else { return Vec::new() };
        match item.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => {
                self.report(Some(item), format!("`{key}` must be an array"), None);
                Vec::new()
            }
        }
    }

    /// A table inside this one.
    pub(super) fn table(&self, key: &'static str) -> Option<Keys<'s>> {
        self.table_of(key, self.get(key)?)
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Keys<'s>> {
        self.items(key).into_iter().filter_map(|item| self.table_of(key, item)).collect()
    }

    pub(super) fn table_of(&self, key: &str, item: Item<'s>) -> Option<Keys<'s>> {
        match item.get_ref() {
            DeValue::Table(table) => Some(Keys::new(self.source, table, &item.span(), self.field.borrow().clone())),
            _ => {
                self.report(Some(item), format!("`{key}` must be a table"), None);
                None
            }
        }
    }

    /// Every key with its value, in the order of the file.
    pub(super) fn entries(&self) -> Vec<(&'s str, Item<'s>)> {
        self.lenient.set(true);
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(|(key, item)| (key.get_ref().as_ref(), item)).collect()
    }

    /// One of a closed set of words.
    pub(super) fn choice_of<T: Clone>(&self, key: &str, item: Item<'s>, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text_of(key, item)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| meaning.clone());
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint =
                did_you_mean(&text, known.iter().copied()).unwrap_or_else(|| format!("one of {}", known.join(", ")));
            self.report(Some(item), format!("`{key} = \"{text}\"` is not known"), Some(hint));
        }
        found
    }

    /// A value as the canonical model has it.
    pub(super) fn value_of(&self, key: &str, item: Item<'s>) -> Option<Value> {
        let value = plain(item.get_ref());
        if value.is_none() {
            self.report(Some(item), format!("`{key}` must be text, a number, true, false or a date"), None);
        }
        value
    }

    /// Stops unknown keys from being reported: what they should be cannot be told.
    pub(super) fn tolerate(&self) {
        self.lenient.set(true);
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(&self) {
        if self.lenient.get() {
            return;
        }
        let asked = self.asked.borrow();
        for (key, _) in self.table.iter().filter(|(key, _)| !asked.contains(key.get_ref().as_ref())) {
            let hint = did_you_mean(key.get_ref(), asked.iter().copied())
                .unwrap_or_else(|| format!("known here: {}", asked.iter().copied().collect::<Vec<_>>().join(", ")));
            let message = format!("unknown key `{}`", key.get_ref());
            self.source.report(key.span().start, self.field.borrow().as_deref(), message, Some(hint));
        }
    }
}

fn plain(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.as_ref().into())),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Int),
        DeValue::Float(number) => number.as_str().parse().ok().map(Value::Float),
        DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
        DeValue::Datetime(date) => calendar::from_iso(&date.to_string()).map(Value::Timestamp),
        DeValue::Array(items) => items.iter().map(|item| plain(item.get_ref())).collect::<Option<_>>().map(Value::List),
        DeValue::Table(entries) => {
            let entry = |(key, item): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                Some((key.get_ref().to_string(), plain(item.get_ref())?))
            };
            entries.iter().map(entry).collect::<Option<_>>().map(Value::Object)
        }
    }
}
