//! The options of each transform.

use super::{
    half::Half,
    keys::{Item, Keys},
    parts,
    slots::{Claim, Slots},
};
use crate::model::{
    mapping::transform::{
        Transform,
        bool::BoolForm,
        bytes::BytesForm,
        date::DateForm,
        decimal::DecimalForm,
        flags::{Condition, Flags},
        float::FloatForm,
        int::IntForm,
        json::{JsonForm, Structure},
        media::Media,
        name::WholeName,
        phone::Phone,
        reference::{Reference, References},
        same_content,
        table::ValueTable,
        text::TextForm,
        timestamp::TimestampForm,
        uuid::UuidForm,
    },
    side::Side,
    value::Value,
};

/// The words of `as`.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Bool,
    Int,
    Timestamp,
    Table,
    Media,
    Flags,
    Phone,
    Name,
    Reference,
    References,
    Date,
    Json,
    Float,
    Decimal,
    Uuid,
    Bytes,
    List,
    Spread,
}

const KINDS: [(&str, Kind); 19] = [
    ("text", Kind::Text),
    ("bool", Kind::Bool),
    ("int", Kind::Int),
    ("timestamp", Kind::Timestamp),
    ("table", Kind::Table),
    ("media", Kind::Media),
    ("flags", Kind::Flags),
    ("phone", Kind::Phone),
    ("name", Kind::Name),
    ("reference", Kind::Reference),
    ("references", Kind::References),
    ("date", Kind::Date),
    ("json", Kind::Json),
    ("float", Kind::Float),
    ("decimal", Kind::Decimal),
    ("uuid", Kind::Uuid),
    ("bytes", Kind::Bytes),
    ("list", Kind::List),
    ("spread", Kind::Spread),
];

/// The words of `as`.
#[cfg(test)]
pub(in crate::model::mapping) fn words() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(word, _)| *word)
}

/// Reads a side's transform and claims its slots; `None` if something about it was wrong and reported.
pub(super) fn read(half: &Half<'_, '_>, slots: &mut Slots) -> Option<(Transform, Vec<Claim>)> {
    let kind = match half.option("as") {
        Some((keys, item)) => keys.choice_of("as", item, &KINDS)?,
        None => Kind::Text,
    };
    let transform = match kind {
        Kind::Text => Transform::Text(TextForm { empty_is_null: empty_is_null(half) }),
        Kind::Bool => Transform::Bool(BoolForm { invert: flag(half, "invert") }),
        Kind::Int => Transform::Int(IntForm),
        Kind::Timestamp => Transform::Timestamp(TimestampForm),
        Kind::Date => Transform::Date(DateForm { as_moment: half.side == Side::Legacy }),
        Kind::Json => match half.members_of_the_other_side() {
            Some(members) => parts::whole(half.side, members),
            None => Transform::Json(json(half)),
        },
        Kind::List => Transform::List(parts::list(half)),
        Kind::Spread => return parts::spread(half, slots),
        Kind::Float => Transform::Float(FloatForm),
        Kind::Decimal => Transform::Decimal(DecimalForm { double: stored_as_double(half) }),
        Kind::Uuid => {
            Transform::Uuid(UuidForm { text: half.choice("stored", &[("uuid", false), ("text", true)], false) })
        }
        Kind::Bytes => Transform::Bytes(BytesForm),
        Kind::Table => Transform::Table(table(half)?),
        Kind::Media => Transform::Media(media(half)?),
        Kind::Flags => return flags(half, slots),
        Kind::Phone => return phone(half, slots),
        Kind::Name => return name(half, slots),
        Kind::Reference => Transform::Reference(reference(half)),
        Kind::References => return references(half, slots),
    };
    let claims = half.scalar_slots(slots);
    (!claims.is_empty()).then_some((transform, claims))
}

fn empty_is_null(half: &Half<'_, '_>) -> bool {
    half.choice("empty", &[("null", true), ("text", false)], false)
}

fn flag(half: &Half<'_, '_>, key: &'static str) -> bool {
    half.option(key).is_some_and(|(keys, item)| keys.flag_of(key, item))
}

/// An array of pairs.
fn pairs(half: &Half<'_, '_>, key: &'static str) -> Option<Vec<(Value, Value)>> {
    let Some((keys, item)) = half.option(key) else {
        half.own().report(
            None,
            format!("`{key}` is missing"),
            Some(format!("add `{key} = [[\"stored\", \"canonical\"], …]`")),
        );
        return None;
    };
    let pair = |item: Item<'_>| match keys.value_of(key, item)? {
        Value::List(two) => <[Value; 2]>::try_from(two).ok().map(|[stored, meaning]| (stored, meaning)),
        _ => None,
    };
    let rows = item.get_ref().as_array().filter(|rows| !rows.is_empty());
    let read: Option<Vec<(Value, Value)>> = rows.and_then(|rows| rows.iter().map(pair).collect());
    if read.is_none() {
        keys.report(
            Some(item),
            format!("`{key}` must be an array of pairs"),
            Some("[[\"stored\", \"canonical\"], …]".to_owned()),
        );
    }
    read
}

fn table(half: &Half<'_, '_>) -> Option<ValueTable> {
    let mut pairs = pairs(half, "values")?;
    let repeats = |index: usize, stored: &Value| pairs.iter().take(index).any(|(b, _)| same_content(stored, b));
    if let Some(index) = pairs.iter().enumerate().position(|(index, (stored, _))| repeats(index, stored)) {
        half.own().report(None, format!("pair {} of `values` stores what an earlier pair stores", index + 1), None);
        return None;
    }
    let otherwise = half.option("otherwise").and_then(|(keys, item)| {
        let meaning = keys.value_of("otherwise", item)?;
        if !pairs.iter().any(|(_, listed)| *listed == meaning) {
            keys.report(
                Some(item),
                "`otherwise` must be one of the canonical values in `values`, else it could not be written",
                None,
            );
        }
        Some(meaning)
    });
    // the declared normal form is the content that is written, whatever the order
    let preferred = half.normal_forms();
    pairs.sort_by_key(|(stored, _)| !preferred.contains(stored));
    Some(ValueTable { pairs, otherwise })
}

