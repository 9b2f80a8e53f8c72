//! Templates: what a slot that no field writes gets computed from the fields of a new record.

use serde_json::Value as Json;

use super::Entity;
use crate::model::{image::Image, json::to_json, reading::Reading, side::Side};

/// A slot that no field writes and that a new record gets computed from its other fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// Where it goes.
    pub slot: usize,
    /// What it is made of, in order.
    pub parts: Vec<TemplatePart>,
}

/// A piece of a [`Computed`] text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// This text.
    Text(String),
    /// The value of this field; nothing for null.
    Field(usize),
}

impl Entity {
    /// The text for a record as it is created on a side.
    pub fn computed_text(&self, computed: &Computed, side: Side, created: &Image) -> String {
        let part = |part: &TemplatePart| match part {
            TemplatePart::Text(text) => text.clone(),
            TemplatePart::Field(field) => {
                let reading = self.fields.get(*field).map(|field| field.get(side, created));
                match reading.as_ref().and_then(Reading::value).map(to_json) {
                    None | Some(Json::Null) => String::new(),
                    Some(Json::String(text)) => text,
                    Some(other) => other.to_string(),
                }
            }
        };
        computed.parts.iter().map(part).collect()
    }
}
