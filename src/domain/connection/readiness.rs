//! R16–R20: whether a connection is ready, and why it is not.

use super::{
    health::{Health, ProbeAnswer, ProbeFailure},
    record_types::RecordTypes,
    view::{ConnectionView, host},
};
use crate::{
    api::{ConditionStatus, ConditionType, DynamicsConnectionStatus, Reason, conditions},
    domain::{kstatus::Readiness, messages},
};

/// `Ready`, from the last probe or the stored conditions.
pub(super) fn readiness(
    view: &ConnectionView<'_>,
    disabled: bool,
    health: Option<&Health>,
    types: &RecordTypes,
    old: &DynamicsConnectionStatus,
) -> Readiness {
    if disabled {
        return Readiness::Ready(Reason::Disabled, messages::disabled());
    }
    let host = host(view.connection);
    match health {
        Some(Health { problem: Some((reason, message)), .. }) => {
            Readiness::NotReady(*reason, message.clone())
        }
        Some(Health { state: Some(_), .. }) => {
            let refuses = view.observation.is_some_and(|observation| {
                matches!(observation.answer, ProbeAnswer::Organization { accepts_social_data: false, .. })
            });
            let message = if refuses {
                messages::connected_but_refuses(host)
            } else if types.offered.is_empty() && types.unread.is_empty() {
                messages::connected_but_offers_nothing(host)
            } else {
                messages::connected(host)
            };
            Readiness::Ready(Reason::Connected, message)
        }
        // Throttled, or not probed yet: keep the stored condition, unless it is `Disabled` or a reason that connections
        // never have. `Reconciling` and `Stalled` are derived from it again, so that forged ones are removed.
        _ => {
            let stored = conditions::find(&old.conditions, ConditionType::Ready);
            let reason = conditions::reason(&old.conditions, ConditionType::Ready);
            match (stored, reason) {
                (Some(stored), Some(Reason::Connected)) if stored.status == ConditionStatus::True => {
                    Readiness::Ready(Reason::Connected, stored.message.clone())
                }
                (Some(stored), Some(reason))
                    if stored.status == ConditionStatus::False && is_problem(reason) =>
                {
                    Readiness::NotReady(reason, stored.message.clone())
                }
                _ if view.observation.is_some_and(|observation| {
                    observation.answer == ProbeAnswer::Failure(ProbeFailure::Throttled)
                }) =>
                {
                    Readiness::NotReady(Reason::Connecting, messages::throttled(host))
                }
                _ => Readiness::NotReady(Reason::Connecting, messages::connecting(host)),
            }
        }
    }
}

/// The reasons that [`super::health::evaluate`] can return.
fn is_problem(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::InstanceDowntime
            | Reason::InstanceExpired
            | Reason::OrganizationChanged
            | Reason::CredentialsRejected
            | Reason::SignInUnavailable
            | Reason::AccessDenied
            | Reason::SecretNotFound
            | Reason::SecretInvalid
            | Reason::HostNotAllowed
            | Reason::AddressNotAllowed
    )
}

/// §3: "With `enabled: false` the instance's state does not affect Ready". Otherwise a tool that waits for health would
/// never apply the wave that deactivates the rules, and the disable would stay blocked.
pub(super) fn ignore_downtime_when_disabling(
    readiness: Readiness,
    disable_wanted: bool,
    holders: &[String],
) -> Readiness {
    match readiness {
        Readiness::NotReady(Reason::InstanceDowntime | Reason::InstanceExpired, _)
            if disable_wanted && !holders.is_empty() =>
        {
            Readiness::Ready(Reason::Connected, messages::disable_refused(holders))
        }
        other => other,
    }
}
