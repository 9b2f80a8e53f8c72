//! Guessing which known word somebody meant.

/// "did you mean `legacy`?" when a known word is close to the one found.
pub fn did_you_mean<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let close = |word: &&str| distance(found, word) <= 1 + word.len().min(found.len()) / 4;
    known
        .into_iter()
        .filter(close)
        .min_by_key(|word| distance(found, word))
        .map(|word| format!("did you mean `{word}`?"))
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, other) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX);
            let cost = (diagonal + usize::from(letter != *other)).min(left + 1).min(above + 1);
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            diagonal = above;
            left = cost;
        }
        if let Some(last) = row.last_mut() {
            *last = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_recognised_and_a_foreign_word_is_not() {
        let known = ["legacy", "renaissance", "policy"];
        assert_eq!(did_you_mean("polcy", known).as_deref(), Some("did you mean `policy`?"));
        assert_eq!(did_you_mean("renaisance", known).as_deref(), Some("did you mean `renaissance`?"));
        assert_eq!(did_you_mean("colour", known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
