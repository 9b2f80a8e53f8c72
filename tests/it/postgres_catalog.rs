//! The catalog as read from real servers is what the DDL says.

use biograph_bridge::{
    model::catalog::{ColumnKind, ColumnLimits, TableInfo},
    postgres::catalog,
};

use crate::postgres_fixture::every_postgres;

fn limits(table: &TableInfo, column: &str) -> ColumnLimits {
    table.column(column).unwrap_or_else(|| panic!("no column {column}")).limits
}

#[tokio::test]
async fn columns_constraints_and_references_are_read_from_the_server() {
    for on in every_postgres().await {
        let catalog = catalog::load(&on.pool, &["users", "user_profiles", "nowhere"]).await.unwrap();
        assert_eq!(catalog.tables.keys().collect::<Vec<_>>(), ["user_profiles", "users"]);
        let users = &catalog.tables["users"];
        let text = |max, nullable| ColumnLimits { kind: ColumnKind::Text(max), nullable };
        assert_eq!(limits(users, "username"), text(Some(150), false));
        assert_eq!(limits(users, "email"), text(Some(254), true));
        assert_eq!(limits(users, "bio"), text(None, false));
        assert_eq!(limits(users, "id"), ColumnLimits { kind: ColumnKind::Int(64), nullable: false });
        assert_eq!(limits(users, "created_at"), ColumnLimits { kind: ColumnKind::Timestamp, nullable: false });
        assert_eq!(limits(users, "date_of_birth").kind, ColumnKind::Date);
        let optional = |column: &str| users.column(column).unwrap().optional;
        assert!(optional("id") && optional("email") && !optional("username"));
        assert_eq!(users.column("username").unwrap().sql_type, "character varying");
        assert_eq!(users.columns.first().unwrap().name, "id");
        let unique: Vec<_> = users.unique.iter().map(|(_, columns)| columns.join(",")).collect();
        assert_eq!(unique, ["id", "email", "phone_number", "username"]);
        let profiles = &catalog.tables["user_profiles"];
        let [(_, columns, target)] = &profiles.foreign_keys[..] else { panic!("{:?}", profiles.foreign_keys) };
        assert_eq!((columns.join(","), target.as_str()), ("user_id".into(), "users"));
    }
}

#[tokio::test]
async fn odd_tables_are_read_as_they_are() {
    for on in every_postgres().await {
        on.sql(
            r#"CREATE DOMAIN short AS varchar(5) NOT NULL DEFAULT 'x';
               CREATE TABLE "Odd, ""one""" (a int, "B c" int GENERATED ALWAYS AS (a + 1) STORED, gone int, d short, e char(3),
                   f varchar, g int DEFAULT 7, UNIQUE (a) INCLUDE (g));
               ALTER TABLE "Odd, ""one""" DROP COLUMN gone;
               CREATE UNIQUE INDEX partial ON "Odd, ""one""" (f) WHERE f IS NOT NULL;
               CREATE UNIQUE INDEX expression ON "Odd, ""one""" (lower(f));
               CREATE UNIQUE INDEX plain ON "Odd, ""one""" (f, a);"#,
        )
        .await;
        let catalog = catalog::load(&on.pool, &["Odd, \"one\""]).await.unwrap();
        let table = &catalog.tables["Odd, \"one\""];
        let names: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a", "B c", "d", "e", "f", "g"]);
        assert!(table.column("B c").unwrap().generated);
        assert_eq!(limits(table, "d"), ColumnLimits { kind: ColumnKind::Other, nullable: false });
        assert!(table.column("d").unwrap().optional && table.column("g").unwrap().optional);
        assert_eq!(limits(table, "e").kind, ColumnKind::Char(3));
        assert_eq!(limits(table, "f").kind, ColumnKind::Text(None));
        let unique: Vec<_> = table.unique.iter().map(|(_, columns)| columns.join(",")).collect();
        assert_eq!(unique, ["a", "f,a"]);
    }
}
