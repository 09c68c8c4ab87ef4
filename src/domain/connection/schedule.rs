//! R4: which probe to start now, and when to reconcile again.

use super::{
    health::{Observation, metadata_retry_at, retry_after},
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

/// Default of `probe.interval`.
pub const DEFAULT_PROBE: SignedDuration = SignedDuration::from_mins(5);
/// Default of `refresh.interval` (R4).
pub const DEFAULT_REFRESH: SignedDuration = SignedDuration::from_hours(24);

/// At most so many kept tables are read: one batch has a limit.
const MAX_KEPT: usize = 900;

/// Parses a duration such as `1h30m`, or returns the default.
pub fn interval(text: Option<&str>, default: SignedDuration, floor: SignedDuration) -> SignedDuration {
    text.filter(|t| !t.is_empty())
        .and_then(|t| t.parse::<SignedDuration>().ok())
        .map_or(default, |d| d.max(floor))
}

/// Shortens an interval by up to a tenth, depending on the UID, so that connections are not all probed at once after a
/// restart.
fn jittered(period: SignedDuration, uid: &str) -> SignedDuration {
    let hash = uid.bytes().fold(0_i64, |h, b| (h * 31 + i64::from(b)) % 1000);
    period
        - SignedDuration::from_millis(i64::try_from(period.as_millis()).unwrap_or(i64::MAX) / 10_000 * hash)
}

/// The probe to start now, or when to reconcile again.
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
    // Also those that only active rules keep in force (R9): links must not use them if the instance loses their tables.
    let kept =
        view.connection.status.iter().filter_map(|s| s.metadata.as_ref()).flat_map(|m| &m.record_types);
    let kept = kept.filter(|t| !spec.record_types.contains(t)).take(MAX_KEPT);
    let all: Vec<String> = spec.record_types.iter().chain(kept).cloned().collect();
    let tables = || Some(ProbeRequest { tables: Some(all.clone()) });

    let Some(observation) = view.observation else { return (tables(), None) };
    if must_probe_now(view, observation) {
        return (
            if observation.tables.is_some() { Some(ProbeRequest { tables: None }) } else { tables() },
            None,
        );
    }
    let requested = requested(view.connection.metadata.annotations.as_ref(), REFRESH_REQUESTED);
    let handled = view.connection.status.as_ref().and_then(|s| s.last_handled_refresh_at.as_deref());
    let (probe_due, awaited) = if observation.failures == 0 {
        (saturating_add(observation.at, jittered(probe, &uid)), false)
    } else {
        (saturating_add(observation.at, retry_after(observation, probe)), true)
    };
    let requeue = Requeue { at: probe_due, periodic: !awaited };
    let Some(metadata) = &observation.tables else {
        return if view.now >= probe_due { (tables(), None) } else { (None, Some(requeue)) };
    };
    let refresh_requested =
        unhandled(requested, handled).is_some() && metadata.requested.as_deref() != requested;
    let new_table = spec.record_types.iter().any(|t| !metadata.asked.contains(t));
    let refresh_due = saturating_add(metadata.read_at, jittered(refresh, &uid));
    let overdue = refresh_requested || new_table || view.now >= refresh_due;
    let read_at = match observation.metadata_failure {
        Some(failure) if overdue => metadata_retry_at(failure, refresh),
        None if overdue => view.now,
        _ => refresh_due,
    };
    if observation.failures == 0 && view.now >= read_at {
        return (tables(), None);
    }
    if view.now >= probe_due {
        return (Some(ProbeRequest { tables: None }), None);
    }
    // While the instance fails, only its health is probed: otherwise an overdue refresh would requeue in a busy loop.
    let refresh = (observation.failures == 0).then(|| Requeue::periodic(read_at));
    (None, Requeue::sooner(Some(requeue), refresh))
}

/// Whether to probe before the next probe is due: the credentials have changed, or a reconcile was requested. One request
/// causes only one probe.
pub(super) fn must_probe_now(view: &ConnectionView<'_>, observation: &Observation) -> bool {
    let requested = reconcile_requested(view.connection.metadata.annotations.as_ref());
    observation.credentials != view.connection.spec.credentials
        || requested.is_some() && requested != observation.requested.as_deref()
}
