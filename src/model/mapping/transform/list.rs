//! `as = "list"`: an array of plain values, in legacy and in a `jsonb` list or an array column of one dimension. `of` says
//! what each element is: `text` (the default),
//! `int`, `bool`, `float` or `decimal`, understood as in a field of its own; null elements stay null.
//! With `order = "none"` order and repetition mean nothing, which `policy = "union"` needs. Elements that already read the same
//! keep their type when others change.
//! ```toml
//! [[field]]
//! name = "all_keywords"
//! as = "list"
//! of = "text"
//! missing = []
//! legacy = "allKeywords"
//! renaissance = "all_keywords"
//! ```

use super::{Compound, NullForm, Place, Shape, Transform, Write, misfit};
use crate::model::{
    catalog::ColumnKind, counterparts::Counterparts, mapping::Loss, merge::member_order, problem::Problem, value::Value,
};

/// An array of plain values in one slot.
#[derive(Clone, PartialEq)]
pub struct ListForm {
    /// What each element is; a scalar.
    pub each: Box<Transform>,
    /// Whether order and repetition mean nothing.
    pub set: bool,
}

impl ListForm {
    fn element(&self, held: &Value, place: &Place<'_>) -> Result<Value, Problem> {
        match self.each.shape() {
            _ if *held == Value::Null => Ok(Value::Null),
            Shape::Scalar(scalar) => scalar.read(held, place),
            Shape::Compound(_) => Err(misfit(held, "a plain value")),
        }
    }

    fn spelled(&self, value: &Value) -> Result<Value, Problem> {
        match self.each.shape() {
            _ if *value == Value::Null => Ok(Value::Null),
            Shape::Scalar(scalar) => scalar.write(value),
            Shape::Compound(_) => Err(misfit(value, "a plain value")),
        }
    }

    /// What is there and stays keeps its place and spelling; what is new comes after.
    fn as_set(&self, wanted: &[Value], held: &[Value], place: &Place<'_>) -> Result<Vec<Value>, Problem> {
        let meaning = |item: &Value| self.element(item, place).ok();
        let mut items: Vec<Value> =
            held.iter().filter(|item| meaning(item).is_some_and(|value| wanted.contains(&value))).cloned().collect();
        let known: Vec<Value> = items.iter().filter_map(meaning).collect();
        for value in wanted.iter().filter(|value| !known.contains(value)) {
            items.push(self.spelled(value)?);
        }
        Ok(items)
    }

    fn in_order(&self, wanted: &[Value], held: &[Value], place: &Place<'_>) -> Result<Vec<Value>, Problem> {
        let same = |n: usize, at: usize| self.element(&held[at], place).as_ref() == Ok(&wanted[n]);
        let pairs = Counterparts::new(wanted.len(), held.len(), same);
        let item = |(n, value): (usize, &Value)| match pairs.of(n).and_then(|at| held.get(at)) {
            Some(there) if self.element(there, place).as_ref() == Ok(value) => Ok(there.clone()),
            _ => self.spelled(value),
        };
        wanted.iter().enumerate().map(item).collect()
    }
}

