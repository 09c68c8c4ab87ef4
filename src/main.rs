//! Parse arguments, install the crypto provider, hand over.
fn main() {}
