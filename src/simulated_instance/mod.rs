//! A strict stand-in for a Dynamics instance.
