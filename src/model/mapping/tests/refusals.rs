//! Malformed mapping files: everything wrong at once, each with its line, its field and what to write instead.

use super::{
    super::{check::check, *},
    user,
};

const SHIPPED: &str = include_str!("../../../../mappings/user.toml");

fn refusals(text: &str) -> Vec<String> {
    parse("m.toml", text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// The shipped mapping with one thing changed.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(SHIPPED.contains(from), "{from}");
    refusals(&SHIPPED.replacen(from, to, 1))
}

#[test]
fn everything_wrong_is_reported_at_once_with_line_and_field() {
    let text = "entity = \"thing\"\npolcy = \"owner\"\n\n[legacy]\ncolection = \"things\"\n\n[renaissance]\ntable = \"things\"\nlegacy_id = \"old_id\"\n\n\
        [[field]]\nname = \"title\"\nas = \"txt\"\nlegacy = \"title\"\nrenaissance = \"title\"\n\n\
        [[field]]\nname = \"count\"\nas = \"int\"\nlegacy = { path = \"count\", mising = 0 }\n";
    let expected = [
        "m.toml:2: unknown key `polcy`; did you mean `policy`?",
        "m.toml:4: `collection` is missing; add `collection = \"…\"`",
        "m.toml:5: unknown key `colection`; did you mean `collection`?",
        "m.toml:13: field title: `as = \"txt\"` is not known; did you mean `text`?",
        "m.toml:17: field count: `renaissance` is missing; add `renaissance = \"…\"`",
        "m.toml:20: field count: unknown key `mising`; did you mean `missing`?",
    ];
    assert_eq!(refusals(text), expected);
}

#[test]
fn names_of_fields_are_checked_even_where_a_field_is_wrong() {
    let text = SHIPPED.replacen("as = \"phone\"", "as = \"fone\"", 1).replacen("[\"phone\",", "[\"phoen\",", 1);
    let found = refusals(&text);
    let names = [
        "m.toml:7: there is no field `phoen`; did you mean `phone`?",
        "m.toml:51: field phone: `as = \"fone\"` is not known; did you mean `phone`?",
    ];
    assert_eq!(found, names, "and no other name");
}

#[test]
fn what_would_make_a_field_ambiguous_is_refused() {
    let cases = [
        (
            "renaissance = \"email\"",
            "renaissance = \"username\"",
            "column `username` is already used by field username",
        ),
        ("path = \"email\"", "path = \"email_notification\"", "overlaps"),
        ("renaissance = \"is_active\"", "renaissance = \"is_staff\"", "has an insert value"),
        ("renaissance = \"is_active\"", "renaissance = \"user_profile.is_active\"", "did you mean `user_profiles`?"),
        ("name = \"email\"", "name = \"username\"", "already taken by the field of line"),
        ("on = false, off = true }", "on = false }", "needs at least one condition with an `off` value"),
        ("on = false, off = true }", "on = false, off = false }", "`on` and `off` are the same"),
        ("[[\"users/BioGraph/\", ", "[[\"https://media\", ", "overlap"),
        ("missing = false", "missing = 3", "`missing` is int, which this field cannot hold"),
        ("missing = \"friends\"", "missing = \"F\"", "`missing` is text"),
        ("[\"phone\", \"email\"", "[\"fone\", \"email\"", "there is no field `fone`; did you mean `phone`?"),
        ("default_country = \"1\"", "default_country = \"+1\"", "country code in digits"),
        ("{ generate = \"now\" }", "{ generate = \"noon\" }", "is not known; one of unusable_password, now"),
        ("parent = \"user_id\"", "", "`parent` is missing"),
        ("legacy_id = \"old_user_id\"", "", "`legacy_id` is missing"),
        ("normal_form = \"first\"", "normal_form = first", "not TOML"),
        ("path = \"name\", null_as = \"empty\"", "path = \"_id\"", "the identity of the record"),
        (
            "renaissance = { country = \"country_code\", number = \"phone_number\", stored = \"national\" }",
            "renaissance = \"phone_number\"",
            "must be a table that gives `country`",
        ),
        ("record = '''{\"phone\": \"+442079460018\"}'''", "record = '''{\"phone\": }'''", "is not JSON"),
    ];
    for (from, to, message) in cases {
        let found = changed(from, to);
        assert!(found.iter().any(|line| line.contains(message)), "{to}: {found:#?}");
    }
}

#[test]
fn a_join_table_takes_insert_values_and_no_templates() {
    let with = |insert: &str| {
        format!(
            "entity = \"a\"\nlegacy = {{ collection = \"a\" }}\nrenaissance = {{ table = \"a\", key = \"id\", legacy_id = \"old\" }}\n\
             [[field]]\nname = \"f\"\nas = \"references\"\nto = \"a\"\nlegacy = \"f\"\n\
             renaissance = {{ table = \"j\", parent = \"a_id\", column = \"f_id\", insert = {insert} }}\n"
        )
    };
    let entity = parse("m.toml", &with("{ since = { generate = \"now\" }, kind = 1 }"));
    let entity = entity.unwrap_or_else(|errors| panic!("{errors:?}"));
    let inserted: Vec<&str> = entity.renaissance.tables[1].insert.iter().map(|(column, _)| column.as_str()).collect();
    assert_eq!(inserted, ["since", "kind"]);
    let found = refusals(&with("{ since = { template = \"{f}\" } }"));
    assert!(found.iter().any(|line| line.contains("cannot be made from a template")), "{found:#?}");
}

#[test]
fn a_text_that_is_not_toml_is_refused_with_its_line() {
    let found = refusals("entity = \"x\"\n[legacy\n");
    assert!(found.iter().all(|line| line.starts_with("m.toml:2: not TOML")), "{found:#?}");
    assert!(!refusals("").is_empty());
    assert!(!refusals("entity = 3\nfield = 4\nlegacy = 5\nrenaissance = [6]\ncase = \"x\"\nlabel = \"\"\n").is_empty());
}

#[test]
fn checking_several_files_finds_what_they_both_claim() {
    let file = |name: &str| (name.to_owned(), SHIPPED.to_owned());
    let one = check(&[file("a.toml")]);
    assert!(one.is_ok());
    assert_eq!((one.files, one.fields, one.cases), (1, user().fields.len(), user().cases.len()));
    assert!(
        one.warnings[0].ends_with("media prefix still points at example.com; put your media host there"),
        "{:?}",
        one.warnings
    );
    let both = check(&[file("a.toml"), file("b.toml"), ("c.toml".to_owned(), "entity = 1".to_owned())]);
    let errors: Vec<String> = both.errors.iter().map(ToString::to_string).collect();
    for message in [
        "b.toml:1: entity user is already declared in a.toml",
        "collection authapp_usermodel is already",
        "table users is already",
    ] {
        assert!(errors.iter().any(|error| error.contains(message)), "{errors:#?}");
    }
    assert!(errors.iter().any(|error| error.starts_with("c.toml:1: ")));
}

#[test]
fn a_way_to_log_in_names_a_field_and_where_it_is_offered() {
    for (from, to, said) in [
        ("by = \"phone\"", "by = \"phoen\"", "there is no field `phoen`; did you mean `phone`?"),
        ("by = \"phone\"\n", "", "`by` is missing"),
        ("sides = [\"renaissance\"]", "sides = [\"renaisance\"]", "did you mean `renaissance`?"),
        ("sides = [\"renaissance\"]", "sides = []", "nobody could log in that way"),
        ("way = \"email_jwt\"", "way = \"phone_otp\"", "declared twice"),
        ("way = \"email_jwt\"", "way = \"email_jwt\"\nwhen = 1", "unknown key `when`"),
        ("needs = { column = \"password\",", "needs = {", "`column` is missing"),
        (
            "needs = { column = \"password\",",
            "needs = { column = \"profile.password\",",
            "neither the root table nor a child",
        ),
        ("not_beginning = [\"!\"]", "not_beginning = [1]", "must be text in quotes"),
        (
            "way = \"phone_otp\"\nby = \"phone\"\nsides = [\"legacy\", \"renaissance\"]",
            "way = \"phone_otp\"\nby = \"phone\"\nsides = [\"legacy\"]\nneeds = { column = \"pin\" }",
            "where this way is not offered",
        ),
    ] {
        let found = changed(from, to);
        assert!(found.len() == 1 && found[0].contains(said), "{to}: {found:?}");
    }
    let owned = include_str!("../../../../mappings/book.toml").to_owned()
        + "\n[[login]]\nway = \"title\"\nby = \"title\"\nsides = [\"legacy\"]\n";
    assert!(refusals(&owned)[0].contains("only people log in"));
}
