//! Fuzzing in short: the seeds of the fuzz targets, damaged here and there.

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

/// What a target begins with, by name; `folder` is relative to the repository.
fn seeds(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut seeds: Vec<_> = entries.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{folder:?} is empty");
    seeds
}

fn understood(folder: &str, target: impl Fn(&[u8]) -> bool) {
    for (name, seed) in seeds(folder) {
        assert!(target(&seed), "{name}");
    }
}

/// What happens to a seed: something is replaced, left out, or there again.
fn damage() -> impl Strategy<Value = Vec<(Index, u8, Index, Vec<u8>)>> {
    let sent = prop_oneof![
        vec(any::<u8>(), 1..5),
        vec(prop::sample::select(b"\0\x01\x7f\x80\xff\"'[]{}=,.%+&( \n".to_vec()), 1..3)
    ];
    vec((any::<Index>(), 0..4_u8, any::<Index>(), sent), 1..6)
}

fn damaged(folder: &str) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(seeds(folder)), damage()).prop_map(|((_, mut bytes), damage)| {
        for (at, kind, until, sent) in damage {
            let at = at.index(bytes.len() + 1);
            let until = (at + until.index(40)).min(bytes.len());
            let there = bytes[at..until].to_vec();
            match kind {
                0 => drop(bytes.splice(at..(at + sent.len()).min(bytes.len()), sent)),
                1 => drop(bytes.splice(at..at, sent)),
                2 => drop(bytes.drain(at..until)),
                _ => drop(bytes.splice(at..at, there)),
            }
        }
        bytes
    })
}

fn texts(target: impl Fn(&str) -> bool) -> impl Fn(&[u8]) -> bool {
    move |bytes| target(&String::from_utf8_lossy(bytes))
}

#[test]
fn every_seed_is_understood() {
    understood("tests/fuzz/seeds/pgoutput", pgoutput);
    understood("tests/fuzz/seeds/document", document);
    understood("tests/fuzz/seeds/event", event);
    understood("mappings", texts(mapping));
    understood("tests/fuzz/seeds/condition", texts(condition));
    understood("tests/fuzz/seeds/route", texts(route));
}

proptest! {
    #[test]
    fn no_damage_to_a_replication_stream_makes_its_reader_panic(bytes in damaged("tests/fuzz/seeds/pgoutput")) {
        pgoutput(&bytes);
    }

    #[test]
    fn no_damage_to_a_document_makes_its_reader_panic(bytes in damaged("tests/fuzz/seeds/document")) {
        document(&bytes);
    }

    #[test]
    fn no_damage_to_a_change_event_makes_its_reader_panic(bytes in damaged("tests/fuzz/seeds/event")) {
        event(&bytes);
    }

    #[test]
    fn no_damage_to_a_condition_makes_its_reader_panic(bytes in damaged("tests/fuzz/seeds/condition")) {
        texts(condition)(&bytes);
    }

    #[test]
    fn no_damage_to_a_question_makes_its_answer_panic(bytes in damaged("tests/fuzz/seeds/route")) {
        texts(route)(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_damage_to_a_mapping_makes_its_check_panic(bytes in damaged("mappings")) {
        texts(mapping)(&bytes);
    }
}
