//! Tests against a scripted server, over in-memory streams and over TLS.
#![allow(clippy::unwrap_used, reason = "the scripted server is outside #[test] functions")]

mod activities;
mod checks;
mod hostile;
mod network;
mod organization;
mod readme;
mod server;
mod sign_in;
mod throttling;
mod urls;
