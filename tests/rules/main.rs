//! The documented rules as tables, one test per rule or cell, named by it.
mod api;
