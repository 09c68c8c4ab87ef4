//! The documented rules as pure functions: view in, decision out.
