//! The same API on a TCP port, for `kubectl` and other real clients. Plain HTTP, no authentication: loopback only.

use std::io;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::service::ApiService;

/// Serves `service` on `listener` until `stop` completes; then open watches end and requests are finished.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    listener: TcpListener,
    service: ApiService,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = GracefulShutdown::new();
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().keep_alive(true);
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut stop => break,
        };
        let service = TowerToHyperService::new(service.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that goes away in the middle is its own business.
            let _ = connection.await;
        });
    }
    // A watch has no natural end, so connections are not waited for longer than it takes to finish a request.
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
    }
    Ok(())
}
