//! Triggers that keep applications from writing for a person who is moving or on the other side (`init --fence-triggers`).
//!
//! Each mapped table has one, with a function of its own, so that finding the person costs no dynamic SQL. The bridge's own
//! transactions pass by a setting that ends with them; so do servers that replay another one's changes
//! (`session_replication_role = replica`), for which ordinary triggers do not run.

use sqlx::{PgConnection, PgPool};

use super::{
    Part, Step,
    identity::{Located, locate},
    session::{Session, Waits, execute},
};
use crate::{
    error::{Error, Result},
    model::{key::EntityIndex, mapping::Entity, side::Side},
    postgres::{
        fault::during,
        sql::{FENCE_TRIGGER, OWN_NAME, WRITER, cut, quote_ident, quote_literal, quote_qualified},
        watched::watched_tables,
    },
};

/// A row trigger before INSERT, UPDATE and DELETE: `pg_trigger.tgtype`.
const KIND: i16 = 31;

/// What becomes of the triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceTriggers {
    /// Each mapped table has one.
    On,
    /// None has.
    Off,
}

/// How a mapped table stands to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// The table, quoted.
    pub table: String,
    /// The statements that make it as it should be; none if it is.
    pub sql: Vec<String>,
}

/// Puts the triggers in place or removes them, or says what it would do. The state schema must be there.
pub async fn fence_triggers(
    pool: &PgPool,
    entities: &[Entity],
    wanted: FenceTriggers,
    dry_run: bool,
) -> Result<Vec<Step>> {
    let mut session = Session::open(pool, dry_run).await?;
    match wanted {
        FenceTriggers::On => install(&mut session, entities).await?,
        FenceTriggers::Off => {
            for (table, sql) in fence_triggers_installed(session.connection()).await? {
                session
                    .apply(Part::FenceTrigger, format!("no fence trigger on {table}"), vec![sql], Waits::Briefly)
                    .await?;
            }
        }
    }
    session.close().await
}

async fn install(session: &mut Session, entities: &[Entity]) -> Result<()> {
    let tables = fenced(session.connection(), entities).await?;
    may_create(session.connection(), &tables).await?;
    for table in tables {
        let what = format!("fence trigger on {}", table.table);
        if table.sql.is_empty() {
            session.present(Part::FenceTrigger, what);
        } else {
            session.apply(Part::FenceTrigger, what, table.sql, Waits::Briefly).await?;
        }
    }
    Ok(())
}

/// Looks at every mapped table that exists; changes nothing.
pub async fn fenced(connection: &mut PgConnection, entities: &[Entity]) -> Result<Vec<Fenced>> {
    let tables = locate(connection, &watched_tables(entities)).await?;
    let mut fenced = Vec::with_capacity(tables.len());
    for table in &tables {
        let body = body(table, &tables, entities)?;
        let function = function(table);
        let state: Option<(bool, bool)> = sqlx::query_as(
            "SELECT t.tgenabled = 'O' AND t.tgtype = $3 AND p.oid IS NOT NULL, coalesce(p.prosrc = $4 AND p.prosecdef, false)
             FROM pg_trigger t LEFT JOIN pg_proc p ON p.oid = t.tgfoid AND p.oid = to_regproc($5)
             WHERE t.tgrelid = to_regclass($1) AND t.tgname = $2 AND NOT t.tgisinternal",
        )
        .bind(table.quoted())
        .bind(FENCE_TRIGGER)
        .bind(KIND)
        .bind(&body)
        .bind(&function)
        .fetch_optional(&mut *connection)
        .await
        .map_err(during("looking for the fence triggers"))?;
        let sql = if state == Some((true, true)) { Vec::new() } else { statements(table, &function, &body) };
        fenced.push(Fenced { table: table.quoted(), sql });
    }
    Ok(fenced)
}

fn function(table: &Located) -> String {
    quote_qualified(OWN_NAME, &cut(format!("fence_{}", table.watched.name)))
}

/// The function runs with the bridge's rights: applications need none in its schema, and its search path is nobody else's.
fn statements(table: &Located, function: &str, body: &str) -> Vec<String> {
    vec![
        format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
             SET search_path = pg_catalog, pg_temp AS {}",
            quote_literal(body)
        ),
        format!(
            "CREATE OR REPLACE TRIGGER {} BEFORE INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW \
             WHEN (current_setting({}, true) IS DISTINCT FROM 'on') EXECUTE FUNCTION {function}()",
            quote_ident(FENCE_TRIGGER),
            table.quoted(),
            quote_literal(WRITER)
        ),
    ]
}

/// What the trigger of a table does: the person is asked for before and, where the row changes hands, after the change.
fn body(table: &Located, tables: &[Located], entities: &[Entity]) -> Result<String> {
    let mut lines = vec!["BEGIN".to_owned()];
    for (index, column) in &table.watched.owners {
        let way = Way::to_the_person(*index, column, table, (tables, entities))?;
        let (column, person) = (quote_ident(&way.column), quote_literal(&way.person));
        lines.push(format!(
            "  IF TG_OP <> 'INSERT' THEN PERFORM {OWN_NAME}.hold({person}, {}); END IF;",
            way.from("OLD")
        ));
        lines.push(format!(
            "  IF TG_OP = 'INSERT' OR TG_OP = 'UPDATE' AND NEW.{column} IS DISTINCT FROM OLD.{column} THEN\n    \
             PERFORM {OWN_NAME}.hold({person}, {});\n  END IF;",
            way.from("NEW")
        ));
    }
    lines.push("  IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;\n  RETURN NEW;\nEND".to_owned());
    Ok(lines.join("\n"))
}

