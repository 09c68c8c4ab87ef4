//! Tests of `postlink::simulated_instance`.
