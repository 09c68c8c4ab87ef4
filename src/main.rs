//! Installs the allocator and the crypto provider, and runs the command line.

use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    if tokio_rustls::rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: a TLS provider is already installed; this is a bug in Postlink");
        return ExitCode::from(2);
    }
    postlink::commands::main()
}
