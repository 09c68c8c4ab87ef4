//! Tests of `postlink::schema`.
