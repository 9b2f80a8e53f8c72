//! One side of a field: an option written inside `legacy` or `renaissance` counts for that side, one written at the field
//! for both.

use super::{
    form, insert,
    keys::{Item, Keys},
    slots::{Claim, Slots},
};
use crate::model::{
    mapping::{
        Members, Table,
        lens::{HalfLens, Missing},
        transform::NullForm,
    },
    side::Side,
    value::Value,
};

/// Where one side's options are looked up.
pub(super) struct Half<'k, 's> {
    pub(super) side: Side,
    /// The side's own table; `None` if the side is just a path or column.
    own: Option<Keys<'s>>,
    /// The field's table.
    pub(super) field: &'k Keys<'s>,
    /// The path or column, if the side is just that.
    plain: Option<Item<'s>>,
}

impl<'k, 's> Half<'k, 's> {
    /// Opens a side of a field.
    pub(super) fn open(side: Side, field: &'k Keys<'s>) -> Option<Self> {
        let item = field.need(side.as_str(), "\"…\"")?;
        let plain = (!item.get_ref().is_table()).then_some(item);
        let own = if plain.is_some() { None } else { field.table_of(side.as_str(), item) };
        Some(Self { side, own, field, plain })
    }

    /// The table that holds an option, and its value.
    pub(super) fn option(&self, key: &'static str) -> Option<(&Keys<'s>, Item<'s>)> {
        let shared = self.field.get(key).map(|item| (self.field, item));
        self.own.as_ref().and_then(|own| own.get(key).map(|item| (own, item))).or(shared)
    }

    /// One of a closed set of words, or the default.
    pub(super) fn choice<T: Clone>(&self, key: &'static str, words: &[(&'static str, T)], default: T) -> T {
        self.option(key).and_then(|(keys, item)| keys.choice_of(key, item, words)).unwrap_or(default)
    }

    /// The table to report and to look for slots in.
    pub(super) fn own(&self) -> &Keys<'s> {
        self.own.as_ref().unwrap_or(self.field)
    }

    /// Claims the slots of a transform over one slot: `path`/`column`, or several of them.
    pub(super) fn scalar_slots(&self, slots: &mut Slots) -> Vec<Claim> {
        let (one, many) = match self.side {
            Side::Legacy => ("path", "paths"),
            Side::Renaissance => ("column", "columns"),
        };
        let own = self.own();
        let items = match self.plain {
            Some(item) => vec![item],
            None => own.get(one).map_or_else(|| own.items(many), |item| vec![item]),
        };
        if items.is_empty() {
            own.report(None, format!("`{one}` is missing in `{}`", self.side), Some(format!("add `{one} = \"…\"`")));
        }
        items.into_iter().filter_map(|item| slots.claim(self.side, own, one, item)).collect()
    }

    /// Whether the renaissance table of the field says so, whichever side this is: what decides for both.
    pub(super) fn renaissance_is(&self, key: &str, word: &str) -> bool {
        let table = self.field.get("renaissance").and_then(|item| item.get_ref().as_table());
        table.and_then(|table| table.get(key)).and_then(|item| item.get_ref().as_str()) == Some(word)
    }

    /// The members of an object that the other side spreads over slots of their own, if it does.
    pub(super) fn members_of_the_other_side(&self) -> Option<Vec<String>> {
        let table = self.field.get(self.side.other().as_str())?.get_ref().as_table()?;
        table.get("as").filter(|item| item.get_ref().as_str() == Some("spread"))?;
        let members = ["paths", "columns"].into_iter().find_map(|key| table.get(key))?.get_ref().as_table()?;
        Some(members.iter().map(|(name, _)| name.get_ref().to_string()).collect())
    }

    /// Claims the rows of a join table as one slot: `{ table, parent, column, optional, insert }`.
    pub(super) fn join_slot(&self, slots: &mut Slots) -> Option<Claim> {
        let hint = "write `renaissance = { table = \"…\", parent = \"…\", column = \"…\" }`, or `stored = \"hex\"` for a jsonb list";
        let Some(own) = self.own.as_ref() else {
            self.field.report(self.plain, "many references need a join table", Some(hint.to_owned()));
            return None;
        };
        let [table, parent, column] = ["table", "parent", "column"].map(|key| own.need_text(key, "\"…\""));
        let optional = own.flag("optional");
        let insert = own.table("insert").map(|keys| insert::of_join(&keys)).unwrap_or_default();
        slots.join(
            own,
            Table {
                name: table?,
                key: parent.clone()?,
                parent,
                insert,
                members: Some(Members { column: column?, optional }),
            },
        )
    }

    /// What the field declares as its normal forms: one value or an array of them.
    pub(super) fn normal_forms(&self) -> Vec<Value> {
        normal_forms(self.field)
    }

    /// Claims the slot that a key of the side's table names.
    pub(super) fn named_slot(&self, slots: &mut Slots, key: &'static str) -> Option<Claim> {
        let own = self.own.as_ref();
        let Some(own) = own else {
            let hint = format!("write `{} = {{ {key} = \"…\", … }}`", self.side);
            self.field.report(self.plain, format!("`{}` must be a table that gives `{key}`", self.side), Some(hint));
            return None;
        };
        slots.claim(self.side, own, key, own.need(key, "\"…\"")?)
    }

    /// Reads the side.
    pub(super) fn read(self, slots: &mut Slots) -> Option<HalfLens> {
        let (null_as, missing) = (self.null_as(), self.missing());
        let Some((transform, claims)) = form::read(&self, slots) else {
            self.own().tolerate();
            self.field.tolerate();
            return None;
        };
        if let Some(own) = &self.own {
            own.finish();
        }
        let (indices, names): (Vec<usize>, Vec<String>) = claims.into_iter().unzip();
        let limits = if self.side == Side::Renaissance { vec![None; indices.len()] } else { Vec::new() };
        let lens = HalfLens { slots: indices, names, limits, labels: Vec::new(), transform, missing, null_as };
        lens.is_sound().map_err(|message| self.own().report(None, message, None)).ok().map(|()| lens)
    }

    fn null_as(&self) -> NullForm {
        let mut words = vec![("null", NullForm::Null), ("empty", NullForm::Empty)];
        if self.side == Side::Legacy {
            words.push(("missing", NullForm::Missing));
        }
        self.choice("null_as", &words, NullForm::Null)
    }

    fn missing(&self) -> Missing {
        let Some((keys, item)) = self.option("missing") else { return Missing::Null };
        match keys.value_of("missing", item) {
            Some(Value::Text(text)) if text == "id_time" && self.side == Side::Legacy => Missing::IdTime,
            Some(value) => Missing::Default(value),
            None => Missing::Null,
        }
    }
}

/// See [`Half::normal_forms`].
pub(super) fn normal_forms(field: &Keys<'_>) -> Vec<Value> {
    let Some(item) = field.get("normal_form") else { return Vec::new() };
    match field.value_of("normal_form", item) {
        Some(Value::List(forms)) => forms,
        Some(form) => vec![form],
        None => Vec::new(),
    }
}
