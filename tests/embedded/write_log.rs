//! The controller's write requests: a write that changes nothing is not stored, so only the request shows it.

use kube_memory::{Fault, FaultInjector, RequestInfo};
use std::sync::{Arc, Mutex, PoisonError};

/// Recorded writes; clones share them.
#[derive(Clone, Default)]
pub struct WriteLog(Arc<Mutex<Vec<RequestInfo>>>);

impl WriteLog {
    /// A connection without faults that records writes.
    pub fn line(&self) -> FaultInjector {
        let log = self.clone();
        FaultInjector::with_hook(move |request| {
            if request.is_write {
                log.0.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            }
            Fault::None
        })
    }

    pub fn writes(&self) -> Vec<RequestInfo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
