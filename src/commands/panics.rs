//! Ends the process when any task panics. The runtime would go on without the task: a probe or a creation that never ends
//! blocks its connection, while `/livez` still succeeds. After a restart, the next leader continues.

use super::outcome::Outcome;
use std::panic;
use tracing::error;

/// From now on, a panic is logged and ends the process with exit code 1. The log line has no panic message, because
/// that can contain values of objects.
pub fn end_on_panic() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "a task panicked; exiting. This is a bug in Postlink");
        std::process::exit(Outcome::No as i32);
    }));
}
