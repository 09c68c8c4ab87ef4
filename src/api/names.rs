//! Every name Postlink puts on an object it does not own the spelling of: group, finalizer, annotations.

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

/// The reconcile request an object carries: ours first, else Flux's.
pub fn reconcile_requested(annotations: Option<&std::collections::BTreeMap<String, String>>) -> Option<&str> {
    let annotations = annotations?;
    annotations
        .get(RECONCILE_REQUESTED)
        .or_else(|| annotations.get(FLUX_RECONCILE_REQUESTED))
        .map(String::as_str)
}
