//! How a command ended, as its exit code.

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done = 0,
    /// The answer is "no": held, invalid, or not converged.
    No = 1,
    /// Wrong usage, or an I/O error.
    Usage = 2,
    /// The cluster or an instance cannot be reached.
    Unreachable = 3,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(outcome as u8)
    }
}
