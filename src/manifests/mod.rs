//! YAML documents with positions: load them, and name the place of an error.
