//! The command line: one file per subcommand.

mod arguments;
mod cluster;
pub mod crds;
mod definitions;
mod endpoints;
#[cfg(feature = "local")]
pub mod local;
mod outcome;
mod output;
pub mod panics;
pub mod run;
#[cfg(feature = "local")]
pub mod schemas;
#[cfg(feature = "local")]
pub mod simulate;
mod stop_requests;

use crate::telemetry::logs;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Kubernetes controller that links social posts to records in Dynamics 365.
#[derive(Debug, Parser)]
#[command(
    name = "postlink",
    version,
    propagate_version = true,
    after_help = "\
Exit codes: 0 success, 1 objects that are not Ready or not valid, 2 wrong usage or an I/O error, 3 the cluster cannot be reached

Examples:
  postlink crds | kubectl apply --server-side -f -
  postlink run --watch-namespace social"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "local")]
    Local(local::LocalArgs),
    Run(run::RunArgs),
    #[cfg(feature = "local")]
    Simulate(simulate::SimulateArgs),
    Crds(crds::CrdsArgs),
    #[cfg(feature = "local")]
    Schemas(schemas::SchemasArgs),
}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // `run` is a service and logs; the other commands log only errors unless `POSTLINK_LOG` asks for more.
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
        #[cfg(feature = "local")]
        Command::Schemas(args) => schemas::run(&args),
    };
    outcome.into()
}
