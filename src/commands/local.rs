//! `postlink local PATH…`: applies YAML in one process and prints the result.

use super::{
    outcome::Outcome,
    output::{answer, tell},
};
use crate::{
    local::{
        apply::Applier,
        input::{self, Input},
        report, root_causes, secrets,
        session::{APART, Applicant, Session},
        simulated_defaults,
        tree::Tree,
    },
    manifests::{Commit, LeftOut},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Check YAML files on this machine or in CI, without a cluster and without Dynamics 365: apply them to an in-memory API
/// server with simulated instances, and print the result.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 all objects are Ready at the end, 1 some are not or some input is not valid, 2 nothing could be run

Examples:
  postlink local examples/quickstart
  kustomize build overlays/prod | postlink local - --stub-secrets
  helm template charts/social | postlink local - simulated-instances.yaml
  postlink local examples/story -o json --each | jq -c .metadata.annotations")]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent flag")]
pub struct LocalArgs {
    /// Directory of manifests, file, or `-` for standard input; several are one tree. If all subdirectories of a directory
    /// are named `1-…` or `01-…`, they are commits, applied in order, a day apart; each must hold all files, because what is
    /// missing in the next one is deleted.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Read numbered subdirectories as one tree, not as commits.
    #[arg(long)]
    no_commits: bool,
    /// Make up each Secret and ServiceAccount that a connection refers to and that is not in the input, or is there encrypted
    /// with SOPS.
    #[arg(long)]
    stub_secrets: bool,
    /// Do not simulate instances for connections whose hosts no `SimulatedInstance` has: they cannot be reached.
    #[arg(long)]
    no_simulated_defaults: bool,
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
    /// The table with more columns.
    Wide,
    Json,
    Yaml,
}

pub fn run(args: &LocalArgs) -> Outcome {
    if args.each && args.output != Output::Json {
        tell("error: --each requires -o json");
        return Outcome::Usage;
    }
    let input = match input::read(&args.paths, args.no_commits) {
        Ok(input) => input,
        Err(error) => {
            tell(format_args!("error: {error}"));
            return Outcome::Usage;
        }
    };
    // A single thread makes the result reproducible.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(format_args!("error: cannot start the async runtime: {error}"));
            return Outcome::Usage;
        }
    };
    runtime.block_on(apply_commits(args, input))
}

/// A commit that is ready to be applied.
struct Prepared {
    name: String,
    tree: Tree,
}

/// What is ready to be applied.
struct Preparation {
    commits: Vec<Prepared>,
    /// The hosts of the instances that are made up.
    made_up: BTreeSet<String>,
    /// False if there was an error.
    valid: bool,
}

/// Says what is left out, and adds what is made up.
fn prepare(args: &LocalArgs, commits: Vec<Commit>) -> Result<Preparation, Outcome> {
    let empty = |commit: &&Commit| commit.documents.is_empty() && commit.errors.is_empty();
    let (several, empty) = (commits.len() > 1, commits.iter().find(empty).map(|commit| commit.name.clone()));
    let read = commits.iter().any(|commit| !commit.documents.is_empty());
    let mut left_out = LeftOut::default();
    let mut prepared: Vec<Prepared> = Vec::new();
    for Commit { name, documents, errors, left_out: more, .. } in commits {
        left_out.extend(more);
        let mut tree = Tree::of(documents, &errors);
        secrets::ignore_unused(&mut tree);
        prepared.push(Prepared { name, tree });
    }
    left_out.others.extend(prepared.iter().flat_map(|commit| commit.tree.others.iter().cloned()));
    for note in input::notes(&left_out) {
        tell(format_args!("note: {note}"));
    }
    let mut ignored: BTreeMap<&str, usize> = BTreeMap::new();
    for (kind, count) in prepared.iter().flat_map(|commit| &commit.tree.ignored) {
        *ignored.entry(kind).or_default() += count;
    }
    for (kind, count) in ignored {
        let documents =
            if count == 1 { "1 document is".to_owned() } else { format!("{count} documents are") };
        tell(format_args!("note: {documents} ignored: {kind}"));
    }
    if let Some(name) = empty.filter(|_| several) {
        tell(format_args!(
            "error: no YAML documents in commit {name}; it would delete all objects of the commits before it"
        ));
        return Err(Outcome::Usage);
    }
    if prepared.iter().all(|commit| commit.tree.is_empty()) {
        let paths: Vec<String> = args.paths.iter().map(|path| path.display().to_string()).collect();
        let what = if read { "objects of Postlink" } else { "YAML documents" };
        let advice = match paths.as_slice() {
            [path] if path == "-" => "check the command that writes to standard input",
            _ if !left_out.kustomizations.is_empty() => "kustomizations must be rendered, as the note says",
            _ if !left_out.charts.is_empty() => "Helm charts must be rendered, as the note says",
            _ => "specify the directory with your manifests",
        };
        tell(format_args!("error: no {what} in {}; {advice}", paths.join(" ")));
        return Err(Outcome::Usage);
    }
    if let Some((count, first)) = prepared.iter().find_map(|commit| commit.tree.without_namespace()) {
        let objects = if count == 1 { "1 object has".to_owned() } else { format!("{count} objects have") };
        let are = if count == 1 { "is" } else { "are" };
        tell(format_args!(
            "warning: {objects} no metadata.namespace and {are} in namespace default, first {first}"
        ));
    }
    let mut valid = true;
    let mut simulated = BTreeSet::new();
    let trees: Vec<&Tree> = prepared.iter().map(|commit| &commit.tree).collect();
    for warning in simulated_defaults::unused(&trees) {
        tell(format_args!("warning: {warning}"));
    }
    let unrendered: BTreeSet<String> = trees.iter().flat_map(|tree| secrets::unrendered(tree)).collect();
    for error in unrendered {
        valid = false;
        tell(format_args!("error: {error}"));
    }
    if !args.no_simulated_defaults {
        let defaults = simulated_defaults::of(&trees);
        for note in &defaults.notes {
            tell(format_args!("note: {note}"));
        }
        for error in &defaults.errors {
            valid = false;
            tell(format_args!("error: {error}"));
        }
        simulated.extend(defaults.instances.iter().map(|instance| instance.spec.host.clone()));
        for commit in &mut prepared {
            commit.tree.instances.extend(defaults.instances.iter().cloned());
        }
    }
    let mut stubs = BTreeSet::new();
    for Prepared { tree, .. } in &mut prepared {
        secrets::accept_any(tree, &simulated);
        if args.stub_secrets {
            stubs.extend(secrets::stub(tree));
        }
    }
    for note in stubs {
        tell(format_args!("note: {note}"));
    }
    Ok(Preparation { commits: prepared, made_up: simulated, valid })
}

