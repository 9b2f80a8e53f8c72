//! Showing that there is a name without showing the name.

/// Four dots whatever the length, so that the length is hidden too.
const HIDDEN: &str = "••••";

/// Longer texts are not names.
const MOST_WORDS: usize = 4;

/// The first letter of each word, the rest as dots (`Margaret Stone` → `M•••• S••••`): enough to recognise one's own test
/// row, too little to know a person. Digits of a number are not shown at all.
pub fn mask(text: &str) -> String {
    let initials = text.split_whitespace().filter_map(|word| word.chars().find(|letter| letter.is_alphanumeric()));
    let word = |initial: char| if initial.is_alphabetic() { format!("{initial}{HIDDEN}") } else { HIDDEN.to_owned() };
    let words: Vec<String> = initials.take(MOST_WORDS).map(word).collect();
    if words.is_empty() { HIDDEN.to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_initials_remain() {
        assert_eq!(mask("Margaret  Stone"), "M•••• S••••");
        assert_eq!(mask("ada@example.org"), "a••••");
        assert_eq!(mask("+18475550100"), "••••");
        assert_eq!(mask("山田 太郎"), "山•••• 太••••");
        assert_eq!(mask(" "), "••••");
    }
}
