//! What the loop counts and logs of its own doing: every line about an object carries its kind, namespace, name and
//! UID, and a reason, never a message: messages are for people, and may name what does not belong into a log.

use super::{
    Shell,
    queue::{Key, Kind},
    readings::status_word,
    writer::WriteError,
};
use crate::{
    api::{Condition, ConditionType, conditions::find, conditions::reason},
    telemetry::Metrics,
};
use dataverse_client::ClientEvent;
use tracing::{debug, info};

impl Shell {
    /// Counts a write on its way through.
    pub(super) fn wrote<T>(
        &self,
        key: &Key,
        what: &'static str,
        result: Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        self.metrics.wrote(key.kind.as_str(), what, word(&result));
        result
    }

    /// Counts and logs what a written status changed: a decision, by its reason.
    pub(super) fn decided(&self, key: &Key, uid: &str, old: &[Condition], new: &[Condition]) {
        for type_ in ConditionType::ALL {
            let (Some(after), Some(reason)) = (find(new, type_), reason(new, type_)) else { continue };
            if find(old, type_).is_some_and(|b| b.status == after.status && b.reason == after.reason) {
                continue;
            }
            let (kind, condition) = (key.kind.as_str(), type_.as_str());
            let (status, reason) = (status_word(after.status), reason.as_str());
            self.metrics.transition(kind, condition, status, reason);
            // A connection that goes down changes a hundred thousand links: its own line says it once.
            if key.kind == Kind::Link {
                debug!(kind, namespace = %key.namespace, name = %key.name, uid, condition, status, reason, "decided");
            } else {
                info!(kind, namespace = %key.namespace, name = %key.name, uid, condition, status, reason, "decided");
            }
        }
    }
}

/// How something that may write ended.
pub(super) fn word<T>(result: &Result<T, WriteError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(WriteError::Stale) => "stale",
        Err(WriteError::Gone) => "gone",
        Err(WriteError::Refused(_)) => "refused",
        Err(WriteError::Unanswered(_)) => "unanswered",
    }
}

/// Counts what the client of the instances does.
pub fn observe(metrics: &Metrics, observed: &ClientEvent<'_>) {
    match observed {
        ClientEvent::RequestFinished { host, operation, outcome, took } => {
            metrics.instance_request(host, operation.as_str(), outcome.as_str(), *took);
        }
        ClientEvent::Throttled { host } => metrics.instance_throttled(host),
    }
}
