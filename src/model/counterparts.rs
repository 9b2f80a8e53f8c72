//! Which item of an old list an item of its new version stands for, so that what did not change keeps its spelling.

/// Pairs the items of two lists: what both begin with, what both end with, and between these each with the one at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counterparts {
    wanted: usize,
    held: usize,
    /// How many at the end are the same.
    ending: usize,
}

impl Counterparts {
    /// Compares lists of these lengths; `same` says whether a wanted item (first index) is what a held one (second) already says.
    pub fn new(wanted: usize, held: usize, same: impl Fn(usize, usize) -> bool) -> Self {
        let shorter = wanted.min(held);
        let beginning = (0..shorter).take_while(|n| same(*n, *n)).count();
        let ending = (1..=shorter - beginning).take_while(|n| same(wanted - n, held - n)).count();
        Self { wanted, held, ending }
    }

    /// The held item that a wanted one stands for.
    pub const fn of(&self, wanted: usize) -> Option<usize> {
        if wanted + self.ending >= self.wanted {
            Some(self.held + wanted - self.wanted)
        } else if wanted + self.ending < self.held {
            Some(wanted)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_with_themselves_when_others_come_or_go() {
        let pairs = |wanted: &str, held: &str| {
            let (new, old) = (wanted.as_bytes(), held.as_bytes());
            let found = Counterparts::new(new.len(), old.len(), |a, b| new[a] == old[b]);
            (0..new.len()).map(|n| found.of(n)).collect::<Vec<_>>()
        };
        assert_eq!(pairs("abc", "abc"), [Some(0), Some(1), Some(2)]);
        assert_eq!(pairs("axc", "abc"), [Some(0), Some(1), Some(2)]);
        assert_eq!(pairs("xabc", "abc"), [None, Some(0), Some(1), Some(2)]);
        assert_eq!(pairs("bc", "abc"), [Some(1), Some(2)]);
        assert_eq!(pairs("abcx", "abc"), [Some(0), Some(1), Some(2), None]);
        assert_eq!(pairs("aa", "a"), [Some(0), None]);
        assert_eq!(pairs("xyc", "abbc"), [Some(0), Some(1), Some(3)]);
        assert_eq!(pairs("", "abc"), []);
        assert_eq!(pairs("ab", ""), [None, None]);
    }
}