/// How a row leads to the id of the person it belongs to: a column, and the look-ups around it.
struct Way {
    /// The entity whose records are people.
    person: String,
    column: String,
    before: String,
    after: &'static str,
    depth: usize,
}

impl Way {
    /// From a row of a table that names a record of an entity in a column.
    fn to_the_person(
        index: EntityIndex,
        column: &str,
        table: &Located,
        (tables, entities): (&[Located], &[Entity]),
    ) -> Result<Self> {
        let unknown = || Error::halt("a mapping names an entity that is not there");
        let mut entity = entities.get(usize::from(index.0)).ok_or_else(unknown)?;
        let mut way =
            Self { person: String::new(), column: column.to_owned(), before: String::new(), after: ")", depth: 0 };
        // owners lead to a person and never round in a circle, so this ends
        while let Some(owner) = entity.owner {
            let (parent, held, known_by, owner_column) = owner_of(entity, owner)?;
            let own_row = way.depth == 0 && held == table.watched.name;
            if own_row {
                way.column = owner_column.to_owned();
            } else {
                let holder = tables.iter().find(|table| table.watched.name == held).ok_or_else(unknown)?;
                let (owner_column, known_by) = (quote_ident(owner_column), quote_ident(known_by));
                way.before =
                    format!("(SELECT t.{owner_column} FROM {} t WHERE t.{known_by} = {}", holder.quoted(), way.before);
                way.depth += 1;
            }
            entity = entities.get(usize::from(parent.0)).ok_or_else(unknown)?;
        }
        way.person.clone_from(&entity.name);
        Ok(way)
    }

    fn from(&self, row: &str) -> String {
        format!("{}{row}.{}{}", self.before, quote_ident(&self.column), self.after.repeat(self.depth))
    }
}

/// Whom a record belongs to: the entity, the table that says so, its column with the record's id, and the one with the owner's.
fn owner_of(entity: &Entity, owner: usize) -> Result<(EntityIndex, &str, &str, &str)> {
    let found = || {
        let owner = entity.fields.get(owner)?;
        let refers = owner.refers.as_ref().filter(|refers| refers.linked && !refers.many)?;
        let column = entity.renaissance.columns.get(*owner.slots(Side::Renaissance).first()?)?;
        let table = entity.renaissance.tables.get(column.table)?;
        let known_by = table.parent.as_ref().unwrap_or(&table.key);
        Some((refers.entity, table.name.as_str(), known_by.as_str(), column.name.as_str()))
    };
    found().ok_or_else(|| {
        Error::halt(format!("whose a row of {} is, no column of Renaissance says by its id", entity.name))
            .with_hint("fence triggers need an owner that is a reference to a row; leave them off")
    })
}

async fn may_create(connection: &mut PgConnection, tables: &[Fenced]) -> Result<()> {
    let names: Vec<&str> =
        tables.iter().filter(|table| !table.sql.is_empty()).map(|table| table.table.as_str()).collect();
    let (role, denied): (String, Vec<String>) = sqlx::query_as(
        "SELECT quote_ident(current_user), ARRAY(SELECT name FROM unnest($1::text[]) AS wanted (name)
                                                 WHERE NOT has_table_privilege(name, 'TRIGGER'))",
    )
    .bind(&names)
    .fetch_one(connection)
    .await
    .map_err(during("asking for the right to create triggers"))?;
    if denied.is_empty() {
        return Ok(());
    }
    let denied = denied.join(", ");
    Err(Error::halt(format!("{role} may not create triggers on {denied}"))
        .with_hint(format!("run as the owner of the tables: GRANT TRIGGER ON {denied} TO {role}; then again")))
}

/// The tables that have one, each with the statement that removes it: the function is the bridge's own, the table need not be.
pub async fn fence_triggers_installed(connection: &mut PgConnection) -> Result<Vec<(String, String)>> {
    let found = sqlx::query_as(
        "SELECT t.tgrelid::regclass::text, format('DROP FUNCTION %s CASCADE', t.tgfoid::regprocedure)
         FROM pg_trigger t WHERE t.tgname = $1 AND NOT t.tgisinternal AND t.tgparentid = 0 ORDER BY 1",
    );
    found.bind(FENCE_TRIGGER).fetch_all(connection).await.map_err(during("looking for the fence triggers"))
}

/// Removes all of them; the tables that had one.
pub(super) async fn remove(connection: &mut PgConnection) -> Result<Vec<String>> {
    let found = fence_triggers_installed(connection).await?;
    for (table, sql) in &found {
        execute(connection, sql)
            .await
            .map_err(|error| error.during(&format!("removing the fence trigger on {table}")))?;
    }
    Ok(found.into_iter().map(|(table, _)| table).collect())
}
