//! The parts of composed transforms: the elements of a list, the members of an object that is spread.

use super::{
    half::Half,
    keys::{Item, Keys},
    slots::{Claim, Slots},
};
use crate::model::{
    mapping::transform::{
        Transform, bool::BoolForm, bytes::BytesForm, date::DateForm, decimal::DecimalForm, float::FloatForm,
        int::IntForm, json::JsonForm, list::ListForm, spread::Spread, text::TextForm, timestamp::TimestampForm,
        uuid::UuidForm,
    },
    side::Side,
};

/// What JSON has a form for: what the elements of a list may be.
const IN_LISTS: usize = 5;

/// The transforms over one slot that need no options, by their words; those for lists first.
fn plain(side: Side) -> [(&'static str, Transform); 9] {
    [
        ("text", Transform::Text(TextForm { empty_is_null: false })),
        ("int", Transform::Int(IntForm)),
        ("bool", Transform::Bool(BoolForm { invert: false })),
        ("float", Transform::Float(FloatForm)),
        ("decimal", Transform::Decimal(DecimalForm { double: false })),
        ("timestamp", Transform::Timestamp(TimestampForm)),
        ("date", Transform::Date(DateForm { as_moment: side == Side::Legacy })),
        ("uuid", Transform::Uuid(UuidForm { text: false })),
        ("bytes", Transform::Bytes(BytesForm)),
    ]
}

/// The options of `as = "list"`.
pub(super) fn list(half: &Half<'_, '_>) -> ListForm {
    let words = plain(half.side);
    let text = Transform::Text(TextForm { empty_is_null: false });
    let each = half.choice("of", words.get(..IN_LISTS).unwrap_or_default(), text);
    ListForm { each: Box::new(each), set: half.choice("order", &[("kept", false), ("none", true)], false) }
}

/// How members read, whichever side holds them.
const fn member_form(side: Side) -> JsonForm {
    JsonForm { only: None, doubles: matches!(side, Side::Legacy) }
}

/// The side of a spread object that holds it in one slot.
pub(super) fn whole(side: Side, members: Vec<String>) -> Transform {
    let members = members.into_iter().map(|name| (name, None)).collect();
    Transform::Spread(Spread { members, whole: true, plain: member_form(side) })
}

/// A member's name and transform, and its slot.
type Part = ((String, Option<Transform>), Claim);

/// Reads the members of `as = "spread"` and claims their slots: `columns = { member = "column", … }` or
/// `{ member = { column = "…", as = "…" }, … }`; for legacy `paths` and `path`.
pub(super) fn spread(half: &Half<'_, '_>, slots: &mut Slots) -> Option<(Transform, Vec<Claim>)> {
    let many = match half.side {
        Side::Legacy => "paths",
        Side::Renaissance => "columns",
    };
    let own = half.own();
    let names = own.need(many, "{ member = \"…\" }").and_then(|item| own.table_of(many, item))?;
    // every part is read before giving up, so that all that is wrong is reported together
    let entries = names.entries().into_iter();
    let read: Vec<Option<Part>> = entries.map(|(name, item)| part(half.side, &names, name, item, slots)).collect();
    let read: Option<Vec<Part>> = read.into_iter().collect();
    let (members, claims): (Vec<(String, Option<Transform>)>, Vec<Claim>) = read?.into_iter().unzip();
    if members.is_empty() {
        names.report(None, format!("`{many}` names no member"), None);
        return None;
    }
    Some((Transform::Spread(Spread { members, whole: false, plain: member_form(half.side) }), claims))
}

fn part(side: Side, names: &Keys<'_>, name: &str, item: Item<'_>, slots: &mut Slots) -> Option<Part> {
    let one = match side {
        Side::Legacy => "path",
        Side::Renaissance => "column",
    };
    if !item.get_ref().is_table() {
        return slots.claim(side, names, name, item).map(|claim| ((name.to_owned(), None), claim));
    }
    let keys = names.table_of(name, item)?;
    let claim = keys.need(one, "\"…\"").and_then(|item| slots.claim(side, &keys, one, item));
    let transform = keys.get("as").map(|item| keys.choice_of("as", item, &plain(side)));
    keys.finish();
    let transform = match transform {
        Some(chosen) => Some(chosen?),
        None => None,
    };
    Some(((name.to_owned(), transform), claim?))
}
