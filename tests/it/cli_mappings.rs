//! `mappings show` and `mappings try` from outside.

use serde_json::{Value, json};

use crate::cli_harness::{Bridge, USER_MAPPING};

fn bridge() -> Bridge {
    Bridge::new().file("mappings/user.toml", USER_MAPPING)
}

fn field<'a>(answer: &'a Value, name: &str) -> &'a Value {
    answer["fields"].as_array().unwrap().iter().find(|field| field["field"] == name).unwrap()
}

#[test]
fn a_mapping_is_shown_as_a_table_and_as_json() {
    let shown = bridge().run("mappings show");
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    for part in
        ["authapp_usermodel ↔ users, user_profiles", "recognised by: phone, then email", "bool ↔ table", "\"premium\""]
    {
        assert!(shown.out.contains(part), "{part} is missing from\n{}", shown.out);
    }
    let json = bridge().run("mappings show user --json").json();
    let premium = field(&json["entities"][0], "premium");
    assert_eq!(premium["renaissance"], json!(["users.subscription_status"]));
    assert_eq!(premium["normal_form"], "\"premium\"");
    let unknown = bridge().run("mappings show users");
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("fix: did you mean `user`?"), "{}", unknown.err);
}

#[test]
fn a_document_is_tried_both_ways_and_what_is_lost_is_marked() {
    let document = json!({ "_id": { "$oid": "65f0c0ffee00000000000001" }, "username": "ada", "phone_number": "call me",
        "status_key": 0, "badges": [1] });
    let bridge = bridge().file("ada.json", &document.to_string());
    let text = bridge.run("mappings try --legacy ada.json");
    assert_eq!(text.code, Some(0), "{}", text.err);
    for part in [
        "✗ phone",
        "cannot cross: wrong_type: legacy phone_number holds something that is not a telephone number",
        "! active",
        "not mapped, stays in legacy: badges",
        "1 lose something, 1 cannot cross",
    ] {
        assert!(text.out.contains(part), "{part} is missing from\n{}", text.out);
    }
    assert!(!text.out.contains("unsupported_id"), "{}", text.out);
    let json = bridge.run("mappings try --legacy ada.json --json").json();
    assert_eq!((&json["entity"], &json["from"]), (&"user".into(), &"legacy".into()));
    assert_eq!(field(&json, "username")["outcome"], "kept");
    assert_eq!(field(&json, "phone")["reason"], "wrong_type");
    assert_eq!((&json["made"]["users"]["username"], &json["unsupported_id"]), (&json!("ada"), &json!(false)));
    let stray =
        bridge.file("stray.json", "{\"_id\": \"a-1\", \"username\": \"ada\"}").run("mappings try --legacy stray.json");
    assert!(stray.out.contains("park it as unsupported_id"), "{}", stray.out);
}

#[test]
fn rows_are_tried_and_an_unusable_file_is_refused() {
    let rows = json!({ "users": { "id": 7, "username": "ada", "subscription_status": "pro", "last_login": null } });
    let bridge =
        bridge().file("rows.json", &rows.to_string()).file("list.json", "[1]").file("other.json", "{\"x\": 1}");
    let json = bridge.run("mappings try --renaissance rows.json --json").json();
    assert_eq!(field(&json, "premium")["returned"], json!({ "users.subscription_status": "premium" }));
    assert_eq!(field(&json, "premium")["outcome"], "loses");
    assert_eq!(json["unmapped"], json!(["users.last_login"]));
    for (arguments, code, message) in [
        ("--legacy nowhere.json", 1, "cannot read nowhere.json"),
        ("--legacy list.json", 1, "does not hold one JSON object"),
        ("--legacy other.json", 1, "no mapping finds any of its fields"),
        ("--legacy mappings/user.toml", 1, "is not JSON"),
        ("--legacy rows.json --renaissance rows.json", 2, "cannot be used with"),
        ("", 2, "required"),
    ] {
        let answer = bridge.run(&format!("mappings try {arguments}"));
        assert_eq!(answer.code, Some(code), "{arguments}: {}", answer.err);
        assert!(answer.err.contains(message), "{arguments}: {}", answer.err);
    }
}
