//! One file per subcommand; each only wires the others together.

mod addresses;
pub mod crds;
mod definitions;
mod endpoints;
#[cfg(feature = "local")]
pub mod local;
mod output;
pub mod run;
#[cfg(feature = "local")]
pub mod simulate;

use crate::telemetry::logs;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What `postlink` answers a shell with (exit codes of the command line's contract).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done = 0,
    /// The answer is "no": held, invalid, not converged.
    No = 1,
    /// Wrong usage, or input and output failed.
    Usage = 2,
    /// The cluster or instance cannot be reached.
    Unreachable = 3,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(outcome as u8)
    }
}

/// Links social posts to records in Dynamics 365, as a Kubernetes controller.
#[derive(Debug, Parser)]
#[command(name = "postlink", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "local")]
    Local(local::Args),
    Run(run::Args),
    #[cfg(feature = "local")]
    Simulate(simulate::Args),
    Crds(crds::Args),
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // `run` is a service and says what it does; the other commands answer on stdout and log only when asked.
    if !matches!(cli.command, Command::Run(_)) {
        logs::start(logs::Format::Text, "error");
    }
    let outcome = match cli.command {
        #[cfg(feature = "local")]
        Command::Local(args) => local::run(&args),
        Command::Run(args) => run::run(&args),
        #[cfg(feature = "local")]
        Command::Simulate(args) => simulate::run(&args),
        Command::Crds(args) => crds::run(&args),
    };
    outcome.into()
}
