//! Tests of `dataverse_simulator`: each strictness rule has a case, over in-memory streams.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; its helpers are not #[test] themselves"
)]

mod batch;
mod change_feed;
mod discovery;
mod documents;
mod faults;
mod gate;
mod metadata;
mod people;
mod reading;
mod sign_in;
mod tls;
mod wire;
mod writing;
