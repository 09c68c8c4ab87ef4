//! Names that are part of the API: the group, the finalizer, and annotations.

use jiff::Timestamp;
use std::collections::BTreeMap;

pub const GROUP: &str = "postlink.dev";
/// The only version.
pub const VERSION: &str = "v1alpha1";
/// Field manager, event reporter, and name of the lease.
pub const CONTROLLER: &str = "postlink";
/// The finalizer (§4.5): added to every connection on its first reconcile, removed only when no rule is reserved in it.
pub const FINALIZER: &str = "postlink.dev/active-rules";
/// Requests a reconcile; the value is repeated in `status.lastHandledReconcileAt`.
pub const RECONCILE_REQUESTED: &str = "postlink.dev/reconcile-requested-at";
/// Flux's annotation for the same request.
pub const FLUX_RECONCILE_REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";
/// Requests a refresh of the table metadata (R4); the value is repeated in `status.lastHandledRefreshAt`.
pub const REFRESH_REQUESTED: &str = "postlink.dev/refresh-requested-at";
/// Requests a new link after a removed one (R23–R25); the value is repeated in `status.intent.relinkRequestedAt`.
pub const RELINK_REQUESTED: &str = "postlink.dev/relink-requested-at";
/// ConfigMap of an installation with the number of connections.
pub const IN_USE: &str = "postlink-in-use";
/// Annotation of [`IN_USE`] with the number.
pub const CONNECTIONS: &str = "postlink.dev/connections";
/// Annotation of the Lease: the namespaces that the leader watches, sorted and separated by commas; empty if it watches
/// all.
pub const WATCHED_NAMESPACES: &str = "postlink.dev/watched-namespaces";

/// Bytes of a request's value that are read. The status fields can hold as many characters.
const MAX_REQUEST_BYTES: usize = 1024;

/// The reconcile request of an object: Flux's annotation, or Postlink's. Flux waits until its value is repeated, so
/// Postlink's goes before only if it is certainly newer.
pub fn reconcile_requested(annotations: Option<&BTreeMap<String, String>>) -> Option<&str> {
    let (ours, flux) =
        (requested(annotations, RECONCILE_REQUESTED), requested(annotations, FLUX_RECONCILE_REQUESTED));
    match (ours, flux) {
        (Some(ours), Some(flux)) if time_of(ours).is_some_and(|at| time_of(flux).is_some_and(|f| at > f)) => {
            Some(ours)
        }
        (ours, flux) => flux.or(ours),
    }
}

/// The time in a request's value: RFC 3339, or seconds since the epoch (`date +%s`).
fn time_of(value: &str) -> Option<Timestamp> {
    let seconds = || Timestamp::from_second(value.parse().ok()?).ok();
    value.parse().ok().or_else(seconds)
}

/// The value of a request annotation, truncated to what the status can hold. With a longer value, the API server would
/// reject every write of the status.
pub fn requested<'a>(annotations: Option<&'a BTreeMap<String, String>>, name: &str) -> Option<&'a str> {
    let value = annotations?.get(name)?;
    let ends = value.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = ends.take_while(|end| *end <= MAX_REQUEST_BYTES).last().unwrap_or(0);
    Some(&value[..end])
}
