//! Finding the mapped paths in documents, most of which hold their fields in the same order.

use mongodb::bson::{RawBsonRef, RawDocument};

use super::codec;
use crate::model::{image::Image, mapping::Path, value::Slot};

/// The mapped paths by the field that each begins with, and where the last document had these fields.
pub(super) struct Layout<'a> {
    paths: &'a [Path],
    firsts: Vec<First<'a>>,
    /// Which of the firsts was met at each place of the last document.
    order: Vec<Option<usize>>,
    documents: u64,
}

/// A field at the top of documents.
struct First<'a> {
    name: &'a str,
    /// The paths that begin with it.
    paths: Vec<usize>,
    /// The how-manieth document it was met in last.
    met: u64,
}

impl<'a> Layout<'a> {
    /// Of documents that none has been seen of yet.
    pub(super) fn new(paths: &'a [Path]) -> Self {
        let mut firsts: Vec<First<'a>> = Vec::with_capacity(paths.len());
        for (n, path) in paths.iter().enumerate() {
            let Some(name) = path.0.first() else { continue };
            match firsts.iter_mut().find(|first| first.name == name) {
                Some(first) => first.paths.push(n),
                None => firsts.push(First { name, paths: vec![n], met: 0 }),
            }
        }
        Self { paths, firsts, order: Vec::new(), documents: 0 }
    }

    /// The record as the document holds it.
    pub(super) fn image(&mut self, document: &RawDocument) -> Image {
        Image { slots: self.slots(document), version: codec::version(document) }
    }

    /// What the document holds at the paths.
    pub(super) fn slots(&mut self, document: &RawDocument) -> Vec<Slot> {
        let slots = self.in_one_pass(document);
        slots.unwrap_or_else(|| self.paths.iter().map(|path| codec::slot(document, &path.0)).collect())
    }

    /// Looking every path up by itself walks the document once per path. `None` if an element is malformed: then each path
    /// has to find its own way around it.
    fn in_one_pass(&mut self, document: &RawDocument) -> Option<Vec<Slot>> {
        let (mut slots, mut left) = (vec![None; self.paths.len()], self.firsts.len());
        self.documents += 1;
        for (place, entry) in document.into_iter().enumerate() {
            let (name, raw) = entry.ok()?;
            let Some(first) = self.known(place, name.as_str()) else { continue };
            // of a repeated key the first counts, as it does when looked up
            if std::mem::replace(&mut self.firsts[first].met, self.documents) == self.documents {
                continue;
            }
            for n in &self.firsts[first].paths {
                let rest = self.paths[*n].0.get(1..).unwrap_or_default();
                slots[*n] = match (rest.is_empty(), raw) {
                    (true, raw) => Some(codec::value_of(raw)),
                    (false, RawBsonRef::Document(inner)) => codec::slot(inner, rest),
                    (false, _) => None,
                };
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        Some(slots)
    }

    /// Which of the firsts this is, if any: most often the one that was here last time.
    fn known(&mut self, place: usize, name: &str) -> Option<usize> {
        let here = self.order.get(place).copied().flatten();
        if here.is_some_and(|here| self.firsts[here].name == name) {
            return here;
        }
        let found = self.firsts.iter().position(|first| first.name == name);
        if self.order.len() <= place {
            self.order.resize(place + 1, None);
        }
        self.order[place] = found;
        found
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::value::Value,
        mongo::codec::{
            slot,
            tests::{path, raw, storable},
            to_bson,
        },
    };

    proptest! {
        #[test]
        fn one_pass_finds_what_looking_each_path_up_finds(a in storable(), b in storable(), c in storable()) {
            let paths = [path("_id"), path("a"), path("a.x"), path("a.x.y"), path("b"), path("b.y"), path("none")];
            let inner = doc! { "x": { "y": to_bson(&b).unwrap() }, "y": 1 };
            let mut layout = Layout::new(&paths);
            for document in [
                doc! { "_id": 1, "b": to_bson(&c).unwrap(), "a": inner.clone() },
                doc! { "a": to_bson(&a).unwrap(), "z": 0, "b": inner.clone() },
                doc! { "z": to_bson(&c).unwrap(), "b": to_bson(&a).unwrap(), "_id": 2 },
                doc! { "_id": 1, "b": to_bson(&a).unwrap(), "a": inner },
            ] {
                let document = raw(&document);
                let each: Vec<Slot> = paths.iter().map(|path| slot(&document, &path.0)).collect();
                prop_assert_eq!(layout.in_one_pass(&document), Some(each));
            }
        }
    }

    #[test]
    fn of_a_repeated_field_the_first_counts() {
        let twice = raw(&doc! { "ab": 1, "ac": 2 }).into_bytes();
        let twice: Vec<u8> =
            twice.into_iter().map(|byte| if byte == b'b' || byte == b'c' { b'a' } else { byte }).collect();
        let document = RawDocument::from_bytes(&twice).unwrap();
        let paths = [path("aa")];
        assert_eq!(Layout::new(&paths).slots(document), [Some(Value::Int(1))]);
    }
}
