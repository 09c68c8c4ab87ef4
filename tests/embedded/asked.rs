//! What the controller asks of the API: a write that changes nothing is not stored, so only the request shows it.

use kube_memory::{Fault, FaultInjector, RequestInfo};
use std::sync::{Arc, Mutex, PoisonError};

/// The writes that were asked for; clones share them.
#[derive(Clone, Default)]
pub struct Asked(Arc<Mutex<Vec<RequestInfo>>>);

impl Asked {
    /// A sound line that writes them down.
    pub fn line(&self) -> FaultInjector {
        let asked = self.clone();
        FaultInjector::with_hook(move |request| {
            if request.is_write {
                asked.0.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            }
            Fault::None
        })
    }

    /// All since the last [`Asked::forget`].
    pub fn writes(&self) -> Vec<RequestInfo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins anew.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
