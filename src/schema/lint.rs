//! What a real API server demands of a CRD.
