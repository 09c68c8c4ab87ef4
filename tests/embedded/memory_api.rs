//! Tests of `postlink::memory_api`.
