//! The catalog as read from real servers is what the DDL says.

use biograph_bridge::{
    model::{
        catalog::{ColumnKind, ColumnLimits, Element, TableInfo},
        mapping,
    },
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
        assert_eq!(limits(table, "d"), ColumnLimits { kind: ColumnKind::Text(Some(5)), nullable: false });
        assert!(table.column("d").unwrap().optional && table.column("g").unwrap().optional);
        assert_eq!(limits(table, "e").kind, ColumnKind::Char(3));
        assert_eq!(limits(table, "f").kind, ColumnKind::Text(None));
        let unique: Vec<_> = table.unique.iter().map(|(_, columns)| columns.join(",")).collect();
        assert_eq!(unique, ["a", "f,a"]);
    }
}

const KINDS: &str = r#"
CREATE EXTENSION citext; CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('low', 'it''s fine'); CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN short AS varchar(5); CREATE DOMAIN shorter AS short NOT NULL CHECK (VALUE <> 'bad'); CREATE DOMAIN words AS text[];
CREATE TABLE kinds (mood mood, nick citext, word shorter, amount numeric(6,2)[], moods mood[][], words words, single real[],
  few varchar(3)[], ok boolean[], small smallint[], old_id text, id bigint PRIMARY KEY,
  a inet, b interval, c money, d bit(3), e bit varying, f int4range, g hstore, h pair, i timetz, j time, k uuid[], l char(3)[],
  m timestamptz[], n int2vector, o xml, p timestamptz(0), q tsvector, r point, s macaddr, t shorter[]);"#;

/// A mapping with one more field.
fn mapping_of(column: &str, options: &str) -> mapping::Entity {
    let text = format!(
        "entity = \"kind\"\n[legacy]\ncollection = \"kinds\"\n[renaissance]\ntable = \"kinds\"\nlegacy_id = \"old_id\"\n\
         [renaissance.insert]\nword = \"x\"\n[[field]]\nname = \"tested\"\nlegacy = \"tested\"\nrenaissance = \"{column}\"\n{options}"
    );
    mapping::parse("kind.toml", &text).unwrap()
}

#[tokio::test]
async fn of_every_column_type_it_is_known_whether_a_mapping_may_use_it() {
    for on in every_postgres().await {
        on.sql(KINDS).await;
        let catalog = catalog::load(&on.pool, &["kinds"]).await.unwrap();
        let table = &catalog.tables["kinds"];
        for (column, kind) in [
            ("mood", ColumnKind::Enum),
            ("nick", ColumnKind::Text(None)),
            ("word", ColumnKind::Text(Some(5))),
            ("amount", ColumnKind::Array(Element::Numeric(Some((4, 2))))),
            ("moods", ColumnKind::Array(Element::Enum)),
            ("words", ColumnKind::Array(Element::Text(None))),
            ("single", ColumnKind::Array(Element::Float(32))),
            ("few", ColumnKind::Array(Element::Text(Some(3)))),
            ("ok", ColumnKind::Array(Element::Bool)),
            ("small", ColumnKind::Array(Element::Int(16))),
        ] {
            assert_eq!(limits(table, column).kind, kind, "{column}");
        }
        assert_eq!(table.column("word").map(|column| column.sql_type.as_str()), Some("character varying"));
        assert!(!limits(table, "word").nullable, "the inner domain refuses NULL");
        for column in ["mood", "moods"] {
            assert_eq!(table.column(column).unwrap().labels, ["low", "it's fine"], "{column}");
        }
        let refused = |column: &str, options: &str| {
            let found = mapping_of(column, options).bind(&catalog).err().unwrap_or_default();
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for column in ["mood", "nick"] {
            assert_eq!(refused(column, ""), [""; 0], "{column}");
        }
        for (column, of) in [
            ("amount", "decimal"),
            ("moods", "text"),
            ("words", "text"),
            ("small", "int"),
            ("ok", "bool"),
            ("single", "float"),
        ] {
            assert_eq!(refused(column, &format!("as = \"list\"\nof = \"{of}\"")), [""; 0], "{column}");
        }
        for column in 'a'..='t' {
            let shown = &table.column(&column.to_string()).unwrap().sql_type;
            let expected = format!("column kinds.{column} is {shown}, which no conversion writes: leave it out");
            for options in ["", "as = \"list\"", "as = \"json\""] {
                let found = refused(&column.to_string(), options);
                // a length that rounds seconds aside, the type itself is named
                assert!(found.len() == 1 && found[0].contains(&expected), "{found:?}");
            }
        }
        let found = refused("mood", "as = \"table\"\nvalues = [[\"low\", \"l\"], [\"sad\", \"s\"]]");
        assert!(
            found.len() == 1 && found[0].contains("column mood is the enum mood without the label sad"),
            "{found:?}"
        );
    }
}
