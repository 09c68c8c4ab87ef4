//! The part of OData that Dataverse and the discovery service understand: query options, preferences, filters.

pub(crate) mod filter;
mod filter_tokens;
pub(crate) mod preferences;
pub(crate) mod query;
