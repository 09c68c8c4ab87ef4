//! Real processes: kube-apiserver, etcd, kubectl, `postlink run`, `postlink simulate`.
mod bench;
mod control_plane;
// A test uses what it needs of the harness, and the harness offers what tests to come need.
#[allow(dead_code)]
mod harness;
mod processes;
