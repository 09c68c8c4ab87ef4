//! Tests of `postlink::manifests`.
