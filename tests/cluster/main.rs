//! Real processes: kube-apiserver, etcd, kubectl, `postlink run`, `postlink simulate`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
mod admission;
mod availability;
mod bad_object;
mod bench;
mod bench_fan_out;
mod bench_namespaces;
mod bench_scale;
mod bench_schema;
mod bench_table;
mod chaos;
mod chart;
mod cluster;
mod control_plane;
mod deletion;
mod gitops;
#[allow(dead_code, reason = "not every part of the harness is used")]
mod harness;
mod idle;
mod in_flight;
mod installation;
mod kills;
mod kubectl;
mod many_links;
mod memory_limit;
mod missing_prerequisites;
#[path = "../mistakes.rs"]
mod mistakes;
mod neighbors;
mod operations;
mod oracle;
mod parity;
mod processes;
#[path = "../program.rs"]
mod program;
mod several_installs;
mod short_lease;
mod social_activities;
mod storm;
mod story;
mod streams;
mod watches;
