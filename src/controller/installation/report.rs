//! Tells what a check found: in a gauge each time; in the log and as an Event of the Lease only when it changes.

use crate::{
    api::{
        names::CONTROLLER,
        policies::{GUARD, NAMES},
    },
    controller::{context::Context, patch::within},
    domain::installation::{
        overlap::Overlap,
        policies::{Finding, Problem},
    },
};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ObjectReference};
use kube::{Api, ResourceExt};
use tracing::{debug, info, warn};

/// What to do about a policy.
const ADVICE: &str = "Install the policies of this version again, the way they were installed before; see PostlinkGuardMissing in docs/operations.md.";

pub struct Report {
    context: Context,
    /// The namespace of the Lease.
    namespace: Option<String>,
    /// What was told last; at first, that nothing is wrong.
    findings: Vec<Finding>,
    overlaps: Option<Vec<Overlap>>,
}

impl Report {
    pub fn new(context: Context, namespace: Option<String>) -> Self {
        Self { context, namespace, findings: Vec::new(), overlaps: Some(Vec::new()) }
    }

    pub async fn policies(&mut self, findings: Vec<Finding>) {
        for policy in NAMES {
            for problem in Problem::ALL {
                let is_found = findings.iter().any(|one| one.policy == policy && one.problem == problem);
                self.context.metrics.admission_policy_problem(policy, problem.as_str(), is_found);
            }
        }
        if findings == self.findings {
            return;
        }
        if findings.iter().all(|one| one.problem == Problem::NotRead) && !findings.is_empty() {
            info!("not permitted to read the admission policies, so they are not checked");
        } else if findings.is_empty() {
            let message = "the admission policies are those of this version";
            info!("{message}");
            self.tell(false, "AdmissionPoliciesRestored", message.to_owned()).await;
        } else {
            let found: Vec<String> = findings.iter().map(Finding::message).collect();
            let found = found.join("; ");
            let guard = if findings.iter().any(|one| one.policy == GUARD) {
                " Until then, the finalizer of a connection that active rules use may not be protected."
            } else {
                ""
            };
            warn!("the admission policies are not those of this version: {found}. {ADVICE}{guard}");
            self.tell(true, "AdmissionPolicyProblem", format!("{found}. {ADVICE}{guard}")).await;
        }
        self.findings = findings;
    }

    /// `None`: it is not permitted to look.
    pub async fn overlaps(&mut self, overlaps: Option<Vec<Overlap>>) {
        self.context.metrics.overlapping_installs(overlaps.as_ref().map(Vec::len));
        if overlaps == self.overlaps {
            return;
        }
        match overlaps.as_deref() {
            None => {
                info!(
                    "not permitted to list the Leases of other installations, so overlapping ones are not reported"
                );
            }
            Some([]) => {
                let message = "no other installation watches the namespaces of this one";
                info!("{message}");
                self.tell(false, "InstallationsSeparate", message.to_owned()).await;
            }
            Some(found) => {
                let each = found.iter().map(|one| {
                    format!("the one with the Lease {}/{CONTROLLER} also watches {}", one.lease, one.shared)
                });
                let message = format!(
                    "Another installation of Postlink watches the same namespaces: {}. Two leaders reconcile the same objects. Uninstall one of them, or limit both to different namespaces.",
                    each.collect::<Vec<_>>().join("; ")
                );
                warn!("{message}");
                self.tell(true, "OverlappingInstalls", message).await;
            }
        }
        self.overlaps = overlaps;
    }

    async fn tell(&self, warning: bool, reason: &'static str, note: String) {
        let Some(namespace) = &self.namespace else { return };
        let api: Api<Lease> = Api::namespaced(self.context.client.clone(), namespace);
        // `kubectl describe` finds events by the UID.
        let uid = match within(api.get_metadata(CONTROLLER)).await {
            Ok(lease) => lease.uid(),
            Err(error) => {
                debug!(%error, "failed to read the Lease for an event");
                None
            }
        };
        let lease = ObjectReference {
            api_version: Some("coordination.k8s.io/v1".to_owned()),
            kind: Some("Lease".to_owned()),
            namespace: Some(namespace.clone()),
            name: Some(CONTROLLER.to_owned()),
            uid,
            ..ObjectReference::default()
        };
        self.context.events.report(&lease, warning, reason, note);
    }
}
