//! Every name Postlink puts on an object it does not own the spelling of: group, finalizer, annotations.

use std::collections::BTreeMap;

/// The API group of the three kinds.
pub const GROUP: &str = "postlink.dev";
/// The version served and stored.
pub const VERSION: &str = "v1alpha1";
/// The field manager and event reporter.
pub const CONTROLLER: &str = "postlink";
/// The one finalizer (§4.5): on every connection from first sight, off only when no rule is reserved in it.
pub const FINALIZER: &str = "postlink.dev/active-rules";
/// "Reconcile this now"; echoed in `status.lastHandledReconcileAt`.
pub const RECONCILE_REQUESTED: &str = "postlink.dev/reconcile-requested-at";
/// Flux's spelling of the same request.
pub const FLUX_RECONCILE_REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";
/// "Read the metadata of all tables again" (R4); echoed in `status.lastHandledRefreshAt`.
pub const REFRESH_REQUESTED: &str = "postlink.dev/refresh-requested-at";
/// "Ask for the link again, as a new activity" (R23–R25); remembered in `status.intent.relinkRequestedAt`.
pub const RELINK_REQUESTED: &str = "postlink.dev/relink-requested-at";
/// The ConfigMap of an installation that says how many connections there are.
pub const IN_USE: &str = "postlink-in-use";
/// The number, on [`IN_USE`].
pub const CONNECTIONS: &str = "postlink.dev/connections";

/// How much of a request's value counts: what the fields of the statuses that repeat it hold, in characters.
const LONGEST_REQUEST: usize = 1024;

/// The reconcile request an object carries: ours first, else Flux's.
pub fn reconcile_requested(annotations: Option<&BTreeMap<String, String>>) -> Option<&str> {
    requested(annotations, RECONCILE_REQUESTED).or_else(|| requested(annotations, FLUX_RECONCILE_REQUESTED))
}

/// What an annotation that requests something says, as far as a status can repeat it. Were a longer one taken as it is,
/// the status could never be written again.
pub fn requested<'a>(annotations: Option<&'a BTreeMap<String, String>>, name: &str) -> Option<&'a str> {
    let value = annotations?.get(name)?;
    let end = value.char_indices().nth(LONGEST_REQUEST).map_or(value.len(), |(at, _)| at);
    Some(&value[..end])
}
