//! The requests, by subject.

pub mod applying;
pub mod bodies;
pub mod built_in;
pub mod deleting;
pub mod fields;
pub mod metadata;
pub mod patching;
pub mod policies;
pub mod reading;
pub mod status;
pub mod validation;
pub mod watching;
pub mod writing;

use super::Case;

pub const ALL: &[&[Case]] = &[
    applying::CASES,
    bodies::CASES,
    built_in::CASES,
    deleting::CASES,
    fields::CASES,
    metadata::CASES,
    patching::CASES,
    policies::CASES,
    policies::WARNING,
    reading::CASES,
    status::CASES,
    validation::CASES,
    watching::CASES,
    watching::FORGOTTEN,
    writing::CASES,
];
