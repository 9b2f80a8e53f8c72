//! The shipped mappings: they parse, their examples hold.

use super::*;

pub(super) fn user() -> Entity {
    parse("mappings/user.toml", include_str!("../../../mappings/user.toml"))
        .unwrap_or_else(|errors| panic!("{}", errors.iter().map(|e| format!("{e}\n")).collect::<String>()))
}

#[test]
fn the_shipped_mapping_of_people_parses_and_its_examples_hold() {
    let user = user();
    let failures: Vec<String> = user.run_cases().iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(user.cases.len() >= 6);
    assert_eq!(user.legacy.paths.first(), Some(&Path(vec!["_id".into()])));
}
