//! Every key of the language that the shipped mapping does not use: what it becomes, and what is refused about it.

use super::{
    super::{check::check, *},
    parsed,
};

const HEAD: &str = "entity = \"thing\"\ndelete = \"keep\"\n\n[legacy]\ncollection = \"things\"\n\n[legacy.insert]\n\
    \"status.flags\" = 0\nkind = { value = { a = 1 } }\nmade = { generate = \"now\" }\nkey = { template = \"thing {{{title}}}\" }\n\n\
    [renaissance]\ntable = \"things\"\nlegacy_id = \"old_id\"\n\n[renaissance.insert]\nuuid = { generate = \"uuid\" }\n\
    is_test = false\nslug = { template = \"user-{title}\" }\n\n\
    [[filter]]\nside = \"legacy\"\npath = \"is_test\"\nnone_of = [true]\n\n\
    [[filter]]\nside = \"renaissance\"\ncolumn = \"is_test\"\nany_of = [false, \"null\"]\n\n";
const FIELDS: &str = "[[field]]\nname = \"title\"\ngroup = \"name\"\ndirection = \"to_legacy\"\nwhen = \"insert\"\n\
    on_invalid = { truncate = 5 }\nnormal_form = 5\nlegacy = \"title\"\nrenaissance = \"title\"\n\n\
    [[field]]\nname = \"subtitle\"\ngroup = \"name\"\ndirection = \"to_legacy\"\nwhen = \"insert\"\nlegacy = \"subtitle\"\n\
    renaissance = \"subtitle\"\n";

fn thing() -> Entity {
    parsed("thing.toml", &format!("{HEAD}{FIELDS}"))
}

