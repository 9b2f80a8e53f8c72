//! Array columns of one dimension: read as JSON, written as Postgres' array literals.

use super::codec;
use crate::model::{catalog::Element, value::Value};

/// How an array column is selected for [`items`]: each element as its text, which is exact for every kind.
pub(super) fn select(quoted: &str) -> String {
    format!("array_to_json({quoted}::text[])::text")
}

/// What was selected, with elements as a column of their kind would hold them. Where an array begins to count is not part of
/// its value; arrays inside (more dimensions) stay lists.
pub(super) fn items(value: Value, element: Element) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(|item| one(item, element)).collect()),
        other => other,
    }
}

fn one(item: Value, element: Element) -> Value {
    let Value::Text(text) = item else { return item };
    match element {
        Element::Text(_) | Element::Enum => Value::Text(text),
        Element::Bool => Value::Bool(text == "true"),
        Element::Int(_) => text.parse().map_or(Value::Opaque("number"), Value::Int),
        Element::Float(_) => text.parse().map_or(Value::Opaque("number"), Value::Float),
        Element::Numeric(_) => codec::numeric(&text),
    }
}

/// `{"a",NULL}`. Every element is quoted: then no element looks like anything else.
pub(super) fn literal(items: &[Value], element: Element) -> String {
    let mut text = String::from("{");
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        match codec::encode(Some(&Some(item.clone())), element.kind()) {
            None => text.push_str("NULL"),
            Some(content) => {
                text.push('"');
                for letter in content.chars() {
                    if matches!(letter, '"' | '\\') {
                        text.push('\\');
                    }
                    text.push(letter);
                }
                text.push('"');
            }
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::ColumnKind;

    #[test]
    fn no_element_looks_like_syntax() {
        let text = |text: &str| Value::Text(text.into());
        let items = [text("a\"b\\"), text("NULL"), Value::Null, text(""), text("{x, y}")];
        assert_eq!(literal(&items, Element::Text(None)), r#"{"a\"b\\","NULL",NULL,"","{x, y}"}"#);
        assert_eq!(literal(&[], Element::Bool), "{}");
        assert_eq!(literal(&[Value::Bool(true), Value::Null], Element::Bool), r#"{"true",NULL}"#);
        assert_eq!(literal(&[Value::Float(f64::NAN)], Element::Float(64)), r#"{"NaN"}"#);
    }

    #[test]
    fn elements_read_as_a_column_of_their_kind_holds_them() {
        let read = |item: &str, element| {
            let list = items(Value::List(vec![Value::Text(item.into()), Value::Null]), element);
            let Value::List(mut items) = list else { panic!("a list") };
            assert_eq!(items.pop(), Some(Value::Null));
            items.pop()
        };
        assert_eq!(read("-0", Element::Float(64)), Some(Value::Float(-0.0)));
        assert_eq!(read("-Infinity", Element::Float(32)), Some(Value::Float(f64::NEG_INFINITY)));
        assert_eq!(read("3.50", Element::Numeric(None)), Some(Value::Decimal("3.5".parse().unwrap())));
        assert!(matches!(read("NaN", Element::Numeric(None)), Some(Value::Opaque(_))));
        assert_eq!(read("3", Element::Int(16)), Some(Value::Int(3)));
        assert_eq!(read("true", Element::Bool), Some(Value::Bool(true)));
        assert_eq!(read("true", Element::Text(None)), Some(Value::Text("true".into())));
        assert_eq!(items(Value::Null, Element::Bool), Value::Null);
        assert_eq!(ColumnKind::Text(Some(3)).array(), ColumnKind::Array(Element::Text(Some(3))));
    }
}
