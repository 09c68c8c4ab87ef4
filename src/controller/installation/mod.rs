//! A task of the leader that checks, at start and regularly, what it relies on and cannot enforce: that the admission
//! policies are those of this version, and that no other live installation watches the same namespaces. It only reads.

mod read;
mod report;

use super::context::Context;
use crate::domain::installation::overlap::Watched;
use read::Reader;
use report::Report;
use std::time::Duration;
use tracing::warn;

/// The time between two checks. A Lease that is renewed is seen to change from one to the next.
const INTERVAL: Duration = Duration::from_secs(30);

/// Checks until the process ends. `namespace` is that of the Lease; without one, there is nothing to compare other Leases with.
/// `refusal_expected`: whether the refusal policies were installed (mode Deny or Warn).
pub async fn check(context: Context, namespace: Option<String>, refusal_expected: bool) {
    let own = Watched::of(context.namespaces.iter().flatten().cloned());
    let mut reader = Reader::new(context.client.clone(), namespace.clone(), own, refusal_expected);
    let mut report = Report::new(context, namespace);
    let mut warned = false;
    loop {
        // What was told stays true until a read says otherwise.
        let policies = reader.policies().await;
        let overlaps = reader.overlaps().await;
        let failed = policies.as_ref().err().or(overlaps.as_ref().err());
        if let Some(error) = failed.filter(|_| !warned) {
            warn!(%error, "failed to check the admission policies and other installations; retrying");
        }
        warned = failed.is_some();
        if let Ok(findings) = policies {
            report.policies(findings).await;
        }
        if let Ok(overlaps) = overlaps {
            report.overlaps(overlaps).await;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