fn refusals(text: &str) -> Vec<String> {
    parse("m.toml", text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn options_of_a_field_are_read() {
    let [title, subtitle] = <[Field; 2]>::try_from(thing().fields).ok().unwrap();
    assert_eq!(title.flow, Flow::To(Side::Legacy));
    assert_eq!(title.on_invalid, OnInvalid::Truncate(5));
    assert_eq!(title.normal_form, [Value::Int(5)]);
    assert!(title.once && subtitle.once);
    assert_eq!((title.group, subtitle.group), (Some(0), Some(0)));
}

#[test]
fn insert_values_and_templates_get_slots_of_their_own() {
    let thing = thing();
    assert_eq!(thing.deletes, DeleteRule::Keep);
    let path = |slot: usize| thing.legacy.paths[slot].0.join(".");
    let inserts: Vec<String> = thing.legacy.insert.iter().map(|(slot, _)| path(*slot)).collect();
    assert_eq!(inserts, ["status.flags", "kind", "made"]);
    assert!(thing.legacy.insert[0].1 == InsertValue::Constant(Value::Int(0)));
    assert!(thing.legacy.insert[2].1 == InsertValue::Now);
    assert_eq!(path(thing.legacy.computed[0].slot), "key");
    let text = |text: &str| TemplatePart::Text(text.into());
    assert_eq!(thing.legacy.computed[0].parts, [text("thing {"), TemplatePart::Field(0), text("}")]);
    assert_eq!(thing.renaissance.columns[thing.renaissance.computed[0].slot].name, "slug");
    assert_eq!(thing.renaissance.computed[0].parts, [text("user-"), TemplatePart::Field(0)]);
    assert!(thing.renaissance.tables[0].insert[0].1 == InsertValue::Uuid);
}

#[test]
fn a_filter_may_look_at_what_has_an_insert_value_or_belongs_to_a_field() {
    let thing = thing();
    let [legacy, renaissance] = <[Filter; 2]>::try_from(thing.filters).ok().unwrap();
    assert!(legacy.negated && legacy.any_of == [Value::Bool(true)]);
    assert_eq!(thing.legacy.paths[legacy.slot].0, ["is_test"]);
    assert_eq!(renaissance.any_of, [Value::Bool(false), Value::Null]);
    assert!(thing.renaissance.columns[renaissance.slot].filter_only);
    let shared = format!("{HEAD}{FIELDS}").replace("path = \"is_test\"", "path = \"title\"");
    let shared = parsed("m.toml", &shared);
    assert_eq!(shared.filters[0].slot, shared.fields[0].slots(Side::Legacy)[0]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let cases = [
        ("delete = \"keep\"", "delete = \"kept\"", "m.toml:2: `delete = \"kept\"` is not known; did you mean `keep`?"),
        ("\"status.flags\" = 0", "title = 0", "path `title` overlaps `title`, which field title uses"),
        ("\"status.flags\" = 0", "status = { flags = 0 }", "a nested path is one key in quotes"),
        ("\"status.flags\" = 0", "\"a..b\" = 0", "`a..b` is not a path"),
        ("{ generate = \"now\" }", "{ generate = \"unusable_password\" }", "is not known; one of now, uuid"),
        ("user-{title}", "user-{titel}", "there is no field `titel`; did you mean `title`?"),
        ("user-{title}", "user-{title", "a brace without its partner"),
        ("slug = ", "title = ", "column `things.title` is already used by field title"),
        ("side = \"legacy\"\n", "", "`side` is missing"),
        ("none_of = [true]", "none_of = true", "`none_of` must be an array of values"),
        ("none_of = [true]", "none_of = [true]\nany_of = [1]", "needs one of `any_of` and `none_of`"),
        ("none_of = [true]", "noneof = [true]", "unknown key `noneof`; did you mean `none_of`?"),
        ("group = \"name\"", "group = \"other\"", "field title: group other has no other field"),
        ("group = \"name\"", "group = \"name\"\npolicy = \"park\"", "group name needs one `policy`"),
        (
            "group = \"name\"",
            "group = \"name\"\npolicy = \"max\"",
            "is decided as one, which `policy = \"max\"` cannot",
        ),
        ("when = \"insert\"", "when = \"always\"", "group name needs one `when`; field title has another"),
        ("{ truncate = 5 }", "{ truncate = 0 }", "`truncate` must be a whole number, at least 1"),
        ("{ truncate = 5 }", "{ cut = 5 }", "unknown key `cut`"),
        ("{ truncate = 5 }", "\"default\"", "`on_invalid = \"default\"` needs a default"),
        ("{ truncate = 5 }", "{ value = 7 }", "`on_invalid` is int, which legacy cannot hold"),
        ("direction = \"to_legacy\"", "direction = \"left\"", "one of both, to_renaissance, to_legacy"),
        (
            "on_invalid = ",
            "policy = \"union\"\non_invalid = ",
            "m.toml:37: field title: `policy = \"union\"` is for lists",
        ),
        (
            "on_invalid = ",
            "policy = \"sum\"\non_invalid = ",
            "m.toml:37: field title: `policy = \"sum\"` is for `int`, `float` and `decimal`",
        ),
        ("on_invalid = ", "policy = \"latest\"\non_invalid = ", "needs to know when a record was updated"),
        (
            "delete = \"keep\"",
            "delete = \"keep\"\nupdated = \"title\"",
            "`updated` must name a field that is a timestamp",
        ),
        ("on_invalid = ", "as = \"table\"\nvalues = [[1, 1], [\"1\", 2]]\non_invalid = ", "pair 2 of `values`"),
        (
            "on_invalid = ",
            "as = \"table\"\nvalues = [[1, 1]]\notherwise = 2\non_invalid = ",
            "`otherwise` must be one of",
        ),
    ];
    let whole = format!("{HEAD}{FIELDS}");
    for (from, to, message) in cases {
        assert!(whole.contains(from), "{from}");
        let found = refusals(&whole.replacen(from, to, 1));
        assert!(found.iter().any(|line| line.contains(message)), "{to}: {found:#?}");
    }
}

#[test]
fn only_lists_without_an_order_are_united() {
    let field = |lines: &str| lossy(&format!("{lines}\npolicy = \"union\""));
    let sides = "legacy = \"a\"\nrenaissance = \"a\"";
    let refused = [
        "text",
        "int",
        "bool",
        "float",
        "decimal",
        "timestamp\"\nnormal_form = \"millisecond",
        "json",
        "json\"\nonly = \"array",
        "uuid",
    ];
    for kind in refused {
        let found = field(&format!("as = \"{kind}\"\n{sides}"));
        let said = found.iter().any(|line| line.contains(": field f: `policy = \"union\"` is for lists; one of owner"));
        assert!(found.len() == 1 && said, "{kind}: {found:?}");
    }
    let found = field(&format!("as = \"list\"\n{sides}"));
    assert!(found.len() == 1 && found[0].contains("add `order = \"none\"`"), "{found:?}");
    assert_eq!(field(&format!("as = \"list\"\norder = \"none\"\n{sides}")), [""; 0]);
}

#[test]
fn only_values_with_an_order_have_a_greatest_and_a_least() {
    let sides = "legacy = \"a\"\nrenaissance = \"a\"";
    let field = |lines: &str, policy: &str| lossy(&format!("policy = \"{policy}\"\n{lines}\n{sides}"));
    let truths = "as = \"table\"\nvalues = [[\"free\", false], [\"paid\", true]]";
    let mixed = "as = \"table\"\nvalues = [[\"free\", 0], [\"paid\", \"x\"]]";
    let refused = ["as = \"bool\"", "as = \"json\"", "as = \"uuid\"", "as = \"bytes\"", truths, mixed];
    for (policy, lines) in ["max", "min"].into_iter().flat_map(|policy| refused.map(|lines| (policy, lines))) {
        let word = lines.split('"').nth(1).unwrap();
        let expected = format!(
            "9: field f: `policy = \"{policy}\"` needs values with an order, which `{word}` has not; one of owner, legacy, renaissance, latest, park"
        );
        assert_eq!(field(lines, policy), [expected]);
    }
    let found = field("as = \"list\"\norder = \"none\"", "max");
    assert!(found.len() == 1 && found[0].ends_with("renaissance, latest, union, park"), "{found:?}");
    let numbers = "as = \"table\"\nvalues = [[\"free\", 0], [\"paid\", 1]]";
    for lines in ["", "as = \"int\"", "as = \"float\"", "as = \"decimal\"", numbers] {
        assert_eq!(field(lines, "min"), [""; 0], "{lines}");
    }
}

fn owned(name: &str, owner: &str) -> (String, String) {
    let text = format!(
        "entity = \"{name}\"\nowner = \"of\"\n[legacy]\ncollection = \"{name}\"\n[renaissance]\ntable = \"{name}\"\n\
         legacy_id = \"old_id\"\n[[field]]\nname = \"of\"\nas = \"reference\"\nto = \"{owner}\"\nlegacy = \"of\"\n\
         renaissance = \"of\"\n"
    );
    (format!("{name}.toml"), text)
}

#[test]
fn owners_lead_to_a_person() {
    let found = check(&[owned("book", "page"), owned("page", "book"), owned("line", "page")]).errors;
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    let circle = "`owner` leads round in a circle and to no person: ";
    for way in [
        "book.toml:8: field of: ".to_owned() + circle + "book → page → book",
        "page.toml:8: field of: ".to_owned() + circle + "page → book → page",
        "line.toml:8: field of: ".to_owned() + circle + "line → page → book → page",
    ] {
        assert!(found.contains(&way), "{found:#?}");
    }
    let person = ("thing.toml".to_owned(), format!("{HEAD}{FIELDS}"));
    assert_eq!(check(&[person, owned("book", "thing"), owned("page", "book")]).errors, []);
}

/// A mapping with one field of these lines.
fn lossy(lines: &str) -> Vec<String> {
    let head = "entity = \"x\"\n[legacy]\ncollection = \"x\"\n[renaissance]\ntable = \"x\"\nlegacy_id = \"old_id\"\n";
    let found = refusals(&format!("{head}[[field]]\nname = \"f\"\n{lines}\n"));
    found.iter().map(|line| line.strip_prefix("m.toml:").unwrap().to_owned()).collect()
}

#[test]
fn a_loss_that_is_not_declared_is_refused_with_the_line_to_add() {
    let sides = "legacy = \"a\"\nrenaissance = \"a\"";
    let cases = [
        (
            format!("as = \"timestamp\"\n{sides}"),
            "7: field f: microseconds are cut off: say what is written instead; `normal_form` is \"millisecond\" here; write `normal_form = \"millisecond\"`",
        ),
        (
            format!("as = \"table\"\nvalues = [[\"free\", 0], [\"premium\", 1], [\"pro\", 1]]\n{sides}"),
            "7: field f: \"premium\" and \"pro\" read as 1: say what is written instead; `normal_form` is \"premium\" or \"pro\" here; write `normal_form = \"premium\"`",
        ),
        (
            format!("as = \"table\"\nvalues = [[\"a\", 0], [\"b\", 1]]\notherwise = 1\n{sides}"),
            "7: field f: \"b\" and anything unlisted read as 1: say what is written instead; `normal_form` is \"b\" here; write `normal_form = \"b\"`",
        ),
        (
            "legacy = \"a\"\nrenaissance = { as = \"name\", first = \"b\", last = \"c\" }".to_owned(),
            "7: field f: where a name is split into b and c is not kept: say what is written instead; `normal_form` is \"first\" or \"split\" here; write `normal_form = \"first\"`",
        ),
        (
            format!("as = \"int\"\non_invalid = \"null\"\n{sides}"),
            "7: field f: what cannot be converted reads as null: say what is written instead; `normal_form` is \"null\" here; write `normal_form = \"null\"`",
        ),
        (
            format!("as = \"timestamp\"\non_invalid = \"null\"\nnormal_form = \"null\"\n{sides}"),
            "11: field f: microseconds are cut off: say what is written instead; `normal_form` is \"millisecond\" here; write `normal_form = [\"millisecond\", \"null\"]`",
        ),
        (
            format!("normal_form = \"first\"\n{sides}"),
            "9: field f: `normal_form` names \"first\", which stands for nothing that is lost here; remove `normal_form`",
        ),
        (
            format!("as = \"table\"\nvalues = [[\"a\", 0], [\"b\", 0]]\nnormal_form = [\"a\", \"b\"]\n{sides}"),
            "11: field f: \"a\" and \"b\" read as 0: `normal_form` names more than one of them; write `normal_form = \"a\"`",
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(lossy(&lines), [expected]);
    }
    assert_eq!(lossy(&format!("as = \"table\"\nvalues = [[\"a\", 0], [\"b\", 1]]\n{sides}")), [""; 0]);
}

#[test]
fn the_declared_normal_form_is_what_is_written_whatever_the_order() {
    let text = include_str!("variants.toml");
    let variant = parsed("variants.toml", text);
    let kind = &variant.fields[variant.field("kind").unwrap()];
    let written = kind.put(Side::Legacy, &Value::Text("two".into()), None).unwrap();
    assert_eq!(written[0].1, Some(Value::Text("deux".into())));
}

#[test]
fn the_readme_describes_every_conversion() {
    let readme = include_str!("../../../../README.md");
    let rows: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    for word in parse::form::words() {
        assert!(rows.iter().any(|row| row.contains(&format!("`{word}`"))), "{word}");
    }
}
