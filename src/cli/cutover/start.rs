//! `cutover start`: people go over to Renaissance.

use clap::Args;

use super::moving::{self, MoveFlags, Named};
use crate::{
    cli::{Failure, ask, load, options::SettingFlags, paint::Paint, print},
    model::side::Side,
    postgres::{Pool, connect},
    telemetry::Audience,
};

/// What a move does, for `--dry-run`.
pub(super) const STEPS: &str = "\
each person who can move would go through:
  fenced     the state says draining, then the mirror in MongoDB: both applications hold this person's writes
  drained    cutover_drain is waited for, so that writes end that had begun
  caught up  marks left in both logs after that are passed: whatever was written before has crossed
  compared   every record that the person owns is compared; a difference cancels, and is named
  moved      the state says the other side, then the mirror: its application takes over
";

/// Move people to Renaissance, one by one; whoever differs or cannot be caught up with stays where they are
#[derive(Debug, Args)]
#[command(after_help = "\
While somebody moves, both applications hold that person's writes: for `cutover_drain` (5 s unless set) and a moment more. Before
anybody is held it is looked whether a move can succeed. A daemon that dies goes on with it at its next start, or cancels.
Exit codes: 0 everybody moved, 2 what names nobody, 3 somebody was refused or stays (each is named with what to do) or no
daemon is active.

Examples:
  biograph-bridge cutover start phone:+18475550100 --dry-run
  biograph-bridge cutover start phone:+18475550100 --reason \"first volunteer\"
  biograph-bridge cutover start legacy:65f0c0ffee00000000000abc renaissance:42 --timeout 2m
  biograph-bridge cutover start email:ada@example.com --no-wait --json")]
pub(in crate::cli) struct Start {
    /// Who: legacy:ID, renaissance:ID, phone:NUMBER, … as for `parked list`; several are moved at once
    #[arg(value_name = "USER", required = true)]
    users: Vec<String>,
    #[command(flatten)]
    moving: MoveFlags,
}

impl Start {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        let people = print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            ask::refuse_without_daemon(&pool).await?;
            let mut people = moving::named(&self.users, &databases, &entities).await?;
            carry_out(&pool, &mut people, Side::Renaissance, &self.moving).await?;
            Ok(people)
        })?;
        moving::report(&people, &self.moving, None, Paint::stdout())
    }
}

/// Looks, or begins and follows.
pub(super) async fn carry_out(pool: &Pool, people: &mut [Named], to: Side, flags: &MoveFlags) -> Result<(), Failure> {
    if flags.dry_run {
        if !flags.json {
            print::text(STEPS)?;
        }
        return moving::look(pool, people, to).await;
    }
    moving::begin(pool, people, to, flags).await?;
    if flags.no_wait { Ok(()) } else { moving::follow(pool, people, flags).await }
}
