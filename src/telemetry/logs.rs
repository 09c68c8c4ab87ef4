//! Logs: to stderr, as text or JSON, filtered by `POSTLINK_LOG` or `RUST_LOG`.

use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// Starts logging. `default` is the filter when the environment sets none.
pub fn start(format: Format, default: &str) {
    let filter = EnvFilter::try_from_env("POSTLINK_LOG")
        .or_else(|_| EnvFilter::try_from_default_env())
        .unwrap_or_else(|_| EnvFilter::new(default));
    // No colors in files and pipes: they get in the way of a search.
    let colors = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let logs = fmt()
        .with_env_filter(without_bodies(filter))
        .with_writer(std::io::stderr)
        .with_ansi(colors)
        // It would print to stderr, and panic when stderr is closed.
        .log_internal_errors(false);
    // A second start, in tests, has no effect.
    let _ = match format {
        Format::Text => logs.try_init(),
        Format::Json => {
            logs.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
    };
}

/// Silences `kube_client::client` under any filter: it logs the whole body of a response that it cannot decode, which
/// may be a Secret or a post (§6).
fn without_bodies(filter: EnvFilter) -> EnvFilter {
    filter.add_directive("kube_client::client=off".parse().expect("a valid literal directive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_filter_enables_the_log_of_response_bodies() {
        for chosen in ["info,kube=warn", "trace", "kube_client=debug", "kube_client::client=warn"] {
            let filter = without_bodies(EnvFilter::new(chosen)).to_string();
            let about_the_client: Vec<_> =
                filter.split(',').filter(|part| part.starts_with("kube_client::client")).collect();
            assert_eq!(about_the_client, ["kube_client::client=off"], "{chosen}: {filter}");
        }
    }
}
