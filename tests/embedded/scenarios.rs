//! Every scenario as `postlink local` runs it, in other orders, and with API faults. The files and their format:
//! `scenarios/`.

use crate::scenario_runner::{Run, Scenario, play_all, seed};
use rstest::rstest;
use std::path::PathBuf;

/// rstest lists the files at compile time: touch this file after adding one. The tests below read the folder.
#[rstest]
fn scenario(#[files("tests/embedded/scenarios/*.yaml")] path: PathBuf) {
    postlink::telemetry::logs::start(postlink::telemetry::logs::Format::Text, "error");
    let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let run = Run::as_local(seed());
    println!("{run:?}");
    if let Err(failed) = run.play(&scenario) {
        panic!("{failed}");
    }
}

/// §5: the end state does not depend on the order in which the objects of one commit arrive.
#[test]
fn every_scenario_ends_the_same_in_any_order() {
    let seed = seed();
    println!("POSTLINK_SEED={seed}");
    let failed = play_all(|_| (1..=3).map(|n| Run::in_memory(seed.wrapping_add(n))).collect());
    assert!(failed.is_empty(), "{} runs failed\n{}", failed.len(), failed.join("\n\n"));
}

/// Failed requests, lost answers, and writes that are carried out without an answer lead to the same end states.
#[test]
fn every_scenario_ends_the_same_under_api_faults() {
    let seed = seed();
    println!("POSTLINK_SEED={seed}");
    let faulty = |number| Run { faults_per_mille: 60, ..Run::in_memory(seed.wrapping_add(number)) };
    let failed = play_all(|number| vec![faulty(number)]);
    assert!(failed.is_empty(), "{} runs failed\n{}", failed.len(), failed.join("\n\n"));
}

/// Both of the above, many times over.
#[test]
#[ignore = "the large numbers; run by `make soak`"]
fn soak_every_scenario_in_any_order_under_faults() {
    const EACH: u64 = 20;
    let seed = seed();
    println!("POSTLINK_SEED={seed}");
    let failed = play_all(|number| {
        let runs = (0..EACH).map(|n| Run::in_memory(seed.wrapping_add(number * EACH + n)));
        runs.flat_map(|run| [run, Run { faults_per_mille: 60, ..run }]).collect()
    });
    assert!(failed.is_empty(), "{} runs failed\n{}", failed.len(), failed.join("\n\n"));
}
