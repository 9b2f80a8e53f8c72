//! The shipped mappings parse, their examples hold, and wrong files and databases are named.

mod binding;
mod laws;
mod nasty;
mod options;
mod refusals;
mod spelling;
mod values;

use super::*;

fn parsed(file: &str, text: &str) -> Entity {
    let mut entity = parse(file, text)
        .unwrap_or_else(|errors| panic!("{}", errors.iter().map(|e| format!("{e}\n")).collect::<String>()));
    connect(std::slice::from_mut(&mut entity));
    entity
}

fn user() -> Entity {
    parsed("mappings/user.toml", include_str!("../../../../mappings/user.toml"))
}

#[test]
fn the_shipped_mapping_of_people_parses_and_its_examples_hold() {
    let user = user();
    let failures: Vec<String> = user.run_cases().iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(user.cases.len() >= 6);
    assert_eq!(user.legacy.paths.first(), Some(&Path(vec!["_id".into()])));
}

#[test]
fn an_example_that_does_not_hold_is_shown_with_what_was_found() {
    let text = include_str!("../../../../mappings/user.toml")
        .replace("\"premium\": true, \"active\": true", "\"premium\": false, \"active\": 7");
    let failures = parsed("user.toml", &text).run_cases();
    let shown: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(shown.iter().any(|line| line.ends_with("field premium: expected false, found true")), "{shown:#?}");
    assert!(shown.iter().any(|line| line.ends_with("field active: expected 7, found true")), "{shown:#?}");
}

#[test]
fn a_table_with_another_name_is_one_problem_of_an_example_and_not_one_of_each_column() {
    let shipped = include_str!("../../../../mappings/user.toml");
    let text = shipped.replace("table = \"users\"", "table = \"people\"");
    let failures = parsed("user.toml", &text).run_cases();
    assert!(!failures.is_empty() && failures.len() <= parsed("user.toml", shipped).cases.len(), "{failures:?}");
    for failure in failures {
        let expected = "renaissance: the mapping has no table `users`, but `people`, `user_profiles`";
        assert!(failure.message.starts_with(expected), "{failure}");
    }
}
