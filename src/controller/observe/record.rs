//! Counts and logs of the reconciles. Every line about an object carries its kind, namespace, name and UID, and a reason,
//! never a condition's message, which may contain what must not be logged.

use crate::{
    api::{Condition, ConditionType, conditions::find, conditions::reason},
    controller::{
        context::Context,
        key::{Key, Kind},
        patch::ApiError,
    },
    telemetry::Metrics,
};
use dataverse_client::ClientEvent;
use tracing::{debug, info};

impl Context {
    /// Counts a write by its result, which is passed on.
    pub fn wrote<T>(
        &self,
        key: &Key,
        what: &'static str,
        result: Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.metrics.wrote(key.kind.as_str(), what, result_label(&result));
        result
    }

    /// Counts and logs the conditions that a written status changed.
    pub fn record_transitions(&self, key: &Key, uid: &str, old: &[Condition], new: &[Condition]) {
        for type_ in ConditionType::ALL {
            let (Some(after), Some(reason)) = (find(new, type_), reason(new, type_)) else { continue };
            if find(old, type_).is_some_and(|b| b.status == after.status && b.reason == after.reason) {
                continue;
            }
            let (kind, condition) = (key.kind.as_str(), type_.as_str());
            let (status, reason) = (after.status.as_str(), reason.as_str());
            self.metrics.transition(kind, condition, status, reason);
            // A connection that goes down changes all its links; its own line is enough at level info.
            if key.kind == Kind::PostLink {
                debug!(kind, namespace = %key.namespace, name = %key.name, uid, condition, status, reason, "condition changed");
            } else {
                info!(kind, namespace = %key.namespace, name = %key.name, uid, condition, status, reason, "condition changed");
            }
        }
    }
}

/// The `result` of a reconcile or a write, as in the metrics.
pub fn result_label<T>(result: &Result<T, ApiError>) -> &'static str {
    match result {
        Ok(_) => "success",
        Err(ApiError::Conflict) => "conflict",
        Err(ApiError::Gone) => "not_found",
        Err(ApiError::Refused(_)) => "rejected",
        Err(ApiError::Unanswered(_)) => "error",
    }
}

/// Counts the requests to instances.
pub fn observe(metrics: &Metrics, event: &ClientEvent<'_>) {
    match event {
        ClientEvent::RequestFinished { host, operation, outcome, took } => {
            metrics.instance_request(host, operation.as_str(), outcome.as_str(), *took);
        }
        ClientEvent::Throttled { host } => metrics.instance_throttled(host),
    }
}
