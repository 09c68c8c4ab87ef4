//! The API on a TCP port.

use std::io;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::service::ApiService;

/// Serves `service` on `listener`, for `kubectl` and other clients, until `stop` completes. Requests in flight then have
/// one second to finish.
///
/// Plain HTTP without authentication, and every request acts as the user of the service: listen on the loopback
/// interface only.
///
/// # Errors
/// When the listener fails.
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
            // Errors of one connection do not concern the others.
            let _ = connection.await;
        });
    }
    // Watches do not end, so the wait for connections has a limit.
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
    }
    Ok(())
}
