//! The documented rules as tables, one test per rule or cell, named by it.
mod api;
mod automation_rules;
mod connection_scene;
mod connections;
mod documented_tables;
mod fixtures;
mod instance_states;
mod link_intent;
mod link_rules;
mod link_table;
mod matching;
mod reasons;
mod refusal;
mod scene;
