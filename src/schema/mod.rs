//! Our CRDs at work without a server: validation, defaulting, pruning, CEL, the admission policies.
