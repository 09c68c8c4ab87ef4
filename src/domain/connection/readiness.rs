//! R16–R20: whether a connection is ready, and why not.

use super::{
    health::{Health, ProbeAnswer, ProbeFailure},
    view::{ConnectionView, host},
};
use crate::{
    api::{ConditionStatus, ConditionType, DynamicsConnectionStatus, Reason, conditions},
    domain::{kstatus::Readiness, messages},
};

/// What `Ready` says, from the instance's answer or from what is stored.
pub(super) fn readiness(
    view: &ConnectionView<'_>,
    disabled: bool,
    health: Option<&Health>,
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
            let refuses = view.observation.is_some_and(|t| {
                matches!(t.answer, ProbeAnswer::Organization { accepts_social_data: false, .. })
            });
            let message =
                if refuses { messages::connected_but_refuses(host) } else { messages::connected(host) };
            Readiness::Ready(Reason::Connected, message)
        }
        // Asked to wait, or not asked yet: what was known stays, unless it was that the connection is disabled, or
        // is nothing a connection ever says. `Reconciling` and `Stalled` are drawn from it anew, or forged ones would
        // stay.
        _ => {
            let known = conditions::find(&old.conditions, ConditionType::Ready);
            let reason = conditions::reason(&old.conditions, ConditionType::Ready);
            match (known, reason) {
                (Some(known), Some(Reason::Connected)) if known.status == ConditionStatus::True => {
                    Readiness::Ready(Reason::Connected, known.message.clone())
                }
                (Some(known), Some(reason))
                    if known.status == ConditionStatus::False && is_problem(reason) =>
                {
                    Readiness::NotReady(reason, known.message.clone())
                }
                _ if view
                    .observation
                    .is_some_and(|t| t.answer == ProbeAnswer::Failure(ProbeFailure::Throttled)) =>
                {
                    Readiness::NotReady(Reason::Connecting, messages::throttled(host))
                }
                _ => Readiness::NotReady(Reason::Connecting, messages::connecting(host)),
            }
        }
    }
}

/// What an instance's answer can be told as when it is not in order ([`super::health::evaluate`]).
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

/// §3: "With `enabled: false` the instance's state does not affect Ready". Else a tool that waits for health would never
/// apply the wave that deactivates the rules, and the disable would be held for ever.
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
