//! Names and literals inside SQL text. Every identifier that comes from a mapping or a catalog passes through here.

/// What the bridge calls its own things in Postgres: schema, publication, slot, message prefix.
pub const OWN_NAME: &str = "biograph_bridge";
/// Opens transactions of the bridge to which triggers of the application may add something.
pub const HEARD: &str = "biograph_bridge_heard";
/// Opens transactions that change nothing and only show how far the stream has come.
pub const MARK: &str = "biograph_bridge_mark";

/// The trigger of `init --fence-triggers`, on each mapped table.
pub const FENCE_TRIGGER: &str = "biograph_bridge_fence";
/// The setting that is `on` in transactions of the bridge and lets them pass that trigger.
pub const WRITER: &str = "biograph_bridge.writer";

/// The longest identifier Postgres keeps (NAMEDATALEN - 1 bytes).
const LONGEST_NAME: usize = 63;

/// `name` as an identifier.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `schema.name` as identifiers.
pub fn quote_qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_ident(schema), quote_ident(name))
}

/// `text` as a string literal; `E'…'` where it holds a backslash, so that standard_conforming_strings does not matter.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// Several identifiers, for a column list.
pub fn quote_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote_ident).collect::<Vec<_>>().join(", ")
}

/// A name for something of ours about `parts`, cut so that Postgres does not cut it silently.
pub fn own_name(parts: &[&str]) -> String {
    cut(format!("{OWN_NAME}_{}", parts.join("_")))
}

/// A name as Postgres keeps it, without its saying so.
pub fn cut(mut name: String) -> String {
    let mut end = LONGEST_NAME.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_inside_a_name_does_not_end_it() {
        assert_eq!(quote_ident("us\"ers; drop"), "\"us\"\"ers; drop\"");
        assert_eq!(quote_qualified("a.b", "C"), "\"a.b\".\"C\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\'"), " E'a\\\\'''");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let name = own_name(&[&"ü".repeat(40), "id"]);
        assert!(name.len() <= 63 && name.ends_with('ü'));
        assert_eq!(own_name(&["users", "old_user_id"]), "biograph_bridge_users_old_user_id");
    }
}
