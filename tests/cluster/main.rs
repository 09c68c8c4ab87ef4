//! Real processes: kube-apiserver, etcd, kubectl, `postlink run`, `postlink simulate`.
#![allow(clippy::unwrap_used)] // Tests and what only they call: a panic is how they fail.
mod admission;
mod availability;
mod bad_object;
mod bench;
mod chart;
mod cluster;
mod control_plane;
mod deletion;
mod gitops;
mod many_links;
mod missing_prerequisites;
// Not every part of the harness is used.
#[allow(dead_code)]
mod harness;
mod idle;
mod in_flight;
mod kills;
mod operations;
mod oracle;
mod parity;
mod processes;
#[path = "../program.rs"]
mod program;
mod short_lease;
mod storm;
mod story;
