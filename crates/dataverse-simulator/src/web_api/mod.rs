//! The Web API of one instance. `service` accepts a request, `routes` finds the operation, the rest answer it.

pub(crate) mod batch;
mod change_feed;
mod metadata;
mod organization;
mod payload;
mod representation;
mod request;
mod routes;
mod rows;
pub(crate) mod service;
mod writes;
