//! `${VAR}`, `${VAR:-default}`, `${file:PATH}` and `$$` in the string values of the file.

use std::path::Path;

use super::Environment;

/// Expands a value; all that is wrong with it on failure, without the value itself.
pub(super) fn expand(text: &str, folder: &Path, environment: Environment<'_>) -> Result<String, Vec<String>> {
    let mut out = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some(end) = after.find('}') else {
                wrong.push("a ${ is not closed by }; a plain $ is written $$".to_owned());
                return Err(wrong);
            };
            match reference(&after[..end], folder, environment) {
                Ok(value) => out.push_str(&value),
                Err(message) => wrong.push(message),
            }
            rest = &after[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    if wrong.is_empty() { Ok(out) } else { Err(wrong) }
}

fn reference(inside: &str, folder: &Path, environment: Environment<'_>) -> Result<String, String> {
    if let Some(path) = inside.strip_prefix("file:") {
        return super::file::read_text(&folder.join(path)).map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err("a ${…} holds no variable name; a plain $ is written $$".to_owned());
    }
    match (environment(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("the environment variable {name} is not set")),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, Vec<String>> {
        let environment = |name: &str| match name {
            "USER_NAME" => Some("ada".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        expand(text, Path::new("/nowhere"), &environment)
    }

    #[test]
    fn variables_defaults_and_escapes_expand() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${USER_NAME}@host", "ada@host"),
            ("${EMPTY}|${EMPTY:-d}|${MISSING:-d}|${MISSING:-}", "|d|d|"),
            ("${MISSING:-a:b}", "a:b"),
            ("cost $$5, $5, $", "cost $5, $5, $"),
            ("$${USER_NAME}", "${USER_NAME}"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_wrong_with_a_value_is_named_at_once() {
        let wrong = expanded("${ONE} ${TWO} ${file:gone} ${not a name} ${open").unwrap_err();
        assert_eq!(wrong.len(), 5, "{wrong:?}");
        assert_eq!(wrong[0], "the environment variable ONE is not set");
        assert!(wrong[2].contains("/nowhere/gone"), "{wrong:?}");
    }
}
