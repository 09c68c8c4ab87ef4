//! A counterexample, one line per step.

use crate::protocol::{Action, State};
use stateright::Path;
use std::fmt::Write;

/// The steps, each with the store it leaves behind.
pub fn steps(path: &Path<State, Action>) -> String {
    let mut text = String::new();
    let steps = path.clone().into_vec();
    let mut last: Option<Action> = None;
    for (number, (state, action)) in steps.into_iter().enumerate() {
        let did = last.map_or_else(|| "at first".to_owned(), |action| format!("{action:?}"));
        writeln!(text, "  {number:2}. {did}\n        {state:?}").expect("a String takes everything");
        last = action;
    }
    text
}
