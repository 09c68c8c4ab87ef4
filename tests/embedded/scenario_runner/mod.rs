//! Runs scenario files (`scenarios/FORMAT.md`) on the code of `postlink local`, and reports what is not as expected.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; its helpers are not #[test] themselves"
)]

mod assertions;
mod file;
mod fixtures;
mod invariants;
mod play;

pub use assertions::{condition, described, text};
pub use file::Scenario;
pub use play::Run;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

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

/// Runs every scenario on all processors, with the runs that `runs` gives for the file's number; returns the failures.
pub fn play_all(runs: impl Fn(u64) -> Vec<Run> + Sync) -> Vec<String> {
    let (files, next) = (all(), AtomicUsize::new(0));
    let work = || {
        let mut failed = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            let Some(path) = files.get(number) else { return failed };
            match Scenario::read(path) {
                Ok(scenario) => {
                    failed
                        .extend(runs(number as u64).into_iter().filter_map(|run| run.play(&scenario).err()));
                }
                Err(error) => failed.push(format!("{}: {error}", path.display())),
            }
        }
    };
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let started: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        started.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// The seed of this process: `POSTLINK_SEED`, or a new one.
pub fn seed() -> u64 {
    match std::env::var("POSTLINK_SEED") {
        Ok(text) => text.parse().expect("POSTLINK_SEED is a number"),
        Err(_) => u64::from(rand::random::<u32>()),
    }
}
