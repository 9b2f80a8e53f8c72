//! People as people name them: `legacy:65f0…`, `renaissance:12`, `phone:+1 847 555 0100`, or the value alone. Which fields name
//! a person is up to the mappings: the natural keys of the entities that belong to nobody.

use super::{
    key::{EntityIndex, SideId},
    mapping::{Entity, Field},
    side::Side,
    value::Value,
};

/// What a name may mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Clue {
    /// The entity whose record it would be.
    pub entity: EntityIndex,
    /// How it names one.
    pub by: By,
}

/// How a name names a record.
#[derive(Clone, Debug, PartialEq)]
pub enum By {
    /// By its id on one side.
    Id(SideId),
    /// By a field that is a natural key: its index, and the canonical values that the text may spell.
    Field(usize, Vec<Value>),
}

impl Clue {
    /// The word that says the same in front of a value: `legacy`, `renaissance`, the name of a field.
    pub fn word<'a>(&self, entities: &'a [Entity]) -> &'a str {
        match &self.by {
            By::Id(id) => id.side().as_str(),
            By::Field(field, _) => {
                let entity = entities.get(usize::from(self.entity.0));
                entity.and_then(|entity| entity.fields.get(*field)).map_or("", |field| field.name.as_str())
            }
        }
    }
}

/// What a text that names a person may mean; never empty. The error says what a name looks like, and nothing of the text.
pub fn clues(text: &str, entities: &[Entity]) -> Result<Vec<Clue>, String> {
    let text = text.trim();
    let words = words(entities);
    let (word, value) = match text.split_once(':') {
        Some((word, value)) if words.contains(&word) => (Some(word), value.trim()),
        // a word that nobody knows is a slip, anything else in front of a colon part of the value
        Some((word, _)) if word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
            return Err(format!("the word before the colon names no person; use one of: {}", words.join(", ")));
        }
        _ => (None, text),
    };
    let mut found = Vec::new();
    for (index, entity) in persons(entities) {
        let ids = [value.parse().ok().map(SideId::Legacy), renaissance_id(value).map(SideId::Renaissance)];
        let ids = ids.into_iter().flatten().map(By::Id);
        let fields = keys(entity).map(|(field, lens)| By::Field(field, meant(lens, value)));
        let all = ids.chain(fields).map(|by| Clue { entity: index, by });
        found.extend(all.filter(|clue| word.is_none_or(|word| word == clue.word(entities)) && clue.says_something()));
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match word {
        Some("legacy") => "what follows `legacy:` is not an ObjectId (24 hex digits)".to_owned(),
        Some("renaissance") => "what follows `renaissance:` is not a whole number".to_owned(),
        Some(word) => format!("what follows `{word}:` cannot be read as one"),
        None => format!("this names nobody; write WORD:VALUE, where the word is one of: {}", words.join(", ")),
    })
}

impl Clue {
    const fn says_something(&self) -> bool {
        match &self.by {
            By::Id(_) => true,
            By::Field(_, values) => !values.is_empty(),
        }
    }
}

/// The entities whose records are persons.
pub fn persons(entities: &[Entity]) -> impl Iterator<Item = (EntityIndex, &Entity)> {
    (0..=u16::MAX).map(EntityIndex).zip(entities).filter(|(_, entity)| entity.owner.is_none())
}

/// The fields that name a person by themselves.
pub fn keys(entity: &Entity) -> impl Iterator<Item = (usize, &Field)> {
    let single =
        entity.natural_keys.iter().filter_map(|key| if let [field] = key.as_slice() { Some(*field) } else { None });
    single.filter_map(|field| Some((field, entity.fields.get(field)?)))
}

fn words(entities: &[Entity]) -> Vec<&str> {
    let mut words: Vec<&str> = Side::ALL.iter().map(|side| side.as_str()).collect();
    for field in persons(entities).flat_map(|(_, entity)| keys(entity).map(|(_, field)| field.name.as_str())) {
        if !words.contains(&field) {
            words.push(field);
        }
    }
    words
}

/// A primary key; digits that begin with `+` or 0 are something else.
pub fn renaissance_id(text: &str) -> Option<i64> {
    let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_: &i64| digits)
}

/// The canonical values that somebody may mean who types this, as either side would understand it.
pub fn meant(field: &Field, text: &str) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    for value in Side::ALL.into_iter().flat_map(|side| field.half(side).meant(text)) {
        if value != Value::Null && !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mapping::{connect, parse};

    fn entities() -> Vec<Entity> {
        let parsed = |(file, text)| parse(file, text).unwrap();
        let mut entities: Vec<Entity> = [
            ("user.toml", include_str!("../../mappings/user.toml")),
            ("biograph.toml", include_str!("../../mappings/biograph.toml")),
        ]
        .map(parsed)
        .into();
        connect(&mut entities);
        entities
    }

    /// The words of what a text may mean.
    fn words(text: &str) -> Vec<String> {
        let entities = entities();
        let clues = clues(text, &entities).unwrap_or_default();
        assert!(clues.iter().all(|clue| clue.entity == EntityIndex(0)), "only people");
        clues.iter().map(|clue| clue.word(&entities).to_owned()).collect()
    }

    #[test]
    fn a_word_says_what_the_value_is() {
        for (text, word) in [
            ("legacy:65f0c0ffee00000000000abc", "legacy"),
            ("renaissance:7", "renaissance"),
            ("phone:8475550100", "phone"),
            ("email:ada@example.com", "email"),
            ("username: 7 ", "username"),
        ] {
            assert_eq!(words(text), [word], "{text}");
        }
    }

    #[test]
    fn a_bare_value_means_whatever_it_can() {
        assert_eq!(words("65f0c0ffee00000000000abc"), ["legacy", "email", "username"]);
        assert_eq!(words("+1 (847) 555-0100"), ["phone", "email", "username"]);
        assert_eq!(words("8475550100"), ["renaissance", "phone", "email", "username"]);
        assert_eq!(words("Ada:King"), ["email", "username"]);
    }

    #[test]
    fn what_names_nobody_is_refused_without_being_repeated() {
        for (text, said) in [
            ("legacy:ada", "24 hex digits"),
            ("renaissance:-", "whole number"),
            ("phone:call me", "`phone:` cannot be read"),
            ("fax:5550100", "legacy, renaissance, phone, email, username"),
            (" ", "WORD:VALUE"),
        ] {
            let refusal = clues(text, &entities()).unwrap_err();
            assert!(refusal.contains(said) && !refusal.contains("5550100"), "{text}: {refusal}");
        }
        assert!(clues("ada", &[]).is_err(), "without mappings nobody is known");
    }
}
