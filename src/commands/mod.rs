//! One file per subcommand; each only wires the others together.
