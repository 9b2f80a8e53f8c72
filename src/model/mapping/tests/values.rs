//! What crosses into a column comes out of it as the same value: `jsonb` gives it back, `numeric` rounds nothing.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::{super::*, nasty::nasty, parsed};
use crate::model::{
    catalog::{ColumnKind, ColumnLimits},
    image::{Image, Version},
    jsonb,
    reading::Reading,
    value::Slot,
};

static ENTITY: LazyLock<Entity> = LazyLock::new(|| parsed("variants.toml", include_str!("variants.toml")));

fn image(slots: &[Slot]) -> Image {
    Image { slots: slots.to_vec(), version: Version(Vec::new()) }
}

proptest! {
    #[test]
    fn what_legacy_says_survives_a_jsonb_column(held in nasty()) {
        let fields = ENTITY.fields.iter().filter(|field| matches!(field.renaissance.transform, transform::Transform::Json(_)));
        for field in fields {
            let mut slots = vec![None; ENTITY.legacy.paths.len()];
            slots[field.slots(Side::Legacy)[0]] = Some(held.clone());
            let Reading::Value(value) = field.get(Side::Legacy, &image(&slots)) else { continue };
            let Ok(patch) = field.put(Side::Renaissance, &value, None) else { continue };
            let mut columns = vec![None; ENTITY.renaissance.columns.len()];
            for (slot, content) in patch {
                let content = content.unwrap();
                let limits = ColumnLimits { kind: ColumnKind::Json, nullable: true };
                if limits::check(&content, Some(limits), "column").is_ok() {
                    columns[slot] = Some(jsonb::from_text(&jsonb::to_jsonb(&content).to_string()));
                }
            }
            let back = field.get(Side::Renaissance, &image(&columns));
            prop_assert!(matches!(&back, Reading::Absent) || back == Reading::Value(value), "{}: {:?}", field.name, back);
        }
    }

    #[test]
    fn a_column_is_never_asked_to_hold_what_it_would_change(held in nasty(), precision in 1_i32..9, scale in 0_i32..4) {
        let limits = ColumnLimits { kind: ColumnKind::Numeric(Some((precision - scale, scale))), nullable: true };
        if let (Ok(()), Value::Decimal(number)) = (limits::check(&held, Some(limits), "column"), &held) {
            let shown = number.to_string();
            let (whole, fraction) = shown.trim_start_matches('-').split_once('.').unwrap_or((shown.trim_start_matches('-'), ""));
            let digits = whole.trim_start_matches('0').len();
            prop_assert!(fraction.len() <= usize::try_from(scale).unwrap() && digits <= usize::try_from(precision - scale).unwrap_or(0));
        }
    }
}
