//! Tests of the in-memory API and of its schemas, through a real `kube::Client` where one is used.

mod api;
mod schema;
