//! How clients reach the simulator: HTTP/1.1 over TLS on loopback, or over streams in memory.

pub(crate) mod certificates;
pub(crate) mod connection;
pub(crate) mod tls;
