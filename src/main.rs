//! Parse arguments, install the crypto provider, hand over.

use std::process::ExitCode;

fn main() -> ExitCode {
    if tokio_rustls::rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another TLS provider is installed already; this is a bug in Postlink");
        return ExitCode::from(2);
    }
    postlink::commands::main()
}
