//! What somebody asks over HTTP, as any text; see [`crate::fuzzing`].

use std::sync::LazyLock;

use super::route;
use crate::{
    fuzzing::people,
    model::{
        cutover::CutoverRow,
        directory::Known,
        key::{EntityIndex, LegacyId},
        side::Side,
        value::Value,
    },
    sync::directory::{Answer, Directory},
};

/// Ada is on the way, and the others share an address.
static KNOWN: LazyLock<Directory> = LazyLock::new(|| {
    let directory = Directory::new(people().map_or(&[], std::slice::from_ref));
    directory.fill(|known| {
        for n in 1..4_u8 {
            let row = CutoverRow::UNMOVED.draining(Side::Renaissance).ok().filter(|_| n == 1);
            let names = [("phone", format!("+1847555010{n}")), ("email", format!("{}@example.org", n / 2))];
            known.put(&Known {
                entity: EntityIndex(0),
                legacy: Some(LegacyId::new([n; 12])),
                renaissance: Some(n.into()),
                names: names.map(|(word, text)| known.seal(word, &Value::Text(text.into()))).into(),
                ways: [0b01, 0b11],
                row: row.unwrap_or(CutoverRow::UNMOVED),
            });
        }
    });
    directory
});

/// The query of `/api/route`: it is answered from what is known, and the same again.
pub fn route(query: &str) -> bool {
    let answer = route::answer(&KNOWN, query);
    assert!(!matches!(answer, Some(Answer::Away | Answer::Loading)));
    assert_eq!(answer, route::answer(&KNOWN, query));
    matches!(answer, Some(Answer::Here(..) | Answer::Several | Answer::Nobody))
}
