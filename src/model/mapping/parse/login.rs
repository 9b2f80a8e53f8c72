//! `[[login]]`: the ways in which people log in.

use super::{
    super::{Field, Login, Needs},
    keys::Keys,
    slots::Slots,
};
use crate::model::side::Side;

/// More would not fit into what is kept of each person.
const MOST: usize = 8;
const SIDES: [(&str, Side); 2] = [("legacy", Side::Legacy), ("renaissance", Side::Renaissance)];

/// The ways of an entity; `owned`: its records belong to somebody and are nobody themselves.
pub(super) fn logins(root: &Keys<'_>, declared: &[Keys<'_>], known: (&[Field], &Slots), owned: bool) -> Vec<Login> {
    let mut logins: Vec<Login> = Vec::new();
    for (index, keys) in declared.iter().enumerate() {
        let Some(login) = login(root, keys, known) else { continue };
        if owned {
            keys.report(None, "only people log in, and these records belong to somebody", None);
        } else if index >= MOST {
            keys.report(None, format!("there are more than {MOST} ways to log in"), None);
        } else if logins.iter().any(|known| known.way == login.way) {
            keys.report(None, format!("the way `{}` is declared twice", login.way), None);
        } else {
            logins.push(login);
        }
    }
    logins
}

/// Reads one way.
fn login(root: &Keys<'_>, keys: &Keys<'_>, (fields, slots): (&[Field], &Slots)) -> Option<Login> {
    let way = keys.need_text("way", "\"phone_otp\"");
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let by = keys.need("by", "\"phone\"");
    let field = by.and_then(|item| super::named(root, &names, &keys.text_of("by", item)?, Some(item)));
    let sides = keys.need("sides", "[\"legacy\", \"renaissance\"]");
    let sides: Option<Vec<Side>> =
        sides.and_then(|_| keys.items("sides").into_iter().map(|item| keys.choice_of("sides", item, &SIDES)).collect());
    let needs = keys.table("needs");
    keys.finish();
    let needs = match &needs {
        Some(needs) => Some(self::needs(needs, slots)?),
        None => None,
    };
    let sides = sides?;
    if sides.is_empty() {
        keys.report(None, "`sides` is empty: nobody could log in that way", None);
    } else if needs.is_some() && !sides.contains(&Side::Renaissance) {
        keys.report(None, "`needs` is about rows of Renaissance, where this way is not offered", None);
    }
    Some(Login { way: way?, field: field?, sides: Side::ALL.map(|side| sides.contains(&side)), needs })
}

/// What a row has to hold.
fn needs(keys: &Keys<'_>, slots: &Slots) -> Option<Needs> {
    let place = keys.need("column", "\"password\"").and_then(|item| slots.beside(keys, "column", item));
    let not_beginning: Option<Vec<String>> =
        keys.items("not_beginning").into_iter().map(|item| keys.text_of("not_beginning", item)).collect();
    keys.finish();
    let (table, column) = place?;
    Some(Needs { table, column, not_beginning: not_beginning? })
}
