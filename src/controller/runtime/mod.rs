//! The runtime state of each connection and link that is not in any object: last probe, activity states, creations in
//! flight. Pure state, without I/O or clock. A result is kept here until its key is reconciled.

mod connection;
mod creations;
mod post_link;
mod slots;
mod state;

pub use connection::Probed;
pub use creations::{Admission, CreationFailure};
pub use post_link::LinkResults;
pub use state::{LinkGeneration, Runtime, Table};
