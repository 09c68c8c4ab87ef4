//! Waiting for a condition instead of sleeping, and blocking on async code from anywhere.

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

/// Poll interval.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Polls `probe` until it returns a value, at most `limit`; fails the test with a message that names `what`.
///
/// Blocks the thread. A test that runs a server in its own process (a proxy) needs `#[tokio::test(flavor =
/// "multi_thread")]`, or its server would be blocked too.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begin.elapsed() < limit, "waited {limit:?} in vain for {what}");
        thread::sleep(LOOK_AGAIN);
    }
}

/// The async form of [`wait_for`], for conditions asked of a server.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begin = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(begin.elapsed() < limit, "waited {limit:?} in vain for {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Run `future` to its end on a thread and runtime of its own, so that it works from plain tests and from
/// inside any other runtime alike. Connections opened inside do not outlive the call.
pub fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built")
                .block_on(future)
        });
        match worker.join() {
            Ok(value) => value,
            // The thread has printed the panic's message; resume it instead of panicking with a new one.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
