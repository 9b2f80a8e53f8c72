//! What a field loses: different contents of one side that read as one canonical value. Such a field has to say which of them
//! it writes, its normal form, so that nobody is surprised by it.

use std::fmt::Write as _;

use super::{Field, OnInvalid, transform::Shape};
use crate::model::{side::Side, value::Value};

/// Contents that read as one.
#[derive(Clone, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub struct Loss {
    /// What is lost: "microseconds are cut off".
    pub what: String,
    /// The normal forms to choose from, the usual one first.
    pub forms: Vec<Value>,
}

impl Loss {
    /// A loss with its normal forms.
    pub(crate) fn new(what: impl Into<String>, forms: impl Into<Vec<Value>>) -> Self {
        Self { what: what.into(), forms: forms.into() }
    }

    /// A loss whose normal form is a word.
    pub(crate) fn word(what: impl Into<String>, forms: &[&str]) -> Self {
        Self::new(what, forms.iter().map(|form| Value::Text((*form).into())).collect::<Vec<_>>())
    }
}

impl Field {
    /// Everything the field loses, on either side; each once.
    pub fn losses(&self) -> Vec<Loss> {
        let mut losses: Vec<Loss> = Side::ALL.into_iter().flat_map(|side| self.losses_on(side)).collect();
        losses.extend(self.on_invalid.loss());
        let mut each: Vec<Loss> = Vec::new();
        losses.into_iter().for_each(|loss| {
            if !each.contains(&loss) {
                each.push(loss)
            }
        });
        each
    }

    /// What it loses of what one side holds.
    pub(super) fn losses_on(&self, side: Side) -> Vec<Loss> {
        let half = self.half(side);
        match half.transform.shape() {
            Shape::Scalar(scalar) => scalar.losses(),
            Shape::Compound(compound) => compound.losses(&half.names),
        }
    }

    /// What is wrong with the declared normal forms, and what to do; `None` if they fit what is lost.
    pub(super) fn undeclared_loss(&self) -> Option<(String, String)> {
        let losses = self.losses();
        let mut right: Vec<&Value> = Vec::new();
        for form in losses.iter().filter_map(|loss| self.declared(loss).next().or(loss.forms.first())) {
            if !right.contains(&form) {
                right.push(form);
            }
        }
        let hint = match right.as_slice() {
            [] => "remove `normal_form`".to_owned(),
            [one] => format!("write `normal_form = {}`", spelled(one)),
            many => {
                let many: Vec<String> = many.iter().map(|form| spelled(form)).collect();
                format!("write `normal_form = [{}]`", many.join(", "))
            }
        };
        Some((self.loss_problem(&losses)?, hint))
    }

    fn loss_problem(&self, losses: &[Loss]) -> Option<String> {
        if let Some(Loss { what, forms }) = losses.iter().find(|loss| self.declared(loss).next().is_none()) {
            let forms: Vec<String> = forms.iter().map(spelled).collect();
            return Some(format!("{what}: say what is written instead; `normal_form` is {} here", forms.join(" or ")));
        }
        if let Some(loss) = losses.iter().find(|loss| self.declared(loss).count() > 1) {
            return Some(format!("{}: `normal_form` names more than one of them", loss.what));
        }
        let extra = self.normal_form.iter().find(|form| losses.iter().all(|loss| !loss.forms.contains(form)))?;
        Some(format!("`normal_form` names {}, which stands for nothing that is lost here", spelled(extra)))
    }

    /// The normal forms of a loss that the mapping names.
    fn declared<'a>(&'a self, loss: &'a Loss) -> impl Iterator<Item = &'a Value> {
        loss.forms.iter().filter(|form| self.normal_form.contains(form))
    }
}

impl OnInvalid {
    pub(super) fn loss(&self) -> Option<Loss> {
        let what = |value: &Value| format!("what cannot be converted reads as {}", spelled(value));
        match self {
            Self::Park => None,
            Self::Missing => Some(Loss::word("what cannot be converted reads as the default", &["default"])),
            Self::Value(Value::Null) => Some(Loss::word("what cannot be converted reads as null", &["null"])),
            Self::Value(value) => Some(Loss::new(what(value), [value.clone()])),
            Self::Truncate(length) => Some(Loss::new(
                format!("what comes after {length} characters is cut off"),
                [Value::Int(i64::from(*length))],
            )),
        }
    }
}

/// A value as a mapping file spells it.
pub fn spelled(value: &Value) -> String {
    let mut text = String::new();
    spell(value, &mut text);
    text
}

fn spell(value: &Value, text: &mut String) {
    match value {
        Value::List(items) => {
            text.push('[');
            for (n, item) in items.iter().enumerate() {
                text.push_str(if n > 0 { ", " } else { "" });
                spell(item, text);
            }
            text.push(']');
        }
        Value::Null => text.push_str("null"),
        value => {
            _ = write!(text, "{}", crate::model::json::to_json(value));
        }
    }
}