fn json(half: &Half<'_, '_>) -> JsonForm {
    let words = [("object", Some(Structure::Object)), ("array", Some(Structure::Array)), ("any", None)];
    JsonForm { only: half.choice("only", &words, None), doubles: half.side == Side::Legacy }
}

/// Renaissance has `numeric` columns for decimals and no other.
fn stored_as_double(half: &Half<'_, '_>) -> bool {
    half.side == Side::Legacy && half.choice("stored", &[("decimal", false), ("double", true)], false)
}

fn media(half: &Half<'_, '_>) -> Option<Media> {
    let text = |value: Value| value.as_text().filter(|text| !text.is_empty()).map(str::to_owned);
    let prefixes = pairs(half, "prefixes")?.into_iter().map(|(path, url)| Some((text(path)?, text(url)?))).collect();
    let Some(prefixes) = prefixes else {
        half.own().report(
            None,
            "`prefixes` must be pairs of texts",
            Some("[[\"folder/\", \"https://host/folder/\"]]".to_owned()),
        );
        return None;
    };
    let short = half.choice("stored", &[("path", true), ("url", false)], false);
    let media = Media { prefixes, short, empty_is_null: empty_is_null(half) };
    if let Some((a, b)) = media.ambiguity() {
        half.own().report(
            None,
            format!("media prefixes `{a}` and `{b}` overlap: which one applies would be a guess"),
            None,
        );
        return None;
    }
    Some(media)
}

fn flags(half: &Half<'_, '_>, slots: &mut Slots) -> Option<(Transform, Vec<Claim>)> {
    let own = half.own();
    let read: Vec<Option<(Condition, Claim)>> =
        own.tables("all").iter().map(|keys| condition(half.side, keys, slots)).collect();
    let (conditions, claims): (Vec<Condition>, Vec<Claim>) =
        read.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    if !conditions.iter().any(|condition| condition.off.is_some()) {
        let hint = "all = [{ path = \"is_removed\", on = false, off = true }]".to_owned();
        own.report(
            None,
            "`all` needs at least one condition with an `off` value, else false cannot be written",
            Some(hint),
        );
        return None;
    }
    Some((Transform::Flags(Flags { conditions }), claims))
}

fn condition(side: Side, keys: &Keys<'_>, slots: &mut Slots) -> Option<(Condition, Claim)> {
    let place = match side {
        Side::Legacy => "path",
        Side::Renaissance => "column",
    };
    let claim = keys.need(place, "\"…\"").and_then(|item| slots.claim(side, keys, place, item));
    let on = keys.need("on", "true").and_then(|item| keys.value_of("on", item));
    let off = keys.get("off").and_then(|item| keys.value_of("off", item));
    keys.finish();
    if on.is_some() && on == off {
        keys.report(None, "`on` and `off` are the same", None);
        return None;
    }
    Some((Condition { on: on?, off }, claim?))
}

fn reference(half: &Half<'_, '_>) -> Reference {
    // asked for here so that a reference without a target is one error, not two
    if half.side == Side::Legacy && half.option("to").is_none() {
        half.own().report(None, "`to` is missing", Some("add `to = \"user\"`, the entity it refers to".to_owned()));
    }
    let hex = half.choice("stored", &[("hex", true), ("id", false)], false);
    Reference { hex, linked: half.side == Side::Renaissance && !hex }
}

fn references(half: &Half<'_, '_>, slots: &mut Slots) -> Option<(Transform, Vec<Claim>)> {
    let each = reference(half);
    let set = half.choice("order", &[("none", true), ("kept", false)], !half.renaissance_is("stored", "hex"));
    let claims = if each.linked { half.join_slot(slots).into_iter().collect() } else { half.scalar_slots(slots) };
    (!claims.is_empty()).then_some((Transform::References(References { each, set }), claims))
}

fn phone(half: &Half<'_, '_>, slots: &mut Slots) -> Option<(Transform, Vec<Claim>)> {
    let default_country = match half.option("default_country") {
        Some((keys, item)) => keys.text_of("default_country", item)?,
        None => "1".to_owned(),
    };
    if !default_country.bytes().all(|digit| digit.is_ascii_digit()) || default_country.starts_with('0') {
        half.own().report(
            None,
            "`default_country` must be a country code in digits",
            Some("default_country = \"1\"".to_owned()),
        );
        return None;
    }
    let e164 = half.choice("stored", &[("national", false), ("e164", true)], false);
    let country_as_int = half.choice("country_as", &[("int", true), ("text", false)], half.side == Side::Legacy);
    let claims = [half.named_slot(slots, "country"), half.named_slot(slots, "number")];
    let claims: Option<Vec<Claim>> = claims.into_iter().collect();
    Some((Transform::Phone(Phone { default_country, e164, country_as_int }), claims?))
}

fn name(half: &Half<'_, '_>, slots: &mut Slots) -> Option<(Transform, Vec<Claim>)> {
    let split = half.normal_forms().contains(&Value::Text("split".into()));
    let empty_is_null = empty_is_null(half);
    let claims: Option<Vec<Claim>> =
        [half.named_slot(slots, "first"), half.named_slot(slots, "last")].into_iter().collect();
    Some((Transform::Name(WholeName { split, empty_is_null }), claims?))
}
