//! Conditions on the fields of an entity: what each value means there.

use std::cmp::Ordering;

use super::{Ask, Bound, BoundAsk, BoundTest, Condition, Literal, Mistake, Place, Spelled, Test, masked, order};
use crate::model::{
    calendar,
    decimal::Decimal,
    mapping::{Entity, Field, Flow},
    nearest::did_you_mean,
    person::meant,
    side::Side,
    value::Value,
};

impl Condition {
    /// Ties the condition to an entity, or says which field it does not have, or which value a field can never have.
    pub fn bind(&self, entity: &Entity) -> Result<Bound, Mistake> {
        let mut hidden: Vec<Place> = Vec::new();
        let tree = self.tree.try_map(&mut |test: &Test| bind(test, entity, &mut hidden))?;
        hidden.sort_by_key(|place| place.at);
        Ok(Bound { tree, shown: masked(&self.text, &hidden) })
    }
}

fn bind(test: &Test, entity: &Entity, hidden: &mut Vec<Place>) -> Result<BoundTest, Mistake> {
    let Some(index) = entity.field(&test.field) else { return Err(unknown(test, entity)) };
    let field = &entity.fields[index];
    let cannot = |what: &str| Mistake::new(test.place, format!("`{}` {what}", test.field));
    let words = Side::ALL.map(|side| field.half(side).transform.word());
    let one_of = |kinds: &[&str]| words.iter().any(|word| kinds.contains(word));
    if one_of(&["list", "spread", "references", "json"]) && test.ask != Ask::Missing {
        return Err(cannot("holds more than one value: only `is missing` can be asked of it"));
    }
    let ask = match &test.ask {
        Ask::Missing => BoundAsk::Missing,
        Ask::Among(literals) => {
            let mut all = Vec::new();
            for literal in literals {
                all.extend(values(field, literal, hidden)?);
            }
            BoundAsk::Among(all)
        }
        Ask::Order(comparison, literal) => {
            if !Side::ALL.into_iter().all(|side| field.half(side).transform.has_order()) {
                return Err(cannot("has no order: ask for = or !="));
            }
            match <[Value; 1]>::try_from(values(field, literal, hidden)?) {
                Ok([value]) => BoundAsk::Order(*comparison, value),
                Err(_) => return Err(Mistake::new(literal.place, "this may mean several values here")),
            }
        }
        Ask::StartsWith(literal) => match &literal.spelled {
            Spelled::Text(text)
                if words.iter().all(|word| ["text", "media", "phone", "name", "table"].contains(word)) =>
            {
                hidden.push(literal.place);
                BoundAsk::StartsWith(text.clone())
            }
            Spelled::Text(_) => return Err(cannot("is no text")),
            Spelled::Number(_) | Spelled::Bool(_) => {
                return Err(Mistake::new(literal.place, "a text in quotes is expected here"));
            }
        },
    };
    Ok(BoundTest { field: index, ask })
}

fn unknown(test: &Test, entity: &Entity) -> Mistake {
    let names: Vec<&str> = entity.fields.iter().map(|field| field.name.as_str()).collect();
    let hint =
        did_you_mean(&test.field, names.iter().copied()).unwrap_or_else(|| format!("there are: {}", names.join(", ")));
    let mistake = Mistake::new(test.place, format!("{} has no field `{}`", entity.name, test.field));
    Mistake { hint: Some(hint), ..mistake }
}

/// What a literal means for a field: a canonical value, or else what either side would read it as; never nothing.
fn values(field: &Field, literal: &Literal, hidden: &mut Vec<Place>) -> Result<Vec<Value>, Mistake> {
    let possible = |value: &Value| Side::ALL.into_iter().all(|side| field.half(side).can_hold(value));
    let (text, canonical) = spellings(&literal.spelled);
    let mut values: Vec<Value> = canonical.into_iter().filter(possible).collect();
    if values.is_empty() {
        values = meant(field, &text);
        // what one side reads has to be something that the other can hold, unless it never crosses to there
        values.retain(|value| possible(value) || field.flow != Flow::Both);
    }
    // one number in several types is one
    let mut distinct: Vec<Value> = Vec::with_capacity(values.len());
    for value in values {
        if distinct.iter().all(|known| order(known, &value) != Some(Ordering::Equal)) {
            distinct.push(value);
        }
    }
    let values = distinct;
    if values.is_empty() {
        let [legacy, renaissance] = Side::ALL.map(|side| field.half(side).transform.word());
        let kind = if legacy == renaissance { legacy.to_owned() } else { format!("{legacy} and {renaissance}") };
        let what = format!("`{}` can never be this: it is mapped as {kind}", field.name);
        return Err(Mistake::new(literal.place, what));
    }
    if values.iter().any(|value| matches!(value, Value::Text(_))) {
        hidden.push(literal.place);
    }
    Ok(values)
}

/// The literal as text, and the canonical values that it spells.
fn spellings(spelled: &Spelled) -> (String, Vec<Value>) {
    match spelled {
        Spelled::Bool(flag) => (flag.to_string(), vec![Value::Bool(*flag)]),
        Spelled::Number(number) => {
            let int = number.parse().ok().map(Value::Int);
            let others =
                [number.parse::<f64>().ok().map(Value::Float), number.parse::<Decimal>().ok().map(Value::Decimal)];
            (number.clone(), int.into_iter().chain(others.into_iter().flatten()).collect())
        }
        Spelled::Text(text) => {
            let moment = calendar::from_iso(text);
            let day = moment.filter(|at| at.rem_euclid(calendar::DAY) == 0);
            let day = day.and_then(|at| i32::try_from(at.div_euclid(calendar::DAY)).ok());
            let all = [Some(Value::Text(text.as_str().into())), moment.map(Value::Timestamp), day.map(Value::Date)];
            (text.clone(), all.into_iter().flatten().collect())
        }
    }
}
