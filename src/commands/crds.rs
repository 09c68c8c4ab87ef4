//! `postlink crds`: prints the CustomResourceDefinitions (what `crds/` holds).

use super::{
    outcome::Outcome,
    output::{answer, tell},
};
use crate::api::crds;
use std::{fs, path::PathBuf};

/// Print the CustomResourceDefinitions this version was built for.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  postlink crds | kubectl apply --server-side -f -\n  postlink crds --out crds"
)]
pub struct CrdsArgs {
    /// Write one file per CRD to this directory instead of printing them.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: &CrdsArgs) -> Outcome {
    for crd in crds::all() {
        let yaml = match crds::to_yaml(&crd) {
            Ok(yaml) => yaml,
            Err(error) => {
                tell(format_args!("error: cannot write {} as YAML: {error}", crds::file_name(&crd)));
                return Outcome::Usage;
            }
        };
        let Some(dir) = &args.out else {
            if let Err(outcome) = answer(format_args!("---\n{yaml}")) {
                return outcome;
            }
            continue;
        };
        let path = dir.join(crds::file_name(&crd));
        if let Err(error) = fs::create_dir_all(dir).and_then(|()| fs::write(&path, yaml)) {
            tell(format_args!("error: cannot write {}: {error}", path.display()));
            return Outcome::Usage;
        }
    }
    Outcome::Done
}
