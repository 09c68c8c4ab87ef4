//! `postlink local DIR`: applies a directory of YAML in one process and prints the result.

use super::{
    outcome::Outcome,
    output::{answer, tell},
};
use crate::{
    local::{
        apply::Applier,
        report,
        session::{APART, Applicant, Session},
        tree::Tree,
    },
    manifests::{Commit, load_commits},
};
use std::{collections::BTreeSet, path::PathBuf};

/// Try YAML files on this machine, without a cluster and without Dynamics 365: apply them to an in-memory API server with
/// simulated instances, and print the result.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 all objects are Ready at the end, 1 some are not or some input is not valid, 2 nothing could be run

Examples:
  postlink local examples/quickstart
  postlink local examples/story -o json --each | jq -c .metadata.annotations")]
pub struct LocalArgs {
    /// Directory of manifests, or one file. Subdirectories named `1-…` or `01-…` are commits, applied in order, a day apart;
    /// each must hold all files, because what is missing in the next one is deleted.
    dir: PathBuf,
    /// Output format.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// With `-o json`: print one List per commit, one JSON document per line.
    #[arg(long)]
    each: bool,
    /// Apply as a person, not as a GitOps tool: changes that active rules block are denied instead of held.
    #[arg(long)]
    as_person: bool,
    /// Exit with 0 even if objects are not Ready at the end.
    #[arg(long)]
    expect_held: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

pub fn run(args: &LocalArgs) -> Outcome {
    if args.each && args.output != Output::Json {
        tell("error: --each requires -o json");
        return Outcome::Usage;
    }
    let commits = match load_commits(&args.dir) {
        Ok(commits) => commits,
        Err(error) => {
            tell(format_args!("error: {error}"));
            return Outcome::Usage;
        }
    };
    if commits.iter().all(|commit| commit.documents.is_empty() && commit.errors.is_empty()) {
        tell(format_args!(
            "error: no YAML documents in {}; specify the directory with your manifests",
            args.dir.display()
        ));
        return Outcome::Usage;
    }
    if let Some(empty) = commits.iter().find(|commit| commit.documents.is_empty() && commit.errors.is_empty())
    {
        tell(format_args!(
            "error: no YAML documents in commit {}; it would delete all objects of the commits before it",
            empty.name
        ));
        return Outcome::Usage;
    }
    // A single thread makes the result reproducible.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(format_args!("error: cannot start the async runtime: {error}"));
            return Outcome::Usage;
        }
    };
    runtime.block_on(apply_commits(args, commits))
}

async fn apply_commits(args: &LocalArgs, commits: Vec<Commit>) -> Outcome {
    let trees: Vec<(String, Vec<PathBuf>, Tree)> =
        commits.into_iter().map(|c| (c.name, c.skipped, Tree::of(c.documents, &c.errors))).collect();
    let hosts: BTreeSet<String> =
        trees.iter().flat_map(|(_, _, tree)| tree.instances.iter().map(|i| i.spec.host.clone())).collect();
    let applicant = if args.as_person { Applicant::Person } else { Applicant::Tool };
    let session = match Session::start(applicant, &hosts).await {
        Ok(session) => session,
        Err(error) => {
            tell(format_args!("error: {error}"));
            return Outcome::Usage;
        }
    };
    let mut applier = Applier::default();
    let mut valid = true;
    for (number, (name, skipped, tree)) in trees.into_iter().enumerate() {
        if number > 0 {
            session.clock.move_to(session.clock.now() + APART);
        }
        let (started, revision) = (session.clock.now(), session.api.revision());
        let report = match applier.commit(&session, &tree).await {
            Ok(report) => report,
            Err(error) => {
                tell(format_args!("error: commit {name}: {error}"));
                return Outcome::No;
            }
        };
        for problem in &report.problems {
            valid = false;
            tell(format_args!("error: {problem}"));
        }
        for warning in &report.warnings {
            tell(format_args!("warning: {warning}"));
        }
        for folder in &skipped {
            tell(format_args!(
                "note: {} is ignored: its name does not begin with a number",
                folder.display()
            ));
        }
        for ignored in &report.ignored {
            tell(format_args!(
                "note: {ignored} is ignored: `local` applies only Postlink's kinds, Namespace, Secret and ServiceAccount"
            ));
        }
        let printed = match args.output {
            Output::Table => answer(format_args!(
                "{}commit {name} at {}\n{}{}{}",
                if number > 0 { "\n" } else { "" },
                started.strftime("%Y-%m-%d %H:%M:%S UTC"),
                report::changes(&report),
                report::tables(&session, session.clock.now()),
                report::events(&session, revision)
            )),
            Output::Json if args.each => answer(format_args!("{}\n", report::list(&session, Some(&name)))),
            Output::Json | Output::Yaml => Ok(()),
        };
        if let Err(outcome) = printed {
            return outcome;
        }
    }
    let printed = match args.output {
        Output::Json if !args.each => answer(format_args!("{:#}\n", report::list(&session, None))),
        Output::Yaml => answer(crate::manifests::to_yaml(&report::list(&session, None))),
        _ => Ok(()),
    };
    if let Err(outcome) = printed {
        return outcome;
    }
    let not_ready = report::not_ready(&session);
    if !not_ready.is_empty() && !args.expect_held {
        for object in &not_ready {
            tell(format_args!("not ready: {object}"));
        }
    }
    session.stop().await;
    if valid && (not_ready.is_empty() || args.expect_held) { Outcome::Done } else { Outcome::No }
}
