//! The `postlink` program as a child process, shared by the test binaries that start it.

use std::process::Command;

/// Variables that would change what the program does: its own, those of a cluster around the tests, the log filter, and
/// proxies, which kube's client uses even for a loopback address.
const REMOVED: [&str; 4] = ["POSTLINK_", "KUBE", "RUST_LOG", "HTTP"];

/// The program of this build, isolated from the caller's environment.
pub fn postlink() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postlink"));
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_uppercase();
        if REMOVED.iter().any(|prefix| upper.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}
