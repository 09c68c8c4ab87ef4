//! What users write and read: the three kinds, their conditions and reasons. No I/O.
