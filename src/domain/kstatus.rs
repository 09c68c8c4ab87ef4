//! Sets `Ready`, `Reconciling` and `Stalled` for all kinds (§3 "Ready", kstatus).

use super::conditions::Conditions;
use crate::api::{ConditionStatus, ConditionType, Reason};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing is broken or waiting. Includes intended off-states.
    Ready(Reason, String),
    /// The reason decides whether it is retried or needs a user's action.
    NotReady(Reason, String),
}

/// Reasons that only a user's action resolves.
fn requires_user_action(reason: Reason) -> bool {
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
            | Reason::NamespaceFull
            | Reason::RecordNotFound
            | Reason::DuplicatePost
            | Reason::PostChanged
            | Reason::InstanceExpired
            | Reason::Undecodable
    )
}

/// Sets the three conditions. `Reconciling` and `Stalled` are abnormal-true: absent when false, never both present.
pub fn write(conditions: &mut Conditions<'_>, readiness: Readiness) {
    match readiness {
        Readiness::Ready(reason, message) => conditions.set(ConditionType::Ready, true, reason, message),
        Readiness::NotReady(reason, message) => {
            // Before the first probe, readiness is unknown.
            let unknown = matches!(reason, Reason::Connecting);
            let status = if unknown { ConditionStatus::Unknown } else { ConditionStatus::False };
            conditions.set(ConditionType::Ready, status, reason, message.clone());
            if unknown {
                conditions.set(ConditionType::Reconciling, true, Reason::Progressing, message);
            } else if requires_user_action(reason) {
                conditions.set(ConditionType::Stalled, true, reason, message);
            } else {
                conditions.set(ConditionType::Reconciling, true, Reason::ProgressingWithRetry, message);
            }
        }
    }
}
