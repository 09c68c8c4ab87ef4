//! Reads the admission policies and the Leases of other installations.
//!
//! An installation may lack these permissions. A request without permission would be counted as forbidden and alerted, so
//! the API server is asked first what is permitted, once, and again only after a request was rejected.

use crate::{
    api::{
        names::{CONTROLLER, WATCHED_NAMESPACES},
        policies::{Shipped, shipped},
    },
    controller::{
        lease::{MIN_LEASE_SECONDS, StoredLease, list},
        patch::{ApiError, within},
        received::Received,
    },
    domain::installation::{
        overlap::{OtherLease, OtherLeases, Overlap, Watched},
        policies::{Finding, Installed, Observed, findings},
    },
};
use k8s_openapi::{
    Resource,
    api::{
        admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
        authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
        coordination::v1::Lease,
    },
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The label of the chart with the version of the program that a policy belongs to.
const VERSION_LABEL: &str = "app.kubernetes.io/version";

pub struct Reader {
    client: Client,
    /// The namespace of the own Lease.
    namespace: Option<String>,
    own: Watched,
    shipped: Vec<Shipped>,
    refusal_expected: bool,
    others: OtherLeases,
    begin: Instant,
    may_read_policies: bool,
    may_list_leases: bool,
}

impl Reader {
    pub fn new(client: Client, namespace: Option<String>, own: Watched, refusal_expected: bool) -> Self {
        Self {
            client,
            namespace,
            own,
            shipped: shipped(),
            refusal_expected,
            others: OtherLeases::default(),
            begin: Instant::now(),
            may_read_policies: false,
            may_list_leases: false,
        }
    }

    /// The problems of the admission policies.
    pub async fn policies(&mut self) -> Result<Vec<Finding>, ApiError> {
        let observed = match self.read_policies().await {
            Ok(Some(installed)) => Observed::Read(installed),
            Ok(None) => Observed::NotPermitted,
            Err(ApiError::Refused(_)) => {
                self.may_read_policies = false;
                Observed::NotPermitted
            }
            Err(error) => return Err(error),
        };
        Ok(findings(&self.shipped, env!("CARGO_PKG_VERSION"), self.refusal_expected, &observed))
    }

    /// The other installations that watch a namespace of this one; `None` if it is not permitted to look.
    pub async fn overlaps(&mut self) -> Result<Option<Vec<Overlap>>, ApiError> {
        let Some(namespace) = self.namespace.clone() else { return Ok(Some(Vec::new())) };
        match self.list_leases(&namespace).await {
            Ok(leases) => {
                Ok(leases.map(|leases| self.others.observe(&self.own, &leases, self.begin.elapsed())))
            }
            Err(ApiError::Refused(_)) => {
                self.may_list_leases = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn read_policies(&mut self) -> Result<Option<BTreeMap<&'static str, Installed>>, ApiError> {
        if !self.may_read_policies {
            // Each of them: a refusal of one, again and again, would be counted as a missing permission.
            for one in &self.shipped {
                let policy = self.may::<ValidatingAdmissionPolicy>("get", one.name).await?;
                if !policy || !self.may::<ValidatingAdmissionPolicyBinding>("get", one.name).await? {
                    return Ok(None);
                }
            }
            self.may_read_policies = true;
        }
        let mut installed = BTreeMap::new();
        for one in &self.shipped {
            let policy = self.object::<ValidatingAdmissionPolicy>(one.name).await?;
            let binding = self.object::<ValidatingAdmissionPolicyBinding>(one.name).await?;
            let spec = |object: Value| object["spec"].clone();
            let version =
                policy.as_ref().and_then(|policy| policy["metadata"]["labels"][VERSION_LABEL].as_str());
            let version = version.map(str::to_owned);
            installed.insert(
                one.name,
                Installed { policy: policy.map(spec), binding: binding.map(spec), version },
            );
        }
        Ok(Some(installed))
    }

    /// As JSON: a field that is newer than this version may weaken a policy, too.
    async fn object<K>(&self, name: &str) -> Result<Option<Value>, ApiError>
    where
        K: kube::Resource<DynamicType = ()> + Clone,
    {
        let api: Api<Received<K>> = Api::all(self.client.clone());
        Ok(within(api.get_opt(name)).await?.and_then(|object| object.value()))
    }

    async fn list_leases(&mut self, namespace: &str) -> Result<Option<Vec<OtherLease>>, ApiError> {
        if !self.may_list_leases {
            if !self.may::<Lease>("list", CONTROLLER).await? {
                return Ok(None);
            }
            self.may_list_leases = true;
        }
        // From the API server's cache: every node has a Lease as well.
        let params = ListParams::default().fields(&format!("metadata.name={CONTROLLER}")).match_any();
        let leases = list(&self.client, &params).await?;
        let others = leases.iter().filter(|lease| lease.namespace() != Some(namespace));
        Ok(Some(others.filter_map(other).collect()))
    }

    async fn may<K: Resource>(&self, verb: &str, name: &str) -> Result<bool, ApiError> {
        let attributes = ResourceAttributes {
            group: Some(K::GROUP.to_owned()),
            resource: Some(K::URL_PATH_SEGMENT.to_owned()),
            verb: Some(verb.to_owned()),
            name: Some(name.to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let review = within(api.create(&PostParams::default(), &review)).await?;
        Ok(review.status.is_some_and(|status| status.allowed))
    }
}

/// A Lease of this name without the annotation is not one of Postlink.
fn other(lease: &StoredLease) -> Option<OtherLease> {
    let watched = lease.annotation(WATCHED_NAMESPACES)?;
    Some(OtherLease {
        namespace: lease.namespace()?.to_owned(),
        holder: lease.holder().unwrap_or_default().to_owned(),
        renewed: lease.renewed().map(str::to_owned),
        duration: lease.lasts(Duration::from_secs(MIN_LEASE_SECONDS.into())),
        watched: Watched::of(watched.split(',').map(|name| name.trim().to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use std::convert::Infallible;
    use tower::service_fn;

    /// A Lease of another namespace may have a time that cannot be read here.
    #[tokio::test]
    async fn one_lease_does_not_fail_the_list() {
        let far = "9999-12-31T23:59:59Z";
        let lease = |namespace: &str, managed: &str, renewed: &str| {
            json!({
                "metadata": {
                    "name": CONTROLLER, "namespace": namespace, "annotations": {WATCHED_NAMESPACES: "team"},
                    "managedFields": [{"manager": "somebody", "time": managed}],
                },
                "spec": {"holderIdentity": "a", "renewTime": renewed},
            })
        };
        let now = "2026-01-01T00:00:00Z";
        let items = [lease("other", now, now), lease("managed", far, now), lease("renewed", now, far)];
        let list = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList", "metadata": {}, "items": items});
        let server = service_fn(move |_: Request<Body>| {
            let answer = Response::new(Body::from(list.to_string().into_bytes()));
            async { Ok::<_, Infallible>(answer) }
        });
        let client = Client::new(server, "default");
        let mut reader = Reader::new(client, Some("own".to_owned()), Watched::of(["team".to_owned()]), false);
        reader.may_list_leases = true;
        let leases = reader.list_leases("own").await.unwrap().unwrap();
        let found: Vec<_> = leases.iter().map(|lease| lease.namespace.as_str()).collect();
        assert_eq!(found, ["other", "managed", "renewed"]);
    }
}
