//! Logs: to stderr, as text or JSON, filtered by `POSTLINK_LOG` or `RUST_LOG`.

use std::io::IsTerminal;
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
    // (And a log that cannot be written is not worth a panic.) A log that is kept in a file or a pipe is searched, and colours are in the way there.
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let logs = fmt()
        .with_env_filter(never_bodies(filter))
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .log_internal_errors(false);
    // A second start (in tests) is no harm: the first one's logging goes on.
    let _ = match format {
        Format::Text => logs.try_init(),
        Format::Json => {
            logs.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
    };
}

/// Whatever filter somebody chose: kube's client logs the whole body of an answer it cannot decode, and such a body
/// may be a Secret or a post (§6).
fn never_bodies(filter: EnvFilter) -> EnvFilter {
    filter.add_directive("kube_client::client=off".parse().expect("a literal of ours is a directive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_filter_lets_bodies_of_answers_into_the_log() {
        for chosen in ["info,kube=warn", "trace", "kube_client=debug", "kube_client::client=warn"] {
            let filter = never_bodies(EnvFilter::new(chosen)).to_string();
            let about_the_client: Vec<_> =
                filter.split(',').filter(|part| part.starts_with("kube_client::client")).collect();
            assert_eq!(about_the_client, ["kube_client::client=off"], "{chosen}: {filter}");
        }
    }
}
