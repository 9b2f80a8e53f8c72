//! The command line: one file per subcommand; this is the composition root.

mod ask;
mod backfill;
mod check;
mod completions;
mod conflicts;
mod cutover;
mod engine;
mod explain;
mod failure;
mod identity;
mod init;
mod listing;
mod load;
mod man;
mod mappings;
mod moment;
mod options;
mod paint;
mod parked;
mod pause;
mod person;
mod print;
mod retention;
mod run;
#[cfg_attr(not(feature = "sandbox"), path = "no_sandbox.rs")]
mod sandbox;
mod screen;
mod standby;
mod status;
mod teardown;
mod tombstones;
mod verify;
mod who;

use clap::{Parser, Subcommand};

pub use failure::Failure;

use options::SettingFlags;

const ABOUT: &str =
    "Keeps BioGraph (MongoDB) and Renaissance (Postgres) in sync, both ways, while people move from one to the other";

const EXAMPLES: &str = "\
Examples:
  biograph-bridge sandbox        see it work: two real databases, sample people, light traffic
  biograph-bridge check          what is missing on your databases, and the command that fixes it
  biograph-bridge run            the daemon
  biograph-bridge status         what the daemon is doing

Settings come from flags, then BRIDGE_… variables, then bridge.toml. Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 the command's own \"no\" (see the help of each command).";

/// The command line as written.
#[derive(Debug, Parser)]
#[command(name = "biograph-bridge", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
    Init(init::Init),
    Run(run::Run),
    Backfill(backfill::Backfill),
    Verify(verify::Verify),
    Status(status::Status),
    #[command(subcommand)]
    Cutover(cutover::Cutover),
    #[command(subcommand)]
    Conflicts(conflicts::Conflicts),
    Explain(explain::Explain),
    #[command(subcommand)]
    Tombstones(tombstones::Tombstones),
    #[command(subcommand)]
    Parked(parked::Parked),
    #[command(subcommand)]
    Mappings(mappings::Mappings),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Teardown(teardown::Teardown),
    Sandbox(sandbox::Sandbox),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> Result<(), Failure> {
        let Self { command, settings } = self;
        match command {
            Command::Check(command) => command.run(settings),
            Command::Init(command) => command.run(settings),
            Command::Run(command) => command.run(settings),
            Command::Backfill(command) => command.run(settings),
            Command::Verify(command) => command.run(settings),
            Command::Status(command) => command.run(settings),
            Command::Cutover(command) => command.run(settings),
            Command::Conflicts(command) => command.run(settings),
            Command::Explain(command) => command.run(settings),
            Command::Tombstones(command) => command.run(settings),
            Command::Parked(command) => command.run(settings),
            Command::Mappings(command) => command.run(settings),
            Command::Pause(command) => command.run(settings),
            Command::Resume(command) => command.run(settings),
            Command::Teardown(command) => command.run(settings),
            Command::Sandbox(command) => command.run(settings),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
