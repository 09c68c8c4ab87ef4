//! Every scenario, as `postlink local` would run it. The files and their format: `scenarios/`.

use crate::scenario_runner::{Run, Scenario, play, seed};
use rstest::rstest;
use std::path::PathBuf;

/// A file that is new is found when this file is compiled again; `every_scenario_…` below reads the folder itself.
#[rstest]
fn scenario(#[files("tests/embedded/scenarios/*.yaml")] path: PathBuf) {
    postlink::telemetry::logs::start(postlink::telemetry::logs::Format::Text, "error");
    let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let run = Run::as_local(seed());
    println!("{run:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Err(failed) = runtime.block_on(play(&scenario, run)) {
        panic!("{failed}");
    }
}
