//! Plays scenario files (`scenarios/FORMAT.md`) on the code of `postlink local`, and says precisely what is not as
//! expected.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; its helpers are not #[test] themselves"
)]

mod assertions;
mod file;
mod invariants;
mod play;

pub use file::Scenario;
pub use play::{Run, play};

use std::path::{Path, PathBuf};

/// The scenario files, by name.
pub fn all() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/embedded/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

/// The seed of this process: `POSTLINK_SEED`, or a new one.
pub fn seed() -> u64 {
    match std::env::var("POSTLINK_SEED") {
        Ok(text) => text.parse().expect("POSTLINK_SEED is a number"),
        Err(_) => u64::from(rand::random::<u32>()),
    }
}
