//! `postlink schemas`: prints JSON schemas for editors and validators (what `schemas/` holds).

use super::{
    outcome::Outcome,
    output::{answer, tell},
};
use crate::local::editor_schemas;
use std::{fs, path::PathBuf};

/// Print JSON schemas of the kinds, for editors and for kubeconform.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  postlink schemas --out schemas
  kubeconform -schema-location default -schema-location 'schemas/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json' FILE

The first line of a file tells yaml-language-server which schema to use:
  # yaml-language-server: $schema=../schemas/postlink.dev/postlink_v1alpha1.json")]
pub struct SchemasArgs {
    /// Write one file per kind to this directory instead of printing them.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: &SchemasArgs) -> Outcome {
    let files = editor_schemas::all().and_then(|all| {
        all.into_iter().map(|schema| Ok((schema.to_json()?, schema.path))).collect::<Result<Vec<_>, _>>()
    });
    let files = match files {
        Ok(files) => files,
        Err(error) => {
            tell(format_args!("error: cannot write the schemas as JSON: {error}"));
            return Outcome::Usage;
        }
    };
    for (json, path) in files {
        let Some(dir) = &args.out else {
            if let Err(outcome) = answer(format_args!("{json}")) {
                return outcome;
            }
            continue;
        };
        let path = dir.join(path);
        let folder = path.parent().unwrap_or(dir);
        if let Err(error) = fs::create_dir_all(folder).and_then(|()| fs::write(&path, json)) {
            tell(format_args!("error: cannot write {}: {error}", path.display()));
            return Outcome::Usage;
        }
    }
    Outcome::Done
}
