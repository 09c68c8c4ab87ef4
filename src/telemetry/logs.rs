//! Logs: to stderr, as text or JSON, filtered by `POSTLINK_LOG` or `RUST_LOG`.

use tracing_subscriber::{EnvFilter, fmt};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines: one object a line.
    Json,
}

/// Starts logging. `default` is the filter when the environment gives none.
pub fn start(format: Format, default: &str) {
    let filter = EnvFilter::try_from_env("POSTLINK_LOG")
        .or_else(|_| EnvFilter::try_from_default_env())
        .unwrap_or_else(|_| EnvFilter::new(default));
    let logs = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start (in tests) is no harm: the first one's logging goes on.
    let _ = match format {
        Format::Text => logs.try_init(),
        Format::Json => logs.json().try_init(),
    };
}
