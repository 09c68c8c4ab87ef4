//! Real processes: kube-apiserver, etcd, kubectl, `postlink run`, `postlink simulate`.
#![allow(clippy::unwrap_used)] // Tests and what only they call: a panic is how they fail.
mod availability;
mod bad_object;
mod bench;
mod chart;
mod control_plane;
mod deletion;
mod gitops;
mod many_links;
mod missing_prerequisites;
// A test uses what it needs of the harness, and the harness offers what tests to come need.
mod admission;
mod cluster;
#[allow(dead_code)]
mod harness;
mod idle;
mod in_flight;
mod kills;
mod operations;
mod oracle;
mod parity;
mod processes;
mod short_lease;
mod storm;
mod story;
