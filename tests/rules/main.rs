//! The documented rules as tables, one test per rule or cell, named by it.
mod api;
mod documented_tables;
mod fixtures;
mod link_intent;
mod link_rules;
mod link_table;
mod scene;
