//! Mappings against databases that fit and that do not.

use super::user;
use crate::model::{
    catalog::{Catalog, ColumnInfo, ColumnKind, ColumnLimits, TableInfo},
    mapping::Entity,
    side::Side,
};

const USERS: &str = "id! int64, password! text128, is_superuser! bool, username! text150, is_staff! bool, is_active! bool, \
    date_joined! time, first_name! text150, last_name! text150, email text254, phone_number text20, country_code! text5, \
    is_phone_verified! bool, migrated_from_old_system! bool, old_user_id text100, bio! text, profile_picture! text200, \
    date_of_birth other, google_id! text100, apple_id! text100, is_verified! bool, subscription_status! text20, created_at! time, \
    updated_at! time, last_login time";
const PROFILES: &str = "id! int64, user_id! int64, profile_visibility! text20, email_notifications! bool, push_notifications! bool, \
    sms_notifications! bool, theme! text20, created_at! time, updated_at! time";

fn column(text: &str) -> ColumnInfo {
    let (name, kind) = text.trim().split_once(' ').unwrap();
    let kind = match kind {
        "bool" => ColumnKind::Bool,
        "time" => ColumnKind::Timestamp,
        "int64" => ColumnKind::Int(64),
        "text" => ColumnKind::Text(None),
        text => text.strip_prefix("text").map_or(ColumnKind::Other, |limit| ColumnKind::Text(limit.parse().ok())),
    };
    let nullable = !name.ends_with('!');
    let name = name.trim_end_matches('!').to_owned();
    let optional = nullable || name == "id";
    ColumnInfo {
        limits: ColumnLimits { kind, nullable },
        optional,
        sql_type: "a type".into(),
        labels: Vec::new(),
        generated: false,
        name,
    }
}

fn table(columns: &str, unique: &[(&str, &str)]) -> TableInfo {
    let unique = unique.iter().map(|(name, column)| ((*name).to_owned(), vec![(*column).to_owned()])).collect();
    TableInfo { columns: columns.split(',').map(column).collect(), unique, foreign_keys: Vec::new() }
}

/// The Renaissance tables of people as domain.md describes them.
pub(super) fn catalog() -> Catalog {
    let users =
        table(USERS, &[("users_pkey", "id"), ("users_phone_number_key", "phone_number"), ("users_email_key", "email")]);
    let mut profiles = table(PROFILES, &[("user_profiles_user_id_key", "user_id")]);
    profiles.foreign_keys.push(("user_profiles_user_id_fk".into(), vec!["user_id".into()], "users".into()));
    Catalog { tables: [("users".to_owned(), users), ("user_profiles".to_owned(), profiles)].into() }
}