impl Compound for ListForm {
    fn read(&self, places: &[Place<'_>]) -> Result<Value, Problem> {
        let Some(place) = places.first() else { return Ok(Value::Null) };
        let items = match place.value() {
            None => return Ok(Value::Null),
            Some(Value::List(items)) => items,
            Some(_) => return Err(place.wrong("an array")),
        };
        let inside = format!("an element of {}", place.name);
        let element = |item: &Value| self.element(item, &Place { name: &inside, held: Some(item) });
        let mut values = items.iter().map(element).collect::<Result<Vec<_>, _>>()?;
        if self.set {
            values.sort_by(member_order);
            values.dedup();
        }
        Ok(Value::List(values))
    }

    fn write(&self, value: &Value, places: &[Place<'_>], null: NullForm) -> Result<Vec<Write>, Problem> {
        let wanted = match value {
            Value::Null => return Ok(vec![null.write(); places.len()]),
            Value::List(wanted) => wanted,
            other => return Err(misfit(other, "a list")),
        };
        let write = |place: &Place<'_>| {
            let held = match place.value() {
                Some(Value::List(items)) => items.as_slice(),
                _ => &[],
            };
            let items = if self.set { self.as_set(wanted, held, place) } else { self.in_order(wanted, held, place) };
            items.map(Value::List).map(Write::Set)
        };
        places.iter().map(write).collect()
    }

    fn forms(&self, _value: &Value) -> Vec<Vec<(usize, Value)>> {
        Vec::new()
    }

    fn fits(&self, _place: usize, kind: ColumnKind) -> bool {
        match (kind, self.each.shape()) {
            (ColumnKind::Json, _) => true,
            (ColumnKind::Array(element), Shape::Scalar(each)) => each.fits(element.kind()),
            _ => false,
        }
    }

    fn losses(&self, _names: &[String]) -> Vec<Loss> {
        match self.each.shape() {
            Shape::Scalar(each) => each.losses(),
            Shape::Compound(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        mapping::transform::{int::IntForm, text::TextForm},
        merge::{Agreed, Verdict, merge},
        policy::Policy,
        reading::Reading,
        side::Side,
    };

    fn write(form: &ListForm, wanted: &Value, held: &Value) -> Option<Value> {
        match form.write(wanted, &[Place { name: "l", held: Some(held) }], NullForm::Null).ok()?.pop()? {
            Write::Set(value) => Some(value),
            Write::Keep | Write::Remove => None,
        }
    }

    #[test]
    fn elements_that_stay_keep_their_spelling_and_null_stays_null() {
        let form = ListForm { each: Box::new(Transform::Int(IntForm)), set: false };
        let held = Value::List(vec![Value::Text("1".into()), Value::Null, Value::Float(3.0)]);
        let canonical = Value::List(vec![Value::Int(1), Value::Null, Value::Int(3)]);
        assert_eq!(form.read(&[Place { name: "l", held: Some(&held) }]), Ok(canonical));
        let wanted = Value::List(vec![Value::Int(1), Value::Null, Value::Int(4)]);
        let expected = Value::List(vec![Value::Text("1".into()), Value::Null, Value::Int(4)]);
        assert_eq!(write(&form, &wanted, &held), Some(expected));
        let wrong = Value::List(vec![Value::Bool(true)]);
        let problem = form.read(&[Place { name: "l", held: Some(&wrong) }]).unwrap_err();
        assert_eq!(problem.detail, "an element of l holds bool; a whole number is expected");
    }

    #[test]
    fn a_set_is_the_same_in_any_order() {
        let text = |text: &str| Value::Text(text.into());
        let form = ListForm { each: Box::new(Transform::Text(TextForm { empty_is_null: false })), set: true };
        let read = |items: &[Value]| {
            let held = Value::List(items.to_vec());
            form.read(&[Place { name: "l", held: Some(&held) }]).unwrap()
        };
        assert_eq!(read(&[text("b"), Value::Int(7), text("b")]), read(&[text("7"), text("b")]));
        let wanted = read(&[text("c"), text("7")]);
        let held = Value::List(vec![Value::Int(7), text("b")]);
        assert_eq!(write(&form, &wanted, &held), Some(Value::List(vec![Value::Int(7), text("c")])));
    }

    #[test]
    fn a_union_of_sets_is_read_as_it_was_merged() {
        let form = ListForm { each: Box::new(Transform::Text(TextForm { empty_is_null: false })), set: true };
        let read = |held: &Value| form.read(&[Place { name: "l", held: Some(held) }]).unwrap();
        let set = |names: &[&str]| {
            Reading::Value(read(&Value::List(names.iter().map(|name| Value::Text((*name).into())).collect())))
        };
        let nothing = Agreed { value: None, members: Some(&[]), number: None };
        for (left, right) in [(["d", "b"], ["c", "a"]), (["a", "f"], ["e", "b"]), (["x", "y"], ["z", "w"])] {
            let Verdict::Combined(merged) = merge(Policy::Union, Side::Legacy, nothing, &set(&left), &set(&right))
            else {
                panic!("{left:?} and {right:?} are to be united");
            };
            assert_eq!(read(&merged), merged);
        }
    }
}
