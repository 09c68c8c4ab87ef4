//! Real processes: kube-apiserver, etcd, kubectl, `postlink run`, `postlink simulate`.
#![allow(clippy::unwrap_used)] // Tests and what only they call: a panic is how they fail.
mod availability;
mod bad_object;
mod bench;
mod chart;
mod control_plane;
mod crowd;
mod departure;
mod gitops;
mod ground;
// A test uses what it needs of the harness, and the harness offers what tests to come need.
#[allow(dead_code)]
mod harness;
mod idle;
mod kills;
mod on_the_wire;
mod operations;
mod oracle;
mod parity;
mod processes;
mod refusal;
mod short_lease;
mod stage;
mod storm;
mod story;
