//! Names that real people could have, of many countries, and what is made of them.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

pub(super) const FIRST_NAMES: [&str; 32] = [
    "Maria", "James", "Aisha", "Wei", "Zoë", "José", "Olivia", "Noah", "Priya", "Liam", "Fatima", "Kwame", "Ingrid",
    "Mateo", "Yuki", "Chloé", "Ravi", "Amara", "Lukas", "Nia", "Omar", "Sofía", "Elena", "Hiro", "Grace", "Tomasz",
    "Leila", "Samuel", "Anaïs", "Diego", "Ruth", "Björn",
];
pub(super) const LAST_NAMES: [&str; 32] = [
    "García",
    "Smith",
    "O'Brien",
    "Chen",
    "van der Berg",
    "Okafor",
    "Müller",
    "Patel",
    "Kowalski",
    "Nguyen",
    "Jones",
    "Rossi",
    "Sato",
    "Haddad",
    "Johansson",
    "Mensah",
    "Silva",
    "Dubois",
    "Novák",
    "Kim",
    "Walker",
    "Cruz-Díaz",
    "Ali",
    "Lindqvist",
    "Brown",
    "Iyer",
    "Moreau",
    "Santos",
    "Fischer",
    "Adeyemi",
    "Clarke",
    "Yılmaz",
];
const EMAIL_HOSTS: [&str; 3] = ["example.com", "example.org", "example.net"];

/// One of the list.
pub(super) fn pick<'a>(rng: &mut StdRng, list: &[&'a str]) -> &'a str {
    list.choose(rng).copied().unwrap_or_default()
}

/// A first and a last name.
pub(super) fn random_name(rng: &mut StdRng) -> String {
    format!("{} {}", pick(rng, &FIRST_NAMES), pick(rng, &LAST_NAMES))
}

/// An address nobody has; unique if the username is.
pub(super) fn email(rng: &mut StdRng, username: &str) -> String {
    format!("{username}@{}", pick(rng, &EMAIL_HOSTS))
}

/// What is left of a name in a username.
pub(super) fn ascii(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase()).collect()
}