fn refusals(change: impl FnOnce(&mut Catalog)) -> Vec<String> {
    let mut catalog = catalog();
    change(&mut catalog);
    user().bind(&catalog).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn the_shipped_mapping_fits_the_tables_it_was_made_for() {
    let bound = user().bind(&catalog()).unwrap();
    assert!(bound.renaissance.columns.iter().all(|column| column.info.is_some()));
    let named = |field: Option<usize>| field.map(|field| bound.fields[field].name.as_str());
    assert_eq!(named(bound.field_of_constraint("users", "users_phone_number_key")), Some("phone"));
    assert_eq!(named(bound.field_of_constraint("users", "users_email_key")), Some("email"));
    assert_eq!(named(bound.field_of_constraint("users", "users_pkey")), None);
    assert_eq!(named(bound.field_of_column("users", "date_joined")), Some("created"));
    assert_eq!(named(bound.field_of_column("user_profiles", "created_at")), None);
    assert_eq!(named(bound.field_of_columns("users", &["tenant".into(), "username".into()])), Some("username"));
}

#[test]
fn without_a_field_its_paths_are_not_read_and_the_others_are_where_they_were() {
    let (whole, bound) = (user(), user().bind(&catalog()).unwrap());
    let path = |entity: &Entity, slot: usize| entity.legacy.paths[slot].0.join(".");
    let read = |entity: &Entity, name: &str| entity.legacy.paths.iter().any(|path| path.0 == [name]);
    assert!(read(&whole, "friends") && !read(&bound, "friends") && !read(&bound, "subscribers"));
    assert!(bound.legacy.paths[0].0 == ["_id"] && bound.legacy.paths.len() + 2 == whole.legacy.paths.len());
    for field in &bound.fields {
        let paths: Vec<String> = field.legacy.slots.iter().map(|slot| path(&bound, *slot)).collect();
        assert_eq!(paths, field.legacy.names, "{}", field.name);
    }
    for (filter, before) in bound.filters.iter().zip(&whole.filters).filter(|(filter, _)| filter.side == Side::Legacy) {
        assert_eq!(path(&bound, filter.slot), path(&whole, before.slot));
    }
}

#[test]
fn every_missing_table_and_column_is_named_at_once() {
    let found = refusals(|catalog| {
        catalog.tables.remove("user_profiles");
        catalog
            .tables
            .get_mut("users")
            .unwrap()
            .columns
            .retain(|column| column.name != "email" && column.name != "old_user_id");
    });
    assert!(found.iter().any(|line| line.contains("table user_profiles does not exist")), "{found:#?}");
    assert!(found.iter().any(|line| line.contains("field email: column users.email does not exist")), "{found:#?}");
    assert!(found.iter().any(|line| line.contains("column users.old_user_id does not exist")), "{found:#?}");
    assert_eq!(
        found.iter().filter(|line| line.contains("user_profiles")).count(),
        1,
        "once, not per column: {found:#?}"
    );
}

#[test]
fn what_a_way_to_log_in_needs_is_a_text() {
    let with = |kind: &str| {
        refusals(|catalog| {
            let columns = &mut catalog.tables.get_mut("users").unwrap().columns;
            let place = columns.iter().position(|column| column.name == "password").unwrap();
            match kind {
                "" => drop(columns.remove(place)),
                kind => columns[place] = column(&format!("password! {kind}")),
            }
        })
    };
    assert!(with("text").is_empty());
    assert!(with("").iter().any(|line| line.contains("a way to log in: column users.password does not exist")));
    assert!(
        with("bool")
            .iter()
            .any(|line| line.contains("a way to log in: column users.password is") && line.ends_with("no text"))
    );
}

#[test]
fn a_column_that_an_insert_would_leave_out_is_named_with_the_place_to_add_it() {
    let found = refusals(|catalog| {
        catalog.tables.get_mut("users").unwrap().columns.push(column("tenant! text20"));
        catalog.tables.get_mut("user_profiles").unwrap().columns.push(column("colour! text20"));
    });
    let expected =
        "an INSERT into users would fail: column tenant is NOT NULL without default; add it to [renaissance.insert]";
    assert!(found.iter().any(|line| line.ends_with(expected)), "{found:#?}");
    assert!(found.iter().any(|line| line.contains("colour") && line.contains("renaissance.child")), "{found:#?}");
    assert!(found[0].starts_with("mappings/user.toml:"), "{found:#?}");
}

#[test]
fn a_column_of_another_type_and_a_parent_that_is_not_unique_are_refused() {
    let found = refusals(|catalog| {
        let users = catalog.tables.get_mut("users").unwrap();
        for info in &mut users.columns {
            match info.name.as_str() {
                "is_active" => info.limits.kind = ColumnKind::Text(None),
                "subscription_status" => info.limits.kind = ColumnKind::Text(Some(4)),
                "bio" => info.limits.kind = ColumnKind::Int(32),
                "username" => info.generated = true,
                _ => {}
            }
        }
        catalog.tables.get_mut("user_profiles").unwrap().unique.clear();
    });
    for part in [
        "field active: column users.is_active is a type",
        "field premium",
        "bio cannot hold text",
        "username is generated",
        "must be NOT NULL and UNIQUE",
    ] {
        assert!(found.iter().any(|line| line.contains(part)), "{part}: {found:#?}");
    }
}
