//! R4: what to ask the instance for now, and when to look again.

use super::{
    health::{Observation, read_again, retry_after},
    view::{ConnectionView, ProbeRequest},
};
use crate::{
    api::names::{REFRESH_REQUESTED, reconcile_requested, requested},
    domain::{
        facts::unhandled,
        requeue::{Requeue, saturating_add},
    },
};
use jiff::SignedDuration;
use kube::ResourceExt;

/// How often an instance's health is looked at when `probe.interval` is absent.
pub const DEFAULT_PROBE: SignedDuration = SignedDuration::from_mins(5);
/// How often metadata is read when `refresh.interval` is absent (R4).
pub const DEFAULT_REFRESH: SignedDuration = SignedDuration::from_hours(24);

/// Reads `1h30m`; anything else is the default.
pub fn interval(text: Option<&str>, default: SignedDuration, floor: SignedDuration) -> SignedDuration {
    text.filter(|t| !t.is_empty())
        .and_then(|t| t.parse::<SignedDuration>().ok())
        .map_or(default, |d| d.max(floor))
}

/// Spreads connections over an interval by up to a tenth, always the same way for the same one: a restart must not
/// bring all of them to their instances at once.
fn jittered(period: SignedDuration, uid: &str) -> SignedDuration {
    let hash = uid.bytes().fold(0_i64, |h, b| (h * 31 + i64::from(b)) % 1000);
    period
        - SignedDuration::from_millis(i64::try_from(period.as_millis()).unwrap_or(i64::MAX) / 10_000 * hash)
}

/// What to ask the instance now, and when to look again.
pub(super) fn next_probe(
    view: &ConnectionView<'_>,
    disabled: bool,
) -> (Option<ProbeRequest>, Option<Requeue>) {
    if disabled {
        return (None, None);
    }
    let spec = &view.connection.spec;
    let uid = view.connection.uid().unwrap_or_default();
    let probe = spec.probe.as_ref().and_then(|p| p.interval.as_deref());
    let probe = interval(probe, DEFAULT_PROBE, SignedDuration::from_secs(30));
    let refresh = spec.refresh.as_ref().and_then(|p| p.interval.as_deref());
    let refresh = interval(refresh, DEFAULT_REFRESH, SignedDuration::from_mins(15));
    let tables = || Some(ProbeRequest { tables: Some(spec.record_types.clone()) });

    let Some(observation) = view.observation else { return (tables(), None) };
    if must_probe_now(view, observation) {
        return (
            if observation.tables.is_some() { Some(ProbeRequest { tables: None }) } else { tables() },
            None,
        );
    }
    let requested = requested(view.connection.metadata.annotations.as_ref(), REFRESH_REQUESTED);
    let handled = view.connection.status.as_ref().and_then(|s| s.last_handled_refresh_at.as_deref());
    let (due, awaited) = if observation.failures == 0 {
        (saturating_add(observation.at, jittered(probe, &uid)), false)
    } else {
        (saturating_add(observation.at, retry_after(observation, probe)), true)
    };
    let requeue = Requeue { at: due, periodic: !awaited };
    let Some(known) = &observation.tables else {
        // Health first; tables as soon as the instance is in order.
        return if view.now >= due { (tables(), None) } else { (None, Some(requeue)) };
    };
    let wanted = unhandled(requested, handled).is_some() && known.requested.as_deref() != requested;
    let new_table = spec.record_types.iter().any(|t| !known.asked.contains(t));
    let refresh_due = saturating_add(known.read_at, jittered(refresh, &uid));
    let overdue = wanted || new_table || view.now >= refresh_due;
    let read_at = match observation.metadata_failure {
        Some(failure) if overdue => read_again(failure, refresh),
        None if overdue => view.now,
        _ => refresh_due,
    };
    if observation.failures == 0 && view.now >= read_at {
        return (tables(), None);
    }
    if view.now >= due {
        return (Some(ProbeRequest { tables: None }), None);
    }
    // While it fails, only its health is asked for: a refresh that is overdue would else be due for ever.
    let refresh = (observation.failures == 0).then(|| Requeue::periodic(read_at));
    (None, Requeue::sooner(Some(requeue), refresh))
}

/// Whether to probe before the next probe is due: the credentials have changed, or a reconcile was requested. One request
/// causes one probe, whatever its result.
pub(super) fn must_probe_now(view: &ConnectionView<'_>, observation: &Observation) -> bool {
    let requested = reconcile_requested(view.connection.metadata.annotations.as_ref());
    observation.credentials != view.connection.spec.credentials
        || requested.is_some() && requested != observation.requested.as_deref()
}
