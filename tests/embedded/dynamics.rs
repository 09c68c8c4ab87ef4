//! Tests of `postlink::dynamics`.
