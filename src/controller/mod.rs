//! The loop: watch → view → decide → apply.
