//! What `Ready`, `Reconciling` and `Stalled` say: one place for all kinds (§3 "Ready", kstatus).

use super::conditions::Conditions;
use crate::api::{ConditionStatus, ConditionType, Reason};

/// Whether nothing is broken or waits for someone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing is. Intended off-states are this too.
    Ready(Reason, String),
    /// Something is; whether it is retried or waits for a person follows from the reason.
    NotReady(Reason, String),
}

/// Reasons that nothing but a person's act removes.
fn waits_for_someone(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::HoldsConnection
            | Reason::CredentialsRejected
            | Reason::AccessDenied
            | Reason::SecretInvalid
            | Reason::HostNotAllowed
            | Reason::AddressNotAllowed
            | Reason::OrganizationChanged
            | Reason::RecordTypeNotOffered
            | Reason::RecordNotFound
            | Reason::InstanceExpired
    )
}

/// Writes the trio. `Reconciling` and `Stalled` are abnormal-true, absent when fine, never both.
pub fn write(conditions: &mut Conditions<'_>, readiness: Readiness) {
    match readiness {
        Readiness::Ready(reason, message) => conditions.set(ConditionType::Ready, true, reason, message),
        Readiness::NotReady(reason, message) => {
            // Not reached for the first time yet: nobody can tell whether anything is broken.
            let first = matches!(reason, Reason::Connecting);
            let status = if first { ConditionStatus::Unknown } else { ConditionStatus::False };
            conditions.set(ConditionType::Ready, status, reason, message.clone());
            if first {
                conditions.set(ConditionType::Reconciling, true, Reason::Progressing, message);
            } else if waits_for_someone(reason) {
                conditions.set(ConditionType::Stalled, true, reason, message);
            } else {
                conditions.set(ConditionType::Reconciling, true, Reason::ProgressingWithRetry, message);
            }
        }
    }
}
