//! The files in `deploy/`, and places in them.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A path below `deploy/`.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// The text of a file below `deploy/`.
pub(crate) fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// Every document of a YAML file below `deploy/`.
pub(crate) fn yaml(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// The only document of a YAML file below `deploy/`.
pub(crate) fn one_yaml(name: &str) -> Value {
    let mut documents = yaml(name);
    assert_eq!(documents.len(), 1, "deploy/{name} holds one document");
    documents.remove(0)
}

/// The text at a JSON pointer.
pub(crate) fn string<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer} in {value}"))
}

/// The list at a JSON pointer.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no list at {pointer} in {value}"))
}
