//! Metrics, health and log set-up.
