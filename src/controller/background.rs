//! Counts the background tasks: probes, checks, creations, rematches.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Clones share the count.
#[derive(Clone, Default)]
pub struct Background(Arc<AtomicUsize>);

/// Counts as one task until it is dropped.
pub struct BackgroundTask(Background);

impl Background {
    pub fn begin(&self) -> BackgroundTask {
        self.0.fetch_add(1, Ordering::SeqCst);
        BackgroundTask(self.clone())
    }

    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

impl Drop for BackgroundTask {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