async fn apply_commits(args: &LocalArgs, input: Input) -> Outcome {
    let table = matches!(args.output, Output::Table | Output::Wide);
    let Preparation { commits, made_up, mut valid } = match prepare(args, input.commits) {
        Ok(prepared) => prepared,
        Err(outcome) => return outcome,
    };
    if !table {
        tell(&input.description);
    } else if let Err(outcome) = answer(format_args!("{}\n\n", input.description)) {
        return outcome;
    }
    let hosts: BTreeSet<String> =
        commits.iter().flat_map(|commit| commit.tree.instances.iter().map(|i| i.spec.host.clone())).collect();
    let applicant = if args.as_person { Applicant::Person } else { Applicant::Tool };
    let session = match Session::start(applicant, &hosts).await {
        Ok(session) => session,
        Err(error) => {
            tell(format_args!("error: {error}"));
            return Outcome::Usage;
        }
    };
    let mut applier = Applier::default();
    for (number, Prepared { name, tree }) in commits.iter().enumerate() {
        if number > 0 {
            let previous = &commits[number - 1];
            if let Some(deleted) = tree.replaces(&previous.tree) {
                tell(format_args!(
                    "warning: {name} deletes {deleted} of {} and keeps none of its objects; if the folders belong together, use --no-commits",
                    previous.name
                ));
            }
            session.clock.move_to(session.clock.now() + APART);
        }
        let (started, revision) = (session.clock.now(), session.api.revision());
        let report = match applier.commit(&session, tree).await {
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
            if commits.len() > 1 {
                tell(format_args!("warning: commit {name}: {warning}"));
            } else {
                tell(format_args!("warning: {warning}"));
            }
        }
        let printed = match args.output {
            Output::Table | Output::Wide => answer(format_args!(
                "{}commit {name} at {}\n{}{}{}",
                if number > 0 { "\n" } else { "" },
                started.strftime("%Y-%m-%d %H:%M:%S UTC"),
                report::changes(&report),
                report::tables(&session, session.clock.now(), args.output == Output::Wide),
                report::events(&session, revision)
            )),
            Output::Json if args.each => answer(format_args!("{}\n", report::list(&session, Some(name)))),
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
    let last = commits.last().map(|commit| &commit.tree);
    for error in last.map(|tree| root_causes::not_offered(&session, tree, &made_up)).unwrap_or_default() {
        valid = false;
        tell(format_args!("error: {error}"));
    }
    let not_ready = last.map(|tree| root_causes::not_ready(&session, tree)).unwrap_or_default();
    if !not_ready.is_empty() && !args.expect_held {
        for object in &not_ready {
            tell(format_args!("not ready: {object}"));
        }
    }
    session.stop().await;
    if valid && (not_ready.is_empty() || args.expect_held) { Outcome::Done } else { Outcome::No }
}
