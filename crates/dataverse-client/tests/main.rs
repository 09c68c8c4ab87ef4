//! Tests of `dataverse_client`: a scripted server behind in-memory streams, and one over real TLS.
#![allow(clippy::unwrap_used, reason = "the scripted server and its helpers stand outside #[test] functions")]

mod activities;
mod checks;
mod hostile;
mod network;
mod organization;
mod server;
mod sign_in;
mod throttling;
mod urls;
