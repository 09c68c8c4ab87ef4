//! The documented rules as tables, one test per rule or cell, named after it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod api;
mod arbitrary;
mod architecture;
mod automation_rules;
mod connection_properties;
mod connection_scene;
mod connections;
mod documented_tables;
mod events;
mod fixtures;
mod generated_page;
mod installation;
mod instance_states;
mod link_intent;
mod link_properties;
mod link_rules;
mod link_table;
mod lint;
mod matching;
mod matching_keywords;
mod matching_page;
#[path = "../mistakes.rs"]
mod mistakes;
mod new_links;
mod operations_page;
mod promql;
mod reasons;
mod reasons_page;
mod refusal;
mod scene;
mod schemas;
mod simulated_instance_page;
