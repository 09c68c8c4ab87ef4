//! A Kubernetes API in memory for [`kube::Client`], to test controllers without a cluster.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod activity;
mod admission;
mod built_in;
mod built_in_schemas;
mod create;
mod decode;
mod delete;
mod discovery;
mod error;
mod faults;
mod field_error;
mod field_set;
mod field_types;
mod history;
mod label_selector;
mod list;
mod managed_fields;
mod memory_api;
mod metadata;
mod names;
mod namespace_controller;
mod patch;
mod request_options;
mod resource;
mod route;
pub mod schema;
mod schema_admission;
mod selector;
mod serve;
mod server;
mod service;
mod status;
mod store;
mod token;
mod transaction;
mod update;
mod user_info;
mod watch_stream;

pub use activity::{Activity, OpenWatch};
pub use admission::{Admission, AdmissionRequest, AdmissionResponse, Denial, Operation, Permissive};
pub use error::SetupError;
pub use faults::{CrashPoint, Fault, FaultInjector, RequestInfo, WatchFault};
pub use field_error::{FieldError, FieldErrorKind};
pub use history::{HistoryEntry, ObjectKey};
pub use memory_api::{MemoryApi, Options, Saved};
pub use names::validate_name;
pub use resource::{Resource, SelectableField};
pub use schema_admission::SchemaAdmission;
pub use serve::serve;
pub use server::Clock;
pub use service::{ApiBody, ApiService};
pub use store::WriteKind;
pub use user_info::UserInfo;
