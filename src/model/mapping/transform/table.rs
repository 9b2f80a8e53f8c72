//! `as = "table"`: a closed set of contents, as pairs `[stored, canonical]`. Several contents may share a canonical value: the first
//! of them, or the one that `normal_form` names, is the one written, and a record that already holds another of them keeps it.
//! Anything else means `otherwise`, if that is given, and is `unknown_value` if not.
//! ```toml
//! [[field]]
//! name = "premium"
//! missing = false
//! legacy = { path = "is_premium_member", as = "bool" }
//! normal_form = "premium"
//! renaissance = { column = "subscription_status", as = "table", values = [["free", false], ["premium", true], ["pro", true]] }
//! ```

use super::{Place, Scalar, same_content};
use crate::model::{
    catalog::ColumnKind,
    mapping::{Loss, loss::spelled},
    problem::{Problem, Reason},
    value::Value,
};

/// A closed set of contents of one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueTable {
    /// Pairs of what is stored and what it means.
    pub pairs: Vec<(Value, Value)>,
    /// What a content means that is not among them.
    pub otherwise: Option<Value>,
}

impl ValueTable {
    /// Whether what its contents mean are all numbers or all texts.
    pub(super) fn has_order(&self) -> bool {
        let all = |is: fn(&Value) -> bool| self.pairs.iter().all(|(_, meaning)| is(meaning));
        all(|value| matches!(value, Value::Int(_))) || all(|value| matches!(value, Value::Text(_)))
    }

    fn stored<'a>(&'a self, value: &'a Value) -> impl Iterator<Item = Value> + 'a {
        self.pairs.iter().filter(move |(_, meaning)| meaning == value).map(|(stored, _)| stored.clone())
    }
}

impl Scalar for ValueTable {
    fn read(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        let pair = self.pairs.iter().find(|(stored, _)| same_content(stored, held));
        let meaning = pair.map(|(_, meaning)| meaning).or(self.otherwise.as_ref());
        meaning.cloned().ok_or_else(|| unknown(place.name))
    }

    fn write(&self, value: &Value) -> Result<Value, Problem> {
        self.stored(value).next().ok_or_else(|| unknown("the other side"))
    }

    fn forms(&self, value: &Value) -> Vec<Value> {
        self.stored(value).collect()
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        self.pairs.iter().all(|(stored, _)| match stored {
            Value::Text(text) => match kind {
                ColumnKind::Text(limit) => limit.is_none_or(|limit| text.chars().count() <= limit as usize),
                // which labels it has is looked at when the mapping is bound
                ColumnKind::Enum => true,
                _ => false,
            },
            Value::Int(_) => matches!(kind, ColumnKind::Int(_)),
            Value::Bool(_) => kind == ColumnKind::Bool,
            Value::Null
            | Value::Float(_)
            | Value::Timestamp(_)
            | Value::Id(_)
            | Value::List(_)
            | Value::Object(_)
            | Value::Decimal(_)
            | Value::Date(_)
            | Value::Uuid(_)
            | Value::Binary(..)
            | Value::Dangling(_)
            | Value::Opaque(_) => false,
        })
    }

    fn losses(&self) -> Vec<Loss> {
        let mut losses: Vec<Loss> = Vec::new();
        for (index, (_, meaning)) in self.pairs.iter().enumerate() {
            let first = self.pairs.iter().take(index).all(|(_, earlier)| earlier != meaning);
            let contents: Vec<Value> = self.stored(meaning).collect();
            let unlisted = self.otherwise.as_ref() == Some(meaning);
            if first && (contents.len() > 1 || unlisted) {
                let listed = contents.iter().map(spelled);
                let all: Vec<String> = listed.chain(unlisted.then(|| "anything unlisted".to_owned())).collect();
                losses.push(Loss::new(format!("{} read as {}", all.join(" and "), spelled(meaning)), contents));
            }
        }
        losses
    }
}

fn unknown(place: &str) -> Problem {
    Problem::new(
        Reason::UnknownValue,
        format!("{place} holds something that the mapping's table of values does not list"),
    )
}
