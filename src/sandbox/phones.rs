//! Phone numbers that ring nobody, a different one for each person.

use std::sync::LazyLock;

use rand::RngExt;
use rand::rngs::StdRng;

/// North American area codes, without service codes (N11), toll-free ones and the reserved ones with a 9 in the middle.
static AREA_CODES: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let special =
        |code: u32| code % 100 == 11 || (code / 10) % 10 == 9 || (code >= 800 && code % 100 / 10 == code % 10);
    (201..980).filter(|code| !special(*code) && *code != 555).collect()
});

/// Country code and national number: 555-01xx as long as they last, and a few of Britain's 07700 900xxx, both set aside for fiction.
pub(super) fn phone(index: u32) -> (i32, String) {
    if index % 50 == 49 && index / 50 < 1000 {
        return (44, format!("7700900{:03}", index / 50));
    }
    let codes = AREA_CODES.len() as u32;
    // 379 and the number of codes have no common divisor: each code once before the first comes again
    let code = AREA_CODES[(u64::from(index) * 379 % u64::from(codes)) as usize];
    (1, format!("{code}555{:04}", 100 + index / codes))
}

/// The number with the punctuation some people typed; with a plus it carries its country code.
pub(super) fn written_phone(rng: &mut StdRng, country: i32, digits: &str) -> String {
    let (area, exchange, line) = (&digits[..3], &digits[3..6], &digits[6..]);
    match rng.random_range(0..20) {
        0 => format!("+{country}{digits}"),
        1 => format!("+{country} ({area}) {exchange}-{line}"),
        2 => format!("({area}) {exchange}-{line}"),
        3 => format!("{area}-{exchange}-{line}"),
        _ => digits.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_million_phone_numbers_are_unique() {
        let phones: HashSet<_> = (0..1_000_000).map(phone).collect();
        assert_eq!(phones.len(), 1_000_000);
        assert!((0..50_000).all(|index| phone(index).1.contains("55501") || phone(index).0 == 44));
    }
}
