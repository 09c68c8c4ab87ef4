//! Tests of the API, through a `kube::Client`, and of the schemas.

mod api;
mod schema;
