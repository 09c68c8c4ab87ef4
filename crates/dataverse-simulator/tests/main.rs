//! Tests of the simulator: every promise of its README has a case, over in-memory streams.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows unwrap only in functions with #[test], and not in what they call"
)]

mod batch;
mod change_feed;
mod client;
mod data;
mod discovery;
mod dispatch;
mod faults;
mod layout;
mod metadata;
mod reading;
mod record_creation;
mod sign_in;
mod specs;
mod tls;
mod user_actions;
mod writing;
